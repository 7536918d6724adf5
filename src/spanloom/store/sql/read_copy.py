"""A copy of a PostgreSQL database for reads: a standby that replays what its primary commits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, TextClause, text

from spanloom.errors import SetupError
from spanloom.store.sql.database import Database
from spanloom.store.sql.postgresql import PostgreSQL

_IDENTITY = "(SELECT system_identifier FROM pg_control_system())"
_COPY = text(
    f"SELECT pg_is_in_recovery(), {_IDENTITY}, current_database(), current_setting('cluster_name')"
)
_PRIMARY = text(
    f"SELECT {_IDENTITY}, current_database(), current_setting('synchronous_commit'),"  # noqa: S608
    " EXISTS (SELECT FROM pg_stat_replication"
    " WHERE application_name = :name AND sync_state = 'sync')"
)


def check(copy: Database, primary: Database, *, stale: bool) -> None:
    """Refuse a database that is no copy, or of which a read may miss what was acknowledged before.

    Args:
        stale: such reads are accepted.

    Raises:
        SetupError: as said.
        SQLAlchemyError: a database cannot be reached.
    """
    if not isinstance(copy, PostgreSQL) or not isinstance(primary, PostgreSQL):
        raise SetupError("read_database must be a standby of a PostgreSQL database")
    engines = [database.engine(writer=False, connections=1) for database in (copy, primary)]
    try:
        is_standby, *of_copy, name = _one(engines[0], _COPY)
        *of_primary, commit, waits = _one(engines[1], _PRIMARY, name=name)
    finally:
        for engine in engines:
            engine.dispose()
    if not is_standby or of_copy != of_primary:
        raise SetupError("read_database must be a standby of the same database")
    if stale or (commit == "remote_apply" and waits):
        return
    raise SetupError(
        "reads of read_database could miss what was acknowledged: the primary must have"
        " synchronous_commit = remote_apply, and the standby, by its cluster_name"
        f" ({name!r}), must be synchronous there, by synchronous_standby_names;"
        " or accept such reads with stale_reads"
    )


def _one(engine: Engine, statement: TextClause, **parameters: object) -> tuple[Any, ...]:
    with engine.connect() as connection:
        return tuple(connection.execute(statement, parameters).one())
