"""`Records` on a relational database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import Select, delete, select

from spanloom.model import Json, Record
from spanloom.store.catalog import Records
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.rows import NUMBERED_LATER, checked, json_text
from spanloom.store.sql.tables import records
from spanloom.store.sql.transaction import Transaction


class SqlRecords(Records):
    """Records in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write

    async def write(self, project: str, kind: str, record: Record) -> Record:
        checked(project=project, kind=kind, id=record.id)
        body = json_text(record.body)

        def write(transaction: Transaction) -> Record:
            earlier = transaction.connection.execute(_one(project, kind, record.id)).first()
            created_ns = record.created_ns if earlier is None else earlier.created_ns
            _put(transaction, project, kind, record.id, created_ns, body)
            return Record(record.id, created_ns, record.body)

        stored: Record = await self._write(write, size=len(body))
        return stored

    async def update(
        self, project: str, kind: str, id: str, change: Callable[[Mapping[str, Json]], Json]
    ) -> Record | None:
        checked(project=project, kind=kind, id=id)

        def write(transaction: Transaction) -> Record | None:
            row = transaction.connection.execute(_one(project, kind, id)).first()
            if row is None:
                return None
            body = change(orjson.loads(row.body))
            _put(transaction, project, kind, id, row.created_ns, json_text(body))
            return Record(id, row.created_ns, body)

        stored: Record | None = await self._write(write)
        return stored

    async def find(self, project: str, kind: str, id: str) -> Record | None:
        checked(project=project, kind=kind, id=id)
        row = await self._read(lambda c: c.execute(_one(project, kind, id)).first())
        return None if row is None else _record(row)

    async def all(self, project: str, kind: str) -> list[Record]:
        checked(project=project, kind=kind)
        found = (
            select(records)
            .where(records.c.project == project, records.c.kind == kind)
            .order_by(records.c.created_ns.desc(), records.c.id)
        )
        return await self._read(lambda c: [_record(row) for row in c.execute(found)])

    async def delete(self, project: str, kind: str, id: str) -> bool:
        checked(project=project, kind=kind, id=id)
        gone = delete(records).where(
            records.c.project == project, records.c.kind == kind, records.c.id == id
        )
        return bool(await self._write(lambda t: t.connection.execute(gone).rowcount))


def _one(project: str, kind: str, id: str) -> Select[Any]:
    return select(records).where(
        records.c.project == project, records.c.kind == kind, records.c.id == id
    )


def _put(
    transaction: Transaction, project: str, kind: str, id: str, created_ns: int, body: str
) -> None:
    transaction.write({records: [[project, kind, id, NUMBERED_LATER, created_ns, body]]})


def _record(row: Any) -> Record:
    return Record(row.id, row.created_ns, orjson.loads(row.body))
