"""Reads that the index of terms narrows.

A read takes the candidates that the index has for its conditions, if they are few. Otherwise it
goes through the spans in the order of the answer until the answer is full. Whoever takes the spans
decides each by itself. A read that can be continued ends after SLICE_SECONDS with what it has
found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, select

from spanloom.model import SlicedList, Span, Trace
from spanloom.store.sql import queries, rows
from spanloom.store.sql.database import Database
from spanloom.store.sql.index import terms
from spanloom.store.sql.index.look import for_text
from spanloom.store.sql.index.sieve import Sieve, text_conditions
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.reading import SpanReader, select_whole
from spanloom.store.sql.reading import ordered as in_columns
from spanloom.store.sql.tables import spans, traces

T = TypeVar("T")

# Spans whose places are read at once: few at first, for the first may be all that is wanted, and
# then more as long as few of them have to be looked at.
_SLICE, _LARGEST_SLICE = 50, 4_000
_LOOKED_AT = 400
# Spans that are read whole at once.
_WHOLE = 100
# Traces that are looked at together.
_TRACES = 50
# So long a read looks for more than it has to find.
SLICE_SECONDS = 1.0
# All that a text may be in is read before the list of traces, if that takes no longer.
_BEFORE_SECONDS = 0.25


class SliceOverError(Exception):
    """The time of a read that may end is over."""


class Watch:
    """What a read looks at between two spans: whether somebody waits for the answer, and whether
    the read, if it may end, has had its time."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.may_end = False
        self._until = time.monotonic() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._until

    def check(self) -> None:
        """Raise CancelledError where nobody waits any more, SliceOverError where the read may end
        and has had its time."""
        if self.is_cancelled:
            raise asyncio.CancelledError
        if self.may_end and self.is_over:
            raise SliceOverError


async def read_until_cancelled(read: Readers, query: Callable[[Connection, Watch], T]) -> T:
    """Read, and stop the reading thread when the caller is cancelled."""
    watch = Watch()
    try:
        return await read(lambda connection: query(connection, watch))
    except asyncio.CancelledError:
        watch.is_cancelled = True
        raise


class Step(NamedTuple):
    """A step of a read: a span that may be wanted; or None, after a part of the list of which
    nothing else may be. `version` is that of the span, or of the last one of the part; of the
    part's spans `left_out` are not wanted, as their bytes tell."""

    version: int
    span: Span | None
    left_out: int = 0


def in_order(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    found: Select[Any],
    order: Sequence[str],
    sieve: Sieve,
    watch: Watch,
) -> Iterator[Step]:
    """The spans that a query finds and a sieve leaves, read as they are taken.

    Args:
        found: selects rows of `spans`, without an order and a limit.
        order: as of `select_whole`; no two spans have the same place in it.
    """
    if sieve.few is None:
        database.first_rows_soon(connection)
    for part, last in _parts(connection, found, order, sieve, watch):
        passing = sieve.passing(part)
        left = [row[0] for row in part if row[0] in passing]
        for start in range(0, len(left), _WHOLE):
            among = database.among_numbers(spans.c.version, left[start : start + _WHOLE])
            for row in connection.execute(select_whole(found.where(among), order)):
                watch.check()
                yield Step(row.span_version, reader.shown(row))
        yield Step(last, None, len(part) - len(left))


def spans_in_order(*arguments: Any) -> Iterator[Span]:
    """The spans of `in_order` alone."""
    return (step.span for step in in_order(*arguments) if step.span is not None)


