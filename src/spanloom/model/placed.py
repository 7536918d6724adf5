"""Where spans are: what a store tells of them without their contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class PlacedSpan(NamedTuple):
    """A span. `envelope` is the digest of what it shares with others, None for nothing."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    status: str
    start_ns: int
    end_ns: int | None
    envelope: bytes | None


class Placed(NamedTuple):
    """Spans, and by its digest what they share, as their adapter wrote it."""

    spans: Sequence[PlacedSpan]
    envelopes: Mapping[bytes, bytes]
