"""Reads that the index of terms narrows.

A read takes the candidates that the index has for its conditions, if they are few, and else goes
through the spans in the order of the answer until the answer is full. Whoever takes the spans
decides each by itself. What the index has not reached yet is a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from spanloom.model import Span, Trace
from spanloom.store.sql import queries, rows
from spanloom.store.sql.database import Database
from spanloom.store.sql.index import table, terms
from spanloom.store.sql.reading import SpanReader, select_whole
from spanloom.store.sql.reading import ordered as in_columns
from spanloom.store.sql.tables import spans, term_cursor, traces

# More candidates than this are no help: what so many spans have is soon found in their order.
MOST_CANDIDATES = 10_000
# More spans than this that are not indexed yet are gone through in the order of the answer.
MOST_YOUNG = 200_000
# Words that have the part of a word in them.
_MOST_WORDS = 300
# Spans, and traces, read at once.
_SLICE = 200
_TRACES = 50

REACHED = select(term_cursor.c.reached).where(term_cursor.c.id == 1)

# What a read has to do now and then: it raises where nobody waits for the answer any more.
Check = Callable[[], None]


def text_conditions(connection: Connection, text: str) -> list[table.Condition]:
    """What the terms of a span meet that has a text in it, as far as the index can tell."""
    asked = terms.needle(text)
    if asked.terms:
        return [[asked.terms, frozenset([terms.WIDE])]]
    if not asked.part:
        return []
    words = table.words_with(connection, asked.part, limit=_MOST_WORDS + 1)
    if len(words) > _MOST_WORDS:
        return []
    return [[*(frozenset([word]) for word in words), frozenset([terms.WIDE])]]


def candidates(
    connection: Connection,
    database: Database,
    project: str,
    conditions: Sequence[table.Condition],
) -> ColumnElement[bool] | None:
    """Which spans may meet the conditions: those that the index has, and all that are not indexed
    yet; None where there are too many, or the index cannot tell."""
    if not conditions:
        return None
    reached = connection.execute(REACHED).scalar_one()
    young = spans.c.version >= reached
    some = select(spans.c.version).where(young).limit(MOST_YOUNG + 1).subquery()
    number = connection.execute(select(func.count()).select_from(some)).scalar_one()
    if number > MOST_YOUNG:
        return None
    of_project = [frozenset([terms.project_mark(project)])]
    found = table.find(connection, [*conditions, of_project], limit=MOST_CANDIDATES + 1)
    if len(found) > MOST_CANDIDATES:
        return None
    indexed = among(database, found)
    return or_(indexed, young) if number else indexed


def in_order(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    found: Select[Any],
    order: Sequence[str],
    which: ColumnElement[bool] | None,
    check: Check,
) -> Iterator[Span]:
    """The spans that a query finds, read as they are taken; of `candidates` only, where there are
    some.

    Args:
        found: selects rows of `spans`, without an order and a limit.
        order: as of `select_whole`; no two spans have the same place in it.
    """
    if which is None:
        whole = select_whole(found, order)
        with connection.execute(whole, execution_options={"stream_results": True}) as streamed:
            for row in streamed:
                check()
                yield reader.to_span(row)
        return
    # The order first, without what the spans hold.
    versions = found.with_only_columns(spans.c.version).where(which)
    ordered = iter(connection.execute(versions.order_by(*in_columns(spans.c, order))).scalars())
    while part := list(islice(ordered, _SLICE)):
        for row in connection.execute(select_whole(found.where(among(database, part)), order)):
            check()
            yield reader.to_span(row)


def traces_with(
    database: Database,
    reader: SpanReader,
    project: str,
    text: str,
    found: Select[Any],
    connection: Connection,
    check: Check,
    *,
    limit: int,
) -> list[Trace]:
    """The first traces of `queries.list_traces` of which a span holds the text, whatever the case
    of ASCII letters."""
    holds = terms.holder(text)
    which = candidates(connection, database, project, text_conditions(connection, text))
    if which is not None:
        query = queries.find_events([], project)
        all_found = in_order(
            connection, database, reader, query, queries.NEWEST_EVENTS, which, check
        )
        having = {span.trace_id for span in all_found if holds(span)}
        found = found.where(database.among(traces.c.trace_id, having)).limit(limit)
        return [rows.to_trace(row) for row in connection.execute(found)]
    kept: list[Trace] = []
    query = found
    while len(kept) < limit:
        part = [rows.to_trace(row) for row in connection.execute(query.limit(_TRACES))]
        for trace in part:
            check()
            of_trace = {"project": project, "trace_id": trace.trace_id}
            with connection.execute(queries.TRACE_SPANS, of_trace) as spans_of:
                if any(holds(reader.to_span(row)) for row in spans_of):
                    kept.append(trace)
        if len(part) < _TRACES:
            break
        query = found.where(queries.after_trace(part[-1].start_ns, part[-1].trace_id))
    return kept[:limit]


def among(database: Database, versions: Sequence[int]) -> ColumnElement[bool]:
    """Whether a span's version is one of these."""
    return database.among_numbers(spans.c.version, versions)
