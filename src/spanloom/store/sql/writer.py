"""One thread writes for everyone: what waits is committed together, and each call is answered when its rows are durable."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DataError, DBAPIError

from spanloom import errors
from spanloom.store.sql.dialect import Database, Row
from spanloom.store.sql.settling import Due, Written

log = logging.getLogger("spanloom.store")

Rows = Mapping[Table, Sequence[Row]]
Statements = Callable[[Connection], Any]
# What is due after the commits of several calls, by what each of them wrote.
Look = Callable[[Sequence[Written]], Sequence[Due]]

# A transaction takes no more rows than this (or one call): no call waits long for others.
_GROUP_ROWS = 5_000


@dataclass(slots=True, eq=False)
class _Call:
    """One call of `write`: rows to upsert, or statements to run in the transaction, and who waits for it."""

    work: Rows | Statements
    written: Written | None
    rows: int
    size: int
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Writer:
    """Group commit over one connection, behind a queue that is bounded in rows and bytes.

    A call MUST be all or nothing, whatever shares its transaction: when a statement fails, the transaction is rolled back
    and each of its calls is tried in a transaction of its own, so that the one which cannot be written fails alone.
    """

    def __init__(
        self, database: Database, engine: Engine, look: Look, *, queue_rows: int, queue_bytes: int
    ) -> None:
        self._database = database
        self._engine = engine
        self._look = look
        self._max_rows, self._max_size = queue_rows, queue_bytes
        self._rows = self._size = 0  # of all calls not answered yet, those being written included
        self._queue: deque[_Call] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="spanloom-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closing

    async def write(
        self,
        work: Rows | Statements,
        *,
        written: Written | None = None,
        rows: int = 1,
        size: int = 0,
    ) -> Any:
        """Commit the work; for statements, what they return. `rows` and `size` (bytes) are its weight in the queue.

        With `written`, the result is a pair: that, and what is due of those events after the commit.

        A call heavier than the whole queue is taken when nothing else waits, one that weighs no rows (the next step of a call that
        was taken, which must not be refused any more) always. When the caller is cancelled, the work may
        have been committed or not.
        """
        loop = asyncio.get_running_loop()
        call = _Call(work, written, rows, size, loop.create_future(), loop)
        with self._wake:
            if not self.alive:
                raise errors.store_unavailable()
            full = self._rows + rows > self._max_rows or self._size + size > self._max_size
            if full and self._rows and rows:
                raise errors.queue_full()
            self._rows += rows
            self._size += size
            self._queue.append(call)
            self._wake.notify()
        return await call.future

    def close(self) -> None:
        """Write what was accepted, then stop. Blocks; further calls are refused at once."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            try:
                with self._database.turn():
                    # Only now: what came while another process wrote goes along.
                    group = self._take()
                    self._answer(group, self._looked_after(group, self._commit(group)))
                    self._upkeep()
            except OSError as error:  # the turn could not be had
                group = self._take()
                self._answer(group, [_told(error)] * len(group))

    def _wait(self) -> bool:
        """Until calls wait; False when closing and none does."""
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            return bool(self._queue)

    def _take(self) -> list[_Call]:
        """The calls that wait, up to a group's size."""
        group: list[_Call] = []
        rows = 0
        with self._wake:
            while self._queue and (not group or rows + self._queue[0].rows <= _GROUP_ROWS):
                rows += self._queue[0].rows
                group.append(self._queue.popleft())
        return group

    def _upkeep(self) -> None:
        try:
            self._database.after_commit(self._engine)
        except Exception:  # the thread must live, and the calls are answered
            log.exception("upkeep of the database failed")

    def _commit(self, group: Sequence[_Call], *, again: bool = False) -> list[Any]:
        """Write a group in one transaction. What each call gets: a result, or the error to raise."""
        stage: Literal["begin", "write", "commit"] = "begin"
        try:
            with self._engine.begin() as connection:
                stage = "write"
                results = self._write(connection, group)
                stage = "commit"
            return results
        except Exception as error:  # noqa: BLE001 - told to the callers, and logged there
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            if lost and stage != "commit" and not again:
                # The connection was stale (the server restarted): nothing was committed, and a new one may do.
                return self._commit(group, again=True)
            if stage == "write" and not lost and len(group) > 1:
                return [result for call in group for result in self._commit([call])]
            return [_told(error)] * len(group)

    def _write(self, connection: Connection, group: Sequence[_Call]) -> list[Any]:
        results: list[Any] = []
        for is_statements, calls in groupby(group, key=lambda call: callable(call.work)):
            if is_statements:
                results += [call.work(connection) for call in calls]  # type: ignore[operator]
                continue
            merged: dict[Table, list[Row]] = {}
            for call in calls:
                for table, rows in call.work.items():  # type: ignore[union-attr]
                    merged.setdefault(table, []).extend(rows)
                results.append(None)
            for table, rows in merged.items():
                self._database.upsert(connection, table, rows)
        return results

    def _looked_after(self, group: Sequence[_Call], results: list[Any]) -> list[Any]:
        """The results, with what is due of those calls that ask for it; one look for the whole group."""
        asking = [
            (n, call.written)
            for n, call in enumerate(group)
            if call.written is not None and not isinstance(results[n], Exception)
        ]
        if not asking:
            return results
        try:
            found = self._look([written for _, written in asking])
            for (n, _), due in zip(asking, found, strict=True):
                results[n] = results[n], due
        except Exception as error:  # noqa: BLE001 - as in _commit
            for n, _ in asking:
                results[n] = _told(error)
        return results

    def _answer(self, group: Sequence[_Call], results: Sequence[Any]) -> None:
        with self._wake:
            self._rows -= sum(call.rows for call in group)
            self._size -= sum(call.size for call in group)
        # One wake-up an event loop, not one a call.
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for call, result in zip(group, results, strict=True):
            by_loop.setdefault(call.loop, []).append((call.future, result))
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, answers)
            except RuntimeError:  # the loop was closed: nobody waits any more
                log.warning("%d writes were committed for callers that have gone", len(answers))


def _resolve(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():  # cancelled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _told(error: Exception) -> errors.SpanloomError:
    """What a caller is told of an error; the error itself goes to the log alone."""
    if isinstance(error, errors.SpanloomError):
        return error
    log.error("a write failed", exc_info=error)
    if isinstance(error, (DataError, OverflowError, UnicodeError)):
        return errors.invalid_field("", "the database cannot hold a value of this request")
    return errors.store_unavailable()
