"""PostgreSQL, by psycopg: a server that any number of machines share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Table,
    Text,
    any_,
    bindparam,
    case,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from spanloom.errors import SetupError
from spanloom.store.sql import database
from spanloom.store.sql.database import VERSIONS, Database, JsonValue, Row, into, on_conflict
from spanloom.store.sql.tables import metadata

# The advisory locks that the processes of one database share.
_SCHEMA_LOCK = 0x5350_4C4D
_WRITERS_LOCK = 0x5350_4C57
_COMMITS_LOCK = 0x5350_4C43
# Versions are a sequence, whose step is a block of VERSIONS. A row that every commit updates would
# leave a dead version each time, which all later commits pass while an old snapshot (a long export)
# is open: 20 us a commit more with each 1,000 commits.
_NEXT_VERSIONS = "SELECT nextval('versions')"
# What is set for a transaction, and not for a session, which a pooler gives to others. In the
# statement that locks, so that it costs no round trip.
_DURABLE = """
SELECT set_config('lock_timeout', %s, true),
    set_config('idle_in_transaction_session_timeout', %s, true),
    CASE WHEN current_setting('synchronous_commit') = 'off'
    THEN set_config('synchronous_commit', 'on', true) END
"""
_NOT_DURABLE = """
SELECT set_config('lock_timeout', %s, true),
    set_config('idle_in_transaction_session_timeout', %s, true),
    set_config('synchronous_commit', 'off', true)
"""
_ALONE = """
WITH settings AS MATERIALIZED ({settings}),
locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s) FROM settings)
SELECT nextval('versions') FROM locked
"""
# A transaction that writes together with others announces its first version: it has a lock whose
# number is that version, negative.
_TOGETHER = """
WITH settings AS MATERIALIZED ({settings}),
locked AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(%s) FROM settings),
taken AS MATERIALIZED (SELECT nextval('versions') AS version FROM locked)
SELECT version, pg_advisory_xact_lock_shared(-version) FROM taken
"""
_LOCKS_OF_A_WRITE = """
SELECT pg_advisory_xact_lock_shared(%s) FROM (SELECT set_config('lock_timeout', %s, true)) AS s
"""
_LAST_BLOCK = "SELECT last_value FROM versions"
# Read at once, whatever the snapshot. The halves of a lock's number are unsigned.
_LOCKS = """
SELECT pid, classid::bigint, objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = 'ShareLock'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Who holds a lock that keeps writers waiting. The halves of an advisory lock's number are apart.
_HOLDERS = """
SELECT DISTINCT format('process %%s of the server (%%s, %%s)', pid, application_name, state)
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE granted AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (locktype = 'advisory' AND mode = 'ExclusiveLock' AND classid = 0 AND objid = %s
    OR locktype = 'relation' AND relation >= 16384 AND mode IN
        ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
ORDER BY 1
"""
# A writer takes its versions and announces them in one statement. How often, and after how many
# seconds, a reader looks again that sees it in between.
_LOOKS, _LOOK_SECONDS = 50, 0.002
# A process that is stopped inside a transaction holds the writers' lock: the server ends its
# session.
_IDLE_SECONDS = 10
# From so many rows on, COPY into a temporary table is quicker than one JSON document.
_COPIED = 5_000
_COPY_TYPES = {str: "text", int: "int8", float: "float8", bytes: "bytea"}
_LOCK_NOT_AVAILABLE = "55P03"  # of PostgreSQL


