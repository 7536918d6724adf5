"""`Datasets` on a relational database.

A datapoint is a record that names its datasets; a dataset names no datapoints. So each link is
stored once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
from sqlalchemy import Select, delete, select

from spanloom.errors import SpanloomError, Violation, invalid, not_found
from spanloom.model import Dataset, Json, Record, dashed, uuid7
from spanloom.model.limits import charged
from spanloom.store.catalog import Datasets
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.records import one_record, put_record
from spanloom.store.sql.requests import answers_about, done_once
from spanloom.store.sql.rows import NUMBERED_LATER, checked, json_text
from spanloom.store.sql.tables import dataset_rows, datasets, records
from spanloom.store.sql.transaction import Transaction

DATAPOINT: Final = "datapoint"
_LINKS: Final = "linked_datasets"


class SqlDatasets(Datasets):
    """Datasets in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write

    async def write(self, project: str, dataset: Dataset, points: Sequence[str] = ()) -> Dataset:
        checked(project=project, slug=dataset.slug, name=dataset.name)
        linked = await self._linked_before(project, points)

        def write(transaction: Transaction) -> Dataset | SpanloomError:
            query = _datasets(project)
            if dataset.slug:
                query = query.where(datasets.c.slug == dataset.slug)
            else:
                query = query.where(datasets.c.name == dataset.name)
            row = transaction.connection.execute(query.limit(1)).first()
            earlier = _to_dataset(row) if row else None
            made = replace(
                dataset,
                slug=dataset.slug or (earlier.slug if earlier else dashed(uuid7())),
                created_ns=earlier.created_ns if earlier else dataset.created_ns,
            )
            return _put(transaction, project, made, points, linked)

        stored: Dataset = await self._write(write, size=len(_body(dataset)))
        return stored

    async def update(
        self,
        project: str,
        slug: str,
        change: Callable[[Dataset], Dataset],
        points: Sequence[str] = (),
    ) -> Dataset | None:
        checked(project=project, slug=slug)
        linked = await self._linked_before(project, points)
        query = _datasets(project).where(datasets.c.slug == slug)

        def write(transaction: Transaction) -> Dataset | SpanloomError | None:
            row = transaction.connection.execute(query).first()
            if row is None:
                return None
            return _put(transaction, project, change(_to_dataset(row)), points, linked)

        stored: Dataset | None = await self._write(write)
        return stored

    async def find(self, project: str, slug: str | None = None) -> list[Dataset]:
        checked(project=project, slug=slug or "")
        query = _datasets(project)
        if slug is not None:
            query = query.where(datasets.c.slug == slug)
        found = await self._read(lambda c: c.execute(query).fetchall())
        return [_to_dataset(row) for row in found]

    async def points(self, project: str) -> dict[str, list[str]]:
        checked(project=project)
        query = (
            select(records.c.id, records.c.body)
            .where(records.c.project == project, records.c.kind == DATAPOINT)
            .order_by(records.c.created_ns, records.c.id)
        )
        found = defaultdict(list)
        for id, body in await self._read(lambda c: c.execute(query).fetchall()):
            for slug in dict.fromkeys(orjson.loads(body).get(_LINKS, ())):
                found[slug].append(id)
        return found

    async def add_points(self, project: str, slug: str, points: Sequence[Record]) -> None:
        checked(project=project, slug=slug)
        for point in points:
            checked(id=point.id)
        bodies = [json_text({**point.body, _LINKS: [slug]}) for point in points]

        def write(transaction: Transaction) -> SpanloomError | None:
            if not _is_there(transaction, project, slug):
                return not_found("dataset", slug)
            for point, body in zip(points, bodies, strict=True):
                put_record(transaction, project, DATAPOINT, point.id, point.created_ns, body)
            return None

        size = sum(map(len, bodies))
        with charged(project, size=size):
            await self._write(write, rows=max(1, len(points)), size=size)

    async def remove_point(self, project: str, slug: str, id: str) -> bool:
        checked(project=project, slug=slug, id=id)
        return bool(await self._write(lambda t: _unlink(t, project, slug, id)))

    async def add_row(
        self, project: str, slug: str, row: dict[str, Json], once: Once = EACH_TIME
    ) -> None:
        checked(project=project, slug=slug)
        body = json_text(row)
        values = [project, slug, uuid7(), NUMBERED_LATER, body]

        def write(transaction: Transaction) -> SpanloomError | None:
            if not _is_there(transaction, project, slug):
                return not_found("dataset", slug)
            transaction.write({dataset_rows: [values]})
            return None

        with charged(project, size=len(body)):
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
        linked = (await self.points(project)).get(slug, ())

        def write(transaction: Transaction) -> bool:
            for table in (dataset_rows, datasets):
                of_dataset = (table.c.project == project, table.c.slug == slug)
                gone = transaction.connection.execute(delete(table).where(*of_dataset)).rowcount
            if gone:
                for id in linked:
                    _unlink(transaction, project, slug, id)
            transaction.connection.execute(answers_about(project, slug))
            return bool(gone)

        return bool(await self._write(write))

    async def _linked_before(
        self, project: str, points: Sequence[str]
    ) -> Callable[[str], Iterable[str]]:
        """What gives the datapoints that are linked to a dataset. It is read before the
        transaction, so that the writer never reads all datapoints; a datapoint that is linked in
        between stays linked, as one that is linked after the write."""
        found = await self.points(project) if points else {}
        return lambda slug: found.get(slug, ())


