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
from spanloom.store.spans import ALL_TRACES, RefusedSpan, SpanStore
from spanloom.store.sql import agent_queries, charts, deletes, filters, queries, rows, tables
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.index import search
from spanloom.store.sql.index.match import JsonFilter
from spanloom.store.sql.index.search import Check
from spanloom.store.sql.index.table import Condition
from spanloom.store.sql.rows import checked
from spanloom.store.sql.transaction import Rows, Transaction

T = TypeVar("T")

# A count that only what was sent can give is exact up to here.
MOST_COUNTED = 10_000


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

    async def start_session(self, project: str, session: Span) -> bool:
        made = rows.span_rows(project, [session])
        found = {"project": project, "event_id": session.event_id}

        def write(transaction: Transaction) -> bool:
            if transaction.connection.execute(queries.EVENT, found).first():
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
        found = queries.list_traces(project, query, after=after)
        if not query.text:
            limited = found.limit(limit)
            return await self._read(lambda c: [rows.to_trace(row) for row in c.execute(limited)])
        with_text = bound(
            search.traces_with, self._database, project, query.text, found, limit=limit
        )
        return await self._read_until_cancelled(with_text)

    # Events

    async def find_event(self, project: str, event_id: str) -> Span | None:
        parameters = checked(project=project, event_id=event_id)
        row = await self._read(lambda c: c.execute(queries.EVENT, parameters).first())
        return rows.to_span(row) if row else None

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        checked(project=project)
        conditions, on_json = filters.split(self._database, query)
        found = queries.find_events(conditions, project)
        offset = (query.page - 1) * query.limit

        def run(connection: Connection, check: Check) -> Page[Span]:
            if not on_json:
                page, total = queries.page(connection, found, limit=query.limit, offset=offset)
                return Page([rows.to_span(row) for row in page], total)
            matching = self._matching(connection, project, found, on_json, check)
            items, total = [], 0
            for total, span in enumerate(matching, 1):
                if offset < total <= offset + query.limit:
                    items.append(span)
                if total >= max(MOST_COUNTED, offset + query.limit):
                    break
            return Page(items, total)

        return await self._read_until_cancelled(run)

    async def next_events(
        self, project: str, query: EventQuery, after: Span | None = None
    ) -> list[Span]:
        checked(project=project)
        conditions, on_json = filters.split(self._database, query)
        found = queries.find_events(conditions, project)
        if after is not None:
            found = found.where(queries.after_event(after))

        def run(connection: Connection, check: Check) -> list[Span]:
            if not on_json:
                return [rows.to_span(row) for row in connection.execute(found.limit(query.limit))]
            return list(
                islice(self._matching(connection, project, found, on_json, check), query.limit)
            )

        return await self._read_until_cancelled(run)

    def _matching(
        self,
        connection: Connection,
        project: str,
        found: Select[Any],
        on_json: Sequence[JsonFilter],
        check: Check,
    ) -> Iterator[Span]:
        """The spans of a query that pass all filters, in its order."""
        needed: list[Condition] = [
            c for asked in on_json if (c := asked.needed(project)) is not None
        ]
        for asked in on_json:
            needed += search.text_conditions(connection, asked.text)
        which = search.candidates(connection, self._database, project, needed)
        for span in search.in_order(
            connection, self._database, found, which, queries.after_event, check
        ):
            if all(asked.holds(span) for asked in on_json):
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
        found = agent_queries.speaking_spans(project, query, after)

        def run(connection: Connection, check: Check) -> list[Span]:
            conditions = search.text_conditions(connection, query.text)
            which = search.candidates(connection, self._database, project, conditions)
            spans = search.in_order(
                connection, self._database, found, which, agent_queries.after_speaking, check
            )
            return list(islice(spans, limit))

        return await self._read_until_cancelled(run)

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
