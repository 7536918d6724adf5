"""`SpanStore` on a relational database."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import fields, replace
from functools import partial as bound
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, not_, select

from spanloom.model import (
    MAX_TIME_NS,
    AgentQuery,
    AgentTotals,
    Chart,
    ChartPoint,
    EventQuery,
    Page,
    SlicedList,
    Span,
    SpokenQuery,
    Trace,
    TraceQuery,
)
from spanloom.model.usage import USAGE_FIELDS, UsagePoint, UsageQuery
from spanloom.store.spans import ALL_TRACES, MOST_POINTS, Position, SpanStore
from spanloom.store.sql import (
    agent_queries,
    charts,
    filters,
    queries,
    rows,
    sessions,
    tables,
)
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.index import match, search
from spanloom.store.sql.index.look import for_filter, for_text
from spanloom.store.sql.index.search import SliceOverError, Watch
from spanloom.store.sql.index.sieve import Sieve, text_conditions
from spanloom.store.sql.index.table import Condition
from spanloom.store.sql.page import PageSize, page_start, whole_page
from spanloom.store.sql.queries import NEWEST_EVENTS
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.rows import checked
from spanloom.store.sql.span_writes import SqlSpanWrites
from spanloom.store.sql.summaries import SqlSummaries
from spanloom.store.sql.usage import chart as usage_chart
from spanloom.store.sql.usage import views

# Matches that only a look at whole spans tells are counted up to this many.
MOST_COUNTED = 10_000
_FOREIGN = "names a span that was written through another API"
# A page may end before all that a statement finds has been read.
_AS_TAKEN = {"stream_results": True, "max_row_buffer": 64}
# So many bytes are compressed beside the event loop.
_LARGE = 1 << 20


class SqlSpans(SqlSpanWrites, SpanStore):
    """Spans and traces in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.summaries = SqlSummaries(connections)

    # Traces and sessions

    async def trace_spans(self, project: str, trace_id: str) -> list[Span]:
        parameters = checked(project=project, trace_id=trace_id)
        shown = self._reader.shown
        return await self._read(
            lambda c: [shown(row) for row in c.execute(queries.TRACE_SPANS, parameters)]
        )

    async def trace_versions(self, project: str, trace_id: str) -> list[int]:
        parameters = checked(project=project, trace_id=trace_id)
        found = await self._read(
            lambda c: c.execute(queries.TRACE_VERSIONS, parameters).scalars().all()
        )
        return sorted(found)

    async def session_spans(self, project: str, session_id: str) -> list[Span]:
        checked(project=project, session_id=session_id)

        def run(connection: Connection) -> list[Span]:
            belongs = sessions.belongs(connection, self._database, project, session_id)
            found = select(tables.spans).where(tables.spans.c.project == project, belongs)
            whole = select_whole(found, ("start_ns", "sequence", "span_id", "trace_id"))
            return [self._reader.shown(row) for row in connection.execute(whole)]

        return await self._read(run)

    async def list_traces(
        self,
        project: str,
        query: TraceQuery = ALL_TRACES,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> SlicedList[Trace]:
        conditions = {f.name: getattr(query, f.name) for f in fields(query)}
        texts = {name: value for name, value in conditions.items() if isinstance(value, str)}
        checked(project=project, **texts)
        if after is not None:
            checked(trace_id=after[1])
        found = queries.list_traces(project, query, after=after)
        if not query.text:
            limited = found.limit(limit)
            return await self._read(lambda c: SlicedList(map(rows.to_trace, c.execute(limited))))
        with_text = bound(
            search.traces_with,
            *(self._database, self._reader, project, query.text, found),
            limit=limit,
        )
        return await self._read_until_cancelled(with_text)

    # Events

    async def find_event(self, project: str, event_id: str, *, trace_id: str = "") -> Span | None:
        checked(project=project, event_id=event_id, trace_id=trace_id)
        found = queries.event(self._database, project, event_id, trace_id)

        def run(connection: Connection) -> Span | None:
            row = connection.execute(found).first()
            return self._reader.to_span(row) if row else None

        return await self._read(run)

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        checked(project=project)
        unsettled = filters.conditions(self._database, query)
        offset = min((query.page - 1) * query.limit, MAX_TIME_NS)

        def run(connection: Connection, watch: Watch) -> Page[Span]:
            asked = filters.settled(connection, project, unsettled)
            found = queries.find_events(self._conditions(connection, project, asked), project)
            if asked.of_spans:
                matching = self._matching(connection, project, found, asked, watch)
                with closing(matching):
                    if asked.are_told is None:
                        return _page_of(matching, offset, query, watch)
                    shown = islice(matching, offset, offset + query.limit)
                    items = whole_page(shown, query.most_bytes)
                if len(items) < query.limit and (items or not offset):
                    return Page(items, offset + len(items))
                told = found.where(asked.are_told).with_only_columns(func.count())
                others = found.where(not_(asked.are_told))
                unsure = self._matching(connection, project, others, asked, watch)
                rest = _page_of(unsure, 0, replace(query, limit=0), watch)
                number = connection.execute(told).scalar_one() + rest.total
                return Page(items, number, is_lower_bound=rest.is_lower_bound)
            whole = select_whole(found, NEWEST_EVENTS, limit=query.limit, offset=offset)
            with closing(self._each(connection, whole)) as each:
                page = whole_page(each, query.most_bytes)
            return Page(page, queries.total(connection, found, page, query.limit, offset))

        return await self._read_until_cancelled(run)

    async def next_events(
        self, project: str, query: EventQuery, after: Span | None = None
    ) -> list[Span]:
        checked(project=project)
        unsettled = filters.conditions(self._database, query)

        def run(connection: Connection, watch: Watch) -> list[Span]:
            asked = filters.settled(connection, project, unsettled)
            found = queries.find_events(self._conditions(connection, project, asked), project)
            if after is not None:
                found = found.where(queries.after_event(after))
            if asked.of_spans:
                matching = self._matching(connection, project, found, asked, watch)
                with closing(matching):
                    return page_start(islice(matching, query.limit), query.most_bytes)
            whole = select_whole(found, NEWEST_EVENTS, limit=query.limit)
            with closing(self._each(connection, whole)) as each:
                return page_start(each, query.most_bytes)

        return await self._read_until_cancelled(run)

    def _each(self, connection: Connection, whole: Select[Any]) -> Generator[Span, None, None]:
        """The spans that a statement finds, read as they are taken."""
        with connection.execute(whole, execution_options=_AS_TAKEN) as found:
            yield from map(self._reader.shown, found)

    def _conditions(
        self, connection: Connection, project: str, asked: filters.Conditions
    ) -> list[ColumnElement[bool]]:
        """What is asked of columns."""
        belong = [
            sessions.belongs(connection, self._database, project, session_id)
            for session_id in asked.sessions
        ]
        return [*asked.of_columns, *belong]

    def _matching(
        self,
        connection: Connection,
        project: str,
        found: Select[Any],
        asked: filters.Conditions,
        watch: Watch,
    ) -> Generator[Span, None, None]:
        """The events found that fulfil the conditions on whole spans, newest start first. They are
        read as they are taken."""
        conditions: list[Condition] = [
            needed for of in asked.on_json if (needed := match.needed(project, of)) is not None
        ]
        for of in asked.on_json:
            conditions += text_conditions(connection, match.contained(of))
        looks = [look for of in asked.on_json if (look := for_filter(of))]
        sieve = Sieve(connection, self._database, project, conditions, looks)
        for span in search.spans_in_order(
            connection, self._database, self._reader, found, NEWEST_EVENTS, sieve, watch
        ):
            if all(holds(span) for holds in asked.of_spans):
                yield span

    async def chart(self, project: str, query: EventQuery, chart: Chart) -> list[ChartPoint]:
        checked(project=project)
        charts.check(chart)
        unsettled = filters.conditions(self._database, query)

        def run(connection: Connection, watch: Watch) -> list[ChartPoint]:
            asked = filters.settled(connection, project, unsettled)
            conditions = self._conditions(connection, project, asked)
            if asked.of_spans or not charts.is_of_columns(chart):
                events = queries.find_events(conditions, project)
                matching = self._matching(connection, project, events, asked, watch)
                return charts.points_of(matching, chart)
            found = usage_chart.points(
                connection, self._database, project, query, chart, watch.check
            )
            if found is not None:
                return found[: MOST_POINTS + 1]
            points = charts.points(project, conditions, chart)
            return [ChartPoint(*row) for row in connection.execute(points)]

        return await self._read_until_cancelled(run)

    # Conversations and agents

    async def conversation_turns(
        self, project: str, session_id: str, *, limit: int, offset: int = 0
    ) -> tuple[list[tuple[str, list[Span]]], int]:
        checked(project=project, session_id=session_id)

        def run(connection: Connection) -> tuple[list[tuple[str, list[Span]]], int]:
            belongs = sessions.belongs(connection, self._database, project, session_id)
            listed, counted = agent_queries.conversation_traces(project, belongs)
            number = connection.execute(counted).scalar_one()
            page = connection.execute(listed.limit(limit).offset(offset)).scalars()
            turns: dict[str, list[Span]] = {trace_id: [] for trace_id in page}
            query = agent_queries.turn_spans(self._database, project, belongs, list(turns))
            for row in connection.execute(query) if turns else ():
                turns[row.trace_id].append(self._reader.shown(row))
            return list(turns.items()), number

        return await self._read(run)

    async def speaking_spans(
        self,
        project: str,
        query: SpokenQuery,
        *,
        limit: int,
        after: Position | None = None,
    ) -> list[Span]:
        checked(project=project, trace_id=query.trace_id, session_id=query.session_id)
        texts = (query.text, query.agent_name, query.provider, query.model)
        if not all(rows.storable(text) for text in texts):
            return []
        may_say = agent_queries.may_say(query.text)

        def run(connection: Connection, watch: Watch) -> list[Span]:
            found = agent_queries.speaking_spans(project, query, after)
            if query.session_id:
                found = found.where(
                    sessions.belongs(connection, self._database, project, query.session_id)
                )
            order = agent_queries.NEWEST_SPANS
            if not query.text:
                whole = select_whole(found, order, limit=limit)
                return [self._reader.shown(row) for row in connection.execute(whole)]
            conditions = text_conditions(connection, query.text)
            look = for_text(self._database, query.text)
            sieve = Sieve(connection, self._database, project, conditions, [look] if look else [])
            spans = search.spans_in_order(
                connection, self._database, self._reader, found, order, sieve, watch
            )
            return list(islice((span for span in spans if may_say(span)), limit))

        return await self._read_until_cancelled(run)

    async def find_agents(self, project: str, query: AgentQuery) -> Page[AgentTotals]:
        checked(project=project)
        if not rows.storable(query.agent_name):
            return Page([])

        def run(connection: Connection, watch: Watch) -> Page[AgentTotals]:
            return views.agents(connection, self._database, project, query, watch.check)

        return await self._read_until_cancelled(run)

    async def usage(self, project: str, query: UsageQuery) -> list[UsagePoint]:
        checked(project=project)
        unknown = {*query.group_by, *query.where} - set(USAGE_FIELDS)
        if unknown:
            raise ValueError(f"no fields of usage: {sorted(unknown)}")
        if not all(map(rows.storable, query.where.values())):
            return []

        def run(connection: Connection, watch: Watch) -> list[UsagePoint]:
            return views.usage_points(connection, self._database, project, query, watch.check)

        return await self._read_until_cancelled(run)


def _page_of(matching: Iterator[Span], offset: int, query: EventQuery, watch: Watch) -> Page[Span]:
    """A page of what matches, and the number of all up to MOST_COUNTED, or as far as they are
    counted in a slice of time."""
    page: list[Span] = []
    size = PageSize(query.most_bytes)
    end = offset + query.limit
    total = 0
    watch.may_end = query.limit == 0
    try:
        for span in matching:
            if total == max(MOST_COUNTED, end):
                return Page(page, total, is_lower_bound=True)
            total += 1
            if offset < total <= end:
                size.add(span)
                page.append(span)
            watch.may_end = total >= end
    except SliceOverError:
        return Page(page, total, is_lower_bound=True)
    return Page(page, total)
