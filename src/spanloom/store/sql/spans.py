"""`SpanStore` on a relational database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields
from functools import partial as bound
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Select

from spanloom.model import (
    MAX_TIME_NS,
    AgentQuery,
    AgentTotals,
    Chart,
    ChartPoint,
    Evaluation,
    EventQuery,
    Page,
    Span,
    SpokenQuery,
    Trace,
    TraceQuery,
)
from spanloom.model.patch import Patch
from spanloom.store.spans import ALL_TRACES, NO_PATCH, RefusedSpan, SpanStore
from spanloom.store.sql import (
    agent_queries,
    charts,
    deletes,
    filters,
    queries,
    rows,
    tables,
)
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.index import match, search
from spanloom.store.sql.index.search import Check
from spanloom.store.sql.index.table import Condition
from spanloom.store.sql.index.terms import said_json
from spanloom.store.sql.queries import NEWEST_EVENTS
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.rows import checked
from spanloom.store.sql.summaries import SqlSummaries
from spanloom.store.sql.transaction import Rows, Transaction

T = TypeVar("T")

# Matches that only a look at whole spans tells are counted up to this many.
MOST_COUNTED = 10_000
# So many bytes are compressed beside the event loop.
_LARGE = 1 << 20


class SqlSpans(SpanStore):
    """Spans and traces in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write
        self._reader = connections.reader
        self.summaries = SqlSummaries(connections)

    # Writes

    async def write_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        scan_if_sampled: Collection[str] = (),
        events: bool = False,
        partial: bool = False,
    ) -> Sequence[RefusedSpan]:
        make = bound(rows.span_rows, project, spans, partial=partial)
        large = sum(len(span.sent.message) for span in spans) > _LARGE
        made = await asyncio.to_thread(make) if large else make()
        if not made.spans:
            return made.refused
        work = _with_evaluations(made, project, evaluations)
        scans = frozenset(scan_if_sampled)

        def write(transaction: Transaction) -> None:
            transaction.write(work, created=events)
            if scans:
                transaction.scan_if_sampled(project, scans)

        await self._write(write, rows_only=True, rows=_count(work), size=made.size)
        return made.refused

    async def write_trace(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        replace: bool = False,
    ) -> None:
        made = rows.span_rows(project, spans)
        work = _with_evaluations(made, project, evaluations)
        trace_id = spans[0].trace_id
        replaced = queries.replaced_deletes(project, trace_id) if replace else ()

        def write(transaction: Transaction) -> None:
            if replace:
                deletes.log_trace(transaction, project, trace_id)
            for statement in replaced:
                transaction.connection.execute(statement)
            transaction.write(work)

        await self._write(write, rows_only=not replace, rows=_count(work), size=made.size)

    async def start_session(self, project: str, session: Span, again: Patch = NO_PATCH) -> bool:
        made = rows.span_rows(project, [session])
        found = {"project": project, "event_id": session.event_id}
        updates = [rows.patch_row(project, session.event_id, again)] if again else []

        def write(transaction: Transaction) -> bool:
            if transaction.connection.execute(queries.EVENT, found).first():
                transaction.write({tables.patches: updates})
                return False
            transaction.write(made.by_table())
            return True

        return bool(await self._write(write, size=made.size))

    async def delete_trace(self, project: str, trace_id: str) -> bool:
        checked(project=project, trace_id=trace_id)
        return await self._delete(lambda t: deletes.trace(t, project, trace_id))

    async def delete_event(self, project: str, event_id: str) -> bool:
        checked(project=project, event_id=event_id)
        return await self._delete(lambda t: deletes.event(t, project, event_id))

    async def delete_session(self, project: str, session_id: str) -> bool:
        checked(project=project, session_id=session_id)
        return await self._delete(lambda t: deletes.session(t, project, session_id))

    async def _delete(self, delete: Callable[[Transaction], bool]) -> bool:
        def write(transaction: Transaction) -> bool:
            follow_up(transaction)
            return delete(transaction)

        return bool(await self._write(write))

    # Traces and sessions

    async def trace_spans(self, project: str, trace_id: str) -> list[Span]:
        parameters = checked(project=project, trace_id=trace_id)
        to_span = self._reader.to_span
        return await self._read(
            lambda c: [to_span(row) for row in c.execute(queries.TRACE_SPANS, parameters)]
        )

    async def session_spans(self, project: str, session_id: str) -> list[Span]:
        parameters = checked(project=project, session_id=session_id)
        to_span = self._reader.to_span
        return await self._read(
            lambda c: [to_span(row) for row in c.execute(queries.SESSION_SPANS, parameters)]
        )

    async def list_traces(
        self,
        project: str,
        query: TraceQuery = ALL_TRACES,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> list[Trace]:
        conditions = {f.name: getattr(query, f.name) for f in fields(query)}
        texts = {name: value for name, value in conditions.items() if isinstance(value, str)}
        checked(project=project, **texts)
        if after is not None:
            checked(trace_id=after[1])
        found = queries.list_traces(project, query, after=after)
        if not query.text:
            limited = found.limit(limit)
            return await self._read(lambda c: [rows.to_trace(row) for row in c.execute(limited)])
        with_text = bound(
            search.traces_with,
            *(self._database, self._reader, project, query.text, found),
            limit=limit,
        )
        return await self._read_until_cancelled(with_text)

    # Events

    async def find_event(self, project: str, event_id: str) -> Span | None:
        parameters = checked(project=project, event_id=event_id)
        row = await self._read(lambda c: c.execute(queries.EVENT, parameters).first())
        return self._reader.to_span(row) if row else None

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        checked(project=project)
        asked = filters.conditions(self._database, query)
        found = queries.find_events(asked.of_columns, project)
        offset = min((query.page - 1) * query.limit, MAX_TIME_NS)

        def run(connection: Connection, check: Check) -> Page[Span]:
            if asked.of_spans:
                matching = self._matching(connection, project, found, asked, check)
                return _page_of(matching, offset, query.limit)
            whole = select_whole(found, NEWEST_EVENTS, limit=query.limit, offset=offset)
            page = [self._reader.to_span(row) for row in connection.execute(whole)]
            return Page(page, queries.total(connection, found, page, query.limit, offset))

        return await self._read_until_cancelled(run)

    async def next_events(
        self, project: str, query: EventQuery, after: Span | None = None
    ) -> list[Span]:
        checked(project=project)
        asked = filters.conditions(self._database, query)
        found = queries.find_events(asked.of_columns, project)
        if after is not None:
            found = found.where(queries.after_event(after))

        def run(connection: Connection, check: Check) -> list[Span]:
            if asked.of_spans:
                matching = self._matching(connection, project, found, asked, check)
                return list(islice(matching, query.limit))
            whole = select_whole(found, NEWEST_EVENTS, limit=query.limit)
            return [self._reader.to_span(row) for row in connection.execute(whole)]

        return await self._read_until_cancelled(run)

    def _matching(
        self,
        connection: Connection,
        project: str,
        found: Select[Any],
        asked: filters.Conditions,
        check: Check,
    ) -> Iterator[Span]:
        """The events found that fulfil the conditions on whole spans, newest start first. They are
        read as they are taken."""
        conditions: list[Condition] = [
            needed for of in asked.on_json if (needed := match.needed(project, of)) is not None
        ]
        for of in asked.on_json:
            conditions += search.text_conditions(connection, match.contained(of))
        which = search.candidates(connection, self._database, project, conditions)
        for span in search.in_order(
            connection, self._database, self._reader, found, NEWEST_EVENTS, which, check
        ):
            if all(holds(span) for holds in asked.of_spans):
                yield span

    async def _read_until_cancelled(self, query: Callable[[Connection, Check], T]) -> T:
        """Read, and stop the reading thread when the caller is cancelled."""
        cancelled = threading.Event()

        def check() -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError

        try:
            return await self._read(lambda connection: query(connection, check))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def chart(self, project: str, query: EventQuery, chart: Chart) -> list[ChartPoint]:
        checked(project=project)
        charts.check(chart)
        asked = filters.conditions(self._database, query)

        def run(connection: Connection, check: Check) -> list[ChartPoint]:
            if asked.of_spans or not charts.is_of_columns(chart):
                found = queries.find_events(asked.of_columns, project)
                matching = self._matching(connection, project, found, asked, check)
                return charts.points_of(matching, chart)
            points = charts.points(project, asked.of_columns, chart)
            return [ChartPoint(*row) for row in connection.execute(points)]

        return await self._read_until_cancelled(run)

    # Conversations and agents

    async def conversation_turns(
        self, project: str, session_id: str, *, limit: int, offset: int = 0
    ) -> tuple[list[tuple[str, list[Span]]], int]:
        texts = checked(project=project, session_id=session_id)
        parameters = {**texts, "limit": limit, "offset": offset}

        def run(connection: Connection) -> tuple[list[tuple[str, list[Span]]], int]:
            total = connection.execute(agent_queries.COUNT_CONVERSATION_TRACES, parameters)
            number = total.scalar_one()
            page = connection.execute(agent_queries.CONVERSATION_TRACES, parameters).scalars()
            turns: dict[str, list[Span]] = {trace_id: [] for trace_id in page}
            query = agent_queries.turn_spans(self._database, project, session_id, list(turns))
            for row in connection.execute(query) if turns else ():
                turns[row.trace_id].append(self._reader.to_span(row))
            return list(turns.items()), number

        return await self._read(run)

    async def speaking_spans(
        self,
        project: str,
        query: SpokenQuery,
        *,
        limit: int,
        after: tuple[int, str, str] | None = None,
    ) -> list[Span]:
        checked(project=project, trace_id=query.trace_id, session_id=query.session_id)
        texts = (query.text, query.agent_name, query.provider, query.model)
        if not all(rows.storable(text) for text in texts):
            return []
        found = agent_queries.speaking_spans(project, query, after)
        may_say = agent_queries.may_hold(query.text)

        def run(connection: Connection, check: Check) -> list[Span]:
            order = agent_queries.NEWEST_SPANS
            if not query.text:
                whole = select_whole(found, order, limit=limit)
                return [self._reader.to_span(row) for row in connection.execute(whole)]
            conditions = search.text_conditions(connection, query.text)
            which = search.candidates(connection, self._database, project, conditions)
            spans = search.in_order(
                connection, self._database, self._reader, found, order, which, check
            )
            return list(islice((span for span in spans if may_say(said_json(span))), limit))

        return await self._read_until_cancelled(run)

    async def find_agents(self, project: str, query: AgentQuery) -> Page[AgentTotals]:
        checked(project=project)
        if not rows.storable(query.agent_name):
            return Page([])
        listed, number = agent_queries.agents(project, query)

        def run(connection: Connection) -> Page[AgentTotals]:
            found = [AgentTotals(**row._mapping) for row in connection.execute(listed)]
            return Page(found, connection.execute(number).scalar_one())

        return await self._read(run)


def _page_of(matching: Iterator[Span], offset: int, limit: int) -> Page[Span]:
    """A page of what matches, and the number of all up to MOST_COUNTED."""
    page: list[Span] = []
    total = 0
    for span in matching:
        if offset <= total < offset + limit:
            page.append(span)
        total += 1
        if total >= max(MOST_COUNTED, offset + limit):
            break
    return Page(page, total)


def _with_evaluations(made: rows.SpanRows, project: str, evaluations: Sequence[Evaluation]) -> Rows:
    found = made.by_table()
    if evaluations:
        found[tables.evaluations] = rows.evaluation_rows(project, evaluations)
    return found


def _count(work: Rows) -> int:
    """The rows of a call that count in the queue."""
    return sum(len(work.get(table, ())) for table in (tables.spans, tables.evaluations))
