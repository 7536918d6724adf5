"""Reads that the index of terms narrows.

A read takes the candidates that the index has for its conditions, if they are few. Otherwise it
reads the spans in the order of the answer until the answer is full. Whoever takes the spans
decides each by itself. What the index has not reached yet is a candidate. A read that can be
continued ends after SLICE_SECONDS with what it has found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from spanloom.model import SlicedList, Span, Trace
from spanloom.store.sql import queries, rows
from spanloom.store.sql.database import Database
from spanloom.store.sql.index import table, terms
from spanloom.store.sql.index.look import Look, for_text
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.reading import SpanReader, select_whole
from spanloom.store.sql.reading import ordered as in_columns
from spanloom.store.sql.tables import spans, term_cursor, traces

T = TypeVar("T")

# More candidates than this are no help: what so many spans have is soon found in their order.
MOST_CANDIDATES = 10_000
# So many spans that are not indexed yet are put in the order of the answer before one is read.
MOST_YOUNG = 20_000
# Words that have the part of a word in them.
_MOST_WORDS = 300
# Spans, and traces, read at once.
_SLICE = 200
_TRACES = 50
# So long a read looks for more than it has to find.
SLICE_SECONDS = 1.0

REACHED = select(term_cursor.c.reached).where(term_cursor.c.id == 1)


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


def text_conditions(connection: Connection, text: str) -> list[table.Condition]:
    """What the terms of a span meet that has a text in it, as far as the index can tell."""
    asked = terms.needle(text)
    if asked.terms:
        return [[asked.terms, frozenset([terms.WIDE])]]
    if not asked.part:
        return []
    words = table.words_with(connection, asked.part, limit=_MOST_WORDS)
    if words is None:
        return []
    return [[*(frozenset([word]) for word in words), frozenset([terms.WIDE])]]


class Candidates(NamedTuple):
    """Spans that may meet conditions: those of some versions, and all that are not indexed yet,
    whose versions begin with `reached`."""

    versions: list[int]
    reached: int
    has_young: bool
    has_many_young: bool

    def condition(self, database: Database) -> ColumnElement[bool]:
        indexed = among(database, self.versions)
        return or_(indexed, spans.c.version >= self.reached) if self.has_young else indexed


def candidates(
    connection: Connection, project: str, conditions: Sequence[table.Condition]
) -> Candidates | None:
    """Which spans may meet the conditions; None where there are too many, or the index cannot
    tell."""
    if not conditions:
        return None
    reached = connection.execute(REACHED).scalar_one()
    young = select(spans.c.version).where(spans.c.version >= reached).limit(MOST_YOUNG + 1)
    number = connection.execute(select(func.count()).select_from(young.subquery())).scalar_one()
    of_project = [frozenset([terms.project_mark(project)])]
    found = table.find(connection, [*conditions, of_project], limit=MOST_CANDIDATES + 1)
    if len(found) > MOST_CANDIDATES:
        return None
    return Candidates(found, reached, number > 0, number > MOST_YOUNG)


def in_order(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    found: Select[Any],
    order: Sequence[str],
    which: Candidates | None,
    looks: Sequence[Look],
    watch: Watch,
) -> Iterator[Span]:
    """The spans that a query finds and that pass all looks, read as they are taken; of `candidates`
    only, where there are some.

    Args:
        found: selects rows of `spans`, without an order and a limit.
        order: as of `select_whole`; no two spans have the same place in it.
    """
    for row in _rows(connection, database, found, order, which, watch):
        watch.check()
        if all(look(row) for look in looks):
            yield reader.to_span(row)


def _rows(
    connection: Connection,
    database: Database,
    found: Select[Any],
    order: Sequence[str],
    which: Candidates | None,
    watch: Watch,
) -> Iterator[Sequence[Any]]:
    if which is None:
        whole = select_whole(found, order)
        with connection.execute(whole, execution_options={"stream_results": True}) as streamed:
            yield from streamed
        return
    # The order first, without what the spans hold.
    for part in _versions(connection, database, found, order, which, watch):
        yield from connection.execute(select_whole(found.where(among(database, part)), order))


def _versions(
    connection: Connection,
    database: Database,
    found: Select[Any],
    order: Sequence[str],
    which: Candidates,
    watch: Watch,
) -> Iterator[list[int]]:
    """The versions of candidates in an order, in slices."""
    versions = found.with_only_columns(spans.c.version)
    if not which.has_many_young:
        versions = versions.where(which.condition(database))
    versions = versions.order_by(*in_columns(spans.c, order))
    indexed = set(which.versions)
    part: list[int] = []
    # Many are not put in order before the first is read: all spans are passed in their order.
    streamed = connection.execute(
        versions, execution_options={"stream_results": which.has_many_young}
    )
    with streamed:
        for number, version in enumerate(streamed.scalars()):
            if number % _SLICE == 0:
                watch.check()
            if version >= which.reached or version in indexed:
                part.append(version)
                if len(part) == _SLICE:
                    yield part
                    part = []
    if part:
        yield part


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
    holds = terms.holder(text)
    look = for_text(text)
    looks = [look] if look else []
    which = candidates(connection, project, text_conditions(connection, text))
    if which is not None and not which.has_many_young:
        query = queries.find_events([], project)
        all_found = in_order(
            connection, database, reader, query, queries.NEWEST_EVENTS, which, looks, watch
        )
        having = {span.trace_id for span in all_found if holds(span)}
        found = found.where(database.among(traces.c.trace_id, having)).limit(limit)
        return SlicedList(rows.to_trace(row) for row in connection.execute(found))
    kept: SlicedList[Trace] = SlicedList()
    query = found
    while True:
        part = [rows.to_trace(row) for row in connection.execute(query.limit(_TRACES))]
        for trace in part:
            of_trace = {"project": project, "trace_id": trace.trace_id}
            with connection.execute(queries.TRACE_SPANS, of_trace) as spans_of:
                for row in spans_of:
                    watch.check()
                    if all(look(row) for look in looks) and holds(reader.to_span(row)):
                        kept.append(trace)
                        break
            if len(kept) == limit:
                return kept
            if watch.is_over:
                kept.resume = (trace.start_ns, trace.trace_id)
                return kept
        if len(part) < _TRACES:
            return kept
        query = found.where(queries.after_trace(part[-1].start_ns, part[-1].trace_id))


def among(database: Database, versions: Sequence[int]) -> ColumnElement[bool]:
    """Whether a span's version is one of these."""
    return database.among_numbers(spans.c.version, versions)
