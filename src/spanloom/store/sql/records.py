"""`Records` on a relational database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Select, delete, func, select

from spanloom.errors import SpanloomError, invalid_field
from spanloom.model import Json, Record
from spanloom.model.limits import charged
from spanloom.store.catalog import Quota, Records
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.rows import NUMBERED_LATER, checked, json_text
from spanloom.store.sql.tables import records
from spanloom.store.sql.transaction import Transaction


class SqlRecords(Records):
    """Records in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write
        self._look_up = connections.look_up

    async def write(
        self, project: str, kind: str, *several: Record, quota: Quota | None = None
    ) -> list[Record]:
        for record in several:
            checked(project=project, kind=kind, id=record.id)
        bodies = [json_text(record.body) for record in several]

        def write(transaction: Transaction) -> list[Record] | SpanloomError:
            ids = [record.id for record in several]
            if refused := _beyond(transaction, project, kind, quota, ids, bodies):
                return refused
            stored = []
            for record, body in zip(several, bodies, strict=True):
                earlier = transaction.connection.execute(one_record(project, kind, record.id))
                row = earlier.first()
                created_ns = record.created_ns if row is None else row.created_ns
                put_record(transaction, project, kind, record.id, created_ns, body)
                stored.append(Record(record.id, created_ns, record.body))
            return stored

        size = sum(map(len, bodies))
        with charged(project, size=size):
            stored: list[Record] = await self._write(write, rows=max(1, len(several)), size=size)
        return stored

    async def update(
        self,
        project: str,
        kind: str,
        id: str,
        change: Callable[[Mapping[str, Json]], Json | SpanloomError],
        quota: Quota | None = None,
    ) -> Record | None:
        checked(project=project, kind=kind, id=id)

        def write(transaction: Transaction) -> Record | SpanloomError | None:
            row = transaction.connection.execute(one_record(project, kind, id)).first()
            if row is None:
                return None
            body = change(orjson.loads(row.body))
            if isinstance(body, SpanloomError):
                return body
            text = json_text(body)
            if refused := _beyond(transaction, project, kind, quota, [id], [text]):
                return refused
            put_record(transaction, project, kind, id, row.created_ns, text)
            return Record(id, row.created_ns, body)

        stored: Record | None = await self._write(write)
        return stored

    async def find(self, project: str, kind: str, id: str) -> Record | None:
        checked(project=project, kind=kind, id=id)
        row = await self._look_up(lambda c: c.execute(one_record(project, kind, id)).first())
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


def one_record(project: str, kind: str, id: str) -> Select[Any]:
    return select(records).where(
        records.c.project == project, records.c.kind == kind, records.c.id == id
    )


def put_record(
    transaction: Transaction, project: str, kind: str, id: str, created_ns: int, body: str
) -> None:
    transaction.write({records: [[project, kind, id, NUMBERED_LATER, created_ns, body]]})


def _beyond(
    transaction: Transaction,
    project: str,
    kind: str,
    quota: Quota | None,
    ids: Sequence[str],
    bodies: Sequence[str],
) -> SpanloomError | None:
    """Why the records of a kind would be too many, or too large, with these."""
    if quota is None:
        return None
    sums = select(func.count(), func.coalesce(func.sum(func.length(records.c.body)), 0))
    others = sums.where(
        records.c.project == project, records.c.kind == kind, records.c.id.not_in(ids)
    )
    count, size = transaction.connection.execute(others).one()
    if count + len(ids) > quota.records:
        return invalid_field(kind, f"the project already has {quota.records}, which is the limit")
    if size + sum(map(len, bodies)) > quota.characters:
        return invalid_field(
            kind, f"all of the project would have more than {quota.characters} characters of JSON"
        )
    return None


def _record(row: Any) -> Record:
    return Record(row.id, row.created_ns, orjson.loads(row.body))
