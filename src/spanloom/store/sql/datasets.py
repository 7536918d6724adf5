"""`Datasets` on a relational database."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import delete, select

from spanloom.errors import SpanloomError, not_found
from spanloom.model import Dataset, Json, uuid7
from spanloom.store.catalog import Datasets
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.requests import answers_about, done_once
from spanloom.store.sql.rows import NUMBERED_LATER, checked, json_text
from spanloom.store.sql.tables import dataset_rows, datasets
from spanloom.store.sql.transaction import Transaction


class SqlDatasets(Datasets):
    """Datasets in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write

    async def write(self, project: str, dataset: Dataset) -> None:
        checked(project=project, slug=dataset.slug, name=dataset.name)
        columns = json_text({"columns": list(dataset.columns)})
        row = [project, dataset.slug, NUMBERED_LATER, dataset.name, columns]
        await self._write(lambda t: t.write({datasets: [row]}), size=len(columns))

    async def find(self, project: str, slug: str | None = None) -> list[Dataset]:
        checked(project=project, slug=slug or "")
        query = select(datasets.c.slug, datasets.c.name, datasets.c.body)
        query = query.where(datasets.c.project == project).order_by(datasets.c.slug)
        if slug is not None:
            query = query.where(datasets.c.slug == slug)
        found = await self._read(lambda c: c.execute(query).fetchall())
        return [
            Dataset(slug=slug, name=name, columns=orjson.loads(body)["columns"])
            for slug, name, body in found
        ]

    async def add_row(
        self, project: str, slug: str, row: dict[str, Json], once: Once = EACH_TIME
    ) -> None:
        checked(project=project, slug=slug)
        body = json_text(row)
        there = select(datasets.c.slug).where(
            datasets.c.project == project, datasets.c.slug == slug
        )
        values = [project, slug, uuid7(), NUMBERED_LATER, body]

        def write(transaction: Transaction) -> SpanloomError | None:
            if transaction.connection.execute(there).first() is None:
                return not_found("dataset", slug)
            transaction.write({dataset_rows: [values]})
            return None

        await self._write(done_once(project, once, write), size=len(body))

    async def rows(self, project: str, slug: str) -> Sequence[dict[str, Json]]:
        checked(project=project, slug=slug)
        query = (
            select(dataset_rows.c.body)
            .where(dataset_rows.c.project == project, dataset_rows.c.slug == slug)
            .order_by(dataset_rows.c.sequence, dataset_rows.c.id)
        )
        return await self._read(
            lambda c: [orjson.loads(body) for body in c.execute(query).scalars()]
        )

    async def delete(self, project: str, slug: str) -> bool:
        checked(project=project, slug=slug)

        def write(transaction: Transaction) -> bool:
            for table in (dataset_rows, datasets):
                of_dataset = (table.c.project == project, table.c.slug == slug)
                gone = transaction.connection.execute(delete(table).where(*of_dataset)).rowcount
            transaction.connection.execute(answers_about(project, slug))
            return bool(gone)

        return bool(await self._write(write))
