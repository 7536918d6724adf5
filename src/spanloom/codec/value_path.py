"""Paths of values in a message and in the JSON in it, like `input.chat_history.0.content`.

A path has the names of fields, keys of maps and objects, and zero-based indexes of lists, joined by
dots. A key with a dot or a backtick, and an empty one, is enclosed in backticks, and each backtick
in it is doubled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STEP = re.compile(r"`((?:[^`]|``)*)`|([^.`]+)")


def path_text(steps: Iterable[str | int]) -> str:
    """The path of these steps."""
    return ".".join(map(_quoted, steps))


def _quoted(step: str | int) -> str:
    text = str(step)
    if text and "." not in text and "`" not in text:
        return text
    return "`" + text.replace("`", "``") + "`"


def path_steps(path: str) -> list[str] | None:
    """The steps of a path; None for a text that is no path."""
    steps: list[str] = []
    at = 0
    while True:
        match = _STEP.match(path, at)
        if match is None:
            return None
        quoted, plain = match.groups()
        steps.append(plain if quoted is None else quoted.replace("``", "`"))
        at = match.end()
        if at == len(path):
            return steps
        if path[at] != ".":
            return None
        at += 1
