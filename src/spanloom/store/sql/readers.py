"""Threads that read, each with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from spanloom import errors
from spanloom.store.sql.failures import is_lost, public_error

T = TypeVar("T")

# More would only wait for the interpreter's lock.
READERS = 8


def _closed_on_error(connection: Connection, query: Callable[[Connection], T]) -> T:
    """What the query returns. A statement that is left in the middle keeps its snapshot on SQLite,
    and the next read on the connection would see that old state; so the connection is closed."""
    try:
        return query(connection)
    except BaseException:
        connection.invalidate()
        raise


class Readers:
    """Runs queries on the connections of an engine, at most `READERS` at once; the others wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="spanloom-reader")

    async def __call__(self, query: Callable[[Connection], T], /) -> T:
        """What the query returns. A failure of the database is UNAVAILABLE; any other is raised as
        it is."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)
        except RuntimeError:  # closed
            raise errors.store_unavailable() from None
        return await reading

    def _run(self, query: Callable[[Connection], T]) -> T:
        """As calling it, in this thread. A stale connection (the server restarted) is renewed
        once."""
        renewed = False
        while True:
            try:
                with self._engine.connect() as connection:
                    return _closed_on_error(connection, query)
            except Exception as error:
                if is_lost(error) and not renewed:
                    renewed = True
                    continue
                public = public_error(error)
                if public is error:
                    raise
                raise public from None

    def close(self) -> None:
        """Finish what runs. Blocks; further queries are refused at once."""
        self._threads.shutdown()
        self._engine.dispose()
