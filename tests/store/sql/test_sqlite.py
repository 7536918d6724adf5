"""The writer on SQLite: locks, durability, and the size of the write-ahead log."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from spanloom.errors import SpanloomError
from spanloom.store.sql import connections, database, sqlite, writer
from spanloom.store.sql.transaction import Transaction
from spanloom.store.store import Store
from tests.clients import until
from tests.store.conftest import Run
from tests.store.samples import a_span

SOON = (
    5.0  # seconds; far more than anything here takes unless it waits for what it must not wait for
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spanloom.db"


@pytest.fixture
def sqlite_store(file: Path, runner: asyncio.Runner) -> Iterator[Store]:
    store = runner.run(Store.open(f"sqlite:///{file}"))
    yield store
    runner.run(store.close())


def test_a_write_waits_for_another_process_that_writes(
    sqlite_store: Store, file: Path, run: Run[Any]
) -> None:
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ["COMMIT"]).start()
    began = time.monotonic()
    run(sqlite_store.write_spans("p", [a_span()]))
    assert time.monotonic() - began > 0.2
    assert run(sqlite_store.trace_spans("p", "t")) == [a_span()]
    other.close()


def test_a_file_that_stays_locked_is_unavailable(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.1)
    store = run(Store.open(f"sqlite:///{file}"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpanloomError) as refused:
        run(store.write_spans("p", [a_span()]))
    assert refused.value.code == "UNAVAILABLE"
    other.close()
    run(store.write_spans("p", [a_span()]))
    run(store.close())


def holder_of(file: Path) -> subprocess.Popen[bytes]:
    """Another program that holds the lock of writers until `communicate`."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"locked\n"
    return holder


def test_a_writer_without_calls_is_not_ready_as_long_as_another_program_has_the_lock(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_LOCKED_SECONDS", 0.1)
    monkeypatch.setattr(writer, "_LOOK_SECONDS", 0.02)
    store = run(Store.open(f"sqlite:///{file}"))
    holder = holder_of(file)
    until(lambda: not run(store.ready()), 30)
    # Over several tries for the lock, with and without a call.
    assert not any(run(store.ready()) for _ in range(100))
    with pytest.raises(SpanloomError) as refused:
        run(store.write_spans("p", [a_span()]))
    assert refused.value.code == "UNAVAILABLE"
    assert not run(store.ready())
    assert f"the database is locked by process {holder.pid} (" in caplog.text
    holder.communicate()
    until(lambda: bool(run(store.ready())), 30)
    run(store.close())


def test_a_writer_that_is_kept_from_the_lock_ends(file: Path, run: Run[Any]) -> None:
    store = run(Store.open(f"sqlite:///{file}"))
    holder = holder_of(file)

    async def work() -> None:
        writing = asyncio.create_task(store.write_spans("p", [a_span()]))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(SpanloomError) as refused:
            await writing
        assert refused.value.code == "UNAVAILABLE"

    run(work())
    holder.communicate()


def test_who_holds_the_lock_is_logged_and_calls_behind_do_not_wait_for_each_other(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 1)
    monkeypatch.setattr(connections, "_LOCKED_SECONDS", 0.1)
    store = run(Store.open(f"sqlite:///{file}"))
    holder = holder_of(file)

    async def work() -> None:
        first = asyncio.create_task(store.write_spans("p", [a_span("1")]))
        async with asyncio.timeout(30):
            while await store.ready():  # noqa: ASYNC110 - a state of a thread
                await asyncio.sleep(0.01)
        others = [asyncio.create_task(store.write_spans("p", [a_span(str(n))])) for n in range(20)]
        for refused in await asyncio.gather(first, *others, return_exceptions=True):
            assert isinstance(refused, SpanloomError)
            assert refused.code == "UNAVAILABLE"

    run(work())
    holder.communicate()
    assert f"the database is locked by process {holder.pid} (" in caplog.text
    run(store.write_spans("p", [a_span()]))
    assert run(store.ready())
    run(store.close())


def test_commits_are_durable(sqlite_store: Store, run: Run[Any]) -> None:
    def settings(transaction: Transaction) -> list[Any]:
        return [
            transaction.connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous")
        ]

    full = 2
    assert run(sqlite_store._write(settings)) == ["wal", full]


def test_the_log_stays_bounded_though_readers_never_pause(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 1 << 20
    monkeypatch.setattr(sqlite, "_WAL_LIMIT_BYTES", limit)
    store = run(Store.open(f"sqlite:///{file}"))
    stop = threading.Event()

    def read(pause: float) -> None:
        """With another that begins half a turn later, so that the log is never without a reader."""
        reader = sqlite3.connect(file, isolation_level=None)
        time.sleep(pause)
        while not stop.is_set():
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM spans").fetchone()
            time.sleep(0.02)
            reader.execute("COMMIT")
        reader.close()

    readers = [threading.Thread(target=read, args=(pause,)) for pause in (0, 0.01)]
    for reader in readers:
        reader.start()
    sizes = []
    for number in range(60):
        run(
            store.write_spans(
                "p", [a_span(str(number), body={"inputs": secrets.token_hex(200_000)})]
            )
        )
        sizes.append(Path(f"{file}-wal").stat().st_size)
    stop.set()
    for reader in readers:
        reader.join()
    run(store.close())
    assert sum(sizes) > 0
    assert max(sizes) < 8 * limit  # of twice as much


def test_a_reader_that_stays_stops_writes_once_not_each_time(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAL_LIMIT_BYTES", 1 << 20)
    store = run(Store.open(f"sqlite:///{file}"))
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM spans").fetchone()
    target = store._database
    assert isinstance(target, sqlite.SQLite)
    empty_log, waits = target._empty_log, []

    def wait(engine: Engine, *, wait: float) -> bool:
        waits.append(engine)
        return empty_log(engine, wait=wait)

    monkeypatch.setattr(target, "_empty_log", wait)
    for number in range(7):  # the limit is passed at the fourth
        run(
            store.write_spans(
                "p", [a_span(str(number), body={"inputs": secrets.token_hex(200_000)})]
            )
        )
    assert len(waits) == 1
    reader.close()
    run(store.close())


def test_the_log_is_written_back_when_nobody_writes(
    file: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(sqlite, "_QUIET_SECONDS", 0.1)
    log = Path(f"{file}-wal")
    store, other = (run(Store.open(f"sqlite:///{file}")) for _ in range(2))
    before = run(store.figures())["checkpoint_timestamp_seconds"]
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM spans").fetchone()
    for each in (store, other):
        run(each.write_spans("p", [a_span(str(id(each)))]))
    # As far as a reader lets it; it stays in the file until the reader has ended.
    assert log.stat().st_size > 0
    reader.execute("COMMIT")
    reader.close()
    until(lambda: log.stat().st_size == 0, 30)
    figures = run(store.figures())
    assert figures["wal_bytes"] == 0
    assert figures["checkpoint_timestamp_seconds"] > before
    # The file alone has everything.
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM spans").fetchone() == (2,)
    run(store.write_spans("p", [a_span("later")]))
    until(lambda: log.stat().st_size == 0, 30)
    for each in (store, other):
        run(each.close())
