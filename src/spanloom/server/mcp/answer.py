"""The text of an answer: Markdown within a number of characters.

Recorded texts are quoted so that they cannot be taken for the answer's own: a block of code has a
fence that is longer than any in the text, and a line has no line break.
"""

from __future__ import annotations

import re
from typing import Final

# About 6,000 tokens: coding agents refuse answers of more than some 25,000.
MOST_CHARACTERS: Final = 24_000
# What is left for the last lines, which say how to read on.
_REST: Final = 1_000

_TICKS = re.compile(r"`+")


class Answer:
    """Lines, as many as fit."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._left = MOST_CHARACTERS - _REST

    @property
    def left(self) -> int:
        """How many characters fit."""
        return self._left

    def add(self, text: str) -> bool:
        """Add lines, all of them or none; whether they fit."""
        if len(text) + 1 > self._left:
            return False
        self._lines.append(text)
        self._left -= len(text) + 1
        return True

    def end(self, *last: str) -> str:
        """The whole text, with the last lines."""
        rest = "\n".join(line for line in last if line)[:_REST]
        return "\n".join([*self._lines, "", rest]) if rest else "\n".join(self._lines)


def line(text: str, most: int = 160) -> str:
    """The beginning of a text on one line."""
    plain = " ".join(text[: 4 * most].split())
    return plain if len(plain) <= most and len(text) <= 4 * most else f"{plain[:most]}…"


def code(text: str) -> str:
    """A text as code within a line."""
    plain = " ".join(text.split())
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(plain)), default=0))
    space = " " if "`" in plain else ""
    return f"{ticks}{space}{plain}{space}{ticks}"


def block(text: str, language: str = "") -> str:
    """A text as a block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
