"""The two ways into a database: threads that read, and the writer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from spanloom import errors
from spanloom.store.spans import Restore
from spanloom.store.sql import database as settings
from spanloom.store.sql import migrations, queries, read_copy
from spanloom.store.sql.copying.journal import refuse_unfinished
from spanloom.store.sql.database import Database
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.urls import database
from spanloom.store.sql.writer import Writer

# A writer that waits so long for its lock is kept from it by another program.
_LOCKED_SECONDS = 5.0


class Connections:
    """An open database. `write` runs work in a transaction, the others run a query: `look_up` one
    of keys, names, single records or health, `scan` one that may read all spans of a project, and
    `read` any other. So none waits for slower ones. `scan_copy` is `scan` on the copy for reads, if
    there is one. All are safe from any event loop."""

    def __init__(
        self,
        database: Database,
        reader: SpanReader,
        *,
        durable: bool,
        queue_rows: int,
        queue_bytes: int,
        copy: Database | None = None,
    ) -> None:
        self.database = database
        self.reader = reader
        self._write_engine = database.engine(
            writer=True,
            connections=1,
            durable=durable,
            patience=settings.PATIENCE_SECONDS / settings.TRIES,
        )
        engine = self._read_engine = database.engine(writer=False, connections=8)
        self.look_up = Readers(database, engine, "look-up", threads=2, share=1)
        self.read = Readers(database, engine, "reader", threads=3, share=2)
        self.scan = self.scan_copy = Readers(database, engine, "scan", threads=3, share=1)
        self._copy_engine = copy and copy.engine(writer=False, connections=3)
        if copy and self._copy_engine:
            self.scan_copy = Readers(copy, self._copy_engine, "scan-copy", threads=3, share=1)
        self.write = Writer(
            database, self._write_engine, reader, queue_rows=queue_rows, queue_bytes=queue_bytes
        )

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        restore: Restore,
        reread: Restore,
        migrate: bool,
        newer: bool,
        durable: bool,
        queue_rows: int,
        queue_bytes: int,
        max_event_bytes: int,
        read_url: str = "",
        stale_reads: bool = False,
    ) -> Self:
        """As `Store.open`."""
        target = database(url)
        copy = database(read_url) if read_url else None
        check = partial(migrations.check_database, newer=newer)
        prepare = migrations.migrate_database if migrate else check
        try:
            if migrate:
                await asyncio.to_thread(target.report_damage)
            await asyncio.to_thread(prepare, target)
            await asyncio.to_thread(refuse_unfinished, target)
            if copy:
                check = partial(read_copy.check, copy, target, stale=stale_reads)
                await asyncio.to_thread(check)
        except (SQLAlchemyError, OSError) as error:
            raise errors.store_unavailable() from error
        return cls(
            target,
            SpanReader(restore, reread, max_event_bytes),
            durable=durable,
            queue_rows=queue_rows,
            queue_bytes=queue_bytes,
            copy=copy,
        )

    async def ready(self) -> bool:
        """Whether a read is answered, and a write would be: the writer lives and gets its locks."""
        try:
            await self.look_up(lambda connection: connection.execute(queries.ALIVE).scalar())
        except errors.SpanloomError:
            return False
        return self.write.alive and self.write.waits_for < _LOCKED_SECONDS

    def close(self) -> None:
        """Finish what was accepted. Blocks; calls are refused at once."""
        self.write.close()
        for readers in {self.look_up, self.read, self.scan, self.scan_copy}:
            readers.close()
        if self._copy_engine:
            self._copy_engine.dispose()
        self._read_engine.dispose()
        self._write_engine.dispose()
