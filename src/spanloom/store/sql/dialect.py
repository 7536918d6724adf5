"""All that differs between the databases, and nothing else.

A database is named by a URL: `sqlite:///file` or `postgresql+psycopg://...` (`postgresql://` means the same).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    Double,
    Engine,
    Integer,
    Table,
    Text,
    and_,
    any_,
    case,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

from spanloom.errors import SetupError

Row = tuple[Any, ...]

# A database that stays locked or does not answer for this long is reported as unavailable.
PATIENCE_SECONDS = 30
_SCHEMA_LOCK = 0x5350_4C4D  # the advisory lock that migrations of one PostgreSQL database take
_PAGE_SIZE = 8192
_CHECKPOINT_PAGES = 4000
_WAL_LIMIT_BYTES = 128 << 20
# Rows a statement. Few sizes, so that each is prepared once; the largest stays below SQLite's 32,766 variables.
_ROWS_A_STATEMENT = (256, 64, 16, 4, 1)


class JsonValue(NamedTuple):
    """What stands at a path of a JSON text, by its type: each is SQL NULL when the value is of another type or absent."""

    text: ColumnElement[Any]
    number: ColumnElement[Any]
    boolean: ColumnElement[Any]
    present: ColumnElement[bool]  # false for JSON null, too
    filled: ColumnElement[bool]  # an object or array with something in it
    keyed: ColumnElement[bool]  # an object


class Database(ABC):
    """One database and its dialect. It holds no connection: `engine` makes those."""

    def __init__(self, url: URL) -> None:
        self.url = url

    def create(self) -> None:  # noqa: B027 - nothing to do is an answer
        """Make the place where the database will be, as far as that is ours to do."""

    @abstractmethod
    def engine(self, *, writer: bool, connections: int) -> Engine:
        """A pool of at most so many connections. A writer's transaction takes its locks when it begins."""

    def must_exist(self) -> None:  # noqa: B027 - a server tells by itself
        """SetupError when the place where the database should be is empty."""

    @abstractmethod
    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Write whole rows (all columns, in the table's order) as `tables.py` says: the newest version of a key stays."""

    def lock_schema(self, connection: Connection) -> None:  # noqa: B027
        """Keep other migrations out until this transaction ends."""

    def lock_event(self, connection: Connection, project: str, event_id: str) -> None:  # noqa: B027
        """Keep other processes from deciding on what is absent of this event until this transaction ends."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for this writer's turn among the processes that write."""
        return nullcontext()

    def after_commit(self, engine: Engine) -> None:  # noqa: B027
        """What the writer has to do for the database between two transactions."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        """`column` is one of any number of texts; one parameter, so that one statement serves every number."""

    @abstractmethod
    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        """Whether the text occurs, by bytes."""

    @abstractmethod
    def json(self, document: ColumnElement[Any], path: Sequence[str | int]) -> JsonValue:
        """What stands at a path: keys (text) and array indices (numbers). Keys may hold any character."""

    @abstractmethod
    def time_ms(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """Milliseconds since 1970, rounded or cut, of an ISO 8601 text (a date, or with a time and an offset; without one UTC);
        SQL NULL of what is none."""

    def readable(self, document: ColumnElement[Any]) -> ColumnElement[Any]:
        r"""A JSON text whose NUL characters are replaced by U+FFFD: SQLite cuts a text at NUL, PostgreSQL refuses it.

        U+0001 keeps an escaped backslash apart meanwhile: JSON text never holds it bare.
        """
        replaced = func.replace(document, r"\\", "\x01")
        replaced = func.replace(replaced, r"\u0000", "\ufffd")
        replaced = func.replace(replaced, "\x01", r"\\")
        return case((self.contains(document, r"\u0000"), replaced), else_=document)


class SQLite(Database):
    """An SQLite file in WAL mode: readers never wait for the writer, nor the writer for them."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._log = f"{Path(str(url.database)).absolute()}-wal"
        self._log_limit = _WAL_LIMIT_BYTES

    def create(self) -> None:
        Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)

    def engine(self, *, writer: bool, connections: int) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"timeout": PATIENCE_SECONDS},
        )
        begin = "BEGIN IMMEDIATE" if writer else "BEGIN"

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            connection.isolation_level = None  # SQLAlchemy says when a transaction begins, below
            if writer:
                _write_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size = {-65536 if writer else -16384}")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def must_exist(self) -> None:
        # Connecting would make the file.
        if not Path(str(self.url.database)).exists():
            raise SetupError(f"there is no file {self.url.database}")

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        # Many rows a statement, because sqlite3 lets go of the interpreter's lock once a step and, when other threads are
        # busy, waits up to 5 ms to get it back: a step a row would write 500 rows a second then.
        execute = connection.connection.dbapi_connection.execute  # type: ignore[union-attr]
        start = 0
        for size in _ROWS_A_STATEMENT:
            while len(rows) - start >= size:
                part = rows[start : start + size]
                execute(_insert_values(table, size), tuple(itertools.chain.from_iterable(part)))
                start += size

    @contextmanager
    def turn(self) -> Iterator[None]:
        # SQLite's own wait for another writer polls, with longer and longer sleeps, so that one may wait for seconds while others
        # write. The kernel wakes those that wait for a file's lock.
        queue = os.open(f"{self.url.database}-turn", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(queue, fcntl.LOCK_EX)
            yield
        finally:
            os.close(queue)

    def after_commit(self, engine: Engine) -> None:
        # The checkpoints that commits do by themselves stop at the oldest reader's snapshot, so that readers without pause
        # would let the log grow for ever. Past a limit, wait a second for those readers; if that is not enough, go on, and
        # try again when the log has grown by as much.
        if os.path.getsize(self._log) <= self._log_limit:  # noqa: PTH202 - a tenth of Path's time, each commit
            return
        self._empty_log(engine)
        self._log_limit = os.path.getsize(self._log) + _WAL_LIMIT_BYTES  # noqa: PTH202

    def _empty_log(self, engine: Engine) -> None:
        """Write the log back into the file, once the readers that hold it back let go; wait a second for them."""
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout = 1000")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout = {PATIENCE_SECONDS * 1000}")
        finally:
            connection.close()

    def among(self, column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        array = func.json_each(orjson.dumps(list(values)).decode()).table_valued("value")
        return column.in_(select(array.c.value))

    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        return func.instr(haystack, needle) > 0

    def time_ms(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        # Not all that SQLite takes for a time: "now" is one, and any number a day.
        of_day = text.op("GLOB")("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*")
        seconds = cast(func.strftime("%s", text), BigInteger)
        fraction = cast(func.substr(func.strftime("%f", text), 4), BigInteger)
        return case((of_day, seconds * 1000 + fraction))

    def json(self, document: ColumnElement[Any], path: Sequence[str | int]) -> JsonValue:
        document = self.readable(document)
        kind: ColumnElement[Any] = func.json_type(document)
        value = document
        while path:
            plain = list(itertools.takewhile(_is_plain, path))
            where = "$" + "".join(f"[{s}]" if isinstance(s, int) else f'."{s}"' for s in plain)
            if len(plain) == len(path):
                kind, value = func.json_type(document, where), func.json_extract(document, where)
                break
            # SQLite's path language cannot write the next key (before 3.45): find it among the object's members.
            member = func.json_each(document, where).table_valued("key", "value", "type")
            named = select(member.c.type, member.c.value).where(member.c.key == path[len(plain)])
            kind = named.with_only_columns(member.c.type).scalar_subquery()
            value = named.with_only_columns(member.c.value).scalar_subquery()
            document = case((kind.in_(("object", "array")), value))
            path = path[len(plain) + 1 :]
        return JsonValue(
            text=case((kind == "text", value)),
            number=case((kind.in_(("integer", "real")), cast(value, Double))),
            boolean=case((kind == "true", True), (kind == "false", False)),
            present=func.coalesce(kind, "null") != "null",
            filled=and_(kind.in_(("object", "array")), value.not_in(("{}", "[]"))),
            keyed=func.coalesce(kind, "null") == "object",
        )


class PostgreSQL(Database):
    """A PostgreSQL server, by psycopg."""

    def engine(self, *, writer: bool, connections: int) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            # The statements of one read see one state of the database.
            isolation_level="READ COMMITTED" if writer else "REPEATABLE READ",
            connect_args={} if "connect_timeout" in self.url.query else {"connect_timeout": 10},
        )

        # Before SQLAlchemy asks its own questions, whose answers psycopg gives as bytes where the encoding is SQL_ASCII.
        @event.listens_for(engine, "connect", insert=True)
        def prepare(connection: Any, _: object) -> None:
            if connection.info.parameter_status("server_encoding") != "UTF8":
                raise SetupError("the PostgreSQL database must have the encoding UTF8")
            if writer:
                connection.execute(_DURABLE_COMMITS)
                connection.commit()

        return engine

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        # One statement may not write a row twice; and in one order, so that two processes cannot lock one another out.
        width = len(table.primary_key)
        newest: dict[Row, Row] = {}
        for row in rows:
            other = newest.get(row[:width])
            if other is None or ("version" in table.c and row[width] > other[width]):
                newest[row[:width]] = row
        names = [str(column.name) for column in table.columns]  # orjson takes no subclass of str
        document = [dict(zip(names, newest[key], strict=True)) for key in sorted(newest)]
        statement = _insert_records(table, connection.dialect)
        connection.exec_driver_sql(statement, (orjson.dumps(document).decode(),))

    def lock_schema(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def lock_event(self, connection: Connection, project: str, event_id: str) -> None:
        number = func.hashtextextended(f"{project}\n{event_id}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(number)))

    def among(self, column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        return column == any_(literal(list(values), ARRAY(Text)))

    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        return func.strpos(haystack, needle) > 0

    def time_ms(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        # By parts: a cast to a time would fail the statement where the text is none.
        def part(pattern: str) -> ColumnElement[Any]:
            return cast(func.coalesce(func.substring(text, pattern), "0"), BigInteger)

        month = func.make_date(cast(part("^(....)"), Integer), cast(part("^.{5}(..)"), Integer), 1)
        days = month - cast("1970-01-01", Date) + part("^.{8}(..)") - 1
        minutes = part("^.{11}(..)") * 60 + part("^.{14}(..)")
        offset = part(r"[+-](..):..$") * 60 + part(r"[+-]..:(..)$")
        minutes -= case((func.substring(text, r"([+-])..:..$") == "-", -offset), else_=offset)
        fraction = cast(
            func.rpad(func.coalesce(func.substring(text, r"\.(\d{1,3})"), ""), 3, "0"), BigInteger
        )
        ms = ((days * 1440 + minutes) * 60 + part("^.{17}(..)")) * 1000 + fraction
        return case((text.op("~")(_ISO_TIME), ms))

    def json(self, document: ColumnElement[Any], path: Sequence[str | int]) -> JsonValue:
        node: ColumnElement[Any] = cast(self.readable(document), JSON)
        for step in path:
            node = node.op("->", return_type=JSON())(literal(step))
        kind, value = func.json_typeof(node), node.op("#>>", return_type=Text())(text("'{}'"))
        return JsonValue(
            text=case((kind == "string", value)),
            number=case((kind == "number", cast(value, Double))),
            boolean=case((kind == "boolean", value == "true")),
            present=func.coalesce(kind, "null") != "null",
            filled=and_(kind.in_(("object", "array")), value.not_in(("{}", "[]"))),
            keyed=func.coalesce(kind, "null") == "object",
        )


_DATABASES: dict[str, Callable[[URL], Database]] = {
    "sqlite": SQLite,
    "sqlite+pysqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql+psycopg": PostgreSQL,
}


def database(url: str) -> Database:
    """The database of a URL; SetupError (which never repeats a password) when there is none for it."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SetupError(f"not a database URL; {_URLS}") from None
    make = _DATABASES.get(parsed.drivername)
    if make is None:
        raise SetupError(f"no database {parsed.drivername!r}; {_URLS}")
    if make is SQLite and (parsed.database or ":memory:").startswith((":memory:", "file:")):
        raise SetupError("an SQLite database needs a file: sqlite:///spanloom.db")
    if make is PostgreSQL:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return make(parsed)


_URLS = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"

_DURABLE_COMMITS = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""


# As SQLite has it: a day past the month's end is one of the next.
_ISO_TIME = (
    r"^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-4]):[0-5]\d(:[0-5]\d(\.\d+)?)? *([Zz]|[+-](0\d|1[0-4]):[0-5]\d)?)?$"
)


def _is_plain(step: str | int) -> bool:
    """Whether SQLite's path language can write a step: a key that JSON writes without an escape, or an index."""
    return isinstance(step, int) or (step != "" and orjson.dumps(step) == f'"{step}"'.encode())


@cache
def _insert_values(table: Table, rows: int) -> str:
    """INSERT of so many rows, a `?` a value.

    OR ROLLBACK, because a statement of many rows that could fail alone has to keep a copy of every page it changes.
    """
    row = f"({', '.join('?' * len(table.columns))})"
    values = ", ".join([row] * rows)
    return f"INSERT OR ROLLBACK {_into(table)} VALUES {values} {_on_conflict(table)}"  # noqa: S608


@cache
def _insert_records(table: Table, dialect: Dialect) -> str:
    """INSERT of any number of rows that come as one JSON array of objects: one round trip, and no work a value here."""
    record = ", ".join(f"{c.name} {c.type.compile(dialect)}" for c in table.columns)
    source = f"SELECT * FROM json_to_recordset(%s::json) AS records({record})"  # noqa: S608
    return f"INSERT {_into(table)} {source} {_on_conflict(table)}"


def _into(table: Table) -> str:
    return f"INTO {table.name} ({', '.join(table.columns.keys())})"


def _on_conflict(table: Table) -> str:
    if "version" not in table.c:
        return "ON CONFLICT DO NOTHING"
    names, keys = table.columns.keys(), table.primary_key.columns.keys()
    others = ", ".join(f"{n} = excluded.{n}" for n in names if n not in keys)
    return (
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others} "
        f"WHERE excluded.version > {table.name}.version"
    )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. The page size counts for a new file only: two events fit a page, and it measured best."""
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            # While another process creates the file: SQLite does not wait here by itself.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
