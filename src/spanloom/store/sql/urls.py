"""The database of a URL: `sqlite:///file` or `postgresql+psycopg://...` (`postgresql://` means the
same)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from spanloom.errors import SetupError
from spanloom.store.sql.database import Database
from spanloom.store.sql.postgresql import PostgreSQL
from spanloom.store.sql.sqlite import SQLite

_DATABASES: dict[str, Callable[[URL], Database]] = {
    "sqlite": SQLite,
    "sqlite+pysqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql+psycopg": PostgreSQL,
}
_URLS = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


def database(url: str) -> Database:
    """The database of a URL; SetupError (which never repeats a password) when there is none for
    it."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SetupError(f"not a database URL; {_URLS}") from None
    make = _DATABASES.get(parsed.drivername)
    if make is None:
        raise SetupError(f"the database {parsed.drivername!r} is not supported; {_URLS}")
    if make is SQLite and (parsed.database or ":memory:").startswith((":memory:", "file:")):
        raise SetupError("an SQLite database needs a file: sqlite:///spanloom.db")
    if make is PostgreSQL:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return make(parsed)
