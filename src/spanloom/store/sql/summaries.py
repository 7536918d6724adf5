"""`Summaries` on a relational database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import BigInteger, Connection, literal, select, tuple_

from spanloom.model import Span
from spanloom.model.changes import Changes, StoredSpans
from spanloom.model.outline import OutlineColumns, OutlineRead, OutlineSpan
from spanloom.model.placed import Placed
from spanloom.model.summaries import (
    ConversationQuery,
    ConversationRow,
    ConversationRows,
    Facet,
    SearchPlace,
    SummaryQuery,
    TraceCounts,
    TracePosition,
    TraceRow,
    TraceRows,
)
from spanloom.store.sql import changes
from spanloom.store.sql import placed as placing
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.conversations import ConversationList
from spanloom.store.sql.database import MAX_VERSION
from spanloom.store.sql.index.search import Watch, read_until_cancelled
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.rows import checked, storable
from spanloom.store.sql.tables import deleted_spans, feedback, spans
from spanloom.store.sql.trace_counts import TraceCounter
from spanloom.store.sql.trace_lists import TraceList, trace_row
from spanloom.store.summaries import MOST_CASES, Summaries

T = TypeVar("T")

_TEXTS = (
    *("conversation_id", "name", "feature_slug", "user_id", "organization_id", "experiment_id"),
    *("agent_name", "model", "text"),
)
# Whole spans that are read at once.
_SEARCHED = 100
# Rows of an outline that are read at once.
_OUTLINED = 1_000
_CONVERSATION_TEXTS = ("user_id", "agent_name", "model", "feature_slug")


class SqlSummaries(Summaries):
    """Lists, outlines and the log of changes in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read_once, self._scan = connections.read, connections.scan
        self._reader = connections.reader
        self._committed = connections.write.committed

    async def traces(
        self,
        project: str,
        query: SummaryQuery,
        *,
        limit: int,
        after: TracePosition | None = None,
    ) -> TraceRows:
        checked(project=project)
        if not _storable(query, _TEXTS):
            return TraceRows([], None)

        def run(connection: Connection, watch: Watch) -> TraceRows:
            return self._list(connection, project, query, watch).page(limit, after)

        return await self._read(run)

    async def trace(self, project: str, trace_id: str) -> TraceRow | None:
        checked(project=project, trace_id=trace_id)
        query = SummaryQuery()

        def run(connection: Connection, watch: Watch) -> TraceRow | None:
            found = self._list(connection, project, query, watch)
            row = connection.execute(found.only(trace_id)).first()
            if row is None:
                return None
            [[(_, group)]] = found.batches([row])
            return trace_row(row, group)

        return await self._read(run)

    async def count(
        self,
        project: str,
        query: SummaryQuery,
        *,
        facets: Collection[Facet],
        of_root: Mapping[Facet, Callable[[Span], str]],
        buckets: int,
        seconds: float,
    ) -> TraceCounts:
        checked(project=project)
        if not _storable(query, _TEXTS):
            return TraceCounts(0, True, {facet: {} for facet in facets}, [(0, 0)] * buckets)

        def run(connection: Connection, watch: Watch) -> TraceCounts:
            counter = TraceCounter(
                *(connection, self._database, project, query),
                facets=facets,
                of_root=of_root,
                buckets=buckets,
            )
            return counter.count(self._list(connection, project, query, watch), seconds)

        return await self._read(run)

    async def experiment_traces(self, project: str, experiment_id: str) -> Sequence[TraceRow]:
        checked(project=project, experiment_id=experiment_id)
        query = SummaryQuery(experiment_id=experiment_id)

        def run(connection: Connection, watch: Watch) -> Sequence[TraceRow]:
            found = self._list(connection, project, query, watch)
            part = connection.execute(found.newest(MOST_CASES)).fetchall()
            batches = found.batches(part[::-1])
            return [trace_row(row, group) for batch in batches for row, group in batch]

        return await self._read(run)

    async def conversations(
        self,
        project: str,
        query: ConversationQuery,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> ConversationRows:
        checked(project=project)
        if not _storable(query, _CONVERSATION_TEXTS):
            return ConversationRows([], None)

        def run(connection: Connection, watch: Watch) -> ConversationRows:
            return self._conversations(connection, project, query, watch).page(limit, after)

        return await self._read(run)

    async def conversation(self, project: str, conversation_id: str) -> ConversationRow | None:
        checked(project=project, session_id=conversation_id)
        query = ConversationQuery()

        def run(connection: Connection, watch: Watch) -> ConversationRow | None:
            found = self._conversations(connection, project, query, watch)
            return found.find(conversation_id)

        return await self._read(run)

    async def outline(
        self, project: str, trace_id: str, *, after: int, make: Callable[[OutlineRead], T]
    ) -> T:
        checked(project=project, trace_id=trace_id)
        of_trace = (spans.c.project == project, spans.c.trace_id == trace_id)
        place = (spans.c.start_ns, spans.c.sequence, spans.c.version)
        first = select(*(spans.c[name] for name in OutlineSpan._fields))
        columns = (spans.c[name] for name in OutlineColumns._fields)
        rest = select(*columns).where(*of_trace, spans.c.version > after).order_by(*place)
        judged = select(feedback.c.target_id).where(
            feedback.c.project == project,
            feedback.c.target == "span",
            feedback.c.trace_id == trace_id,
        )
        unplaced = (
            select(spans.c.span_id)
            .select_from(spans)
            .join(
                feedback,
                (feedback.c.project == spans.c.project)
                & (feedback.c.target == "span")
                & (feedback.c.target_id == spans.c.span_id)
                & (feedback.c.trace_id == ""),
            )
            .where(*of_trace)
        )
        gone = select(deleted_spans.c.span_id).where(
            deleted_spans.c.project == project,
            deleted_spans.c.trace_id == trace_id,
            deleted_spans.c.version > after,
        )

        def run(connection: Connection, watch: Watch) -> T:
            # Before the snapshot, as in `changes`.
            horizon = self._database.horizon(connection)
            newest = changes.newest(connection, horizon)
            deleted = connection.execute(gone).scalars().all() if after else ()
            found = connection.execute(first.where(*of_trace).order_by(*place))
            order = [OutlineSpan._make(row) for row in found]
            reviewed = frozenset(connection.execute(judged.union(unplaced)).scalars())
            with connection.execute(rest, execution_options={"stream_results": True}) as streamed:

                def each() -> Iterator[OutlineColumns]:
                    for rows in streamed.partitions(_OUTLINED):
                        watch.check()
                        yield from map(OutlineColumns._make, rows)

                return make(OutlineRead(order, each(), reviewed, deleted, newest))

        return await self._read(run)

    async def search(
        self,
        project: str,
        trace_id: str,
        *,
        span_id: str = "",
        after: SearchPlace | None = None,
        visit: Callable[[Span, SearchPlace], bool],
    ) -> bool:
        checked(project=project, trace_id=trace_id, span_id=span_id)
        of_trace = (spans.c.project == project, spans.c.trace_id == trace_id)
        exists = select(spans.c.version).where(*of_trace).limit(1)
        found = select(spans).where(*of_trace)
        if span_id:
            found = found.where(spans.c.span_id == span_id)
        if after is not None:
            place = tuple_(spans.c.start_ns, spans.c.version)
            found = found.where(place >= tuple_(*(literal(part, BigInteger) for part in after)))
        narrow = found.with_only_columns(spans.c.start_ns, spans.c.version)
        narrow = narrow.order_by(spans.c.start_ns, spans.c.version)

        def run(connection: Connection, watch: Watch) -> bool:
            if connection.execute(exists).first() is None:
                return False
            places = [SearchPlace._make(row) for row in connection.execute(narrow)]
            for start in range(0, len(places), _SEARCHED):
                part = {place.version: place for place in places[start : start + _SEARCHED]}
                some = found.where(self._database.among_numbers(spans.c.version, part))
                order = ("start_ns", "version")
                for row in connection.execute(select_whole(some, order, also=("version",))):
                    watch.check()
                    if not visit(self._reader.shown(row), part[row.version]):
                        return True
            return True

        return await self._read(run)

    async def existing(self, project: str, trace_ids: Sequence[str]) -> set[str]:
        checked(project=project)
        among = self._database.among(spans.c.trace_id, trace_ids)
        found = select(spans.c.trace_id).where(spans.c.project == project, among).distinct()
        return await self._read_once(lambda c: set(c.execute(found).scalars()))

    async def placed(
        self,
        project: str,
        *,
        trace_id: str = "",
        since_ns: int | None = None,
        before_ns: int | None = None,
        limit: int,
    ) -> Placed:
        checked(project=project, trace_id=trace_id)
        where = []
        if since_ns is not None:
            where.append(spans.c.start_ns >= since_ns)
        if before_ns is not None:
            where.append(spans.c.start_ns < before_ns)
        return await self._read(lambda c, _: placing.placed(c, project, trace_id, where, limit))

    async def shared(self, project: str, *, limit: int) -> Sequence[bytes]:
        checked(project=project)
        return await self._read_once(lambda c: placing.shared(c, project, limit))

    def own_writes(self) -> int:
        return self._committed.number

    async def wait_for_own_write(self, number: int, seconds: float) -> None:
        await self._committed.after(number, seconds)

    async def present(self) -> int:
        return await self._read_once(lambda c: changes.present(c, self._database))

    async def changes(self, project: str, after: int, *, limit: int) -> Changes:
        checked(project=project)
        after = min(after, MAX_VERSION)
        return await self._read_once(
            lambda c: changes.changes(c, self._database, project, after, limit)
        )

    async def stored(
        self, projects: Collection[str] | None, after: int, *, limit: int, size: int
    ) -> StoredSpans:
        for project in projects or ():
            checked(project=project)
        after = min(after, MAX_VERSION)
        return await self._read_once(
            lambda c: changes.stored(c, self._database, self._reader, projects, after, limit, size)
        )

    def _list(
        self, connection: Connection, project: str, query: SummaryQuery, watch: Watch
    ) -> TraceList:
        return TraceList(connection, self._database, self._reader, project, query, watch)

    def _conversations(
        self, connection: Connection, project: str, query: ConversationQuery, watch: Watch
    ) -> ConversationList:
        return ConversationList(connection, self._database, self._reader, project, query, watch)

    async def _read(self, query: Callable[[Connection, Watch], T]) -> T:
        return await read_until_cancelled(self._scan, query)


def _storable(query: SummaryQuery | ConversationQuery, names: Sequence[str]) -> bool:
    """Whether any row can have what is asked for."""
    return all(storable(getattr(query, name)) for name in names)
