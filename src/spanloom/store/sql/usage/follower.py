"""Adds what has changed to the sums, behind the writer.

A batch is worked out outside of the writer's lock. Inside it the follower looks whether what it
read has changed meanwhile, and then works it out anew; it stores the batch, forgets the notes and
moves the cursor. All of that is one transaction, which has the lock of all writers alone: of two
followers one finds that the cursor has moved, and a crash leaves all of it or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from spanloom import errors
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.pace import Pace
from spanloom.store.sql.tables import spans, usage_cursor, usage_moved, usage_retired
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.usage import cells
from spanloom.store.sql.usage.changes import READER, Window, changes, is_quiet, noted, position

log = logging.getLogger("spanloom.store")

# Spans a batch: a cell is written once for all of a batch, so a larger batch costs less a span.
BATCH = 5_000
# After a batch that was not full, so that the next is worth its while: reads go through what waits.
_PAUSE_SECONDS = 0.25
# During a burst of spans so many may wait; a read that needs sums works them out, in about a
# second.
MOST_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is stored for a window of versions, and what it was worked out from."""

    window: Window
    noted: tuple[int, int]
    spans: int
    cells: dict[str, list[Any] | None]


class Follower:
    """Keeps the sums of a database up to what is written. Any number may run."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write
        self._database = connections.database
        self._pace = Pace(select(usage_cursor.c.reached), MOST_WAITING)
        self._limit = 0  # every version below is committed

    async def run_until(self, stop: asyncio.Event) -> None:
        """Add what is written until `stop`, and give way to bursts of spans. A failure of the
        database is logged by the store, and tried again."""
        while not stop.is_set():
            try:
                gives_way = await self._read(self._pace.gives_way)
                done = not gives_way and await self.step() >= BATCH
            except errors.SpanloomError:
                done = False
            except Exception:
                log.exception("the sums over spans could not be made")
                done = False
            if not done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _PAUSE_SECONDS)

    async def catch_up(self) -> None:
        """Add all that is committed now."""
        while await self.step():
            pass

    async def step(self) -> int:
        """Add one batch; how many spans it had, 1 where other things had changed, 0 for nothing to
        add."""
        batch = await self._read(self._prepare)
        if batch is None:
            return 0
        return int(await self._write(partial(self._apply, batch), rows=0))

    async def renew(self) -> None:
        """Forget all sums: the next steps make them anew. Reads are exact meanwhile, and slow."""
        await self._write(self._clear, rows=0)

    def _prepare(self, connection: Connection) -> _Batch | None:
        reached, reader = position(connection)
        if reader != READER:
            return _Batch(Window(-1, None), (0, 0), 0, {})
        if is_quiet(connection, reached):
            return None
        return self._work_out(connection, reached, self._limit)

    def _work_out(self, connection: Connection, reached: int, limit: int) -> _Batch:
        last_of_full = (
            select(spans.c.version)
            .where(spans.c.version >= reached, spans.c.version < limit)
            .order_by(spans.c.version)
            .limit(1)
            .offset(BATCH - 1)
        )
        last = connection.execute(last_of_full).scalar()
        # Versions that clocks gave may be those of two spans: both are in one batch.
        upto = max(reached, limit) if last is None else last + 1
        window = Window(reached, upto)
        notes = noted(connection)
        number = self._number(connection, window)
        sums = cells.sums_of(changes(connection, self._database, window))
        found = cells.with_stored(connection, self._database, sums)
        return _Batch(window, notes, number, found)

    def _apply(self, batch: _Batch, transaction: Transaction) -> int:
        connection = transaction.connection
        self._limit = transaction.first_version
        reached, reader = position(connection)
        if reader != READER:
            self._clear(transaction)
            return 1
        if (
            reached != batch.window.reached
            or batch.noted != noted(connection)
            or not batch.spans
            or batch.spans != self._number(connection, batch.window)
        ):
            batch = self._work_out(connection, reached, self._limit)
        cells.store(connection, self._database, batch.cells)
        connection.execute(delete(usage_retired))
        connection.execute(delete(usage_moved))
        connection.execute(update(usage_cursor).values(reached=batch.window.limit))
        return max(1, batch.spans)

    def _clear(self, transaction: Transaction) -> None:
        connection = transaction.connection
        cells.clear(connection)
        connection.execute(delete(usage_retired))
        connection.execute(delete(usage_moved))
        connection.execute(update(usage_cursor).values(reached=0, reader=READER))

    @staticmethod
    def _number(connection: Connection, window: Window) -> int:
        of_window = select(func.count()).where(
            spans.c.version >= window.reached, spans.c.version < window.limit
        )
        return int(connection.execute(of_window).scalar_one())