def _parts(
    connection: Connection,
    found: Select[Any],
    order: Sequence[str],
    sieve: Sieve,
    watch: Watch,
) -> Iterator[tuple[list[Any], int]]:
    """In the order: narrow rows that have to be looked at, and the version that each part comes
    to."""
    few = sieve.few
    narrow = found.with_only_columns(*sieve.columns).order_by(*in_columns(spans.c, order))
    if few is not None:
        narrow = narrow.where(few)
    # Many are not put in order before the first is read: all spans are passed in their order.
    streamed = connection.execute(narrow, execution_options={"stream_results": few is None})
    size = _SLICE
    with streamed:
        while passed := streamed.fetchmany(size):
            watch.check()
            part = [row for row in passed if sieve.may_pass(row[0])]
            yield part, passed[-1][0]
            if len(part) < _LOOKED_AT:
                size = min(2 * size, _LARGEST_SLICE)


class TextSearch:
    """Finds the traces of which a span says a text, whatever the case of ASCII letters."""

    def __init__(
        self,
        connection: Connection,
        database: Database,
        reader: SpanReader,
        project: str,
        text: str,
        watch: Watch,
    ) -> None:
        self._connection = connection
        self._database = database
        self._reader = reader
        self._project = project
        self._watch = watch
        self._holds = terms.holder(text)
        look = for_text(database, text)
        self._sieve = Sieve(
            *(connection, database, project, text_conditions(connection, text)),
            [look] if look else [],
        )

    def all(self) -> set[str] | None:
        """The ids of all traces, None where it would take long to find them."""
        if self._sieve.seconds > _BEFORE_SECONDS:
            return None
        everything = queries.find_events([], self._project)
        found = spans_in_order(
            *(self._connection, self._database, self._reader, everything),
            *(queries.NEWEST_EVENTS, self._sieve, self._watch),
        )
        return {span.trace_id for span in found if self._holds(span)}

    def among(self, trace_ids: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Whether each of some traces is one, in their order: they are read as they are taken."""
        of_traces = select(spans.c.trace_id, *self._sieve.columns).where(
            spans.c.project == self._project, self._database.among(spans.c.trace_id, trace_ids)
        )
        versions: dict[str, list[int]] = {}
        streamed = self._connection.execute(of_traces, execution_options={"stream_results": True})
        with streamed:
            for part in streamed.partitions(_LOOKED_AT):
                self._watch.check()
                trace_of = {row[1]: row[0] for row in part}
                for version in self._sieve.passing([row[1:] for row in part]):
                    versions.setdefault(trace_of[version], []).append(version)
        for trace_id in trace_ids:
            yield trace_id, self._says(versions.get(trace_id, []))

    def _says(self, versions: Sequence[int]) -> bool:
        """Whether one of some spans says the text."""
        for start in range(0, len(versions), _WHOLE):
            some = versions[start : start + _WHOLE]
            among = self._database.among_numbers(spans.c.version, some)
            with self._connection.execute(select_whole(select(spans).where(among), ())) as found:
                for row in found:
                    self._watch.check()
                    if self._holds(self._reader.shown(row)):
                        return True
        return False


def traces_with(
    database: Database,
    reader: SpanReader,
    project: str,
    text: str,
    found: Select[Any],
    connection: Connection,
    watch: Watch,
    *,
    limit: int,
) -> SlicedList[Trace]:
    """The first traces of `queries.list_traces` of which a span holds the text, whatever the case
    of ASCII letters."""
    search = TextSearch(connection, database, reader, project, text, watch)
    having = search.all()
    if having is not None:
        found = found.where(database.among(traces.c.trace_id, having)).limit(limit)
        return SlicedList(rows.to_trace(row) for row in connection.execute(found))
    kept: SlicedList[Trace] = SlicedList()
    query = found
    while True:
        part = [rows.to_trace(row) for row in connection.execute(query.limit(_TRACES))]
        says = search.among([trace.trace_id for trace in part])
        for trace, (_, is_one) in zip(part, says, strict=True):
            if is_one:
                kept.append(trace)
            if len(kept) == limit:
                return kept
            if watch.is_over:
                kept.resume = (trace.start_ns, trace.trace_id)
                return kept
        if len(part) < _TRACES:
            return kept
        query = found.where(queries.after_trace(part[-1].start_ns, part[-1].trace_id))
