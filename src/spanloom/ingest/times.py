"""Times between the wire and the model: Timestamp and epoch milliseconds to integer nanoseconds, and back."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.model import MAX_TIME_NS

_NS_PER_S = 10**9
_NS_PER_MS = 10**6
# The last whole millisecond that still has a place in a signed 64-bit count of nanoseconds.
MAX_TIME_MS = MAX_TIME_NS // _NS_PER_MS
OUT_OF_RANGE = "must be a time from 1970 to 2262"


def ns_from_timestamp(timestamp: Timestamp) -> int | None:
    """Nanoseconds since 1970; None for what is no time, or one outside 1970 to 2262."""
    ns = timestamp.seconds * _NS_PER_S + timestamp.nanos
    return ns if 0 <= timestamp.nanos < _NS_PER_S and 0 <= ns <= MAX_TIME_NS else None


def timestamp_from_ns(ns: int) -> Timestamp:
    seconds, nanos = divmod(ns, _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def ns_from_ms(ms: float) -> int:
    """Nanoseconds of a time in milliseconds, which must be from 0 to MAX_TIME_MS.

    `ms_from_ns` gives the same double back for every whole millisecond, and for every time after February 1970: from there on
    neighbouring doubles are more than a nanosecond apart.
    """
    whole = int(ms)
    if whole == ms:
        return whole * _NS_PER_MS
    return whole * _NS_PER_MS + round((ms - whole) * _NS_PER_MS)


def ms_from_ns(ns: int) -> float:
    return ns / _NS_PER_MS
