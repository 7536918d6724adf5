"""The outline of a trace as chunks of columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from spanloom.adapters.native.kinds import kind_of
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import STATUSES, Span
from spanloom.model.outline import OutlineRead
from spanloom.model.repeats import repeats
from spanloom.services.bounded import MAX_RESPONSE_BYTES
from spanloom.services.summaries import shown
from spanloom.v1 import query_pb2

MOST_ROWS: Final = 10_000
# What a row has beside its texts, at most, and what a chunk has beside its rows.
_ROW_BYTES: Final = 110
_CHUNK_BYTES: Final = 64 << 10
_NS_PER_MS: Final = 1e6


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
    parents = [places.get(span.parent_id) for span in read.order]
    tokens = [(span.input_tokens, span.output_tokens) for span in read.order]
    repeated = {read.order[place].span_id for place in repeats(parents, tokens)}
    listed = [span for span in read.order if span.version > after]
    rows = {span.span_id: row for row, span in enumerate(listed)}
    base_ns = listed[0].start_ns if listed else 0
    writer = _Writer(rows, base_ns, repeated, read.reviewed)
    for span in read.spans:
        writer.add(span)
    gone = [span_id for span_id in read.deleted if span_id not in places]
    return Outline(bool(read.order), writer.chunks, len(listed), gone, read.reached)


class _Writer:
    """Fills chunks with rows, one after the other."""

    def __init__(
        self, rows: dict[str, int], base_ns: int, repeated: set[str], reviewed: frozenset[str]
    ) -> None:
        self._rows = rows
        self._base_ns = base_ns
        self._repeated = repeated
        self._reviewed = reviewed
        self._strings: dict[str, int] = {}
        self.chunks: list[query_pb2.OutlineChunk] = []
        self._row = 0
        self._begin()

    def add(self, span: Span) -> None:
        other = span.parent_id if span.parent_id and span.parent_id not in self._rows else ""
        texts = [span.span_id, other]
        texts += [text for text in _named(span) if text not in self._strings]
        size = _ROW_BYTES + sum(len(text.encode()) for text in texts)
        if len(self._chunk.span_ids) == MOST_ROWS or self._left < size:
            self._begin()
        self._left -= size
        chunk, row = self._chunk, self._row
        name, agent, model = map(self._index, _named(span))
        chunk.span_ids.append(span.span_id)
        chunk.parent_rows.append(self._rows.get(span.parent_id, -1) if span.parent_id else -1)
        if other:
            chunk.other_parents[row] = other
        chunk.names.append(name)
        chunk.kinds.append(kind_of(span))
        chunk.status_codes.append(STATUSES.index(span.status) if span.status in STATUSES else 0)
        chunk.start_offsets_ms.append((span.start_ns - self._base_ns) / _NS_PER_MS)
        chunk.durations_ms.append(_duration_ms(span))
        chunk.agents.append(agent)
        chunk.models.append(model)
        chunk.input_tokens.append(_known(span.input_tokens))
        chunk.output_tokens.append(_known(span.output_tokens))
        chunk.costs_usd.append(_known(span.cost))
        if span.span_id in self._reviewed:
            chunk.reviewed_rows.append(row)
        if span.span_id in self._repeated:
            chunk.repeated_rows.append(row)
        self._row += 1

    def _begin(self) -> None:
        self._chunk = query_pb2.OutlineChunk(first_row=self._row)
        if self._rows:
            self._chunk.base_time.CopyFrom(timestamp_from_ns(self._base_ns))
        self.chunks.append(self._chunk)
        self._left = MAX_RESPONSE_BYTES - _CHUNK_BYTES
        if not self._strings:
            self._index("")

    def _index(self, text: str) -> int:
        place = self._strings.get(text)
        if place is None:
            place = self._strings[text] = len(self._strings)
            self._chunk.strings.append(text)
        return place


def _named(span: Span) -> Iterator[str]:
    return map(shown, (span.name, span.agent_name, span.model))


def _duration_ms(span: Span) -> float:
    if span.end_ns is None:
        return -1
    if span.duration_ms is not None:
        return max(0.0, span.duration_ms)
    return max(0, span.end_ns - span.start_ns) / _NS_PER_MS


def _known(number: float | None) -> float:
    return -1 if number is None else number