class PostgreSQL(Database):
    """A PostgreSQL server, by psycopg."""

    writes_together = True
    _is_durable = True
    _patience = float(database.PATIENCE_SECONDS)  # of the writer

    def engine(
        self,
        *,
        writer: bool,
        connections: int,
        durable: bool = True,
        patience: float = database.PATIENCE_SECONDS,
    ) -> Engine:
        if writer:
            self._is_durable, self._patience = durable, patience
        engine = create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            # The statements of one read see one state of the database.
            isolation_level="READ COMMITTED" if writer else "REPEATABLE READ",
            connect_args={} if "connect_timeout" in self.url.query else {"connect_timeout": 10},
        )

        # Before SQLAlchemy asks its own questions, whose answers psycopg gives as bytes where the
        # encoding is SQL_ASCII.
        @event.listens_for(engine, "connect", insert=True)
        def prepare(connection: Any, _: object) -> None:
            if connection.info.parameter_status("server_encoding") != "UTF8":
                raise SetupError("the PostgreSQL database must have the encoding UTF8")
            # A pooler gives one client the sessions of several, so what is prepared in one may be
            # missing in the next. It does not name the session to its client.
            [session] = connection.execute("SELECT pg_backend_pid()").fetchone()
            connection.rollback()
            if session != connection.info.backend_pid:
                connection.prepare_threshold = None

        return engine

    def interrupt(self, connection: Any) -> None:
        connection.cancel()

    def limit_statements(self, connection: Connection, seconds: float) -> None:
        statement = "SELECT set_config('statement_timeout', %s, true)"
        connection.exec_driver_sql(statement, (_milliseconds(max(seconds, 0.001)),))

    def first_rows_soon(self, connection: Connection) -> None:
        # Else a tenth of all rows is expected to be read, and a sort of all of them comes first.
        connection.exec_driver_sql("SET LOCAL cursor_tuple_fraction = 0.0001")

    def is_locked(self, error: BaseException) -> bool:
        return getattr(getattr(error, "orig", None), "sqlstate", "") == _LOCK_NOT_AVAILABLE

    def lock_holders(self, engine: Engine) -> str:
        with engine.connect() as connection:
            found = connection.exec_driver_sql(_HOLDERS, (_WRITERS_LOCK,)).scalars()
            return ", ".join(found)

    def wait_for_locks(self, connection: Connection) -> None:
        timeout = _milliseconds(self._patience)
        connection.exec_driver_sql(_LOCKS_OF_A_WRITE, (_WRITERS_LOCK, timeout))
        connection.exec_driver_sql("LOCK TABLE spans, traces IN ROW EXCLUSIVE MODE")

    def hurry(self, connection: Connection, seconds: float) -> None:
        statement = "SELECT set_config('lock_timeout', %s, true)"
        connection.exec_driver_sql(statement, (_milliseconds(seconds),))

    def begin_writing(self, connection: Connection, *, rows_only: bool) -> int:
        settings = _DURABLE if self._is_durable else _NOT_DURABLE
        statement = (_TOGETHER if rows_only else _ALONE).format(settings=settings)
        times = _milliseconds(self._patience), _milliseconds(_IDLE_SECONDS)
        return int(connection.exec_driver_sql(statement, (*times, _WRITERS_LOCK)).scalar_one())

    def horizon(self, connection: Connection) -> int:
        for _ in range(_LOOKS):
            # In this order: a version that was handed out before the first look is announced,
            # committed or given up at the second one.
            last = connection.exec_driver_sql(_LAST_BLOCK).scalar_one()
            locks = connection.exec_driver_sql(_LOCKS).fetchall()
            connection.rollback()
            writers: set[int] = set()
            announced: dict[int, int] = {}
            for pid, high, low in locks:
                number = high << 32 | low
                if number == _WRITERS_LOCK:
                    writers.add(pid)
                elif number >> 63:  # negative
                    announced[pid] = (1 << 64) - number
            if writers <= announced.keys():
                return min(announced.values(), default=last + VERSIONS)
            time.sleep(_LOOK_SECONDS)
        return 0

    def lock_commits(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_COMMITS_LOCK)))

    def next_versions(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(_NEXT_VERSIONS).scalar_one())

    def versions_taken(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(_LAST_BLOCK).scalar_one())

    def skip_versions(self, connection: Connection, above: int) -> None:
        if self.versions_taken(connection) <= above:
            connection.exec_driver_sql("SELECT setval('versions', %s)", (above + 1,))

    def upsert(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Row],
        *,
        under_savepoint: bool = False,
        exact: bool = False,
    ) -> None:
        # One statement may not write a row twice: of one key the last, but a placeholder replaces
        # none.
        width = len(table.primary_key)
        versioned = "version" in table.c
        newest: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            key = tuple(row[:width])
            if key not in newest or exact or (versioned and row[width]):
                newest[key] = row
        if exact or len(newest) >= _COPIED:
            _copy(connection, table, [newest[key] for key in sorted(newest)], exact)
            return
        names = [str(column.name) for column in table.columns]  # orjson takes no subclass of str
        document = [dict(zip(names, newest[key], strict=True)) for key in sorted(newest)]
        statement = _insert_records(table, connection.dialect)
        text = orjson.dumps(document, default=_bytea).decode()
        connection.exec_driver_sql(statement, (text,))

    def lock_schema(self, connection: Connection) -> None:
        # A step may take minutes, on this connection and on the one that this waits for.
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def compact(self, *, full: bool) -> bool:
        engine = self.engine(writer=False, connections=1)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for name in (*metadata.tables, "span_terms"):
                    how = "FULL, ANALYZE" if full else "ANALYZE"
                    connection.exec_driver_sql(f"VACUUM ({how}) {name}")
        finally:
            engine.dispose()
        return full

    def sizes(self, connection: Connection) -> dict[str, float]:
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        return {"database_bytes": float(size)}

    def among(self, column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        return column == any_(literal(list(values), ARRAY(Text)))

    def among_named(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        return column == any_(bindparam(name, type_=ARRAY(Text)))

    def texts(self, values: Iterable[str]) -> Any:
        return list(values)

    def among_numbers(
        self, column: ColumnElement[Any], values: Iterable[int]
    ) -> ColumnElement[bool]:
        return column == any_(literal(list(values), ARRAY(BigInteger)))

    def pairs(self, values: Iterable[tuple[str, str]]) -> FromClause:
        each = list(values)
        columns = (literal([pair[n] for pair in each], ARRAY(Text)) for n in (0, 1))
        table = func.unnest(*columns).table_valued("a", "b")
        return table.render_derived("pairs")

    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        return func.strpos(haystack, needle) > 0

    def json(self, document: ColumnElement[Any], path: Sequence[str | int]) -> JsonValue:
        node: ColumnElement[Any] = cast(self.readable(document), JSON)
        for step in path:
            node = node.op("->", return_type=JSON())(literal(step))
        kind, value = func.json_typeof(node), node.op("#>>", return_type=Text())(text("'{}'"))
        return JsonValue(
            text=case((kind == "string", value)),
            number=case((kind == "number", cast(value, Double))),
        )


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"


def _bytea(value: bytes) -> str:
    return "\\x" + value.hex()


def _copy(connection: Connection, table: Table, rows: Sequence[Row], exact: bool) -> None:
    """Write rows of different keys by COPY, which takes bytes as they are. It knows no ON CONFLICT,
    hence the temporary table, which lives no longer than this."""
    create, copy, insert, drop = _copy_statements(table, exact)
    connection.exec_driver_sql(create)
    driver: Any = connection.connection.dbapi_connection
    failure: Any = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as target:
            target.set_types([_COPY_TYPES[c.type.python_type] for c in table.columns])
            for row in rows:
                target.write_row(row)
    except failure as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(
            *("", None, error, failure),
            hide_parameters=True,
            connection_invalidated=driver.closed,
        ) from error
    connection.exec_driver_sql(insert)
    connection.exec_driver_sql(drop)


@cache
def _copy_statements(table: Table, exact: bool) -> tuple[str, str, str, str]:
    name, columns = f"incoming_{table.name}", ", ".join(table.columns.keys())
    return (
        f"CREATE TEMPORARY TABLE {name} (LIKE {table.name}) ON COMMIT DROP",
        f"COPY {name} ({columns}) FROM STDIN (FORMAT BINARY)",
        f"INSERT {into(table)} SELECT {columns} FROM {name} {on_conflict(table, exact=exact)}",  # noqa: S608
        f"DROP TABLE {name}",
    )


@cache
def _insert_records(table: Table, dialect: Dialect) -> str:
    """INSERT of any number of rows that come as one JSON array of objects: one round trip, and no
    work a value here."""
    record = ", ".join(f"{c.name} {c.type.compile(dialect)}" for c in table.columns)
    source = f"SELECT * FROM json_to_recordset(%s::json) AS records({record})"  # noqa: S608 - names
    return f"INSERT {into(table)} {source} {on_conflict(table)}"
