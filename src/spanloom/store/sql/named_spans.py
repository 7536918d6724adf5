"""Spans that are named by their trace and their own id: the methods behind the native API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial as bound
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from spanloom import errors, metrics
from spanloom.model import Attachment, Evaluation, Span, SpanQuery
from spanloom.model.limits import charged
from spanloom.store.spans import Position, position_of
from spanloom.store.sql import agent_queries, attachments, deletes, ownership, queries, rows
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.index import search
from spanloom.store.sql.index.look import for_text
from spanloom.store.sql.index.search import Watch, read_until_cancelled
from spanloom.store.sql.index.sieve import Sieve, text_conditions
from spanloom.store.sql.index.terms import holder
from spanloom.store.sql.reading import NOTHING, Updates
from spanloom.store.sql.rows import checked
from spanloom.store.sql.span_condition import span_condition
from spanloom.store.sql.tables import bodies, is_text, spans
from spanloom.store.sql.transaction import Transaction

T = TypeVar("T")

_OLDEST_SPANS = tuple(name.removeprefix("-") for name in agent_queries.NEWEST_SPANS)
# So many bytes are compressed beside the event loop.
_LARGE = 1 << 20


class SqlNamedSpans:
    """The part of `SpanStore` for spans by trace and id."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write
        self._scan = connections.scan_copy
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
                left = _without_reopening(spans, stored)
                if not left:
                    return None
                if len(left) < len(spans):
                    kept = rows.span_rows(project, left)
            transaction.write(kept.with_evaluations(project, evaluations))
            if scans:
                transaction.scan_if_sampled(project, scans)
            return None

        number = len(made.spans) + len(evaluations)
        with charged(project, spans=len(made.spans), size=made.sent):
            await self._write(write, rows_only=not looks, rows=number, size=made.size)
        metrics.stored(span.sent.adapter for span in spans)

    async def find_span(self, project: str, trace_id: str, span_id: str) -> Span | None:
        parameters = checked(project=project, trace_id=trace_id, span_id=span_id)

        def run(connection: Connection) -> Span | None:
            row = connection.execute(queries.SPAN, parameters).first()
            return self._reader.to_span(row) if row else None

        return await self._read(run)

    async def find_attachment(self, project: str, digest: bytes) -> Attachment | None:
        checked(project=project)
        return await self._read(lambda c: attachments.find(c, project, digest))

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
            sought = [text for text in (*texts, query.text) if text]
            sieve = Sieve(
                *(connection, self._database, project),
                [of for text in sought for of in text_conditions(connection, text)],
                [look for text in sought if (look := for_text(self._database, text))],
            )
            last, number = after, 0
            for step in search.in_order(
                connection, self._database, self._reader, found, order, sieve, watch
            ):
                # Something is always looked at, so that each call comes further.
                is_over = number > 0 and time.monotonic() > end
                if step.span is None:
                    number += step.left_out
                    if is_over or time.monotonic() > end:
                        return _place(connection, project, step.version), number
                    continue
                if is_over or (holds(step.span) and not take(step.span)):
                    return last, number
                number += 1
                last = position_of(step.span)
            return None, number

        return await self._read_until_cancelled(run)

    def condition(self, query: SpanQuery) -> Callable[[Span], bool]:
        return span_condition(query)

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
            result = delete(transaction)
            attachments.delete_released(transaction)
            return result

        return await self._write(write)

    async def _read_until_cancelled(self, query: Callable[[Connection, Watch], T]) -> T:
        return await read_until_cancelled(self._scan, query)


# What a transaction finds under the ids of spans: the adapter, the start that the client sent, and
# whether it sent an end.
_Stored = dict[tuple[str, str], tuple[str, int, bool]]


def _stored(transaction: Transaction, project: str, written: Sequence[Span]) -> _Stored:
    found = ownership.of_keys(
        transaction.database,
        project,
        {(span.trace_id, span.span_id) for span in written},
        *(spans.c.start_ns, spans.c.end_ns),
        *(bodies.c.adapter, bodies.c.updates),
    )
    return {
        (row.trace_id, row.span_id): (row.adapter, *_sent_times(row))
        for row in transaction.connection.execute(found)
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


def without_reopening(
    transaction: Transaction, project: str, written: Sequence[Span]
) -> list[Span]:
    """The spans without those that are open and have ended already, here or in the store, with the
    same start."""
    return _without_reopening(written, _stored(transaction, project, written))


def _without_reopening(written: Sequence[Span], stored: _Stored) -> list[Span]:
    ended = {(*key, start_ns) for key, (_, start_ns, has_end) in stored.items() if has_end}
    ended |= {_state(span) for span in written if span.end_ns is not None}
    return [span for span in written if span.end_ns is not None or _state(span) not in ended]


def _state(span: Span) -> tuple[str, str, int]:
    return span.trace_id, span.span_id, span.start_ns


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


def _place(connection: Connection, project: str, version: int) -> Position:
    """The place of the span that has a version."""
    found = select(*agent_queries.PLACE).where(
        spans.c.project == project, spans.c.version == version
    )
    start_ns, sequence, trace_id, span_id = connection.execute(found).one()
    return start_ns, sequence, trace_id, span_id


def _behind(after: Position, *, oldest_first: bool) -> ColumnElement[bool]:
    """What comes behind a position; the first condition is for the index on the start."""
    if oldest_first:
        return (spans.c.start_ns >= after[0]) & (tuple_(*agent_queries.PLACE) > tuple_(*after))
    return (spans.c.start_ns <= after[0]) & (tuple_(*agent_queries.PLACE) < tuple_(*after))
