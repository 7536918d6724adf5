"""The Store's contract. Every backend keeps every sentence; tests/store and tests/contract hold them to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from spanloom import errors
from spanloom.model import (
    Chart,
    ChartPoint,
    Evaluation,
    EventQuery,
    Feedback,
    Key,
    Page,
    SessionTotals,
    Span,
    Trace,
    TraceQuery,
)
from spanloom.model.patch import Patch
from spanloom.store.sql import (
    charts,
    deletes,
    dialect,
    filters,
    migrations,
    patches,
    queries,
    rows,
    settling,
    tables,
)
from spanloom.store.sql.agents import Agents
from spanloom.store.sql.catalog import Catalog
from spanloom.store.sql.datasets import Datasets
from spanloom.store.sql.evaluation_queue import EvaluationQueue
from spanloom.store.sql.readers import READERS, Readers
from spanloom.store.sql.rows import checked
from spanloom.store.sql.settling import Written
from spanloom.store.sql.versions import Versions
from spanloom.store.sql.writer import Rows, Statements, Writer

ALL_TRACES = TraceQuery()

# Seconds that closing waits for calls under way.
_LONGEST_CLOSE = 30


class Store:
    """Spans, feedback, projects and keys in one SQL database (SQLite, PostgreSQL).

    What every method that writes promises:

    - It MUST return only after its rows are durable (SQLite: WAL, synchronous=FULL; PostgreSQL: synchronous_commit on).
      A process killed at any moment loses nothing that was returned for.
    - It MUST be all or nothing for one call, whatever else shares its transaction: concurrent calls are committed together.
    - The same call again MUST give the same rows. A span is one whole row with a version, kept by (project, trace id,
      span id): the newest version wins, and no call changes a part of a row.
    - The queue before the writer is bounded in rows and bytes. A call that does not fit raises RESOURCE_EXHAUSTED
      (errors.queue_full) at once, and nothing of it is stored.
    - A call that was cancelled, or raised UNAVAILABLE, may have been stored or not. Sending it again is safe.

    What every method promises:

    - A method that takes a project MUST see and change rows of that project only.
    - A read MUST see all that was returned for before it began. Reads do not wait for writes.
    - Ids and texts are compared by bytes: with case, and any character but NUL and lone surrogates, which raise
      INVALID_ARGUMENT naming the field, as do ids past 256 characters and integers past 64 bits.
    - A database that cannot be reached or refuses raises UNAVAILABLE (errors.store_unavailable); the cause goes to the log
      `spanloom.store`, never to the caller.

    What is read of conversations and agents is in `agents`, what a project keeps beside traces in `catalog`, `datasets` and
    `evaluations`, by the same promises.

    Safe to use from any number of event loops; the threads are the store's own.
    """

    def __init__(self, database: dialect.Database, *, queue_rows: int, queue_bytes: int) -> None:
        self._database = database
        # One more for the writer, which looks at what it committed.
        self._read_engine = database.engine(writer=False, connections=READERS + 1)
        self._write_engine = database.engine(writer=True, connections=1)
        self._read = Readers(self._read_engine)
        self._writer = Writer(
            database,
            self._write_engine,
            lambda calls: self._read.run(lambda c: settling.due(database, c, calls)),
            queue_rows=queue_rows,
            queue_bytes=queue_bytes,
        )
        self._calls = threading.Condition()
        self._active, self._closing = 0, False
        self._versions = Versions()
        self.agents = Agents(database, self._read)
        self.catalog = Catalog(database, self._read, self._writer, self._versions)
        self.datasets = Datasets(database, self._read, self._writer, self._versions)
        self.evaluations = EvaluationQueue(database, self._read, self._writer, self._versions)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        migrate: bool = True,
        queue_rows: int = 50_000,
        queue_bytes: int = 64 << 20,
    ) -> Store:
        """Open the database of a URL: `sqlite:///FILE` (made when absent) or `postgresql+psycopg://...`.

        `migrate` makes or renews the tables first; without it, a database whose tables are absent or not of this version
        raises migrations.SchemaError. SetupError for a URL that names no database, and, without `migrate`, for a file that is
        absent; UNAVAILABLE, from the cause, when it cannot be reached or made.
        """
        database = dialect.database(url)
        prepare = migrations.migrate_database if migrate else migrations.check_database
        try:
            await asyncio.to_thread(prepare, database)
        except (SQLAlchemyError, OSError) as error:
            raise errors.store_unavailable() from error
        return cls(database, queue_rows=queue_rows, queue_bytes=queue_bytes)

    async def close(self) -> None:
        """Finish what was accepted, then close. Calls after it raise UNAVAILABLE; closing again does nothing."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._calls:
            self._closing = True
            self._calls.wait_for(lambda: not self._active, _LONGEST_CLOSE)
        self._writer.close()
        self._read.close()
        self._write_engine.dispose()

    async def ready(self) -> bool:
        """Whether a read answers and the writer lives; for health."""
        try:
            await self._read(lambda connection: connection.execute(queries.ALIVE).scalar())
        except errors.SpanloomError:
            return False
        return self._writer.alive

    # Spans

    async def write_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        events: bool = False,
        large: bool = False,
    ) -> None:
        """Store spans, each in place of an earlier one of its identity, and what is to be evaluated; the last of one identity in a
        call wins.

        The trace's row is derived here: from the span with parent id "" (the earliest, if the call has several), else, if
        the trace has no row yet, from its earliest span in the call. `events`: what was created before under one of the event
        ids in another trace goes, when the call returns; what was said of it stays. INVALID_ARGUMENT names `spans[n].field`,
        n being the position in the call, and for what stands in the body its key: `spans[n].inputs`. The rows of a `large`
        call, one of megabytes, are made beside the event loop.
        """
        make = partial(
            rows.span_rows, project, spans, self._versions.take(len(spans)), in_steps=large
        )
        span_rows, trace_rows, size = await asyncio.to_thread(make) if large else make()
        if span_rows:
            jobs = rows.evaluation_rows(project, evaluations, self._versions.take(1))
            work = {tables.spans: span_rows, tables.traces: trace_rows}
            if jobs:
                work[tables.evaluations] = jobs
            with self._accepted():
                written = Written(project, frozenset(span.event_id for span in spans), events)
                await self._write(work, written, rows=len(span_rows) + len(jobs), size=size)

    async def patch_event(self, project: str, event_id: str, patch: Patch) -> None:
        """Keep a patch (`spanloom.model.patch`) of an event, and apply it to the event's span now and whenever it is written anew.

        The event need not be there: nothing is listed until it comes. Where several traces hold the event id, it is applied
        in each. INVALID_ARGUMENT names the field.
        """
        row = rows.patch_row(project, event_id, patch, self._versions.take(1))
        with self._accepted():
            written = Written(project, frozenset([event_id]))
            await self._write({tables.patches: [row]}, written, size=len(row[-1]))

    async def event_patch(self, project: str, event_id: str) -> Patch:
        """All patches of an event as one, whether the event is there or not; {} when it has none."""
        checked(project=project, event_id=event_id)
        return await self._read(lambda c: patches.of_event(c, project, event_id))

    async def start_session(self, project: str, session: Span) -> bool:
        """Store a session's span unless there is an event of its id already; whether it was stored.

        Of calls at once one stores. Errors as `write_spans`.
        """
        span_rows, trace_rows, size = rows.span_rows(project, [session], self._versions.take(1))
        found = {"project": project, "event_id": session.event_id}

        def run(connection: Connection) -> bool:
            self._database.lock_event(connection, project, session.event_id)
            if connection.execute(queries.EVENT, found).first():
                return False
            self._database.upsert(connection, tables.spans, span_rows)
            self._database.upsert(connection, tables.traces, trace_rows)
            return True

        with self._accepted():
            written = Written(project, frozenset([session.event_id]))
            return bool(await self._write(run, written, size=size))

    async def _write(
        self, work: Rows | Statements, written: Written, *, rows: int = 1, size: int = 0
    ) -> Any:
        """Commit, and do what follows from it: older spans of created events go, and patches are applied."""
        result, due = await self._writer.write(work, written=written, rows=rows, size=size)
        project = written.project
        if due.repeated:
            await self._writer.write(
                lambda c: deletes.superseded(self._database, c, project, due.repeated), rows=0
            )
        while due.patched and await self._writer.write(
            lambda c: patches.apply(self._database, c, project, due.patched), rows=0
        ):
            pass
        return result

    async def write_trace(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        replace: bool = False,
    ) -> None:
        """Store all spans of one trace, as `write_spans` does, and with them what is to be evaluated.

        `replace`: the trace may be there already, and what it had before goes: spans that are not among these, evaluations
        that wait, and the feedback of evaluators. Feedback of others stays.
        """
        version = self._versions.take(len(spans))
        span_rows, trace_rows, size = rows.span_rows(project, spans, version)
        work = {
            tables.spans: span_rows,
            tables.traces: trace_rows,
            tables.evaluations: rows.evaluation_rows(project, evaluations, version),
        }
        count = sum(map(len, work.values()))
        replaced = queries.replaced_deletes(project, spans[0].trace_id, version) if replace else ()

        def run(connection: Connection) -> None:
            for statement in replaced:
                connection.execute(statement)
            for table, table_rows in work.items():
                self._database.upsert(connection, table, table_rows)

        with self._accepted():
            written = Written(project, frozenset(span.event_id for span in spans))
            await self._write(run if replace else work, written, rows=count, size=size)

    async def trace_spans(self, project: str, trace_id: str) -> list[Span]:
        """All spans of a trace by start, then span id; [] when unknown."""
        parameters = checked(project=project, trace_id=trace_id)
        return await self._read(
            lambda c: [rows.to_span(row) for row in c.execute(queries.TRACE_SPANS, parameters)]
        )

    async def session_spans(self, project: str, session_id: str) -> list[Span]:
        """All spans of a session (those with this session id) by start, then span id; [] when unknown."""
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
        """Traces by start, the newest first, ties by trace id descending; `after` is (start_ns, trace_id) of the last seen.

        Going on after the last one seen passes over none and repeats none, whatever is written meanwhile. INVALID_ARGUMENT
        names the condition that no database can hold.
        """
        conditions = {f.name: getattr(query, f.name) for f in fields(query)}
        texts = {name: value for name, value in conditions.items() if isinstance(value, str)}
        checked(project=project, **texts)
        if after is not None:
            checked(trace_id=after[1])
        found = queries.list_traces(self._database, project, query, limit=limit, after=after)
        return await self._read(lambda c: [rows.to_trace(row) for row in c.execute(found)])

    async def delete_trace(self, project: str, trace_id: str) -> bool:
        """Remove its spans, its row, and feedback on it and on its spans; False when there was no such trace.

        Feedback on a span which does not say its trace goes too. What is written later for this trace id makes it anew.
        """
        checked(project=project, trace_id=trace_id)
        statements = queries.trace_deletes(project, trace_id)

        def run(connection: Connection) -> bool:
            *_, trace_rows, span_rows = (connection.execute(s).rowcount for s in statements)
            return bool(trace_rows or span_rows)

        return bool(await self._writer.write(run))

    async def delete_event(self, project: str, event_id: str) -> bool:
        """Remove the spans with this event id, patches and feedback on them; False when there was none."""
        checked(project=project, event_id=event_id)
        return bool(
            await self._writer.write(lambda c: deletes.event(self._database, c, project, event_id))
        )

    async def delete_session(self, project: str, session_id: str) -> bool:
        """Remove the spans with this session id, the rows of traces that have no others, and patches and feedback on all of
        it; False when there was none."""
        checked(project=project, session_id=session_id)
        return bool(
            await self._writer.write(
                lambda c: deletes.session(self._database, c, project, session_id)
            )
        )

    async def find_event(self, project: str, event_id: str) -> Span | None:
        """The span with this event id; the one written last where several traces hold it."""
        parameters = checked(project=project, event_id=event_id)
        row = await self._read(lambda c: c.execute(queries.EVENT, parameters).first())
        return rows.to_span(row) if row else None

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        """One page of the events that match, and how many match in all.

        All filters hold, and the start lies within [since_ns, until_ns]. Newest start first, ties by event id. Events of
        kind session are events, too. INVALID_ARGUMENT names `filters[position].field`, `.operator`, `.type` or `.value`.
        """
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
        """The next `limit` events that match, in the order of `find_events`, after one that it gave; `page` is not looked at.

        Going on after the last one gives each event once, and takes no longer the further it goes.
        """
        checked(project=project)
        found = queries.find_events(filters.conditions(self._database, query), project)
        if after is not None:
            found = found.where(queries.after_event(after))
        found = found.limit(query.limit)
        return await self._read(lambda c: [rows.to_span(row) for row in c.execute(found)])

    async def chart(self, project: str, query: EventQuery, chart: Chart) -> list[ChartPoint]:
        """The events that match summed up, by bucket, then group; at most `charts.MOST_POINTS` and one more.

        INVALID_ARGUMENT names `metric` or `group_by`, or a filter as in `find_events`.
        """
        checked(project=project)
        found = charts.points(self._database, project, query, chart)
        return await self._read(lambda c: [ChartPoint(*row) for row in c.execute(found)])

    async def session_totals(
        self, project: str, session_ids: Sequence[str]
    ) -> dict[str, SessionTotals]:
        """What the events of each session add up to; a session without a row is absent.

        By one aggregate query. Events of kind session are not counted, but feedback on them is feedback on the session.
        """
        checked(project=project)
        for session_id in session_ids:
            checked(session_id=session_id)
        query = queries.session_totals(self._database, project, session_ids)
        return await self._read(lambda c: dict(map(rows.to_totals, c.execute(query))))

    # Feedback

    async def write_feedback(self, project: str, feedback: Feedback) -> None:
        """Store feedback; the same id again replaces. INVALID_ARGUMENT names the field."""
        row = rows.feedback_row(project, feedback, self._versions.take(1))
        await self._writer.write({tables.feedback: [row]}, size=len(row[-1]))

    async def feedback_on(self, project: str, targets: Sequence[tuple[str, str]]) -> list[Feedback]:
        """All feedback on (target, target_id) pairs, oldest first, ties by id; one query for any number of targets."""
        checked(project=project)
        for target, target_id in targets:
            checked(target=target, target_id=target_id)
        query = queries.feedback_on(self._database, project, targets)
        return await self._read(lambda c: [rows.to_feedback(row) for row in c.execute(query)])

    async def find_feedback(
        self,
        project: str,
        *,
        ref: str = "",
        type: str = "",
        limit: int,
        offset: int = 0,
    ) -> Page[Feedback]:
        """Feedback with this ref and this type ("" stands for any), newest first, ties by id; total is their number."""
        checked(project=project, ref=ref, type=type)
        found = queries.find_feedback(project, ref=ref, type=type)

        def run(connection: Connection) -> Page[Feedback]:
            page, total = queries.page(connection, found, limit=limit, offset=offset)
            return Page([rows.to_feedback(row) for row in page], total)

        return await self._read(run)

    # Projects and keys: rarely written

    async def ensure_project(self, name: str) -> None:
        """Make the project unless it is there."""
        row = (checked(project=name)["project"], time.time_ns())
        await self._writer.write({tables.projects: [row]})

    async def has_project(self, name: str) -> bool:
        """Whether `ensure_project` made it."""
        parameters = checked(project=name)
        return await self._read(
            lambda c: c.execute(queries.PROJECT, parameters).first() is not None
        )

    async def create_key(self, key: Key) -> None:
        """Store a new key; INVALID_ARGUMENT for `id` when there is one with its id."""
        statement, row = insert(tables.keys), rows.key_row(key)

        def run(connection: Connection) -> None:
            try:
                connection.execute(statement.values(row))
            except IntegrityError:
                raise errors.invalid_field("id", "is the id of another key") from None

        await self._writer.write(run)

    async def find_key(self, key_id: str) -> Key | None:
        """The key with this id, revoked or not."""
        parameters = checked(id=key_id)
        row = await self._read(lambda c: c.execute(queries.KEY, parameters).first())
        return rows.to_key(row) if row else None

    async def list_keys(self) -> list[Key]:
        """All keys, revoked ones too, oldest first."""
        return await self._read(lambda c: [rows.to_key(row) for row in c.execute(queries.KEYS)])

    async def revoke_key(self, key_id: str, revoked_ns: int) -> bool:
        """Revoke a key; of several revocations the first counts. False when there is no such key."""
        parameters = {"key_id": checked(id=key_id)["id"], "at_ns": revoked_ns}
        return bool(
            await self._writer.write(lambda c: c.execute(queries.REVOKE_KEY, parameters).rowcount)
        )

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        """Around a call that writes in more than one step: closing waits for the last; UNAVAILABLE once it has begun."""
        with self._calls:
            if self._closing:
                raise errors.store_unavailable()
            self._active += 1
        try:
            yield
        finally:
            with self._calls:
                self._active -= 1
                self._calls.notify_all()
