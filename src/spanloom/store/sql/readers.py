"""Threads that read, each with a connection of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from spanloom import errors

log = logging.getLogger("spanloom.store")

T = TypeVar("T")

# More would only wait for the interpreter's lock.
READERS = 8


class Readers:
    """Runs queries on the connections of an engine, at most `READERS` at once; the others wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="spanloom-reader")

    async def __call__(self, query: Callable[[Connection], T], /) -> T:
        """What the query returns; UNAVAILABLE when it fails, the cause goes to the log."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self.run, query)
        except RuntimeError:  # closed
            raise errors.store_unavailable() from None
        return await reading

    def run(self, query: Callable[[Connection], T]) -> T:
        """As calling it, in this thread. A stale connection (the server restarted) is renewed once."""
        for attempt in (1, 2):
            try:
                with self._engine.connect() as connection:
                    return query(connection)
            except Exception as error:
                stale = isinstance(error, DBAPIError) and error.connection_invalidated
                if not stale or attempt == 2:
                    log.error("a read failed", exc_info=error)
                    break
        raise errors.store_unavailable()

    def close(self) -> None:
        """Finish what runs. Blocks; further queries are refused at once."""
        self._threads.shutdown()
        self._engine.dispose()
