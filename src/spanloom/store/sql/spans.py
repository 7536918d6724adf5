"""`SpanStore` on a relational database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from functools import partial as bound

from sqlalchemy import Connection

from spanloom.model import (
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
from spanloom.store.sql import agent_queries, charts, deletes, filters, queries, rows, tables
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.rows import checked
from spanloom.store.sql.transaction import Rows, Transaction


class SqlSpans(SpanStore):
    """Spans and traces in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write

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
        large: bool = False,
    ) -> Sequence[RefusedSpan]:
        make = bound(rows.span_rows, project, spans, partial=partial, in_steps=large)
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
        replaced = queries.replaced_deletes(project, spans[0].trace_id) if replace else ()

        def write(transaction: Transaction) -> None:
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
            transaction.write({tables.spans: made.spans, tables.traces: made.traces})
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
        return await self._read(
            lambda c: [rows.to_span(row) for row in c.execute(queries.TRACE_SPANS, parameters)]
        )

    async def session_spans(self, project: str, session_id: str) -> list[Span]:
        parameters = checked(project=project, session_id=session_id)
        return await self._read(
            lambda c: [rows.to_span(row) for row in c.execute(queries.SESSION_SPANS, parameters)]
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
        found = queries.list_traces(self._database, project, query, limit=limit, after=after)
        return await self._read(lambda c: [rows.to_trace(row) for row in c.execute(found)])

    # Events

    async def find_event(self, project: str, event_id: str) -> Span | None:
        parameters = checked(project=project, event_id=event_id)
        row = await self._read(lambda c: c.execute(queries.EVENT, parameters).first())
        return rows.to_span(row) if row else None

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        checked(project=project)
        found = queries.find_events(filters.conditions(self._database, query), project)
        offset = (query.page - 1) * query.limit

        def run(connection: Connection) -> Page[Span]:
            page, total = queries.page(connection, found, limit=query.limit, offset=offset)
            return Page([rows.to_span(row) for row in page], total)

        return await self._read(run)

    async def next_events(
        self, project: str, query: EventQuery, after: Span | None = None
    ) -> list[Span]:
        checked(project=project)
        found = queries.find_events(filters.conditions(self._database, query), project)
        if after is not None:
            found = found.where(queries.after_event(after))
        found = found.limit(query.limit)
        return await self._read(lambda c: [rows.to_span(row) for row in c.execute(found)])

    async def chart(self, project: str, query: EventQuery, chart: Chart) -> list[ChartPoint]:
        checked(project=project)
        found = charts.points(self._database, project, query, chart)
        return await self._read(lambda c: [ChartPoint(*row) for row in c.execute(found)])

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
                turns[row.trace_id].append(rows.to_span(row))
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
        found = agent_queries.speaking_spans(self._database, project, query, after).limit(limit)
        return await self._read(lambda c: [rows.to_span(row) for row in c.execute(found)])

    async def find_agents(self, project: str, query: AgentQuery) -> Page[AgentTotals]:
        checked(project=project)
        if not rows.storable(query.agent_name):
            return Page([])
        listed, number = agent_queries.agents(self._database, project, query)

        def run(connection: Connection) -> Page[AgentTotals]:
            found = [AgentTotals(**row._mapping) for row in connection.execute(listed)]
            return Page(found, connection.execute(number).scalar_one())

        return await self._read(run)


def _with_evaluations(made: rows.SpanRows, project: str, evaluations: Sequence[Evaluation]) -> Rows:
    found = {tables.spans: made.spans, tables.traces: made.traces}
    if evaluations:
        found[tables.evaluations] = rows.evaluation_rows(project, evaluations)
    return found


def _count(work: Rows) -> int:
    """The rows of a call that count in the queue."""
    return sum(len(of_table) for table, of_table in work.items() if table is not tables.traces)
