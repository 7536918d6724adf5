"""SQLite: an embedded file in WAL mode, shared by any number of processes of one machine."""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Table,
    bindparam,
    case,
    cast,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from spanloom.errors import SetupError
from spanloom.store.sql import database, write_ahead_log
from spanloom.store.sql.database import VERSIONS, Database, JsonValue, Row, into, on_conflict
from spanloom.store.sql.tables import spans

_LOCKS = Path("/proc/locks")
_PAGE_SIZE = 8192
_CHECKPOINT_PAGES = 4000
_WAL_LIMIT_BYTES = 128 << 20
# Without a write for so long, the log is written back.
_QUIET_SECONDS = 2.0
# Ids of events are moved when so many are recent: enough that several of those that are moved
# together are in one page of the large table. After how many commits they are counted; how many
# are moved between two transactions.
_MOST_RECENT = 50_000
_COMMITS_A_COUNT = 64
_MOVED_AT_ONCE = 4_000
_EVENT_ID, _VERSION = (spans.columns.keys().index(name) for name in ("event_id", "version"))
_BETWEEN = "(event_id, version) > (:id, :version) AND (event_id, version) <= (:last, :last_version)"
_MOVE = (
    "BEGIN IMMEDIATE",
    f"INSERT INTO event_ids SELECT event_id, version FROM recent_event_ids WHERE {_BETWEEN} "  # noqa: S608
    "ORDER BY event_id, version",
    f"DELETE FROM recent_event_ids WHERE {_BETWEEN}",  # noqa: S608
    "COMMIT",
)
_LAST_TO_MOVE = """
SELECT event_id, version FROM (
    SELECT event_id, version FROM recent_event_ids WHERE (event_id, version) > (?, ?)
    ORDER BY event_id, version LIMIT ?
) ORDER BY event_id DESC, version DESC LIMIT 1
"""
# Rows a statement. Few sizes, so that each is prepared once; the largest stays below SQLite's
# 32,766 variables.
_ROWS_A_STATEMENT = (256, 64, 16, 4, 1)
_NEXT_VERSIONS = f"""
UPDATE sequences SET value = value + {VERSIONS} WHERE name = 'version' RETURNING value - {VERSIONS}
"""  # noqa: S608 - a number
_VERSIONS_TAKEN = "SELECT value FROM sequences WHERE name = 'version'"
_SKIP_VERSIONS = "UPDATE sequences SET value = ? WHERE name = 'version' AND value <= ?"