def _datasets(project: str) -> Select[Any]:
    query = select(datasets.c.slug, datasets.c.name, datasets.c.body)
    return query.where(datasets.c.project == project).order_by(datasets.c.slug)


def _is_there(transaction: Transaction, project: str, slug: str) -> bool:
    query = _datasets(project).where(datasets.c.slug == slug)
    return transaction.connection.execute(query).first() is not None


def _to_dataset(row: Any) -> Dataset:
    return Dataset(slug=row.slug, name=row.name, **orjson.loads(row.body))


def _body(dataset: Dataset) -> str:
    return json_text(
        {
            "columns": list(dataset.columns),
            "details": dataset.details,
            "created_ns": dataset.created_ns,
            "updated_ns": dataset.updated_ns,
        }
    )


def _put(
    transaction: Transaction,
    project: str,
    dataset: Dataset,
    points: Sequence[str],
    linked: Callable[[str], Iterable[str]],
) -> Dataset | SpanloomError:
    """Write a dataset, and link the datapoints to it in place of those that were, if any."""
    found = {}
    for id in points:
        row = transaction.connection.execute(one_record(project, DATAPOINT, id)).first()
        if row is not None:
            found[id] = row
    unknown = [n for n, id in enumerate(points) if id not in found]
    if unknown:
        return invalid(
            [Violation(f"datapoints[{n}]", "is the id of no datapoint") for n in unknown[:100]]
        )
    for id, row in found.items():
        body = orjson.loads(row.body)
        links = body.get(_LINKS, [])
        if dataset.slug not in links:
            text = json_text({**body, _LINKS: [*links, dataset.slug]})
            put_record(transaction, project, DATAPOINT, id, row.created_ns, text)
    if points:
        for id in linked(dataset.slug):
            if id not in found:
                _unlink(transaction, project, dataset.slug, id)
    made = [project, dataset.slug, NUMBERED_LATER, dataset.name, _body(dataset)]
    transaction.write({datasets: [made]})
    return dataset


def _unlink(transaction: Transaction, project: str, slug: str, id: str) -> bool:
    """End the link of a datapoint to a dataset, if it has one."""
    row = transaction.connection.execute(one_record(project, DATAPOINT, id)).first()
    if row is None:
        return False
    body = orjson.loads(row.body)
    if slug not in body.get(_LINKS, ()):
        return False
    links = [link for link in body[_LINKS] if link != slug]
    put_record(
        transaction, project, DATAPOINT, id, row.created_ns, json_text({**body, _LINKS: links})
    )
    return True
