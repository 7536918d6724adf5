"""One thread writes for everyone: what waits is committed together, and each call is answered when
its rows are durable."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from sqlalchemy import Engine

from spanloom import errors, metrics
from spanloom.model.caller import CALLER
from spanloom.store.sql import attachments
from spanloom.store.sql import database as settings
from spanloom.store.sql.database import Database
from spanloom.store.sql.failures import is_lost, public_error
from spanloom.store.sql.own_writes import OwnWrites
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.transaction import RowsOnlyError, Transaction
from spanloom.store.sql.write_group import STUCK, one_by_one, together
from spanloom.store.sql.write_queue import PendingWrite, Work, WriteQueue
from spanloom.tracing import SPAN

log = logging.getLogger("spanloom.store")

# A transaction takes no more rows and bytes than this (or one call): no call waits long for others.
_GROUP_ROWS = 5_000
_GROUP_BYTES = 4 << 20
# A writer with nothing to write for so long has the database do what its commits left for later.
QUIET_SECONDS: Final = 5.0
# A writer without calls looks so often whether it would get its locks.
_LOOK_SECONDS = 1.0
# How often the log names the same who hold them.
_TELL_SECONDS = 30.0


class Writer:
    """Group commit over one connection, behind a queue that is bounded in rows and bytes.

    The calls of a caller are committed in the order in which they came, and callers have their
    turns one after the other, each call with what follows from it (`follow_up`). Each is all or
    nothing, whatever shares its transaction: when a statement fails, the transaction is rolled back
    and the group is written again with a savepoint a call, so that the call which cannot be written
    fails alone. So does a call wait alone for a lock that another program holds, with the later
    ones of its caller.

    The thread ends when the writer is closed, or on an error that nobody expected. Then every call
    is answered UNAVAILABLE: the process has to end, and `when_dead` says so.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        reader: SpanReader,
        *,
        queue_rows: int,
        queue_bytes: int,
    ) -> None:
        self._database = database
        self._engine = engine
        self._reader = reader
        self.committed = OwnWrites()
        self._queue = WriteQueue(queue_rows, queue_bytes)
        self._group: list[PendingWrite] = []  # being written
        self._has_upkeep = True
        self._wrote_at = time.monotonic()
        self._wake = threading.Condition()
        self._closing = self._dead = False
        self._when_dead: Callable[[], object] = lambda: None
        self._waits_since: float | None = None
        # Since when another program has kept the writer from its locks.
        self._locked_since: float | None = None
        self._told_at = -_TELL_SECONDS
        self._thread = threading.Thread(target=self._run, name="spanloom-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return not self._dead and not self._closing

    def when_dead(self, call: Callable[[], object]) -> None:
        """Have the thread call this if it dies; at once if it has died."""
        with self._wake:
            self._when_dead = call
            is_dead = self._dead
        if is_dead:
            call()

    @property
    def is_dead(self) -> bool:
        """Whether the thread has ended without being asked to."""
        return self._dead

    async def __call__(
        self, work: Work, *, rows_only: bool = False, rows: int = 1, size: int = 0
    ) -> Any:
        """Do the work in a transaction and commit it; what the work returns.

        When the caller is cancelled, the work may have been committed or not.

        Args:
            rows_only: the work writes rows of spans, traces and evaluations, and runs no statement.
            rows, size: the weight of the call in the queue; size in bytes. `rows=0` is never
                refused: it stores the result of work that is done already.

        Raises:
            RESOURCE_EXHAUSTED: the queue is full; nothing is stored.
            UNAVAILABLE: the writer has not come to the call within PATIENCE_SECONDS, for others
                hold the lock; nothing is stored.
            UNAVAILABLE: the database failed, or the store is closed. The work may have been
                committed or not.
        """
        loop = asyncio.get_running_loop()
        caller, future = CALLER.get(), loop.create_future()
        until = time.monotonic() + settings.PATIENCE_SECONDS
        call = PendingWrite(work, caller, rows_only, rows, size, until, future, loop, SPAN.get())
        with self._wake:
            if not self.alive:
                raise errors.store_unavailable()
            if rows and not self._queue.has_room(call):
                raise errors.queue_full()
            self._queue.add(call)
            self._wake.notify()
        if not rows:
            return await call.future
        patience = loop.call_later(settings.PATIENCE_SECONDS, self._give_up, call)
        try:
            return await call.future
        finally:
            patience.cancel()

    @property
    def waits_for(self) -> float:
        """For how many seconds the writer has waited for its locks; 0 where it does not."""
        locked = self._locked_since
        since = self._waits_since if locked is None else locked
        return 0.0 if since is None else time.monotonic() - since

    def _give_up(self, call: PendingWrite) -> None:
        """Refuse a call that nobody has begun to write."""
        with self._wake:
            if not self._queue.remove(call):  # it is being written
                return
        if not call.future.done():
            call.future.set_exception(errors.store_unavailable())

    def close(self) -> None:
        """Write what was accepted, then stop. Blocks; further calls are refused at once."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        metrics.WRITERS.set(1)
        try:
            self._write_until_closed()
        except BaseException:
            log.exception("the writer has died")
            self._die()
        finally:
            metrics.WRITERS.set(0)

    def _die(self) -> None:
        """Answer whoever waits. What the calls of the last group have written is not known."""
        with self._wake:
            self._dead = True
            left = [*self._group]
            while self._queue:
                left.append(self._queue.take())
            when_dead = self._when_dead
        try:
            self._answer(left, [errors.store_unavailable()] * len(left))
        finally:
            when_dead()

    def _write_until_closed(self) -> None:
        while self._wait():
            self._upkeep_when_quiet()
            group: list[PendingWrite] = []
            self._waits_since = tried_at = time.monotonic()
            try:
                with self._database.write_lock():
                    # Only now: what came while another process wrote is committed along.
                    group = self._take()
                    if not group:
                        self._note_locks(self._gets_locks(), tried_at)
                        continue
                    began, began_ns = time.perf_counter(), time.time_ns()
                    results = self._commit(group)
                    stuck = {c for c, r in zip(group, results, strict=True) if r is STUCK}
                    self._note_locks(len(stuck) < len(group), tried_at)
                    if stuck:
                        self._put_back([call for call in group if call in stuck])
                        results = [result for result in results if result is not STUCK]
                        group = [call for call in group if call not in stuck]
                    if not group:
                        continue
                    metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)
                    metrics.COMMIT_ROWS.observe(sum(call.rows for call in group))
                    _record(group, began_ns)
                    self._answer(group, results)
                    self._upkeep(self._database.after_commit)
            except OSError as error:
                if not group:  # the lock cannot be taken
                    self._take()
                left = self._group  # none where the lock cannot be released
                self._answer(left, [public_error(error)] * len(left))
            finally:
                self._waits_since = None
            self._has_upkeep, self._wrote_at = True, time.monotonic()

    def _upkeep_when_quiet(self) -> None:
        if not self._has_upkeep or self._queue:
            return
        if time.monotonic() - self._wrote_at >= QUIET_SECONDS:
            self._has_upkeep = not self._upkeep(self._database.when_quiet)
            self._wrote_at = time.monotonic()

    def _wait(self) -> bool:
        """Until calls wait, or it is time to look; False when closing and no call waits."""
        with self._wake:
            if not self._queue and not self._closing:
                self._wake.wait(_LOOK_SECONDS)
            return bool(self._queue) or not self._closing

    def _take(self) -> list[PendingWrite]:
        """The calls that wait, up to a group's size."""
        group: list[PendingWrite] = []
        self._group = group
        rows = size = 0
        with self._wake:
            while self._queue:
                following = self._queue.next()
                rows, size = rows + following.rows, size + following.size
                if group and (rows > _GROUP_ROWS or size > _GROUP_BYTES):
                    break
                call = self._queue.take()
                group.append(call)
        return group

    def _put_back(self, group: Sequence[PendingWrite]) -> None:
        """Have calls that did not get their locks wait on, but for those that have waited for long
        enough."""
        now = time.monotonic()
        with self._wake:
            late = [c for c in group if (c.rows and c.until <= now) or self._closing]
            for call in reversed(group):
                if call not in late:
                    self._queue.put_back(call)
            stuck = set(group).difference(late)
            self._group = [call for call in self._group if call not in stuck]
        self._answer(late, [errors.store_unavailable()] * len(late))

    def _gets_locks(self) -> bool:
        """Whether a write would get its locks."""
        try:
            with self._engine.connect() as connection, connection.begin() as transaction:
                self._database.wait_for_locks(connection)
                transaction.rollback()
        except Exception as error:  # noqa: BLE001 - whoever reads finds out about any other
            return not self._database.is_locked(error)
        return True

    def _note_locks(self, are_free: bool, tried_at: float) -> None:
        """Remember whether the writer got its locks, and log who keeps it from them."""
        if are_free:
            self._locked_since = None
            return
        if self._locked_since is None:
            self._locked_since = tried_at
        if time.monotonic() - self._told_at < _TELL_SECONDS:
            return
        try:
            holders = self._database.lock_holders(self._engine)
        except Exception:  # noqa: BLE001 - the database may be away by now
            return
        if holders:
            self._told_at = time.monotonic()
            log.error("the database is locked by %s", holders)

    def _upkeep(self, work: Callable[[Engine], bool]) -> bool:
        """Whether there is nothing left to do before the next commit."""
        try:
            return work(self._engine)
        except Exception:  # the thread must live, and the calls are answered
            log.exception("the maintenance of the database failed")
            return True

    def _commit(self, group: Sequence[PendingWrite]) -> list[Any]:
        """Write a group in one transaction. What each call gets: a result, or the error to raise;
        STUCK where it was not written, for another program holds a lock."""
        rows_only = self._database.writes_together and all(call.rows_only for call in group)
        # Else all would wait for the lock of one once more.
        is_split = any(call.is_stuck for call in group)
        rows_only = rows_only and not is_split
        renewed = False
        while True:
            stage: Literal["begin", "write", "commit"] = "begin"
            try:
                with self._engine.begin() as connection, attachments.read_from(connection):
                    transaction = Transaction(
                        self._database,
                        connection,
                        self._reader,
                        rows_only=rows_only,
                        under_savepoint=is_split,
                    )
                    stage = "write"
                    self._waits_since = None
                    results = (one_by_one if is_split else together)(transaction, group)
                    stage = "commit"
                    flushing = time.perf_counter()
                metrics.FLUSH_SECONDS.observe(time.perf_counter() - flushing)
                return results
            except RowsOnlyError:
                rows_only = False
            except Exception as error:  # noqa: BLE001 - raised to the callers
                if stage != "commit" and self._database.is_locked(error):
                    if stage == "begin" or is_split:
                        return [STUCK] * len(group)
                    is_split, rows_only = True, False
                    continue
                if is_lost(error) and stage != "commit" and not renewed:
                    # The connection was stale: nothing was committed, and a new connection may do.
                    renewed = True
                elif stage == "write" and not is_lost(error) and not is_split:
                    is_split, rows_only = True, False
                else:
                    return [public_error(error)] * len(group)

    def _answer(self, group: Sequence[PendingWrite], results: Sequence[Any]) -> None:
        with self._wake:
            for call in group:
                self._queue.answered(call)
        answered = set(group)
        if any(call.rows for call in group):
            self.committed.add()
        # One wake-up an event loop, not one a call.
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for call, result in zip(group, results, strict=True):
            by_loop.setdefault(call.loop, []).append((call.future, result))
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, answers)
            except RuntimeError:  # the loop was closed: nobody waits any more
                log.warning(
                    "%d writes were committed after their callers disconnected", len(answers)
                )
        self._group = [call for call in self._group if call not in answered]


def _record(group: Sequence[PendingWrite], began_ns: int) -> None:
    """Record the commit for the calls that are recorded."""
    spans = [call.span for call in group if call.span]
    if spans:
        rows = sum(call.rows for call in group)
        spans[0].recorder.end_commit(spans, began_ns, rows, len(group))


def _resolve(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():  # cancelled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
