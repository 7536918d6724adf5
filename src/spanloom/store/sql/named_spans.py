"""Spans that are named by their trace and their own id: the methods behind the native API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial as bound
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from spanloom import errors, metrics
from spanloom.model import Evaluation, Span, SpanQuery
from spanloom.store.spans import Position
from spanloom.store.sql import agent_queries, deletes, queries, rows
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.index import search
from spanloom.store.sql.index.search import Watch, read_until_cancelled
from spanloom.store.sql.index.terms import holder
from spanloom.store.sql.reading import NOTHING, Updates, select_whole
from spanloom.store.sql.rows import checked
from spanloom.store.sql.span_condition import span_condition
from spanloom.store.sql.tables import bodies, is_text, spans
from spanloom.store.sql.transaction import Transaction

T = TypeVar("T")

_OLDEST_SPANS = tuple(name.removeprefix("-") for name in agent_queries.NEWEST_SPANS)
_PLACE = (spans.c.start_ns, spans.c.trace_id, spans.c.span_id)
# Spans that are selected at once.
_PART = 200
# So many bytes are compressed beside the event loop.
_LARGE = 1 << 20


class SqlNamedSpans:
    """The part of `SpanStore` for spans by trace and id."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write
        self._reader = connections.reader

    async def record_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        scan_if_sampled: Collection[str] = (),
        only_own: bool = False,
    ) -> None:
        make = bound(rows.span_rows, project, spans)
        large = sum(len(span.sent.message) for span in spans) > _LARGE
        made = await asyncio.to_thread(make) if large else make()
        scans = frozenset(scan_if_sampled)
        looks = only_own or any(span.end_ns is None for span in spans)

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            kept = made
            if looks:
                stored = _stored(transaction, project, spans)
                foreign = _of_others(spans, stored) if only_own else []
                if foreign:
                    return errors.written_by_another_api(foreign)
                left = [span for span in spans if not _would_reopen(span, stored)]
                if not left:
                    return None
                if len(left) < len(spans):
                    kept = rows.span_rows(project, left)
            transaction.write(kept.with_evaluations(project, evaluations))
            if scans:
                transaction.scan_if_sampled(project, scans)
            return None

        number = len(made.spans) + len(evaluations)
        await self._write(write, rows_only=not looks, rows=number, size=made.size)
        metrics.stored(span.sent.adapter for span in spans)

    async def find_span(self, project: str, trace_id: str, span_id: str) -> Span | None:
        parameters = checked(project=project, trace_id=trace_id, span_id=span_id)
        row = await self._read(lambda c: c.execute(queries.SPAN, parameters).first())
        return self._reader.to_span(row) if row else None

    async def list_spans(
        self,
        project: str,
        query: SpanQuery,
        take: Callable[[Span], bool],
        *,
        oldest_first: bool = False,
        after: Position | None = None,
        seconds: float,
    ) -> tuple[Position | None, int]:
        named = (query.trace_id, query.session_id, query.name, query.operation, query.model)
        texts = query.texts
        if not all(
            map(
                rows.storable,
                (*named, query.agent_name, query.provider, query.text, *texts),
            )
        ):
            return None, 0
        found = _matching(project, query)
        holds: Callable[[Span], bool] = holder(query.text) if query.text else lambda span: True
        if after is not None:
            found = found.where(_behind(after, oldest_first=oldest_first))
        order = _OLDEST_SPANS if oldest_first else agent_queries.NEWEST_SPANS

        def run(connection: Connection, watch: Watch) -> tuple[Position | None, int]:
            end = time.monotonic() + seconds
            conditions = [
                condition
                for text in (*texts, query.text)
                if text
                for condition in search.text_conditions(connection, text)
            ]
            which = search.candidates(connection, project, conditions)
            last, number = after, 0
            in_order = (
                self._by_parts(connection, found, after, watch, oldest_first=oldest_first)
                if which is None
                else search.in_order(
                    connection, self._database, self._reader, found, order, which, (), watch
                )
            )
            for span in in_order:
                # The first is always given, so that each call comes further.
                is_over = number > 0 and time.monotonic() > end
                if is_over or (holds(span) and not take(span)):
                    return last, number
                last, number = (span.start_ns, span.trace_id, span.span_id), number + 1
            return None, number

        return await self._read_until_cancelled(run)

    def condition(self, query: SpanQuery) -> Callable[[Span], bool]:
        return span_condition(query)

    def _by_parts(
        self,
        connection: Connection,
        found: Select[Any],
        after: Position | None,
        watch: Watch,
        *,
        oldest_first: bool,
    ) -> Iterator[Span]:
        """The spans in their order, a part at a time: no body is read, and no row sorted, long
        before it is taken."""
        order = _OLDEST_SPANS if oldest_first else agent_queries.NEWEST_SPANS
        number = _PART
        while number == _PART:
            number = 0
            part = found
            if after is not None:
                part = found.where(_behind(after, oldest_first=oldest_first))
            whole = select_whole(part, order, limit=_PART)
            with connection.execute(whole, execution_options={"stream_results": True}) as rows:
                for row in rows:
                    watch.check()
                    number += 1
                    after = (row.start_ns, row.trace_id, row.span_id)
                    yield self._reader.to_span(row)

    async def delete_spans(self, project: str, keys: Collection[tuple[str, str]]) -> int:
        checked(project=project)
        for trace_id, span_id in keys:
            checked(trace_id=trace_id, span_id=span_id)
        named = frozenset(keys)
        return int(await self._delete(lambda t: deletes.named_spans(t, project, named)))

    async def delete_trace_spans(self, project: str, trace_id: str) -> int | None:
        checked(project=project, trace_id=trace_id)
        number: int | None = await self._delete(lambda t: deletes.trace_spans(t, project, trace_id))
        return number

    async def _delete(self, delete: Callable[[Transaction], Any]) -> Any:
        def write(transaction: Transaction) -> Any:
            follow_up(transaction)
            return delete(transaction)

        return await self._write(write)

    async def _read_until_cancelled(self, query: Callable[[Connection, Watch], T]) -> T:
        return await read_until_cancelled(self._read, query)


