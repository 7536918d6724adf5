"""What was deleted leaves the disk."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from spanloom.adapters.restore import restore
from spanloom.model import Dataset, EventQuery, Feedback, Filter
from spanloom.store.sql import database as settings
from spanloom.store.sql.erasure.retention import DAY_NS
from spanloom.store.sql.migrations import migrate
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span

ADA = "ada-the-countess"
SECRET = "zanzibarquartz"


def files(url: str) -> list[Path]:
    """Those that have rows of the database; PostgreSQL's write-ahead log is not among them."""
    if url.startswith("sqlite"):
        directory = Path(str(database(url).url.database)).parent
        return [file for file in directory.iterdir() if file.is_file()]
    engine = database(url).engine(writer=False, connections=1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
    engine.dispose()
    query = "SELECT current_setting('data_directory'), oid FROM pg_database"
    [(directory, oid)] = select(url, f"{query} WHERE datname = current_database()")
    return [file for file in Path(directory, "base", str(oid)).iterdir() if file.is_file()]


def found(url: str, needles: Iterable[bytes]) -> set[bytes]:
    """Those of some bytes that are in the files."""
    contents = [file.read_bytes() for file in files(url) if file.exists()]
    return {needle for needle in needles if any(needle in each for each in contents)}


async def fill(store: Store) -> None:
    body = {"user": {"id": ADA}, "inputs": {"text": f"of {SECRET} " * 9}, "error": SECRET}
    await store.ensure_project("p")
    for n in range(30):
        await store.write_spans("p", [a_span("a", f"t{n}", body, name=f"{SECRET}-{n}")])
        other = {"user": {"id": "bob"}, "inputs": {"text": f"harmless {n}"}}
        await store.write_spans("p", [a_span("a", f"o{n}", other)])
    review = Feedback(id="f", target="trace", target_id="t1", body={"note": SECRET})
    await store.write_feedback("p", review)
    await store.patch_event("p", "w", {"user_properties": {"user_id": ADA, "name": SECRET}})
    await store.datasets.write("p", Dataset(slug="d", name="", columns=["q"]))
    await store.datasets.add_row("p", "d", {"user_id": ADA, "q": SECRET})
    await store.indexer.catch_up()
    await store.follower.catch_up()


def test_nothing_of_an_erased_user_is_left_in_the_files(empty_url: str, run: Run[Any]) -> None:
    async def go() -> None:
        store = await Store.open(empty_url, restore=restore)
        await fill(store)
        # The contents of spans are compressed: of each the middle of its bytes is looked for.
        compressed = select(
            empty_url,
            "SELECT b.sent FROM bodies b JOIN spans s ON s.version = b.span_version"
            " WHERE s.trace_id LIKE 't%'",
        )
        bodies = {bytes(sent)[len(sent) // 2 :][:24] for (sent,) in compressed}
        needles = {ADA.encode(), SECRET.encode(), *bodies}
        assert found(empty_url, needles) == needles
        await store.erasure.delete_user("p", ADA)
        done = await store.maintain(full=True)
        assert done.is_erased
        assert done.entries == 30
        assert found(empty_url, needles) == set()
        told = Filter(field="inputs.text", operator="contains", value="harmless")
        query = EventQuery(filters=(told,), limit=100)
        assert (await store.find_events("p", query)).total == 30
        await store.close()
        assert found(empty_url, needles) == set()

    run(go())


def test_maintenance_deletes_what_is_too_old_and_reports_it(empty_url: str, run: Run[Any]) -> None:
    async def go() -> None:
        store = await Store.open(empty_url)
        await store.ensure_project("p")
        now = time.time_ns()
        spans = [a_span(str(n), "old", start_ns=now - 9 * DAY_NS) for n in range(3)]
        await store.write_spans("p", [*spans, a_span("a", "new", start_ns=now)])
        done = await store.maintain(retention_days=8)
        assert done.counts == {"spans": 3, "traces": 1}
        assert done.bytes_before > 0
        assert done.bytes_after > 0
        assert not any((await store.maintain(retention_days=8)).counts.values())
        await store.close()

    run(go())


def test_a_server_goes_on_while_its_index_is_filled_anew(empty_url: str, run: Run[Any]) -> None:
    """Two processes: one maintains, the other has the index and words of its own in memory."""

    async def go() -> None:
        server, other = await Store.open(empty_url), await Store.open(empty_url)
        for trace_id in ("a", "b"):
            await server.write_spans("p", [a_span("s", trace_id, {"inputs": {"q": "tapir"}})])
        await server.indexer.catch_up()
        await server.delete_trace("p", "b")
        assert (await other.maintain()).entries == 1
        await server.write_spans("p", [a_span("s", "c", {"inputs": {"q": "tapir okapi"}})])
        await server.indexer.catch_up()
        for text, number in (("tapir", 2), ("okapi", 1), ("api", 2)):
            query = EventQuery(
                filters=(Filter(field="inputs.q", operator="contains", value=text),), limit=10
            )
            assert (await server.find_events("p", query)).total == number
        await server.close()
        await other.close()

    run(go())


@pytest.mark.parametrize("full", [True, False])
def test_only_a_full_one_erases_on_postgresql(full: bool, empty_url: str) -> None:
    migrate(empty_url)
    is_erased = database(empty_url).compact(full=full)
    assert is_erased == (full or empty_url.startswith("sqlite"))


def test_a_reader_of_an_old_state_keeps_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/spanloom.db"
    target = database(url)
    migrate(url)
    monkeypatch.setattr(settings, "PATIENCE_SECONDS", 0.1)
    engine = target.engine(writer=False, connections=1)
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM spans").scalar_one()
        assert not target.compact(full=False)
    engine.dispose()
    assert target.compact(full=False)
