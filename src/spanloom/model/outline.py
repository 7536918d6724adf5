"""The outline of a trace: all its spans without their contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class OutlineSpan(NamedTuple):
    """What is read first of every span of a trace, in the order of the outline."""

    version: int
    span_id: str
    parent_id: str
    start_ns: int
    kind: str
    operation: str
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None


class OutlineColumns(NamedTuple):
    """What an outline shows of a span beside `OutlineSpan`."""

    name: str
    status: str
    end_ns: int | None
    duration_ms: float | None
    agent_name: str
    model: str


class OutlineRead(NamedTuple):
    """One state of a trace, while it is read.

    Attributes:
        order: All spans by start, then in the order in which they were stored.
        shown: Of each span of `order` that was stored after the asked position, in the same order.
        reviewed: The ids of the spans that have feedback.
        deleted: The ids of the spans that were deleted after the asked position; some may have been
            stored again.
        reached: The position in the log of changes after all that is read.
    """

    order: Sequence[OutlineSpan]
    shown: Iterator[OutlineColumns]
    reviewed: frozenset[str]
    deleted: Sequence[str]
    reached: int
