"""A transaction of the writer: it gives rows their versions, and writes the rows of many calls at
once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table

from spanloom.store.sql import attachments, ownership
from spanloom.store.sql.database import VERSIONS, Database, Row
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.tables import attached, bodies, envelopes, metadata, patches, spans, traces
from spanloom.store.sql.tables import attachments as contents

Rows = Mapping[Table, Sequence[Row]]

# Where a row has its version, in the tables that have one: behind the key. `patches` and
# `dataset_rows` call it `sequence`.
_VERSION_AT = {
    table: len(table.primary_key)
    for table in metadata.tables.values()
    if "version" in table.c or "sequence" in table.c
}
_SEQUENCE_AT = spans.columns.keys().index("sequence")
_EVENT_AT = {table: table.columns.keys().index("event_id") for table in (spans, patches)}


class RowsOnlyError(Exception):
    """A transaction that writes rows only has to change a row that it did not write. Nothing of it
    is committed."""


@dataclass(slots=True)
class Unfinished:
    """What was written of one project and has to be followed up before the commit."""

    events: set[str] = field(default_factory=set)  # whose spans or updates were written
    created: dict[str, int] = field(default_factory=dict)  # by the events API: id -> version
    scans: set[str] = field(default_factory=set)  # traces of which spans came


class Transaction:
    """The writer's open transaction.

    It begins with the lock of all writers: no other process writes to the database while it is
    open. Transactions that write rows of spans and nothing else (`rows_only`) do so at the same
    time: the database orders two rows of one key, and each sees what the others have committed
    before it looks for what follows, for they commit one after the other. Such a transaction never
    changes a row that it did not write: it could wait for another that waits for it.

    Rows are kept until a statement asks for `connection`, so that calls that only write rows share
    their INSERTs.
    """

    def __init__(
        self,
        database: Database,
        connection: Connection,
        reader: SpanReader,
        *,
        rows_only: bool = False,
        under_savepoint: bool = False,
    ) -> None:
        """Take the lock. `under_savepoint` as of `Database.upsert`."""
        self.database = database
        self.reader = reader
        self._connection = connection
        self._rows_only = rows_only
        self._under_savepoint = under_savepoint
        self._may_commit = not rows_only
        self._rows: dict[Table, list[Row]] = {}
        self._unfinished: dict[str, Unfinished] = defaultdict(Unfinished)
        # Spans that may replace only what an adapter wrote: project -> key -> adapter.
        self._waiting: set[tuple[str, str, str]] = set()  # spans that are not handed over yet
        self._guarded: dict[str, dict[ownership.Key, str]] = defaultdict(dict)
        self._next = database.begin_writing(connection, rows_only=rows_only)
        self._end = self._next + VERSIONS
        self._blocks = [self._next]

    @property
    def connection(self) -> Connection:
        """For statements; they see all rows that were written before."""
        self.flush()
        return self._connection

    @property
    def first_version(self) -> int:
        """The first version that the transaction took. Where it has the writers' lock alone, every
        version below is committed or was given up."""
        return self._blocks[0]

    def flush(self) -> None:
        """Hand the rows that were written to the database.

        Raises:
            ForeignSpansError: as `write`.
        """
        for project, guarded in self._guarded.items():
            ownership.check(self._connection, self.database, project, guarded)
        self._guarded.clear()
        self._waiting.clear()
        self._drop_repeated()
        if of_spans := self._rows.get(spans):
            self._rows[attached] = attachments.attached_rows(of_spans, self._rows[bodies])
        # In this order: the body of a row of spans that another replaces is deleted by a trigger.
        for table in (envelopes, contents, attached, bodies, spans, traces):
            self._upsert(table)
        if not self._may_commit:
            self.database.lock_commits(self._connection)
            self._may_commit = True
        for table in tuple(self._rows):
            self._upsert(table)

    def write(
        self,
        rows: Rows,
        *,
        created: bool = False,
        only_of: Mapping[ownership.Key, str] | None = None,
    ) -> None:
        """Write rows of one project that have to be followed up.

        Args:
            created: an event id names one event in all traces.
            only_of: of spans that may replace only what one adapter wrote, its name. Otherwise a
                later method raises ForeignSpansError. What another process commits between the
                look and the write was written at the same time, and is replaced.
        """
        if only_of:
            project = rows[spans][0][0]
            if not self._waiting.isdisjoint((project, *key) for key in only_of):
                # A look at the database does not see them before. Rows that are written after the
                # flush may wait for those of another transaction that waits for this one.
                self.may_change_others()
                self.flush()
            self._guarded[project].update(only_of)
        self.rewrite(rows)
        for table, at in _EVENT_AT.items():
            if of_table := rows.get(table):
                unfinished = self._unfinished[of_table[0][0]]
                unfinished.events.update([row[at] for row in of_table])
                if table is spans:  # whose updates may name them by either id
                    unfinished.events.update([row[2] for row in of_table if row[2] != row[at]])
                if created:
                    version_at = _VERSION_AT[table]
                    unfinished.created.update({row[at]: row[version_at] for row in of_table})

    def rewrite(self, rows: Rows) -> None:
        """Write rows from which nothing follows."""
        for table, of_table in rows.items():
            if table in _VERSION_AT:
                self._number(of_table, _VERSION_AT[table])
            if table is spans:
                self._waiting.update([(row[0], row[1], row[2]) for row in of_table])
                for row, body in zip(of_table, rows[bodies], strict=True):
                    body[0] = row[_SEQUENCE_AT] = row[_VERSION_AT[spans]]
            self._rows.setdefault(table, []).extend(of_table)

    def scan_if_sampled(self, project: str, trace_ids: frozenset[str]) -> None:
        """Have those of the traces scanned for evaluators that were chosen for evaluation."""
        self._unfinished[project].scans |= trace_ids

    def is_older(self, version: int, than: int) -> bool:
        """Whether a row was written before one that this transaction wrote: by it, or by another
        that has committed."""
        return version < than or not self.is_own(version)

    def is_own(self, version: int) -> bool:
        """Whether this transaction wrote the row with this version."""
        return any(block <= version < block + VERSIONS for block in self._blocks)

    def may_change_others(self) -> None:
        """Raise RowsOnlyError unless the transaction may change rows that it did not write."""
        if self._rows_only:
            raise RowsOnlyError

    def take_unfinished(self) -> dict[str, Unfinished]:
        """What was written since the last time, by project."""
        found, self._unfinished = self._unfinished, defaultdict(Unfinished)
        return found

    def forget(self) -> None:
        """What was written since the last follow-up was rolled back, perhaps with versions that it
        took."""
        self._rows.clear()
        self._unfinished.clear()
        self._guarded.clear()
        self._waiting.clear()
        self._next = self._end = 0

    def _drop_repeated(self) -> None:
        """Of the spans that were written several times, keep the last alone, and its body."""
        of_spans = self._rows.get(spans, ())
        last = {(row[0], row[1], row[2]): row[_VERSION_AT[spans]] for row in of_spans}
        if len(last) < len(of_spans):
            kept = set(last.values())
            at = _VERSION_AT[spans]
            first: dict[tuple[str, ...], int] = {}
            for row in of_spans:
                row[_SEQUENCE_AT] = first.setdefault(tuple(row[:at]), row[_SEQUENCE_AT])
            self._rows[spans] = [row for row in of_spans if row[at] in kept]
            self._rows[bodies] = [row for row in self._rows[bodies] if row[0] in kept]

    def _upsert(self, table: Table) -> None:
        if of_table := self._rows.pop(table, None):
            self.database.upsert(
                self._connection, table, of_table, under_savepoint=self._under_savepoint
            )

    def _number(self, rows: Sequence[Row], at: int) -> None:
        version, end = self._next, self._end
        for row in rows:
            if row[at]:  # not a placeholder
                if version == end:
                    version = self.database.next_versions(self._connection)
                    end = version + VERSIONS
                    self._blocks.append(version)
                row[at] = version
                version += 1
        self._next, self._end = version, end
