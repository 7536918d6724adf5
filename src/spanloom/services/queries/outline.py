"""The outline of a trace as chunks of columns."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from spanloom.adapters.native.kinds import kind_of
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import STATUSES, Span
from spanloom.model.outline import OutlineRead, OutlineSpan
from spanloom.model.own_use import Reported, own_uses, picodollars
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.v1 import query_pb2

MOST_ROWS: Final = 10_000
# What a row has beside its texts, at most, and what the rows of a chunk may have.
_ROW_BYTES: Final = 110
_MOST_BYTES: Final = MAX_RESPONSE_BYTES - (64 << 10)
_NS_PER_MS: Final = 1e6
# Of a longer name, agent or model the beginning is shown.
_LONGEST: Final = 1_000
_STATUS_CODES: Final = {status: code for code, status in enumerate(STATUSES)}
# The columns that every row has, in the order in which they are gathered.
_COLUMNS: Final = (
    *("span_ids", "parent_rows", "names", "kinds", "status_codes", "start_offsets_ms"),
    *("durations_ms", "agents", "models", "input_tokens", "output_tokens", "costs_usd"),
)
_Row = tuple[Any, ...]


class Outline(NamedTuple):
    """The chunks of a response, at least one; how many rows they have; the ids of deleted spans;
    and the position after all of it. `exists` tells whether the trace has any span."""

    exists: bool
    chunks: list[query_pb2.OutlineChunk]
    span_count: int
    deleted: list[str]
    reached: int


def outline(read: OutlineRead, after: int) -> Outline:
    """The outline of what is read of a trace behind a position."""
    places = {span.span_id: place for place, span in enumerate(read.order)}
    owns = own_uses([_reported(span) for span in read.order])
    repeated = {span_id for span_id, own in owns.items() if own.is_repeated or not any(own.use)}
    listed = [span for span in read.order if span.version > after]
    rows = {span.span_id: row for row, span in enumerate(listed)}
    base_ns = listed[0].start_ns if listed else 0
    writer = _Writer(rows, base_ns, repeated, read.reviewed)
    for span in read.spans:
        writer.add(span)
    gone = [span_id for span_id in read.deleted if span_id not in places]
    return Outline(bool(read.order), writer.finish(), len(listed), gone, read.reached)


def _reported(span: OutlineSpan) -> Reported:
    use = (span.input_tokens, span.output_tokens, picodollars(span.cost))
    return Reported(span.span_id, span.parent_id, span.kind, span.operation, use)


class _Writer:
    """Fills chunks with rows, one after the other.

    Columns are gathered in lists, for a list is set in a message at once.
    """

    def __init__(
        self, rows: dict[str, int], base_ns: int, repeated: set[str], reviewed: frozenset[str]
    ) -> None:
        self._rows = rows
        self._base_ns = base_ns
        self._repeated = repeated
        self._reviewed = reviewed
        self._strings: dict[str, int] = {"": 0}
        self._new = [""]
        self._kinds: dict[tuple[str, str], int] = {}
        self._first = 0
        self._listed: list[_Row] = []
        self._others: dict[int, str] = {}
        self._marked: tuple[list[int], list[int]] = ([], [])
        self._left = _MOST_BYTES
        self.chunks: list[query_pb2.OutlineChunk] = []

    def add(self, span: Span) -> None:
        span_id, parent_id = span.span_id, span.parent_id
        parent_row = self._rows.get(parent_id, -1) if parent_id else -1
        size = _ROW_BYTES + _size(span_id)
        if parent_id and parent_row < 0:
            size += _size(parent_id)
        size += sum(_size(text[:_LONGEST]) for text in _texts(span) if text not in self._strings)
        if len(self._listed) == MOST_ROWS or self._left < size:
            self._end()
        self._left -= size
        row = self._first + len(self._listed)
        if parent_id and parent_row < 0:
            self._others[row] = parent_id
        if span_id in self._reviewed:
            self._marked[0].append(row)
        if span_id in self._repeated:
            self._marked[1].append(row)
        kind = (span.kind, span.operation)
        if kind not in self._kinds:
            self._kinds[kind] = kind_of(span)
        tokens = span.input_tokens, span.output_tokens
        self._listed.append(
            (
                span_id,
                parent_row,
                self._index(span.name),
                self._kinds[kind],
                _STATUS_CODES.get(span.status, 0),
                (span.start_ns - self._base_ns) / _NS_PER_MS,
                _duration_ms(span),
                self._index(span.agent_name),
                self._index(span.model),
                -1 if tokens[0] is None else tokens[0],
                -1 if tokens[1] is None else tokens[1],
                -1 if span.cost is None else span.cost,
            )
        )

    def finish(self) -> list[query_pb2.OutlineChunk]:
        """All chunks, at least one."""
        if self._listed or not self.chunks:
            self._end()
        return self.chunks

    def _end(self) -> None:
        """End the chunk, and begin the next one."""
        columns: Any = dict(zip(_COLUMNS, zip(*self._listed, strict=True), strict=False))
        reviewed, repeated = self._marked
        chunk = query_pb2.OutlineChunk(
            first_row=self._first,
            strings=self._new,
            other_parents=self._others,
            reviewed_rows=reviewed,
            repeated_rows=repeated,
            **columns,
        )
        if self._rows:
            chunk.base_time.CopyFrom(timestamp_from_ns(self._base_ns))
        self.chunks.append(chunk)
        self._first += len(self._listed)
        self._listed, self._others, self._marked, self._new = [], {}, ([], []), []
        self._left = _MOST_BYTES

    def _index(self, text: str) -> int:
        place = self._strings.get(text)
        if place is None:
            place = self._strings[text] = len(self._strings)
            self._new.append(text[:_LONGEST])
        return place


def _texts(span: Span) -> tuple[str, str, str]:
    return span.name, span.agent_name, span.model


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _duration_ms(span: Span) -> float:
    if span.end_ns is None:
        return -1
    if span.duration_ms is not None:
        return max(0.0, span.duration_ms)
    return max(0, span.end_ns - span.start_ns) / _NS_PER_MS
