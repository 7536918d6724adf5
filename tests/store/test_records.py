"""Records with a quota, the links of datapoints to datasets, and projects that are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from spanloom.errors import SpanloomError, not_found
from spanloom.model import Dataset, Record
from spanloom.model.catalog import REDACTION
from spanloom.model.projects import INSTANCE, ProjectEntry
from spanloom.store.catalog import PROJECT, Quota
from spanloom.store.store import Store
from tests.store.conftest import Run

KIND = "kind"


def a_record(id: str, text: str = "", created_ns: int = 1) -> Record:
    return Record(id, created_ns, {"text": text})


def test_records_are_written_together_or_not_at_all(
    store: Store, run: Run[Any], project: str
) -> None:
    quota = Quota(records=3, characters=1_000)
    first = [a_record(f"r{n}") for n in range(2)]
    assert run(store.records.write(project, KIND, *first, quota=quota)) == first
    with pytest.raises(SpanloomError, match="already has 3"):
        run(store.records.write(project, KIND, a_record("r2"), a_record("r3"), quota=quota))
    assert len(run(store.records.all(project, KIND))) == 2
    again = [a_record("r0", "new", created_ns=9), a_record("r2")]
    stored = run(store.records.write(project, KIND, *again, quota=quota))
    assert [record.created_ns for record in stored] == [1, 1]
    assert len(run(store.records.all(project, KIND))) == 3


def test_a_quota_bounds_the_size_of_all_records(store: Store, run: Run[Any], project: str) -> None:
    quota = Quota(records=9, characters=100)

    def long(stored: Mapping[str, Any]) -> Any:
        return {**stored, "text": "x" * 60}

    for id in ("a", "b"):
        run(store.records.write(project, KIND, a_record(id), quota=quota))
    run(store.records.update(project, KIND, "a", long, quota))
    with pytest.raises(SpanloomError, match="more than 100 characters"):
        run(store.records.update(project, KIND, "b", long, quota))
    with pytest.raises(SpanloomError, match="more than 100 characters"):
        run(store.records.write(project, KIND, a_record("c", "x" * 60), quota=quota))
    assert [r.body["text"] for r in run(store.records.all(project, KIND))] == ["x" * 60, ""]


def test_an_error_of_a_change_is_raised_and_nothing_is_stored(
    store: Store, run: Run[Any], project: str
) -> None:
    run(store.records.write(project, KIND, a_record("r", "kept")))
    with pytest.raises(SpanloomError, match="no entry"):
        run(store.records.update(project, KIND, "r", lambda _: not_found("entry", "v")))
    assert run(store.records.find(project, KIND, "r")).body == {"text": "kept"}


def test_of_several_writers_at_once_a_quota_lets_as_many_through_as_fit(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    quota = Quota(records=5, characters=1_000)

    async def write_all() -> list[Any]:
        other = await Store.open(url)
        try:
            writes = [
                (store, other)[n % 2].records.write(project, KIND, a_record(f"r{n}"), quota=quota)
                for n in range(12)
            ]
            return list(await asyncio.gather(*writes, return_exceptions=True))
        finally:
            await other.close()

    refused = [each for each in run(write_all()) if isinstance(each, SpanloomError)]
    assert (len(refused), len(run(store.records.all(project, KIND)))) == (7, 5)


def a_dataset(name: str, slug: str = "") -> Dataset:
    return Dataset(slug=slug, name=name, columns=[], created_ns=5, updated_ns=5)


def test_of_datasets_of_one_name_at_once_one_is_made(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def write_all() -> list[Dataset]:
        other = await Store.open(url)
        try:
            stores = [store, other] * 3
            return await asyncio.gather(
                *(each.datasets.write(project, a_dataset("n")) for each in stores)
            )
        finally:
            await other.close()

    made = run(write_all())
    assert len({dataset.slug for dataset in made}) == 1
    assert len(run(store.datasets.find(project))) == 1


def test_links_of_datapoints_follow_the_dataset(store: Store, run: Run[Any], project: str) -> None:
    points = [Record(f"p{n}", n, {}) for n in range(3)]
    run(store.records.write(project, "datapoint", *points))
    one = run(store.datasets.write(project, a_dataset("one"), ["p1", "p0"]))
    two = run(store.datasets.write(project, a_dataset("two"), ["p1"]))
    assert run(store.datasets.points(project)) == {one.slug: ["p0", "p1"], two.slug: ["p1"]}
    run(store.datasets.update(project, one.slug, lambda dataset: dataset, ["p2"]))
    run(store.datasets.add_points(project, two.slug, [Record("p3", 9, {"inputs": {}})]))
    assert run(store.datasets.points(project)) == {one.slug: ["p2"], two.slug: ["p1", "p3"]}
    assert run(store.datasets.remove_point(project, two.slug, "p2")) is False
    assert run(store.datasets.delete(project, two.slug)) is True
    assert run(store.datasets.points(project)) == {one.slug: ["p2"]}
    assert run(store.datasets.delete(project, two.slug)) is False


def test_a_deleted_project_is_made_again_by_a_write(
    store: Store, run: Run[Any], project: str
) -> None:
    async def listed() -> list[str]:
        return [name for name, *_ in await store.list_projects(name=project, limit=2)]

    assert run(store.delete_project(project)) is None
    run(store.ensure_project(project))
    run(store.records.write(INSTANCE, PROJECT, Record(project, 1, {"description": "d"})))
    run(store.records.write(project, REDACTION, a_record("rules")))
    run(store.records.write(project, KIND, a_record("r")))
    assert "entries" in run(store.delete_project(project))
    run(store.records.delete(project, KIND, "r"))
    assert run(store.delete_project(project)) == ""
    assert run(listed()) == []
    assert run(store.records.find(INSTANCE, PROJECT, project)) is None
    assert run(store.records.find(project, REDACTION, "rules")) is None
    run(store.ensure_project(project))
    assert run(listed()) == [project]


def test_an_erased_project_leaves_no_description(store: Store, run: Run[Any], project: str) -> None:
    run(store.ensure_project(project))
    run(store.records.write(INSTANCE, PROJECT, Record(project, 1, {"description": "of Ada"})))
    run(store.erasure.delete_project(project, settle_seconds=0.0))
    assert run(store.records.find(INSTANCE, PROJECT, project)) is None


def test_a_process_soon_notices_that_another_deleted_a_project(
    store: Store, url: str, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanloom.store.sql.control._KNOWN_SECONDS", 0)

    async def steps() -> list[ProjectEntry]:
        await store.ensure_project(project)
        other = await Store.open(url)
        try:
            assert await other.delete_project(project) == ""
        finally:
            await other.close()
        await store.ensure_project(project)
        return await store.list_projects(name=project, limit=1)

    assert [name for name, *_ in run(steps())] == [project]
