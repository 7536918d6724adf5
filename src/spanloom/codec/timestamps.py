"""google.protobuf.Timestamp and Duration to integer nanoseconds, and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.model import MAX_TIME_NS

_NS_PER_S = 10**9


def ns_from_timestamp(timestamp: Timestamp) -> int | None:
    """Nanoseconds since 1970; None for what is no time, or one outside 1970 to 2262."""
    ns = timestamp.seconds * _NS_PER_S + timestamp.nanos
    return ns if 0 <= timestamp.nanos < _NS_PER_S and 0 <= ns <= MAX_TIME_NS else None


def timestamp_from_ns(ns: int) -> Timestamp:
    seconds, nanos = divmod(ns, _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def ns_from_duration(duration: Duration) -> int | None:
    """Nanoseconds; None for what is no duration, is negative or does not fit in 64 bits."""
    ns = duration.seconds * _NS_PER_S + duration.nanos
    return ns if 0 <= duration.nanos < _NS_PER_S and 0 <= ns <= MAX_TIME_NS else None


def duration_from_ns(ns: int) -> Duration:
    seconds, nanos = divmod(ns, _NS_PER_S)
    return Duration(seconds=seconds, nanos=nanos)
