"""Writes of the vendors' APIs: spans, whole traces and sessions, and their deletions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial as bound

from spanloom import metrics
from spanloom.errors import SpanloomError
from spanloom.model import Evaluation, Span
from spanloom.model.limits import charged
from spanloom.model.patch import Patch
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.spans import NO_PATCH, RefusedSpan
from spanloom.store.sql import deletes, ownership, patches, queries, rows
from spanloom.store.sql.named_spans import SqlNamedSpans, without_reopening
from spanloom.store.sql.ownership import ForeignSpansError
from spanloom.store.sql.requests import done_once
from spanloom.store.sql.rows import checked
from spanloom.store.sql.transaction import Transaction

_FOREIGN = "names a span that was written through another API"
# So many bytes are compressed beside the event loop.
_LARGE = 1 << 20


class SqlSpanWrites(SqlNamedSpans):
    """The part of `SpanStore` that writes and deletes, but for spans by trace and id."""

    async def write_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        scan_if_sampled: Collection[str] = (),
        events: bool = False,
        partial: bool = False,
        keep_ended: bool = False,
        only_own: bool = False,
    ) -> Sequence[RefusedSpan]:
        write = bound(
            self._write_spans,
            project,
            evaluations=evaluations,
            scans=frozenset(scan_if_sampled),
            events=events,
            partial=partial,
            keep_ended=keep_ended,
            only_own=only_own,
        )
        try:
            return await write(spans)
        except ForeignSpansError as error:
            if not partial:
                raise
            foreign = error.keys
        # The others may be stored. What is foreign only now is refused with all of them.
        refused = [
            RefusedSpan(index, "span_id", _FOREIGN)
            for index, span in enumerate(spans)
            if (span.trace_id, span.span_id) in foreign
        ]
        places = sorted(set(range(len(spans))) - {one.index for one in refused})
        if places:
            found = await write([spans[index] for index in places])
            refused += [replace(one, index=places[one.index]) for one in found]
        return sorted(refused)

    async def _write_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation],
        scans: frozenset[str],
        events: bool,
        partial: bool,
        keep_ended: bool,
        only_own: bool,
    ) -> Sequence[RefusedSpan]:
        make = bound(rows.span_rows, project, spans, partial=partial)
        large = sum(len(span.sent.message) for span in spans) > _LARGE
        made = await asyncio.to_thread(make) if large else make()
        if not made.spans:
            return made.refused
        work = made.with_evaluations(project, evaluations)
        only_of = None
        if only_own:
            only_of = {(span.trace_id, span.span_id): span.sent.adapter for span in spans}

        looks = keep_ended and any(span.end_ns is None for span in spans)

        def write(transaction: Transaction) -> None:
            kept = work
            if looks and len(left := without_reopening(transaction, project, spans)) < len(spans):
                left_rows = rows.span_rows(project, left, partial=partial)
                kept = left_rows.with_evaluations(project, evaluations)
            transaction.write(kept, created=events, only_of=only_of)
            if scans:
                transaction.scan_if_sampled(project, scans)

        with charged(project, spans=len(made.spans), size=made.sent):
            await self._write(write, rows_only=not looks, rows=rows.count(work), size=made.size)
        left_out = {one.index for one in made.refused}
        metrics.stored(span.sent.adapter for n, span in enumerate(spans) if n not in left_out)
        return made.refused

    async def write_trace(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        replace: bool = False,
        once: Once = EACH_TIME,
        only_own: bool = False,
    ) -> None:
        made = rows.span_rows(project, spans)
        work = made.with_evaluations(project, evaluations)
        trace_id = spans[0].trace_id
        replaced = queries.replaced_deletes(project, trace_id) if replace else ()

        def write(transaction: Transaction) -> SpanloomError | None:
            if replace and only_own:
                adapter = spans[0].sent.adapter
                refusal = ownership.refusal_of_trace(
                    transaction.connection, project, trace_id, adapter
                )
                if refusal is not None:
                    return refusal
            if replace:
                deletes.log_trace(transaction, project, trace_id)
            for statement in replaced:
                transaction.connection.execute(statement)
            transaction.write(work)
            return None

        with charged(project, spans=len(made.spans), size=made.sent):
            await self._write(
                done_once(project, once, write),
                rows_only=not (replace or once.request_id),
                rows=rows.count(work),
                size=made.size,
            )
        metrics.stored(span.sent.adapter for span in spans)

    async def start_session(
        self,
        project: str,
        session: Span,
        again: Patch = NO_PATCH,
        *,
        only_own: bool = False,
    ) -> bool:
        made = rows.span_rows(project, [session])
        only_of = session.sent.adapter if only_own else ""
        event_id, trace_id = session.event_id, session.trace_id
        if again:
            patches.row_of(project, event_id, again, only_of)  # refuses what cannot be stored

        def write(transaction: Transaction) -> bool | SpanloomError:
            there = ownership.event_is_there(
                *(transaction.connection, self._database, project, event_id, only_of),
                trace_id=trace_id,
            )
            if isinstance(there, SpanloomError):
                return there
            if there:
                if again:
                    patches.update_event(transaction, project, event_id, again, trace_id, only_of)
                return False
            transaction.write(made.by_table())
            return True

        with charged(project, spans=1, size=made.sent):
            return bool(await self._write(write, size=made.size))

    async def delete_trace(self, project: str, trace_id: str) -> bool:
        checked(project=project, trace_id=trace_id)
        return bool(await self._delete(lambda t: deletes.trace(t, project, trace_id)))

    async def delete_event(self, project: str, event_id: str, *, trace_id: str = "") -> bool:
        checked(project=project, event_id=event_id, trace_id=trace_id)
        return bool(await self._delete(lambda t: deletes.event(t, project, event_id, trace_id)))

    async def delete_session(self, project: str, session_id: str) -> bool:
        checked(project=project, session_id=session_id)
        return bool(await self._delete(lambda t: deletes.session(t, project, session_id)))
