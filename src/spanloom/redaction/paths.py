"""JSON paths: a small part of RFC 9535, which names members and elements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_STEP: Final = re.compile(
    r"(?P<deep>\.\.)?(?:"
    r"\.?(?P<name>[^.\[\]'\"*\s]+)|\.?(?P<star>\*)|(?P<each>\[\*\])"
    r"|\['(?P<single>[^']+)'\]|\[\"(?P<double>[^\"]+)\"\])"
)
_DEEP: Final = 1
_ANY: Final = 2
Step = str | int


def parsed(text: str) -> tuple[Step, ...]:
    """The steps of a path such as `$.inputs.user.email`, `$..ssn` or `$.attributes['user.email']`.

    Lists have no steps of their own: `[*]` may be written after the name of a list, or left out.

    Raises:
        ValueError: It is no such path.
    """
    if not text.startswith("$") or len(text) < 2:
        raise ValueError("must begin with $ and name a member")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (step["name"] and text[at] != "."):
            raise ValueError(f"cannot be read from {text[at : at + 20]!r} on")
        at = step.end()
        if step["deep"]:
            steps.append(_DEEP)
        if step["each"]:
            continue
        named = step["name"] or step["single"] or step["double"]
        steps.append(named if named else _ANY)
    if not steps or steps[-1] == _DEEP:
        raise ValueError("must name a member")
    return tuple(steps)


def reaches(steps: tuple[Step, ...], trail: Sequence[str]) -> bool:
    """Whether a path is that of a value, or of what the value is in, by the names from the root to
    it."""
    states = {0}
    for name in trail:
        after: set[int] = set()
        for state in _with_deep(steps, states):
            if state >= len(steps):
                continue
            step = steps[state]
            if step == _DEEP:
                after.add(state)
            elif step in (_ANY, name):
                after.add(state + 1)
        if len(steps) in after:
            return True
        states = after
    return False


def _with_deep(steps: tuple[Step, ...], states: set[int]) -> set[int]:
    """The states, and those that a `..` lets begin at once."""
    more = {s + 1 for s in states if s < len(steps) and steps[s] == _DEEP}
    return states | more
