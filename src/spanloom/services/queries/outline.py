"""The outline of a trace as a stream of chunks of columns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, NamedTuple

from spanloom.adapters.native.kinds import kind_of_columns
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import store_unavailable
from spanloom.model import STATUSES
from spanloom.model.outline import OutlineColumns, OutlineRead, OutlineSpan
from spanloom.model.own_use import Reported, own_uses, picodollars
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.store.summaries import Summaries
from spanloom.v1 import query_pb2

# Rows of the first chunk, which is shown while the others are read, and of any other at most.
FIRST_ROWS: Final = 500
MOST_ROWS: Final = 10_000
# What a row has beside its texts, at most, and after how many bytes a chunk ends. The row that
# passes them has less than 20 kB.
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
    """One state of a trace: whether it has any span, how many rows its chunks have together, the
    ids of deleted spans, and the position after all of it."""

    exists: bool
    span_count: int
    deleted: list[str]
    reached: int


async def outline(
    summaries: Summaries, project: str, trace_id: str, after: int
) -> AsyncGenerator[tuple[Outline, query_pb2.OutlineChunk, bool], None]:
    """The outline of what was written of a trace behind a position: chunks, at least one, each as
    soon as it is complete; and whether it is the last one."""
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[query_pb2.OutlineChunk | None] = asyncio.Queue()
    state: list[Outline] = []

    def make(read: OutlineRead) -> None:
        if state:  # the connection was lost, and what was sent cannot be taken back
            raise store_unavailable()
        _make(read, after, state, lambda chunk: loop.call_soon_threadsafe(made.put_nowait, chunk))

    async def read() -> None:
        try:
            await summaries.outline(project, trace_id, after=after, make=make)
        finally:
            made.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        last = await made.get()
        while last is not None and (chunk := await made.get()) is not None:
            yield state[0], last, False
            last = chunk
        await reading
        if last is not None:
            yield state[0], last, True
    finally:
        reading.cancel()


def _make(
    read: OutlineRead,
    after: int,
    state: list[Outline],
    emit: Callable[[query_pb2.OutlineChunk], object],
) -> None:
    places = {span.span_id: place for place, span in enumerate(read.order)}
    owns = own_uses([_reported(span) for span in read.order])
    repeated = {span_id for span_id, own in owns.items() if own.is_repeated or not any(own.use)}
    listed = [span for span in read.order if span.version > after]
    rows = {span.span_id: row for row, span in enumerate(listed)} if after else places
    base_ns = listed[0].start_ns if listed else 0
    gone = [span_id for span_id in read.deleted if span_id not in places]
    state.append(Outline(bool(read.order), len(listed), gone, read.reached))
    writer = _Writer(rows, base_ns, repeated, read.reviewed, emit)
    writer.fill(zip(listed, read.shown, strict=True))
    writer.finish()


def _reported(span: OutlineSpan) -> Reported:
    _, span_id, parent_id, _, kind, operation, *tokens, cost = span
    return Reported(span_id, parent_id, kind, operation, (*tokens, picodollars(cost)))


class _Writer:
    """Fills chunks with rows, one after the other.

    Columns are gathered in lists, for a list is set in a message at once.
    """

    def __init__(
        self,
        rows: dict[str, int],
        base_ns: int,
        repeated: set[str],
        reviewed: frozenset[str],
        emit: Callable[[query_pb2.OutlineChunk], object],
    ) -> None:
        self._rows = rows
        self._base_ns = base_ns
        self._repeated = repeated
        self._reviewed = reviewed
        self._emit = emit
        self._strings: dict[str, int] = {"": 0}
        self._new = [""]
        self._kinds: dict[tuple[str, str], int] = {}
        self._first = 0
        self._listed: list[_Row] = []
        self._others: dict[int, str] = {}
        self._marked: tuple[list[int], list[int]] = ([], [])
        self._left = _MOST_BYTES
        self._most = FIRST_ROWS

    def fill(self, spans: Iterable[tuple[OutlineSpan, OutlineColumns]]) -> None:
        """Add rows. A trace may have hundreds of thousands, so this is one loop."""
        rows, index, kinds, base_ns = self._rows, self._index, self._kinds, self._base_ns
        reviewed, repeated = self._reviewed, self._repeated
        for (_, span_id, parent_id, start_ns, span_kind, operation, *use), shown in spans:
            if len(self._listed) == self._most or self._left < 0:
                self._end()
            row = self._first + len(self._listed)
            self._left -= _ROW_BYTES + _size(span_id)
            parent_row = rows.get(parent_id, -1) if parent_id else -1
            if parent_id and parent_row < 0:
                self._others[row] = parent_id
                self._left -= _size(parent_id)
            if span_id in reviewed:
                self._marked[0].append(row)
            if span_id in repeated:
                self._marked[1].append(row)
            kind = kinds.get((span_kind, operation))
            if kind is None:
                kind = kinds[span_kind, operation] = kind_of_columns(span_kind, operation)
            name, status, end_ns, duration_ms, agent_name, model = shown
            if duration_ms is None:
                duration_ms = 0 if end_ns is None else (end_ns - start_ns) / _NS_PER_MS
            inputs, outputs, cost = use
            self._listed.append(
                (
                    span_id,
                    parent_row,
                    index(name),
                    kind,
                    _STATUS_CODES.get(status, 0),
                    (start_ns - base_ns) / _NS_PER_MS,
                    -1 if end_ns is None else max(0.0, duration_ms),
                    index(agent_name),
                    index(model),
                    -1 if inputs is None else inputs,
                    -1 if outputs is None else outputs,
                    -1 if cost is None else cost,
                )
            )

    def finish(self) -> None:
        """Emit what is left, and at least one chunk."""
        if self._listed or not self._first:
            self._end()

    def _end(self) -> None:
        """Emit the chunk, and begin the next one."""
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
        self._emit(chunk)
        self._first += len(self._listed)
        self._listed, self._others, self._marked, self._new = [], {}, ([], []), []
        self._left, self._most = _MOST_BYTES, MOST_ROWS

    def _index(self, text: str) -> int:
        place = self._strings.get(text)
        if place is None:
            place = self._strings[text] = len(self._strings)
            self._new.append(text[:_LONGEST])
            self._left -= _size(self._new[-1])
        return place


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
