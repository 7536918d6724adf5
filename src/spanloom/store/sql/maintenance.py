"""`spanloom maintain`: deletes what is due, and takes it from the disk.

Rows that are deleted leave their bytes in free pages, in the write-ahead log, and in the index of
words, which cannot forget one span. Here the index is filled anew, and the files are written anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, delete, func, select

from spanloom.store.once import REMEMBERED_SECONDS
from spanloom.store.sql import envelopes
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.deletes import DELETIONS_KEPT_NS
from spanloom.store.sql.tables import answers, deleted_spans, sign_in_links, spans, term_cursor
from spanloom.store.sql.transaction import Transaction

if TYPE_CHECKING:
    from spanloom.store.store import Store

# The first step of the sums forgets those of an earlier version, the next one reads all notes of
# what was deleted.
_STEPS = 2
_DEAD = select(term_cursor.c.entries > select(func.count()).select_from(spans).scalar_subquery())


class Maintained(NamedTuple):
    """What was done.

    Attributes:
        counts: What was too old, as of `Erasure.expire`.
        envelopes, entries: Envelopes that no span had any more, and spans that were indexed anew.
        bytes_before, bytes_after: Of the database's files.
        is_erased: Whether no deleted byte is left in the files. On PostgreSQL that takes `full`,
            and says nothing of its write-ahead log.
    """

    counts: Mapping[str, int]
    envelopes: int
    entries: int
    bytes_before: int
    bytes_after: int
    is_erased: bool
    seconds: float


async def maintain(
    store: Store, connections: Connections, *, retention_days: int, full: bool
) -> Maintained:
    """As `Store.maintain`."""
    began = time.monotonic()
    before = await connections.read(lambda c: _bytes(connections, c))
    await store.erasure.continue_all()
    counts = await store.erasure.expire(retention_days, time.time_ns())
    await connections.write(_delete_expired, rows=0)
    for _ in range(_STEPS):
        await store.follower.step()
    number = await envelopes.delete_unused(connections)
    is_dead = await connections.read(lambda c: c.execute(_DEAD).scalar())
    entries = await store.indexer.refill() if is_dead else 0
    is_erased = await asyncio.to_thread(connections.database.compact, full=full)
    after = await connections.read(lambda c: _bytes(connections, c))
    seconds = time.monotonic() - began
    return Maintained(counts, number, entries, before, after, is_erased, seconds)


def _bytes(connections: Connections, connection: Connection) -> int:
    return int(sum(connections.database.sizes(connection).values()))


def _delete_expired(transaction: Transaction) -> None:
    """Delete what no call is answered with any more."""
    now = time.time_ns()
    for table, column, kept_ns in (
        (deleted_spans, deleted_spans.c.deleted_ns, DELETIONS_KEPT_NS),
        (answers, answers.c.created_ns, REMEMBERED_SECONDS * 10**9),
        (sign_in_links, sign_in_links.c.expires_ns, 0),
    ):
        transaction.connection.execute(delete(table).where(column < now - kept_ns))
