"""The store that the program works with: both contracts on one database, opened from its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Self

from sqlalchemy import Connection, func, select

from spanloom.errors import SetupError
from spanloom.store.spans import Restore
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.control import SqlControl
from spanloom.store.sql.cursors import SqlCursors
from spanloom.store.sql.erasure.work import SqlErasure
from spanloom.store.sql.index.indexer import Indexer
from spanloom.store.sql.maintenance import Maintained, maintain
from spanloom.store.sql.reading import no_adapter
from spanloom.store.sql.rederive import Range, step
from spanloom.store.sql.spans import SqlSpans
from spanloom.store.sql.tables import evaluations
from spanloom.store.sql.urls import database
from spanloom.store.sql.usage.follower import Follower


class Store(SqlSpans, SqlControl, SqlCursors):
    """The store of spans (`SpanStore`) and the control store (`ControlStore`) in one SQL database:
    SQLite or PostgreSQL.

    Safe to use from any number of event loops; its threads are its own. Calls after `close` raise
    UNAVAILABLE.
    """

    def __init__(self, connections: Connections) -> None:
        SqlSpans.__init__(self, connections)
        SqlControl.__init__(self, connections)
        SqlCursors.__init__(self, connections)
        self.indexer = Indexer(connections)
        self.follower = Follower(connections)
        self.erasure = SqlErasure(connections, self.follower)
        self._connections = connections

    async def follow_until(self, stop: asyncio.Event, retention_days: int = 0) -> None:
        """Do what is done behind the writer until `stop`: the index of terms, the sums over spans,
        and the deletion of what is too old.

        Args:
            retention_days: as of `Erasure.expire`.
        """
        await asyncio.gather(
            self.indexer.run_until(stop),
            self.follower.run_until(stop),
            self.erasure.run_until(stop, retention_days),
        )

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        control_url: str = "",
        restore: Restore = no_adapter,
        reread: Restore = no_adapter,
        migrate: bool = True,
        newer: bool = False,
        durable: bool = True,
        queue_rows: int = 50_000,
        queue_bytes: int = 64 << 20,
        max_event_bytes: int = 8 << 20,
        read_url: str = "",
        stale_reads: bool = False,
    ) -> Self:
        """Open the database of a URL: `sqlite:///FILE` (created when absent) or
        `postgresql+psycopg://...`.

        Args:
            control_url: the database of the control store; "" means that of `url`, and another is
                not supported yet.
            restore: makes the whole spans of what adapters keep of them (`Sent.message`); without
                it a store reads only spans that were written with their parts.
            reread: as `restore`, but derives the columns as well, for spans whose messages came in
                pieces (`ControlStore.append_to_spans`).
            migrate: create the tables or take them to the newest schema first.
            newer: without `migrate`, open also a database that a newer version has upgraded.
            durable: False for a process that writes only what can be made again, the index of
                terms: a crash of the machine may undo the last of it, and no commit waits for the
                disk.
            queue_rows, queue_bytes: the bounds of the queue before the writer.
            max_event_bytes: of one event or span with its updates; an update beyond is refused.
            read_url: a standby of the database, which answers exports, lists of spans and events,
                searches of messages, charts and sums; "" for none.
            stale_reads: these may miss what was acknowledged a moment before.

        Raises:
            SetupError: a URL names no database that can be used; or, without `migrate`, the file or
                the tables are absent, or the schema is of another version.
            UNAVAILABLE: the database cannot be reached or created; `__cause__` says why.
        """
        if control_url and database(control_url).url != database(url).url:
            raise SetupError(
                "a control database apart from the database of spans is not supported yet: "
                "leave control_database out, or give it the same URL"
            )
        connections = await Connections.open(
            url,
            restore=restore,
            reread=reread,
            migrate=migrate,
            newer=newer,
            durable=durable,
            queue_rows=queue_rows,
            queue_bytes=queue_bytes,
            max_event_bytes=max_event_bytes,
            read_url=read_url,
            stale_reads=stale_reads,
        )
        return cls(connections)

    async def rederive(self, reread: Restore, which: Range) -> AsyncIterator[int]:
        """Derive the columns of stored spans anew, in many transactions; how many each wrote.

        It may be interrupted at any time and started again. Writes go on beside it; spans that are
        written meanwhile are left as they are.

        Args:
            reread: As `restore` of `open`, but derives the columns as well.
        """
        write = self._connections.write
        upto = await write(lambda transaction: transaction.first_version, rows=0)
        after = 0
        while (
            done := await write(partial(step, reread=reread, which=which, after=after, upto=upto))
        ) is not None:
            after = done.reached
            yield done.written

    async def maintain(self, *, retention_days: int = 0, full: bool = False) -> Maintained:
        """Delete what is due, and take the bytes of all that was deleted from the disk. Servers may
        run meanwhile; their writes wait while a file is written anew.

        Args:
            retention_days: as of `Erasure.expire`.
            full: as of `Database.compact`.
        """
        return await maintain(self, self._connections, retention_days=retention_days, full=full)

    async def figures(self) -> dict[str, float]:
        """What the database says of itself, and how many evaluations wait, by the names of
        metrics."""
        waiting = select(func.count()).select_from(evaluations)

        def read(connection: Connection) -> dict[str, float]:
            number = connection.execute(waiting).scalar_one()
            target = self._connections.database
            found = {**target.sizes(connection), "evaluations_waiting": number}
            checkpoint = target.checkpoint_time()
            if checkpoint is not None:
                found["checkpoint_timestamp_seconds"] = checkpoint
            return found

        return await self._connections.read(read)

    async def ready(self) -> bool:
        """Whether a read is answered and the writer lives; for health checks."""
        return await self._connections.ready()

    def when_writer_dies(self, call: Callable[[], object]) -> None:
        """Have the writer's thread call this if it ends unasked; at once if it has. Then nothing
        can be written any more, and the process has to end."""
        self._connections.write.when_dead(call)

    @property
    def has_dead_writer(self) -> bool:
        return self._connections.write.is_dead

    async def close(self) -> None:
        """Finish what was accepted, then close. Closing again does nothing."""
        await self.indexer.release()
        await asyncio.to_thread(self._connections.close)
