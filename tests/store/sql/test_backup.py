"""Copies of a database under load, and their way back."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from spanloom.errors import SetupError
from spanloom.store.sql import backup as copies
from spanloom.store.store import Store
from tests.databases import new_url, select
from tests.servers import LiveServer
from tests.store.conftest import Run
from tests.store.samples import a_span

SPANS = 4


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


async def contents(url: str) -> dict[str, int]:
    """The traces of a database, and how many spans each has."""
    store = await Store.open(url)
    listed = [trace.trace_id for trace in await store.list_traces("p", limit=100_000)]
    found = {trace_id: len(await store.trace_spans("p", trace_id)) for trace_id in listed}
    for trace_id in listed:  # the index, the sums and the updates are usable
        assert await store.event_patch("p", trace_id) == {}
    await store.indexer.catch_up()
    await store.follower.catch_up()
    await store.close()
    return found


@pytest.fixture
def small(tmp_path: Path, run: Run[Any]) -> Path:
    """A database with one trace."""
    file = tmp_path / "spanloom.db"

    async def go() -> None:
        store = await Store.open(url_of(file))
        await store.write_spans("p", [a_span("a", "t")])
        await store.close()

    run(go())
    return file


def test_a_copy_under_load_has_all_that_was_acknowledged_and_nothing_half(
    tmp_path: Path, run: Run[Any]
) -> None:
    file, copy = tmp_path / "spanloom.db", tmp_path / "copy"
    before: list[str] = []
    after: list[str] = []

    async def go() -> None:
        store = await Store.open(url_of(file))
        acknowledged: list[str] = []
        stop, enough = asyncio.Event(), asyncio.Event()

        async def write(name: str) -> None:
            while not stop.is_set():
                trace_id = f"{name}-{len(acknowledged)}"
                await store.write_spans("p", [a_span(str(n), trace_id) for n in range(SPANS)])
                acknowledged.append(trace_id)
                if len(acknowledged) == 300:
                    enough.set()

        following = asyncio.create_task(store.follow_until(stop))
        writers = [asyncio.create_task(write(name)) for name in "abc"]
        await enough.wait()
        before.extend(acknowledged)
        await asyncio.to_thread(copies.backup, url_of(file), copy)
        after.extend(acknowledged)
        stop.set()
        await asyncio.gather(following, *writers)
        await store.close()

    run(go())
    assert len(after) > len(before)  # the copy kept nobody waiting
    restored = tmp_path / "restored" / "spanloom.db"
    copies.restore(url_of(restored), copy)
    found = run(contents(url_of(restored)))
    assert set(before) <= set(found)
    assert set(found.values()) == {SPANS}


def test_a_copy_is_its_owners_and_replaces_nothing(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    size = copies.backup(url_of(small), copy)
    assert size == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(SetupError, match="exists: --force"):
        copies.backup(url_of(small), copy)
    assert copies.backup(url_of(small), copy, force=True) == size
    with pytest.raises(SetupError, match="exists: --force"):
        copies.restore(url_of(small), copy)
    with pytest.raises(SetupError, match="does not exist"):
        copies.backup(url_of(tmp_path / "none.db"), tmp_path / "other")
    assert sorted(file.name for file in tmp_path.iterdir() if "-" not in file.name) == [
        *("copy", "spanloom.db")
    ]


def test_a_copy_has_nothing_of_what_was_deleted_before(small: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(small)
    connection.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite have it on
    with connection:
        connection.execute("INSERT INTO words VALUES ('quetzalcoatl')")
    with connection:
        connection.execute("DELETE FROM words")
    connection.close()
    assert b"quetzalcoatl" in small.read_bytes()
    copies.backup(url_of(small), tmp_path / "copy")
    assert b"quetzalcoatl" not in (tmp_path / "copy").read_bytes()


def test_a_restore_replaces_a_database_and_its_log(
    small: Path, tmp_path: Path, run: Run[Any]
) -> None:
    copy = tmp_path / "copy"
    copies.backup(url_of(small), copy)
    [(version,)] = select(url_of(small), "SELECT value FROM sequences")

    async def write_more() -> None:
        store = await Store.open(url_of(small))
        await store.write_spans("p", [a_span("a", "later")])
        await store.close()

    run(write_more())
    # A log that a crash has left.
    connection = sqlite3.connect(small)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE late (x)")
    connection.commit()
    logged = Path(f"{small}-wal").read_bytes()
    connection.close()
    Path(f"{small}-wal").write_bytes(logged)
    copies.restore(url_of(small), copy, force=True)
    assert run(contents(url_of(small))) == {"t": 1}
    assert select(url_of(small), "SELECT name FROM sqlite_master WHERE name = 'late'") == []
    # What was handed out after the copy was made is of the past.
    [(now,)] = select(url_of(small), "SELECT value FROM sequences")
    assert now > version + 10**12


def test_a_restore_refuses_while_a_server_has_the_database(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with LiveServer(database=url_of(small), log_level="error") as server:
        copies.backup(url_of(small), copy)
        server.key("p")
        with pytest.raises(SetupError, match="another program has the database"):
            copies.restore(url_of(small), copy, force=True)
        server.key("p")
    copies.restore(url_of(small), copy, force=True)


def test_what_is_no_whole_copy_is_not_restored(small: Path, tmp_path: Path, run: Run[Any]) -> None:
    copy = tmp_path / "copy"
    copies.backup(url_of(small), copy)
    whole = copy.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 2])
    other = tmp_path / "other"
    other.write_text("no database")
    empty = tmp_path / "empty"
    empty.touch()
    newer = tmp_path / "newer"
    newer.write_bytes(whole)
    connection = sqlite3.connect(newer)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for file, told in (
        (cut, "damaged|not a database"),
        (other, "not a database"),
        (empty, "not a database"),
        (newer, "newer version"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(SetupError, match=told):
            copies.restore(url_of(small), file, force=True)
    assert run(contents(url_of(small))) == {"t": 1}


def test_a_damaged_database_is_replaced(small: Path, tmp_path: Path, run: Run[Any]) -> None:
    copy = tmp_path / "copy"
    copies.backup(url_of(small), copy)
    small.write_bytes(b"x" * 50_000)
    with pytest.raises(SetupError, match="file is not a database"):
        copies.backup(url_of(small), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    copies.restore(url_of(small), copy, force=True)
    assert run(contents(url_of(small))) == {"t": 1}


def test_postgresql_has_tools_of_its_own(tmp_path: Path) -> None:
    url = new_url("postgresql", tmp_path)
    for work in (copies.backup, copies.restore):
        with pytest.raises(SetupError, match="pg_dump"):
            work(url, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
