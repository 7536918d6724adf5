"""The schema's steps. `migrate` takes a database to the newest; nobody needs Alembic's own command
or settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from spanloom.errors import SetupError
from spanloom.store.sql.database import Database
from spanloom.store.sql.urls import database

# The newest step in `versions/`. Known here too, so that a start on a database of today does not
# import Alembic.
HEAD = "0027"
# Between this step and the next `move_bodies` has its turn.
_BODIES_MOVE = "0003"


# Alembic keeps what it works on in module globals.
_one_at_a_time = threading.Lock()


class SchemaError(SetupError):
    """The database does not have the schema that this version of Spanloom works with. The text says
    what to do."""


def migrate(url: str) -> None:
    """Make the tables, or take them to the newest step. Nothing happens when they are there
    already.

    Any number of processes may start at once: one migrates, the others wait for it. A step that
    fails leaves nothing; the bodies of spans are moved in many transactions, and a migration that
    is interrupted meanwhile continues where it was. SetupError for a URL that names no database,
    sqlalchemy.exc.OperationalError when it cannot be reached.
    """
    migrate_database(database(url))


def migrate_database(target: Database) -> None:
    """As `migrate`."""
    target.create()
    with _connection(target, writer=False) as connection:
        if _step(connection) == HEAD:
            return
    _take_to(target, _BODIES_MOVE)
    engine = target.engine(writer=True, connections=1)
    try:
        if _is_at(target, _BODIES_MOVE):
            from spanloom.store.sql.migrations.move_bodies import move_bodies

            move_bodies(target, engine)
    finally:
        engine.dispose()
    _take_to(target, HEAD)


def _is_at(target: Database, step: str) -> bool:
    with _connection(target, writer=False) as connection:
        return _step(connection) == step


def _take_to(target: Database, step: str) -> None:
    """Take the tables to a step in one transaction, unless another process was quicker."""
    with _connection(target, writer=True) as connection, connection.begin():
        target.lock_schema(connection)
        current = _step(connection)
        if current is None or not step <= current <= HEAD:
            with _one_at_a_time:
                _upgrade(connection, step)


def check_database(target: Database, *, newer: bool = False) -> None:
    """SchemaError unless the tables are at the newest step; SetupError when an embedded database
    has no file.

    Args:
        newer: A later step will do, which a newer version has taken the tables to.
    """
    target.must_exist()
    with _connection(target, writer=False) as connection:
        step = _step(connection)
    if step is None:
        raise SchemaError("the database has no tables yet: run `spanloom migrate`")
    if step > HEAD:
        if newer:
            return
        raise _too_new(step)
    if step != HEAD:
        raise SchemaError(
            f"the database's schema is at step {step}, but this version of Spanloom needs {HEAD}:"
            " run `spanloom migrate`"
        )


@contextmanager
def _connection(target: Database, *, writer: bool) -> Iterator[Connection]:
    engine = target.engine(writer=writer, connections=1)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _step(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    step = _step(connection)
    if step is not None and step not in {
        script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
    }:
        raise _too_new(step)
    command.upgrade(config, to)


def _too_new(step: str) -> SchemaError:
    return SchemaError(
        f"the database's schema is at step {step}, which this version of Spanloom does not"
        " know: install a newer version"
    )
