"""The writer on PostgreSQL: connections that are lost, locks between processes, durability."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, make_url, select, text

from spanloom.errors import SpanloomError
from spanloom.model.caller import CALLER, DEADLINE
from spanloom.store.sql import connections, database, postgresql, readers, rows, tables, writer
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.write_queue import Work
from spanloom.store.store import Store
from tests.clients import until
from tests.databases import new_url
from tests.databases import select as select_from
from tests.store.conftest import Run
from tests.store.samples import a_span

SOON = (
    5.0  # seconds; far more than anything here takes unless it waits for what it must not wait for
)


@pytest.fixture
def server_url(tmp_path: Path) -> str:
    return new_url("postgresql", tmp_path)


@contextmanager
def administrator(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to another database of the server."""
    parsed = make_url(url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(parsed.render_as_string(False), autocommit=True) as connection:
        yield connection


def disconnect(connection: psycopg.Connection[Any], url: str) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        [make_url(url).database],
    )


def test_a_connection_that_was_cut_is_renewed(server_url: str, run: Run[Any]) -> None:
    async def go_on() -> None:
        store = await Store.open(server_url)
        with administrator(server_url) as server:
            for number in range(3):
                await asyncio.gather(*(store.trace_spans("p", "t") for _ in range(20)))
                disconnect(server, server_url)
                assert len(await store.trace_spans("p", "t")) == number
                disconnect(server, server_url)
                await store.write_spans("p", [a_span(str(number))])
        await store.close()

    run(go_on())