# What a transaction finds under the ids of spans: the adapter, the start that the client sent, and
# whether it sent an end.
_Stored = dict[tuple[str, str], tuple[str, int, bool]]


def _stored(transaction: Transaction, project: str, written: Sequence[Span]) -> _Stored:
    among = transaction.database.among
    found = select(
        *(spans.c.trace_id, spans.c.span_id, spans.c.start_ns, spans.c.end_ns),
        *(bodies.c.adapter, bodies.c.updates),
    ).join_from(spans, bodies, bodies.c.span_version == spans.c.version)
    of_these = found.where(
        spans.c.project == project,
        among(spans.c.trace_id, {span.trace_id for span in written}),
        among(spans.c.span_id, {span.span_id for span in written}),
    )
    return {
        (row.trace_id, row.span_id): (row.adapter, *_sent_times(row))
        for row in transaction.connection.execute(of_these)
    }


def _sent_times(row: Any) -> tuple[int, bool]:
    """The start, and whether there is an end, before any update."""
    before = Updates.of(row.updates).before if row.updates else NOTHING
    start_ns, end_ns = (before.get(name, getattr(row, name)) for name in ("start_ns", "end_ns"))
    return start_ns, end_ns is not None


def _of_others(written: Sequence[Span], stored: _Stored) -> list[str]:
    """The fields of spans that would replace one of another adapter."""
    return [
        f"spans[{index}]"
        for index, span in enumerate(written)
        if (found := stored.get((span.trace_id, span.span_id))) is not None
        and found[0] != span.sent.adapter
    ]


def _would_reopen(span: Span, stored: _Stored) -> bool:
    found = stored.get((span.trace_id, span.span_id))
    return span.end_ns is None and found is not None and found[1] == span.start_ns and found[2]


def _matching(project: str, query: SpanQuery) -> Select[Any]:
    where: list[ColumnElement[bool]] = [spans.c.project == project]
    for column, value in (
        (spans.c.trace_id, query.trace_id),
        (spans.c.session_id, query.session_id),
        (spans.c.status, query.status),
        (spans.c.operation, query.operation),
        (func.lower(spans.c.provider), query.provider.lower()),
        (spans.c.model, query.model),
    ):
        if value:
            where.append(column == value)
    if query.name:
        where.append(is_text(spans.c.name, query.name))
    if query.agent_name:
        where.append(agent_queries.names_agent(query.agent_name))
    if query.kinds:
        where.append(spans.c.kind.in_(query.kinds))
    if query.min_duration_ms is not None:
        where += [spans.c.end_ns.is_not(None), spans.c.duration_ms >= query.min_duration_ms]
    if query.since_ns is not None:
        where.append(spans.c.start_ns >= query.since_ns)
    if query.before_ns is not None:
        where.append(spans.c.start_ns < query.before_ns)
    return select(spans).where(*where)


def _behind(after: Position, *, oldest_first: bool) -> ColumnElement[bool]:
    """What comes behind a position; the first condition is for the index on the start."""
    if oldest_first:
        return (spans.c.start_ns >= after[0]) & (tuple_(*_PLACE) > tuple_(*after))
    return (spans.c.start_ns <= after[0]) & (tuple_(*_PLACE) < tuple_(*after))
