"""What differs between the databases: `sqlite.py` and `postgresql.py` implement `Database`, and
nothing else knows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, Table, case, func
from sqlalchemy.engine import URL

# All columns of a table, in its order. A list, because the transaction that writes it fills in the
# version.
Row = list[Any]

# Versions that a transaction takes at once.
VERSIONS = 10_000
MAX_VERSION = 2**63 - 1
# A database that stays locked or does not answer for this long is reported as unavailable.
PATIENCE_SECONDS = 30
# A writer waits for a lock in so many tries, so that calls are refused in time between two.
TRIES = 6


class JsonValue(NamedTuple):
    """The value at a path of a JSON text, by its type: each is SQL NULL when the value is of
    another type or absent."""

    text: ColumnElement[Any]
    number: ColumnElement[Any]


class Database(ABC):
    """One database and its dialect of SQL. It holds no connection: `engine` makes those."""

    # Whether several transactions may write rows at once.
    writes_together = False
    # Whether the ids of events are in tables of their own: see `event_ids`.
    moves_event_ids = False

    def __init__(self, url: URL) -> None:
        self.url = url

    def create(self) -> None:  # noqa: B027 - a server has nothing to create
        """Create the place of the database, as far as the program may do that."""

    def must_exist(self) -> None:  # noqa: B027 - a server reports it by itself
        """Raise SetupError when there is no database at the URL."""

    def report_damage(self) -> None:  # noqa: B027 - a server has a log of its own
        """Log what of the database cannot be read; before it is opened for the first time."""

    @abstractmethod
    def engine(
        self,
        *,
        writer: bool,
        connections: int,
        durable: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> Engine:
        """A pool of at most `connections`. A writer's transaction takes its locks when it begins,
        and waits for them for `patience` seconds.

        Not `durable`: a crash of the machine may undo the last transactions, the newest first; none
        is undone in part, nor one that was committed before a durable one.
        """

    @abstractmethod
    def interrupt(self, connection: Any) -> None:
        """End the statement that a connection of the driver runs, from another thread."""

    def limit_statements(  # noqa: B027 - where a read that is left can always be interrupted
        self, connection: Connection, seconds: float
    ) -> None:
        """Have the database end each statement of the transaction after so many seconds."""

    @abstractmethod
    def is_locked(self, error: BaseException) -> bool:
        """Whether a statement has waited in vain for a lock that another transaction holds."""

    @abstractmethod
    def lock_holders(self, engine: Engine) -> str:
        """The processes with a lock that keeps writers waiting, for the log; "" where that is
        unknown."""

    @abstractmethod
    def wait_for_locks(self, connection: Connection) -> None:
        """Wait for what a writer's transaction needs, and write nothing."""

    def hurry(self, connection: Connection, seconds: float) -> None:  # noqa: B027 - SQLite: alone
        """Have the statements that follow in the transaction wait no longer for a lock."""

    # Writing

    @abstractmethod
    def begin_writing(self, connection: Connection, *, rows_only: bool) -> int:
        """Take the writers' lock until the transaction ends, and a block of versions as
        `next_versions` does.

        The first statement of every writer's transaction. All processes of the database share the
        lock: a transaction has it alone, but those that write `rows_only` have it together where
        the database `writes_together`.
        """

    def lock_commits(self, connection: Connection) -> None:  # noqa: B027 - SQLite: alone
        """Wait until the transaction may commit: what others that write `rows_only` have committed
        is seen from here on."""

    @abstractmethod
    def next_versions(self, connection: Connection) -> int:
        """The first of the next VERSIONS versions, which no other transaction gets. All earlier
        blocks are below it."""

    def horizon(self, connection: Connection) -> int:
        """The first version that a transaction may still commit: all rows with a lower one that
        there will be are there, for the statements that follow.

        Ends the connection's transaction, for those have to see a later state of the database.
        Where transactions write one after the other there is no such version, and this is the
        largest integer.
        """
        return MAX_VERSION

    @abstractmethod
    def upsert(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Row],
        *,
        under_savepoint: bool = False,
        exact: bool = False,
    ) -> None:
        """Write whole rows in their order; `tables.py` says which row of a key is kept.

        A failure may roll back the whole transaction, except `under_savepoint`: then what was
        written before the savepoint survives it.

        Args:
            exact: the rows are copies: each replaces the row of its key in every column.
        """

    @abstractmethod
    def versions_taken(self, connection: Connection) -> int:
        """How far versions have been handed out: whoever takes some changes it."""

    @abstractmethod
    def skip_versions(self, connection: Connection, above: int) -> None:
        """Have the next versions be higher than a number."""

    def lock_schema(self, connection: Connection) -> None:  # noqa: B027 - SQLite: alone
        """Keep other migrations out until this transaction ends."""

    def write_lock(self) -> AbstractContextManager[None]:
        """Held around a transaction, so that processes of one machine write one after the other
        without polling."""
        return nullcontext()

    def after_commit(self, engine: Engine) -> bool:
        """Upkeep that the writer does between two transactions; True. A server does its own."""
        return True

    def when_quiet(self, engine: Engine) -> bool:
        """Upkeep for a time without writes; False if it has to be tried again."""
        return True

    @abstractmethod
    def compact(self, *, full: bool) -> bool:
        """Give the space of deleted rows back; whether no byte of them is left in the files of
        tables and logs. Blocks.

        Args:
            full: write all files anew, where that keeps readers waiting, too.
        """

    @abstractmethod
    def sizes(self, connection: Connection) -> dict[str, float]:
        """The bytes on the disk: `database_bytes`, and `wal_bytes` if there is such a log."""

    def checkpoint_time(self) -> float | None:
        """When that log was last written back, in seconds since 1970; None without such a log."""
        return None

    def first_rows_soon(self, connection: Connection) -> None:  # noqa: B027 - SQLite: they are
        """Have what is streamed in the rest of the transaction planned for its first rows."""

    # The vocabulary of queries

    @abstractmethod
    def among(self, column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        """Whether `column` is one of any number of texts; one parameter, so that one statement
        serves every number."""

    @abstractmethod
    def among_named(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """The same of a parameter that is given when the statement runs, as `texts` makes it: for
        statements that are made once."""

    @abstractmethod
    def texts(self, values: Iterable[str]) -> Any:
        """The value of such a parameter."""

    @abstractmethod
    def among_numbers(
        self, column: ColumnElement[Any], values: Iterable[int]
    ) -> ColumnElement[bool]:
        """As `among`, of whole numbers."""

    @abstractmethod
    def pairs(self, values: Iterable[tuple[str, str]]) -> FromClause:
        """Any number of pairs of texts as a table with the columns `a` and `b`, for a join."""

    @abstractmethod
    def contains(self, haystack: ColumnElement[Any], needle: str) -> ColumnElement[bool]:
        """Whether the text occurs, compared by bytes."""

    @abstractmethod
    def json(self, document: ColumnElement[Any], path: Sequence[str | int]) -> JsonValue:
        """The value at a path of keys (text, any character) and array indices (numbers)."""

    def readable(self, document: ColumnElement[Any]) -> ColumnElement[Any]:
        r"""A JSON text whose NUL characters are replaced by U+FFFD: SQLite cuts a text at NUL,
        PostgreSQL refuses it.

        U+0001 marks escaped backslashes meanwhile: JSON text never contains it unescaped.
        """
        replaced = func.replace(document, r"\\", "\x01")
        replaced = func.replace(replaced, r"\u0000", "\ufffd")
        replaced = func.replace(replaced, "\x01", r"\\")
        return case((self.contains(document, r"\u0000"), replaced), else_=document)


def into(table: Table) -> str:
    """The part of an INSERT that names the table and its columns."""
    return f"INTO {table.name} ({', '.join(table.columns.keys())})"


def on_conflict(table: Table, *, exact: bool = False) -> str:
    """The part of an INSERT that replaces a row of the same key, where the table's rows have
    versions.

    Versions are not compared: the row that is written last is the newest. Version 0 marks a
    placeholder, which replaces none. A span keeps the sequence of the row that it replaces.

    Args:
        exact: as of `Database.upsert`: none of these rules holds.
    """
    names, keys = table.columns.keys(), table.primary_key.columns.keys()
    kept = set(keys) if exact else {*keys, "sequence"}
    others = ", ".join(f"{n} = excluded.{n}" for n in names if n not in kept)
    if not others or not (exact or "version" in table.c):
        return "ON CONFLICT DO NOTHING"
    replaced = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}"
    return replaced if exact else f"{replaced} WHERE excluded.version > 0"