def test_a_write_in_doubt_is_not_acknowledged(
    server_url: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")

    async def write() -> None:
        store = await Store.open(server_url)
        with administrator(server_url) as server:
            tries = []

            def cut(transaction: Transaction) -> None:
                tries.append(transaction)
                row = ["p", 1, *[None] * (len(tables.projects.c) - 2)]
                transaction.write({tables.projects: [row]})
                transaction.flush()
                disconnect(server, server_url)  # so that nothing answers to COMMIT

            with pytest.raises(SpanloomError) as refused:
                await store._write(cut)
            assert refused.value.code == "UNAVAILABLE"
            assert len(tries) == 1
        assert select_from(server_url, "SELECT name FROM projects") == []
        await store.write_spans("p", [a_span()])
        await store.close()

    run(write())


def test_a_server_that_is_away_is_unavailable_until_it_is_back(
    server_url: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")

    async def outlast() -> None:
        store = await Store.open(server_url)
        await store.write_spans("p", [a_span("a")])
        name = make_url(server_url).database
        with administrator(server_url) as server:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            disconnect(server, server_url)
            for call in (store.write_spans("p", [a_span("b")]), store.trace_spans("p", "t")):
                with pytest.raises(SpanloomError) as refused:
                    await call
                assert refused.value.code == "UNAVAILABLE"
                assert refused.value.message == "the database is not available"
            assert await store.ready() is False
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await store.write_spans("p", [a_span("c")])
        assert [s.span_id for s in await store.trace_spans("p", "t")] == ["a", "c"]
        assert await store.ready() is True
        await store.close()

    run(outlast())


def blocking() -> tuple[Work, threading.Event, threading.Event]:
    """Work that keeps its transaction open when it is run first, and the events that it is in it
    and that it may go on."""
    entered, leave = threading.Event(), threading.Event()

    def work(transaction: Transaction) -> str:
        transaction.flush()
        if not entered.is_set():
            entered.set()
            assert leave.wait(2 * SOON)
        transaction.connection.execute(select(tables.projects.c.name))
        return "done"

    return work, entered, leave


def test_a_process_that_was_stopped_does_not_hold_up_others_for_ever(
    server_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_IDLE_SECONDS", 1.5)

    async def write() -> None:
        stopped, other = await Store.open(server_url), await Store.open(server_url)
        work, entered, leave = blocking()
        writing = asyncio.create_task(stopped._write(work))
        assert await asyncio.to_thread(entered.wait, SOON)
        for replace_ in (False, True):
            writes = other.write_trace("p", [a_span()], replace=replace_)
            await asyncio.wait_for(writes, SOON)
        leave.set()
        assert await writing == "done"  # in a new transaction
        await asyncio.gather(stopped.close(), other.close())

    run(write())


def test_a_lock_that_is_held_for_too_long_is_unavailable(
    server_url: str,
    run: Run[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)

    async def write() -> None:
        slow, other = await Store.open(server_url), await Store.open(server_url)
        work, entered, leave = blocking()
        writing = asyncio.create_task(slow._write(work))
        assert await asyncio.to_thread(entered.wait, SOON)
        with pytest.raises(SpanloomError) as refused:
            await other.write_spans("p", [a_span()])
        assert refused.value.code == "UNAVAILABLE"
        leave.set()
        assert await writing == "done"
        await other.write_spans("p", [a_span()])
        await asyncio.gather(slow.close(), other.close())

    run(write())


def test_a_table_that_another_program_locks_is_unavailable_until_it_is_free(
    server_url: str,
    run: Run[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_LOCKED_SECONDS", 0.1)
    monkeypatch.setattr(writer, "_LOOK_SECONDS", 0.02)
    store = run(Store.open(server_url))
    with psycopg.connect(server_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE spans IN EXCLUSIVE MODE")
        until(lambda: not run(store.ready()), 30)
        assert not any(run(store.ready()) for _ in range(100))
        with pytest.raises(SpanloomError) as refused:
            run(store.write_spans("p", [a_span()]))
        assert refused.value.code == "UNAVAILABLE"
        assert not run(store.ready())
        assert f"locked by process {other.info.backend_pid} of the server" in caplog.text
    until(lambda: bool(run(store.ready())), 30)
    run(store.write_spans("p", [a_span()]))
    run(store.close())


def test_two_processes_insert_spans_at_the_same_time(server_url: str, run: Run[Any]) -> None:
    """The second is not kept waiting by the first, which has not committed; and it sees it before
    it commits itself."""

    async def write() -> None:
        first, second = await Store.open(server_url), await Store.open(server_url)
        moved = rows.span_rows("p", [a_span("e", "s1")])
        entered, leave = threading.Event(), threading.Event()

        def insert(transaction: Transaction) -> None:
            transaction.write(moved.by_table(), created=True)
            for table in (tables.bodies, tables.spans):
                transaction._upsert(table)
            entered.set()
            assert leave.wait(SOON)

        inserting = asyncio.create_task(first._write(insert, rows_only=True))
        assert await asyncio.to_thread(entered.wait, SOON)
        await asyncio.wait_for(
            second.write_spans("p", [a_span("e", "s2"), a_span("f", "s2")], events=True), SOON
        )
        assert len(await second.trace_spans("p", "s2")) == 2
        leave.set()
        await inserting
        # The first committed last, so that the event is where it says.
        assert [s.span_id for s in await second.trace_spans("p", "s1")] == ["e"]
        assert [s.span_id for s in await second.trace_spans("p", "s2")] == ["f"]
        await asyncio.gather(first.close(), second.close())

    run(write())


def test_commits_are_durable_where_the_server_would_not_wait(
    server_url: str, run: Run[Any]
) -> None:
    with administrator(server_url) as server:
        server.execute(
            f"ALTER DATABASE {make_url(server_url).database} SET synchronous_commit = off"
        )
    store = run(Store.open(server_url))
    setting = run(
        store._write(lambda t: t.connection.execute(text("SHOW synchronous_commit")).scalar())
    )
    assert setting == "on"
    run(store.close())


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_only_utf8_will_do(server_url: str, run: Run[Any], encoding: str) -> None:
    with administrator(server_url) as server:
        name = f"{make_url(server_url).database}_{encoding.lower()}"
        server.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
        )
    with pytest.raises(ValueError, match="UTF8"):
        run(Store.open(make_url(server_url).set(database=name).render_as_string(False)))


def test_the_server_ends_a_statement_that_outlasts_its_call(
    server_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_LATE_SECONDS", 0.1)

    def sleep(connection: Connection) -> Any:
        return connection.execute(text("SELECT pg_sleep(10000)")).scalar()

    async def read() -> None:
        store = await Store.open(server_url)
        CALLER.set("p")
        for deadline in (time.monotonic(), time.monotonic() + 0.3):
            DEADLINE.set(deadline)
            with pytest.raises(TimeoutError):
                await store._read(sleep)
        monkeypatch.setattr(readers, "_LONGEST_SECONDS", 0.1)
        DEADLINE.set(None)
        with pytest.raises(TimeoutError):
            await store._read(sleep)
        await store.close()

    run(read())


def test_sessions_keep_no_setting_of_a_transaction(server_url: str, run: Run[Any]) -> None:
    """A pooler gives the session to another client after each transaction."""
    names = (
        *("statement_timeout", "lock_timeout"),
        *("idle_in_transaction_session_timeout", "synchronous_commit"),
    )

    def settings(connection: Connection) -> list[str]:
        return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]

    async def work() -> None:
        store = await Store.open(server_url, durable=False)
        connections = store._connections
        CALLER.set("p")
        own = await store._write(lambda t: settings(t.connection))
        assert own == ["0", "5s", "10s", "off"]
        assert (await store._read(settings))[0] != "0"
        for engine in (connections._write_engine, connections._read_engine):
            with engine.connect() as connection:
                assert settings(connection) == ["0", "0", "0", "on"]
        await store.close()

    run(work())
