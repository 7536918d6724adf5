"""`LimitStore` on a relational database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, func, or_, select, update

from spanloom.model import MAX_TIME_NS
from spanloom.model.limits import LIMIT_NAMES, Limits
from spanloom.store.limits import LimitStore
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.rows import checked
from spanloom.store.sql.tables import projects, usage_cells
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.usage.cells import DAY, cells_between

_COLUMNS: Final = tuple(projects.c[name] for name in LIMIT_NAMES)
_OWN: Final = select(projects.c.name, *_COLUMNS).where(
    or_(*(column.is_not(None) for column in _COLUMNS))
)


class SqlLimits(LimitStore):
    """Limits in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write
        self._look_up = connections.look_up

    async def change(self, project: str, changes: Mapping[str, int | None]) -> Limits:
        checked(project=project)
        of_project = projects.c.name == project

        def write(transaction: Transaction) -> Limits:
            if changes:
                changed = update(projects).where(of_project).values(**changes)
                transaction.connection.execute(changed)
            row = transaction.connection.execute(select(*_COLUMNS).where(of_project)).first()
            return Limits() if row is None else limits_of(row)

        # Not refused by a full queue: it is what may empty it.
        limits: Limits = await self._write(write, rows=0)
        return limits

    async def own(self) -> dict[str, Limits]:
        def read(connection: Connection) -> dict[str, Limits]:
            return {name: limits_of(numbers) for name, *numbers in connection.execute(_OWN)}

        return await self._look_up(read)

    async def stored_spans(self, projects: Collection[str]) -> dict[str, int]:
        def read(connection: Connection) -> dict[str, int]:
            return {project: _stored(connection, project) for project in projects}

        return await self._read(read)


def limits_of(numbers: Sequence[int | None]) -> Limits:
    """The limits in the columns of `projects`, in their order."""
    return Limits(**dict(zip(LIMIT_NAMES, numbers, strict=True)))


def _stored(connection: Connection, project: str) -> int:
    of_days = cells_between(project, "all", DAY, -(1 << 63), MAX_TIME_NS)
    found = select(func.sum(usage_cells.c.spans)).where(*of_days)
    return int(connection.execute(found).scalar() or 0)
