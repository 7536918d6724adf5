"""A transaction of the writer: it gives rows their versions, in the order of commits, and writes the rows of many calls at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table

from spanloom.store.sql.database import Database, Row
from spanloom.store.sql.tables import metadata, patches, spans

Rows = Mapping[Table, Sequence[Row]]

# Versions that a transaction takes when it begins; it takes more when these do not suffice.
_VERSIONS = 10_000
# Where a row has its version, in the tables that have one: behind the key. `patches` and `dataset_rows` call it `sequence`.
_VERSION_AT = {
    table: len(table.primary_key)
    for table in metadata.tables.values()
    if "version" in table.c or "sequence" in table.c
}
_EVENT_AT = {table: table.columns.keys().index("event_id") for table in (spans, patches)}


@dataclass(slots=True)
class Unfinished:
    """What was written of one project and has to be followed up before the commit."""

    events: set[str] = field(default_factory=set)  # whose spans or updates were written
    created: dict[str, int] = field(default_factory=dict)  # by the events API: id -> version
    scans: set[str] = field(default_factory=set)  # traces of which spans came


class Transaction:
    """The writer's open transaction. While it is open, no other process writes to the database.

    Rows are kept until a statement asks for `connection`, so that calls that only write rows share their INSERTs.
    """

    def __init__(self, database: Database, connection: Connection, *, alone: bool = False) -> None:
        """Take the writers' lock. `alone` as of `Database.upsert`."""
        self.database = database
        self._connection = connection
        self._alone = alone
        self._rows: dict[Table, list[Row]] = {}
        self._unfinished: dict[str, Unfinished] = defaultdict(Unfinished)
        self._next = database.next_versions(connection, _VERSIONS)
        self._end = self._next + _VERSIONS

    @property
    def connection(self) -> Connection:
        """For statements; they see all rows that were written before."""
        self.flush()
        return self._connection

    def flush(self) -> None:
        """Hand the rows that were written to the database."""
        rows, self._rows = self._rows, {}
        for table, of_table in rows.items():
            if of_table:
                self.database.upsert(self._connection, table, of_table, alone=self._alone)

    def write(self, rows: Rows, *, created: bool = False) -> None:
        """Write rows of one project that have to be followed up. `created`: an event id names one event in all traces."""
        self.rewrite(rows)
        for table, at in _EVENT_AT.items():
            if of_table := rows.get(table):
                unfinished = self._unfinished[of_table[0][0]]
                unfinished.events.update([row[at] for row in of_table])
                if created:
                    version_at = _VERSION_AT[table]
                    unfinished.created.update({row[at]: row[version_at] for row in of_table})

    def rewrite(self, rows: Rows) -> None:
        """Write rows from which nothing follows."""
        for table, of_table in rows.items():
            if table in _VERSION_AT:
                self._number(of_table, _VERSION_AT[table])
            self._rows.setdefault(table, []).extend(of_table)

    def scan_if_sampled(self, project: str, trace_ids: frozenset[str]) -> None:
        """Have those of the traces scanned for evaluators that were chosen for evaluation."""
        self._unfinished[project].scans |= trace_ids

    def take_unfinished(self) -> dict[str, Unfinished]:
        """What was written since the last time, by project."""
        found, self._unfinished = self._unfinished, defaultdict(Unfinished)
        return found

    def forget(self) -> None:
        """What was written since the last follow-up was rolled back, perhaps with versions that it took."""
        self._rows.clear()
        self._unfinished.clear()
        self._next = self._end = 0

    def _number(self, rows: Sequence[Row], at: int) -> None:
        if self._next + len(rows) > self._end:
            count = max(len(rows), _VERSIONS)
            self._next = self.database.next_versions(self._connection, count)
            self._end = self._next + count
        version = self._next
        for row in rows:
            if row[at]:  # not a placeholder
                row[at] = version
                version += 1
        self._next = version
