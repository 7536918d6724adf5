"""How many values a JSON text has, before it is read: a value of two bytes takes a hundred."""

from __future__ import annotations

import re
from typing import Final

_STEP: Final = 1 << 20
# Each value but the first of a container follows a comma, and each container has an opening.
_MARKS: Final = (b",", b"[", b"{")
# What is between two strings, and the second one, or its rest where the text ends.
_BETWEEN: Final = re.compile(rb'([^"]*+)(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?)?', re.DOTALL)


def has_more_values(data: bytes, most: int) -> bool:
    """Whether a JSON text has more than so many values. Bytes that are not JSON have any number."""
    if len(data) <= most:
        return False
    marks = sum(
        data.count(mark, at, at + _STEP) for at in range(0, len(data), _STEP) for mark in _MARKS
    )
    if marks <= most:
        return False
    # Texts may have marks, too.
    found = 0
    for between in _BETWEEN.finditer(data):
        found += sum(map(between[1].count, _MARKS))
        if found > most:
            return True
    return False
