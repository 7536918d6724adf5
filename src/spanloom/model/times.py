"""Times as clients send them, epoch milliseconds, to the model's integer nanoseconds, and back."""

from __future__ import annotations

from math import inf

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
