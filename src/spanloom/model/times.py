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
# A number below the limit is so many of a millisecond.
_UNITS = ((10**11, 1e3), (10**14, 1), (10**17, 1e-3))


def ms_by_size(number: float) -> float:
    """The milliseconds since 1970 of a time in seconds, milliseconds, microseconds or nanoseconds,
    by its size. Below 10^9 a number is milliseconds, too."""
    if number < _SECONDS_FROM or not number < inf:
        return number
    factor = next((factor for limit, factor in _UNITS if number < limit), 1e-6)
    return number if factor == 1 else number * factor


def ns_from_ms(ms: float) -> int:
    """Nanoseconds of a time in milliseconds, which must be from 0 to MAX_TIME_MS.

    `ms_from_ns` gives the same double back for every whole millisecond, and for every time after
    February 1970: from there on neighbouring doubles are more than a nanosecond apart.
    """
    whole = int(ms)
    if whole == ms:
        return whole * _NS_PER_MS
    return whole * _NS_PER_MS + round((ms - whole) * _NS_PER_MS)


def whole_ms(ns: int) -> int:
    """The time without its fraction of a millisecond, for times that the server computes: clients
    that read events take a fraction only where they sent it."""
    return ns - ns % _NS_PER_MS


def ms_from_ns(ns: int) -> float:
    return ns / _NS_PER_MS
