"""Threads that read, each with a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from spanloom import errors
from spanloom.model.caller import CALLER, DEADLINE
from spanloom.store.sql import attachments
from spanloom.store.sql.database import Database
from spanloom.store.sql.failures import is_lost, is_timeout, public_error

T = TypeVar("T")

_INTERRUPT_SECONDS = 0.05
# A statement of a stream, which has no deadline; and how much later than its caller any ends.
_LONGEST_SECONDS = 60.0
_LATE_SECONDS = 1.0


def _closed_on_error(connection: Connection, query: Callable[[Connection], T]) -> T:
    """What the query returns. A statement that is left in the middle keeps its snapshot on SQLite,
    and the next read on the connection would see that old state; so the connection is closed."""
    try:
        return query(connection)
    except BaseException:
        connection.invalidate()
        raise


class _Read:
    """One query, for one caller, in the context of its call."""

    def __init__(self, database: Database, query: Callable[[Connection], Any], of: str) -> None:
        self.of = of
        self._query = query
        self._context = copy_context()
        self.result: Future[Any] = Future()
        self.is_cancelled = False
        self._database = database
        self._lock = threading.Lock()
        self._connection: Any = None

    def on(self, connection: Connection) -> Any:
        """Run the query."""
        self._set(connection.connection.dbapi_connection)
        try:
            return self._context.run(_closed_on_error, connection, self._in_time)
        finally:
            self._set(None)

    def _in_time(self, connection: Connection) -> Any:
        """The query, of which the database itself ends what its caller has left, also when this
        process cannot say so."""
        if self.of:
            deadline = DEADLINE.get()
            left = _LONGEST_SECONDS if deadline is None else deadline - time.monotonic()
            self._database.limit_statements(connection, left + _LATE_SECONDS)
        return self._query(connection)

    def interrupt(self) -> None:
        """End the statement that runs, if one does."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(Exception):  # the connection may be lost
                    self._database.interrupt(self._connection)

    def _set(self, connection: Any) -> None:
        with self._lock:
            self._connection = connection


class Readers:
    """Runs queries in threads, for each caller (`spanloom.model.caller`) in turn.

    A query whose caller is cancelled is interrupted, whatever statement it runs.

    Args:
        threads: So many queries run at once; the others wait.
        share: So many of them may be of one caller.
    """

    def __init__(
        self, database: Database, engine: Engine, name: str, *, threads: int, share: int
    ) -> None:
        self._database = database
        self._engine = engine
        self._most, self._share = threads, share
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"spanloom-{name}")
        self._lock = threading.Lock()
        # By caller, the one whose turn is next first.
        self._waiting: dict[str, deque[_Read]] = {}
        self._running: Counter[str] = Counter()
        self._active: set[_Read] = set()
        self._interrupts: set[asyncio.Task[None]] = set()

    async def __call__(self, query: Callable[[Connection], T], /) -> T:
        """What the query returns. A failure of the database is UNAVAILABLE; any other is raised as
        it is."""
        read = _Read(self._database, query, CALLER.get())
        with self._lock:
            self._waiting.setdefault(read.of, deque()).append(read)
        try:
            self._start()
        except RuntimeError:  # closed
            raise errors.store_unavailable() from None
        try:
            result: T = await asyncio.wrap_future(read.result)
            return result
        except asyncio.CancelledError:
            read.is_cancelled = True
            task = asyncio.get_running_loop().create_task(_interrupt(read))
            self._interrupts.add(task)
            task.add_done_callback(self._interrupts.discard)
            raise

    def _start(self) -> None:
        """Have threads take what they may."""
        with self._lock:
            while (read := self._next()) is not None:
                self._running[read.of] += 1
                try:
                    self._threads.submit(self._work, read)
                except RuntimeError:
                    self._running[read.of] -= 1
                    raise

    def _next(self) -> _Read | None:
        if self._running.total() >= self._most:
            return None
        for of, reads in self._waiting.items():
            if not of or self._running[of] < self._share:
                read = reads.popleft()
                del self._waiting[of]
                if reads:
                    self._waiting[of] = reads  # behind the others
                return read
        return None

    def _work(self, read: _Read) -> None:
        try:
            # False where the caller was cancelled before its turn.
            if read.result.set_running_or_notify_cancel():
                self._active.add(read)
                try:
                    found = self._run(read)
                except BaseException as error:  # noqa: BLE001 - raised to the caller
                    read.result.set_exception(error)
                else:
                    read.result.set_result(found)
        finally:
            self._active.discard(read)
            with self._lock:
                self._running[read.of] -= 1
                if not self._running[read.of]:
                    del self._running[read.of]
            with contextlib.suppress(RuntimeError):  # closed
                self._start()

    def _run(self, read: _Read) -> Any:
        """In this thread. A stale connection (the server restarted) is renewed once."""
        renewed = False
        while True:
            try:
                with self._engine.connect() as connection, attachments.read_from(connection):
                    return read.on(connection)
            except Exception as error:
                if read.is_cancelled:
                    raise
                if is_lost(error) and not renewed:
                    renewed = True
                    continue
                if is_timeout(error):
                    raise TimeoutError from None
                public = public_error(error)
                if public is error:
                    raise
                raise public from None

    def close(self) -> None:
        """Finish what runs, and interrupt what nobody waits for. Blocks; further queries are
        refused at once."""
        self._threads.shutdown(wait=False)
        while left_alone := [read for read in tuple(self._active) if read.is_cancelled]:
            for read in left_alone:
                read.interrupt()
            time.sleep(_INTERRUPT_SECONDS)
        self._threads.shutdown()
        with self._lock:
            left, self._waiting = self._waiting, {}
        for reads in left.values():
            for read in reads:
                if read.result.set_running_or_notify_cancel():
                    read.result.set_exception(errors.store_unavailable())


async def _interrupt(read: _Read) -> None:
    """Interrupt a read until it has ended: between two statements an interrupt has no effect."""
    while not read.result.done():
        await asyncio.to_thread(read.interrupt)
        await asyncio.sleep(_INTERRUPT_SECONDS)
