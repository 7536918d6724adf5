"""Durations as Go's `time.ParseDuration` reads them, such as `1h30m`, `1.2s`, `100ms` and `500us`;
and `d` for days, which Jaeger UI writes."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # the micro sign
    "μs": 10**3,  # the Greek letter
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}
_PART: Final = re.compile(
    rf"(\d{{1,20}}(?:\.\d{{0,20}})?|\.\d{{1,20}})({'|'.join(_UNITS_NS)})", re.ASCII
)
_LONGEST: Final = 100


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a duration that is not negative; None for what is none."""
    text = text.strip()
    if text == "0":
        return 0
    if not text or len(text) > _LONGEST:
        return None
    total, at = Fraction(0), 0
    for part in _PART.finditer(text):
        if part.start() != at:
            return None
        total += (
            Fraction(f"0{part[1]}" if part[1].startswith(".") else part[1].rstrip("."))
            * (_UNITS_NS[part[2]])
        )
        at = part.end()
    return int(total) if at == len(text) else None
