"""Fills the index of terms behind the writer, in one process at a time. When it is idle, that
process also deletes what spans have left behind.

A batch is read and its terms are made outside the writer's lock; inside it the terms are written
and the cursor moves, so that both are there or neither. All versions below the first one that the
transaction itself took are committed: it has the lock of all writers alone. They are the next
batch's limit, and a version that is written later is above the cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from spanloom import errors
from spanloom.model import uuid7
from spanloom.store.sql import attachments, envelopes
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.index import table, terms
from spanloom.store.sql.index.terms import Terms
from spanloom.store.sql.pace import Pace
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.tables import deleted_spans, spans, term_cursor
from spanloom.store.sql.transaction import Transaction

log = logging.getLogger("spanloom.store")

# Spans a transaction, and different words: the writer's lock is held for about 5 to 10 ms.
BATCH = 200
# During a burst of spans so many may wait: many more than are indexed until it ends.
MOST_WAITING = 100_000
_MOST_WORDS = 100_000
# So long after a process died another one continues its work.
_LEASE_NS = 10 * 10**9
_IDLE_SECONDS = 0.5
# An index with fewer entries is kept as it is.
_FEW_ENTRIES = 10_000
# So often an idle indexer looks how many entries are of no span any more.
_LOOK_SECONDS = 600
# So often envelopes are looked at.
_SWEEP_NS = 3600 * 10**9
# Words that were seen, which are not written again: most words of a batch are among them.
_KNOWN_WORDS = 200_000

_NEXT = select_whole(
    select(spans).where(
        spans.c.version >= bindparam("reached"), spans.c.version < bindparam("end")
    ),
    ("version",),
    limit=BATCH,
    also=("project", "version"),
)
_NEWEST = select(spans.c.version).order_by(spans.c.version.desc()).limit(1)
_CURSOR = select(term_cursor).where(term_cursor.c.id == 1)


class _Batch(NamedTuple):
    """The terms of versions of spans, in their order, and what is new of words."""

    terms_of: dict[int, Terms]
    new: set[bytes]


class Indexer:
    """Indexes the spans of a database while it has the lease."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._read, self._write = connections.read, connections.write
        self._to_span = connections.reader.to_span
        self._owner = uuid7()
        self._known: set[bytes] = set()
        self._pace = Pace(select(term_cursor.c.reached), MOST_WAITING)
        self._limit = 0  # every version below is committed
        self._swept_ns = 0  # when envelopes were looked at

    async def run_until(self, stop: asyncio.Event) -> None:
        """Index what is written until `stop`, and give way to bursts of spans. A failure of the
        database is logged by the store, and tried again."""
        look_at = time.monotonic() + _LOOK_SECONDS
        while not stop.is_set():
            try:
                gives_way = await self._read(self._pace.gives_way)
                done = 0 if gives_way else await self.step()
                if not gives_way and not done and time.monotonic() > look_at:
                    look_at = time.monotonic() + _LOOK_SECONDS
                    await self.renew_if_dead()
                    await self.sweep_envelopes()
                    await self.sweep_attachments()
            except errors.SpanloomError:
                done = 0
            except Exception:
                log.exception("spans could not be indexed")
                done = 0
            if not done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _IDLE_SECONDS)

    async def catch_up(self) -> None:
        """Index all that is committed now, if this process has the lease or can have it."""
        await self._write(self._take_lease, rows=0)
        while await self.step():
            pass

    async def release(self) -> None:
        """Give the lease up, if this process took it: another can go on at once."""
        if self._limit:
            mine = update(term_cursor).where(
                term_cursor.c.id == 1, term_cursor.c.owner == self._owner
            )
            freed = mine.values(owner="", lease_ns=0)
            with contextlib.suppress(errors.SpanloomError):  # it expires by itself
                await self._write(lambda transaction: transaction.connection.execute(freed), rows=0)

    async def step(self) -> int:
        """Index one batch; how many spans it had, 0 too where another process has the lease."""
        pending = await self._read(self._pending)
        if pending is None:
            return 0
        reached, newest = pending
        if newest < reached:
            return 0
        if not reached <= newest < self._limit and not await self._write(self._take_lease, rows=0):
            return 0
        batch = await self._read(partial(self._batch, reached))
        if not batch:
            return 0
        if not await self._write(partial(self._store, reached, batch), rows=0):
            return 0
        if len(self._known) > _KNOWN_WORDS:
            self._known.clear()
        self._known |= batch.new
        return len(batch.terms_of)

    async def renew_if_dead(self) -> None:
        """Empty the index and begin anew where more than half of it is of spans that are gone: FTS5
        takes no entry out. Meanwhile reads go through the spans."""
        if await self._read(self._is_dead) and await self._write(self._take_lease, rows=0):
            await self._write(self._clear, rows=0)

    async def refill(self) -> int:
        """Empty the index and fill it anew, whichever process has the lease: then it has nothing of
        spans that are gone. How many spans were indexed."""
        await self._write(self._take_over, rows=0)
        number, until = 0, self._limit
        while done := await self.step():
            number += done
            if (await self._read(lambda c: c.execute(_CURSOR).one())).reached >= until:
                break  # what is younger has its turn in a server
        await self.release()
        return number

    async def sweep_envelopes(self) -> None:
        """Delete the envelopes that no span has any more, where spans were deleted since the last
        time, which is a while ago."""
        now = time.time_ns()
        deleted = select(deleted_spans.c.version).where(deleted_spans.c.deleted_ns > self._swept_ns)
        if (
            now > self._swept_ns + _SWEEP_NS
            and await self._read(lambda c: c.execute(deleted.limit(1)).first()) is not None
            and await self._write(self._take_lease, rows=0)
        ):
            await envelopes.delete_unused(self._connections)
            self._swept_ns = now

    async def sweep_attachments(self) -> None:
        """Delete the attachments that no span has any more since its row was replaced."""
        if await self._read(attachments.any_released):
            await self._write(attachments.delete_released, rows=0)

    def _is_dead(self, connection: Connection) -> bool:
        entries = connection.execute(_CURSOR).one().entries
        if entries < _FEW_ENTRIES:
            return False
        alive = connection.execute(select(func.count()).select_from(spans)).scalar_one()
        return bool(entries > 2 * alive)

    def _clear(self, transaction: Transaction) -> None:
        mine = (term_cursor.c.id == 1, term_cursor.c.owner == self._owner)
        emptied = update(term_cursor).where(*mine).values(reached=0, entries=0)
        if transaction.connection.execute(emptied).rowcount:
            table.clear(transaction.connection)
            self._known.clear()

    def _take_over(self, transaction: Transaction) -> None:
        until = time.time_ns() + _LEASE_NS
        mine = update(term_cursor).where(term_cursor.c.id == 1)
        taken = mine.values(owner=self._owner, lease_ns=until, reached=0, entries=0)
        transaction.connection.execute(taken)
        table.clear(transaction.connection)
        self._known.clear()
        self._limit = transaction.first_version

    def _pending(self, connection: Connection) -> tuple[int, int] | None:
        """The cursor and the newest version, None where another process has the lease."""
        row = connection.execute(_CURSOR).one()
        if row.owner != self._owner and row.lease_ns > time.time_ns():
            return None
        return row.reached, connection.execute(_NEWEST).scalar() or -1

    def _take_lease(self, transaction: Transaction) -> bool:
        now = time.time_ns()
        owner = transaction.connection.execute(_CURSOR).one().owner
        if owner != self._owner:
            self._known.clear()
        taken = transaction.connection.execute(
            update(term_cursor)
            .where(
                term_cursor.c.id == 1,
                (term_cursor.c.owner == self._owner) | (term_cursor.c.lease_ns < now),
            )
            .values(owner=self._owner, lease_ns=now + _LEASE_NS)
        )
        self._limit = transaction.first_version
        return bool(taken.rowcount)

    def _batch(self, reached: int, connection: Connection) -> _Batch | None:
        """The terms of the first versions from the cursor on that are committed."""
        terms_of: dict[int, Terms] = {}
        words: set[bytes] = set()
        for row in connection.execute(_NEXT, {"reached": reached, "end": self._limit}):
            of_span = terms_of[row.version] = self._terms_of(row)
            words |= of_span.words
            if len(words) > _MOST_WORDS:
                break
        return _Batch(terms_of, table.noted(words, self._known)) if terms_of else None

    def _terms_of(self, row: Any) -> Terms:
        """The terms of a span. One that cannot be read as a whole keeps no other from the index."""
        try:
            return terms.span_terms(row.project, self._to_span(row))
        except Exception:
            log.exception("a span could not be indexed", extra={"version": row.version})
            return terms.nothing_known(row.project)

    def _store(self, reached: int, batch: _Batch, transaction: Transaction) -> bool:
        now = time.time_ns()
        moved = transaction.connection.execute(
            update(term_cursor)
            .where(
                term_cursor.c.id == 1,
                term_cursor.c.owner == self._owner,
                term_cursor.c.reached == reached,
            )
            .values(
                reached=max(batch.terms_of) + 1,
                entries=term_cursor.c.entries + len(batch.terms_of),
                lease_ns=now + _LEASE_NS,
            )
        )
        if not moved.rowcount:
            return False
        table.add(transaction.connection, batch.terms_of)
        if batch.new:
            table.add_words(transaction.connection, batch.new)
        self._limit = transaction.first_version
        return True