class SQLite(Database):
    """An SQLite file in WAL mode: readers never wait for the writer, nor the writer for them."""

    moves_event_ids = True

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._commits = 0
        # The last of the recent ids of events that was moved; None when none are being moved.
        self._moved_to: tuple[str, int] | None = None
        self._log = f"{Path(str(url.database)).absolute()}-wal"
        self._log_limit = _WAL_LIMIT_BYTES

    def create(self) -> None:
        file = Path(str(self.url.database))
        file.parent.mkdir(parents=True, exist_ok=True)

    def must_exist(self) -> None:
        # Connecting would create the file.
        if not Path(str(self.url.database)).exists():
            raise SetupError(f"the file {self.url.database} does not exist")

    def report_damage(self) -> None:
        database_file = Path(str(self.url.database))
        if database_file.exists():
            write_ahead_log.report_damage(database_file)

    def engine(
        self,
        *,
        writer: bool,
        connections: int,
        durable: bool = True,
        patience: float = database.PATIENCE_SECONDS,
    ) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"timeout": patience},
        )
        begin = "BEGIN IMMEDIATE" if writer else "BEGIN"

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            connection.isolation_level = None  # the listener below begins transactions
            if writer:
                _write_ahead(connection)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size = {-65536 if writer else -16384}")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def interrupt(self, connection: Any) -> None:
        connection.interrupt()

    def is_locked(self, error: BaseException) -> bool:
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
        return code & 0xFF == sqlite3.SQLITE_BUSY  # without what extends it

    def lock_holders(self, engine: Engine) -> str:
        found = {}
        try:
            files = (Path(f"{self.url.database}{end}") for end in ("", "-shm"))
            inodes = {file.stat().st_ino for file in files}
            for line in _LOCKS.read_text().splitlines():
                # "1: POSIX  ADVISORY  WRITE 4711 08:02:131 120 120"
                fields = line.split()
                if "WRITE" in fields and int(fields[-3].rpartition(":")[2]) in inodes:
                    pid = int(fields[-4])
                    if pid > 0 and pid != os.getpid():
                        command = Path(f"/proc/{pid}/comm").read_text().strip()
                        found[pid] = f"process {pid} ({command})"
        except (OSError, ValueError):  # no /proc, or the process has ended
            pass
        return ", ".join(found.values())

    def wait_for_locks(self, connection: Connection) -> None:
        pass  # BEGIN IMMEDIATE has

    def begin_writing(self, connection: Connection, *, rows_only: bool) -> int:
        # BEGIN IMMEDIATE has taken the lock already.
        return self.next_versions(connection)

    def next_versions(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(_NEXT_VERSIONS).scalar_one())

    def versions_taken(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(_VERSIONS_TAKEN).scalar_one())

    def skip_versions(self, connection: Connection, above: int) -> None:
        connection.exec_driver_sql(_SKIP_VERSIONS, (above + 1, above))

    def upsert(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Row],
        *,
        under_savepoint: bool = False,
        exact: bool = False,
    ) -> None:
        # Many rows a statement, because sqlite3 releases the interpreter's lock once a step and,
        # when other threads are busy, waits up to 5 ms to get it back: a step a row would write 500
        # rows a second then.
        execute = connection.connection.dbapi_connection.execute  # type: ignore[union-attr]
        start = 0
        try:
            for size in _ROWS_A_STATEMENT:
                while len(rows) - start >= size:
                    part = rows[start : start + size]
                    values = tuple(itertools.chain.from_iterable(part))
                    execute(_insert_values(table, size, under_savepoint, exact), values)
                    start += size
            if table is spans and exact:
                ids = [(row[_EVENT_ID], row[_VERSION]) for row in rows]
                connection.exec_driver_sql("INSERT INTO recent_event_ids VALUES (?, ?)", ids)
            elif table is spans and rows:
                # By one statement: a trigger has SQLite keep the rows of each INSERT in a temporary
                # table first.
                execute(_note_event_ids(under_savepoint), (rows[0][_VERSION],))
        except sqlite3.Error as error:
            raise _wrapped(error) from error

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        # SQLite's own wait for another writer polls, with longer and longer sleeps, so that a
        # process may wait for seconds while others write. The kernel wakes the processes that wait
        # for a file's lock.
        queue = os.open(f"{self.url.database}-lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(queue, fcntl.LOCK_EX)
            yield
        finally:
            os.close(queue)

    def after_commit(self, engine: Engine) -> bool:
        self._move_event_ids(engine)
        self._limit_log(engine)
        return True

    def when_quiet(self, engine: Engine) -> bool:
        """Write the log back, so that the file has everything and the log's space is free."""
        try:
            log = os.stat(self._log)  # noqa: PTH116 - as below
        except FileNotFoundError:
            return True
        if not log.st_size:
            return True
        if 0 <= time.time() - log.st_mtime < _QUIET_SECONDS:  # another process writes
            return False
        return self._empty_log(engine, wait=0)

    def _move_event_ids(self, engine: Engine) -> None:
        """Move a part of the recent ids, when they are many, in the order of the ids until all
        that were there have had their turn. Each part is moved in a transaction of its own, so a
        process that ends leaves the rest where it is found as well."""
        self._commits += 1
        if self._moved_to is None and self._commits % _COMMITS_A_COUNT:
            return
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            if self._moved_to is None:
                [recent] = cursor.execute("SELECT count(*) FROM recent_event_ids").fetchone()
                if recent < _MOST_RECENT:
                    return
                self._moved_to = "", 0
            last = cursor.execute(_LAST_TO_MOVE, (*self._moved_to, _MOVED_AT_ONCE)).fetchone()
            if last is not None:
                names = ("id", "version", "last", "last_version")
                between = dict(zip(names, (*self._moved_to, *last), strict=True))
                for statement in _MOVE:
                    cursor.execute(statement, between if ":" in statement else ())
            self._moved_to = last
        finally:
            connection.close()

    def _limit_log(self, engine: Engine) -> None:
        # The checkpoints that commits do by themselves stop at the oldest reader's snapshot, so
        # that readers without pause would let the log grow for ever. Past a limit, wait a second
        # for those readers; if that is not enough, continue, and try again when the log has grown
        # by the limit again.
        if os.path.getsize(self._log) <= self._log_limit:  # noqa: PTH202 - a tenth of Path's time
            return
        self._empty_log(engine, wait=1)
        self._log_limit = os.path.getsize(self._log) + _WAL_LIMIT_BYTES  # noqa: PTH202

    def _empty_log(self, engine: Engine, *, wait: float) -> bool:
        """Write the log back into the file; whether the log is empty, and not only written back as
        far as those let it who still read there.

        Args:
            wait: For these readers, in seconds; writers wait meanwhile.
        """
        connection = engine.raw_connection()
        cursor = connection.cursor()
        [patience] = cursor.execute("PRAGMA busy_timeout").fetchone()
        try:
            # Most of the work, while others write.
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
            [busy, *_] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")
            connection.close()

    def compact(self, *, full: bool) -> bool:
        # Always full: VACUUM writes the file anew, and keeps only writers waiting.
        with self.write_lock(), closing(sqlite3.connect(str(self.url.database))) as connection:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout = {int(database.PATIENCE_SECONDS * 1000)}")
            connection.execute("VACUUM")
            # Until then the log has pages as they were. It waits for readers of an old state.
            [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def sizes(self, connection: Connection) -> dict[str, float]:
        log = Path(self._log)
        return {
            "database_bytes": Path(str(self.url.database)).stat().st_size,
            "wal_bytes": log.stat().st_size if log.exists() else 0,
        }

    def checkpoint_time(self) -> float | None:
        # Commits write to the log; only a checkpoint writes to the file.
        return Path(str(self.url.database)).stat().st_mtime

    def among(self, column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
        return _in_array(column, self.texts(values))

    among_numbers = among

    def among_named(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        return _in_array(column, bindparam(name))

    def texts(self, values: Iterable[Any]) -> Any:
        return orjson.dumps(list(values)).decode()

    def pairs(self, values: Iterable[tuple[str, str]]) -> FromClause:
        each = func.json_each(self.texts(values)).table_valued("value").alias("pairs_each")
        first, second = (func.json_extract(each.c.value, f"$[{n}]") for n in (0, 1))
        return select(first.label("a"), second.label("b")).subquery("pairs")

    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        return func.instr(haystack, needle) > 0

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
            # SQLite's path language cannot write the next key (before 3.45): find it among the
            # object's members.
            member = func.json_each(document, where).table_valued("key", "value", "type")
            named = select(member.c.type, member.c.value).where(member.c.key == path[len(plain)])
            kind = named.with_only_columns(member.c.type).scalar_subquery()
            value = named.with_only_columns(member.c.value).scalar_subquery()
            document = case((kind.in_(("object", "array")), value))
            path = path[len(plain) + 1 :]
        return JsonValue(
            text=case((kind == "text", value)),
            number=case((kind.in_(("integer", "real")), cast(value, Double))),
        )


def _in_array(column: ColumnElement[Any], document: Any) -> ColumnElement[bool]:
    array = func.json_each(document).table_valued("value")
    return column.in_(select(array.c.value))


def _is_plain(step: str | int) -> bool:
    """Whether SQLite's path language can write a step: a key that JSON writes without an escape, or
    an index."""
    return isinstance(step, int) or (step != "" and orjson.dumps(step) == f'"{step}"'.encode())


@cache
def _insert_values(table: Table, rows: int, under_savepoint: bool, exact: bool) -> str:
    """INSERT of so many rows, a `?` a value."""
    row = f"({', '.join('?' * len(table.columns))})"
    values = ", ".join([row] * rows)
    conflict = on_conflict(table, exact=exact)
    return f"INSERT OR {_failing(under_savepoint)} {into(table)} VALUES {values} {conflict}"  # noqa: S608


@cache
def _note_event_ids(under_savepoint: bool) -> str:
    """The event ids of the spans from a version on, in the order of the table. Versions grow with
    each row that is written, so these are the rows of the last INSERTs."""
    return (
        f"INSERT OR {_failing(under_savepoint)} INTO recent_event_ids "  # noqa: S608
        "SELECT event_id, version FROM spans WHERE version >= ? ORDER BY event_id, version"
    )


def _failing(under_savepoint: bool) -> str:
    """ROLLBACK where it may be, because a statement of many rows that could fail alone has to keep
    a copy of every page it changes."""
    return "ABORT" if under_savepoint else "ROLLBACK"


def _wrapped(error: sqlite3.Error) -> BaseException:
    """The error of the driver as SQLAlchemy's error of the same kind."""
    return DBAPIError.instance("", None, error, sqlite3.Error, hide_parameters=True)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. The page size counts for a new file only: two events fit a
    page, which measured best."""
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    deadline = time.monotonic() + database.PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            # While another process creates the file: SQLite does not wait here by itself.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
