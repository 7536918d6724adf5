"""Times as clients send them, epoch milliseconds, to the model's integer nanoseconds, and back; and
times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

_NS_PER_MS = 10**6
# The largest time that a signed 64-bit count of nanoseconds can hold (2262-04-11).
MAX_TIME_NS = 2**63 - 1
# The last whole millisecond that still has a place in a signed 64-bit count of nanoseconds.
MAX_TIME_MS = MAX_TIME_NS // _NS_PER_MS
OUT_OF_RANGE = "must be a time from 1970 to 2262"


_SECONDS_FROM = 10**9  # the year 2001; as milliseconds January 1970
# A number below the limit is in seconds, or so many make a millisecond.
_SECONDS_BELOW = 10**11
_UNITS = ((10**14, 1), (10**17, 1e3))

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DURATIONS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_AWAY: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)


def written_time(text: str, *, sign: int = -1) -> datetime:
    """The time that a person wrote: `7d` (also s, m, h, w) away from now, or ISO 8601, in UTC if it
    has no zone.

    Args:
        sign: -1 for the past, of which 1970 is the beginning, 1 for the future.

    Raises:
        ValueError: It is none, or is too far in the future.
    """
    if away := _AWAY.fullmatch(text):
        now = datetime.now(UTC)
        distance = int(away[1]) * DURATIONS[away[2]]
        if sign < 0:
            return now - min(distance, now - EPOCH)
        try:
            return now + distance
        except OverflowError as error:
            raise ValueError from error
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def ms_by_size(number: float) -> float:
    """The milliseconds since 1970 of a time in seconds, milliseconds, microseconds or nanoseconds,
    by its size. Below 10^9 a number is milliseconds, too."""
    if number < _SECONDS_FROM or not number < inf:
        return number
    if number < _SECONDS_BELOW:
        return number * 1e3
    return number / next((per_ms for limit, per_ms in _UNITS if number < limit), 1e6)


def ns_from_ms(ms: float) -> int:
    """Nanoseconds of a time in milliseconds, which must be from 0 to MAX_TIME_MS.

    `ms_from_ns` gives the same double back for every whole millisecond, and for every time after
    February 1970: from there on neighbouring doubles are more than a nanosecond apart.
    """
    whole = int(ms)
    if whole == ms:
        return whole * _NS_PER_MS
    return whole * _NS_PER_MS + round((ms - whole) * _NS_PER_MS)


def whole_ms(ns: int, *, up: bool = False) -> int:
    """The whole millisecond before or after a time that the server computes: clients that read
    events take a fraction only where they sent it."""
    return -(-ns // _NS_PER_MS) * _NS_PER_MS if up else ns - ns % _NS_PER_MS


def ms_from_ns(ns: int) -> float:
    return ns / _NS_PER_MS
