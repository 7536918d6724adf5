"""Datasets and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, delete, select

from spanloom.model import Dataset, Json, uuid7
from spanloom.store.sql.dialect import Database
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.rows import check_texts, json_text
from spanloom.store.sql.tables import dataset_rows, datasets
from spanloom.store.sql.versions import Versions
from spanloom.store.sql.writer import Writer


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of all projects. Every sentence that `Store` promises holds here too."""

    _database: Database
    _read: Readers
    _writer: Writer
    _versions: Versions

    async def write(self, project: str, dataset: Dataset) -> None:
        """Store a dataset, in place of one of its slug; the rows stay."""
        check_texts("", {"project": project, "slug": dataset.slug, "name": dataset.name})
        columns = json_text({"columns": list(dataset.columns)})
        row = (project, dataset.slug, self._versions.take(1), dataset.name, columns)
        await self._writer.write({datasets: [row]}, size=len(columns))

    async def find(self, project: str, slug: str | None = None) -> list[Dataset]:
        """The dataset of this slug, or all (None), by slug."""
        check_texts("", {"project": project, "slug": slug or ""})
        query = select(datasets.c.slug, datasets.c.name, datasets.c.body)
        query = query.where(datasets.c.project == project).order_by(datasets.c.slug)
        if slug is not None:
            query = query.where(datasets.c.slug == slug)
        found = await self._read(lambda c: c.execute(query).fetchall())
        return [
            Dataset(slug=slug, name=name, columns=orjson.loads(body)["columns"])
            for slug, name, body in found
        ]

    async def add_row(self, project: str, slug: str, row: dict[str, Json]) -> bool:
        """Add a row at the end; False when there is no such dataset."""
        check_texts("", {"project": project, "slug": slug})
        body = json_text(row)
        there = select(datasets.c.slug).where(
            datasets.c.project == project, datasets.c.slug == slug
        )
        values = (project, slug, uuid7(), self._versions.take(1), body)

        def run(connection: Connection) -> bool:
            if connection.execute(there).first() is None:
                return False
            self._database.upsert(connection, dataset_rows, [values])
            return True

        return bool(await self._writer.write(run, size=len(body)))

    async def rows(self, project: str, slug: str) -> Sequence[dict[str, Json]]:
        """The rows of a dataset, in the order in which they were added."""
        check_texts("", {"project": project, "slug": slug})
        query = (
            select(dataset_rows.c.body)
            .where(dataset_rows.c.project == project, dataset_rows.c.slug == slug)
            .order_by(dataset_rows.c.sequence, dataset_rows.c.id)
        )
        return await self._read(
            lambda c: [orjson.loads(body) for body in c.execute(query).scalars()]
        )

    async def delete(self, project: str, slug: str) -> bool:
        """Remove a dataset and its rows; False when there was none."""
        check_texts("", {"project": project, "slug": slug})

        def run(connection: Connection) -> bool:
            for table in (dataset_rows, datasets):
                of_dataset = (table.c.project == project, table.c.slug == slug)
                gone = connection.execute(delete(table).where(*of_dataset)).rowcount
            return bool(gone)

        return bool(await self._writer.write(run))
