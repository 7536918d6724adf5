"""What a reader of the log of changes is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spanloom.model.span import Span


class SpanChange(NamedTuple):
    """A span that was stored: its version, and the span with its columns alone."""

    version: int
    span: Span


class SpanDeletion(NamedTuple):
    """A span that was deleted, and when. It may have been stored again."""

    version: int
    trace_id: str
    span_id: str
    deleted_ns: int


class Changes(NamedTuple):
    """A part of the log.

    Attributes:
        deleted: The deletions of this part, in their order.
        spans: In the order in which they were stored. A span that was stored several times is
            there once, at the place of its latest version.
        reached: The position after them: the `after` of the next call.
        more: Whether the log may have more already.
    """

    spans: Sequence[SpanChange]
    deleted: Sequence[SpanDeletion]
    reached: int
    more: bool


class StoredSpan(NamedTuple):
    """A whole span of the log, and the number of bytes that the store keeps of what was sent,
    before compression."""

    project: str
    span: Span
    size: int


class StoredSpans(NamedTuple):
    """A part of the log of several projects.

    Attributes:
        spans: In the order in which they were stored; `span.version` is the place of each.
        deleted: The project of each deletion of this part, and the deletion.
        reached, more: As of `Changes`.
    """

    spans: Sequence[StoredSpan]
    deleted: Sequence[tuple[str, SpanDeletion]]
    reached: int
    more: bool
