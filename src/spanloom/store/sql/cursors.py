"""`Cursors` on a relational database."""

from __future__ import annotations

import time

from sqlalchemy import insert, select, update

from spanloom.store.cursors import Cursors
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.tables import cursors
from spanloom.store.sql.transaction import Transaction


class SqlCursors(Cursors):
    """Cursors in SQLite or PostgreSQL. A transaction has the lock of all writers alone, so two
    processes never take one cursor."""

    def __init__(self, connections: Connections) -> None:
        self._write = connections.write

    async def take_cursor(self, name: str, owner: str, lease_seconds: float) -> int | None:
        def take(transaction: Transaction) -> int | None:
            connection, now = transaction.connection, time.time_ns()
            until = now + int(lease_seconds * 1e9)
            row = connection.execute(select(cursors).where(cursors.c.name == name)).first()
            if row is None:
                # All versions below are committed, and all later ones are above.
                position = transaction.first_version - 1
                new = {"name": name, "position": position, "owner": owner, "lease_ns": until}
                connection.execute(insert(cursors).values(new))
                return position
            if row.owner != owner and row.lease_ns > now:
                return None
            taken = update(cursors).where(cursors.c.name == name)
            connection.execute(taken.values(owner=owner, lease_ns=until))
            return int(row.position)

        position: int | None = await self._write(take, rows=0)
        return position

    async def move_cursor(self, name: str, owner: str, position: int, lease_seconds: float) -> bool:
        until = time.time_ns() + int(lease_seconds * 1e9)
        moved = (
            update(cursors)
            .where(cursors.c.name == name, cursors.c.owner == owner)
            .values(position=position, lease_ns=until)
        )
        return bool(await self._write(lambda t: t.connection.execute(moved).rowcount, rows=0))

    async def release_cursor(self, name: str, owner: str) -> None:
        freed = (
            update(cursors)
            .where(cursors.c.name == name, cursors.c.owner == owner)
            .values(owner="", lease_ns=0)
        )
        await self._write(lambda t: t.connection.execute(freed), rows=0)
