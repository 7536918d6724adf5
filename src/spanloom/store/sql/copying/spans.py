"""Makes the spans of a database those of another one, by their versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from spanloom.store.sql.copying.journal import Journal
from spanloom.store.sql.copying.side import Side, parts, until, versions
from spanloom.store.sql.database import MAX_VERSION
from spanloom.store.sql.tables import attached, attachments, bodies, envelopes, spans

_ROWS_OF = {
    attached: attached.c.span_version,
    bodies: bodies.c.span_version,
    spans: spans.c.version,
}
# Digests that are asked for in one statement.
_DIGESTS = 500


def sweep(
    source: Side, target: Side, journal: Journal, after: int, passed: Callable[[int], None]
) -> None:
    """Delete what the source does not have, and copy what the target does not have.

    Each part of the versions is one transaction, and is noted in the journal.

    Args:
        after: The version after which it begins.
        passed: Is called with the number of spans that were compared.
    """
    while after < MAX_VERSION:
        with source.engine.connect() as reading:
            ours = versions(reading, journal.project, after)
            with target.database.write_lock():
                with target.engine.begin() as writing:
                    journal.hold(writing)
                    theirs = versions(writing, journal.project, after)
                    last = until(ours, theirs)
                    ours = [version for version in ours if version <= last]
                    there = {version for version in theirs if version <= last}
                    _delete(target, writing, there.difference(ours))
                    missing = [version for version in ours if version not in there]
                    for part in parts(source, reading, missing):
                        _copy(source, reading, target, writing, part)
                    journal.reach(writing, max(ours, default=after))
                target.database.after_commit(target.engine)
        after = last
        passed(len(ours))


def _delete(target: Side, writing: Connection, gone: set[int]) -> None:
    # Triggers delete what hangs on the row.
    if gone:
        of_rows = target.database.among_numbers(spans.c.version, gone)
        writing.execute(delete(spans).where(of_rows))


def _copy(
    source: Side, reading: Connection, target: Side, writing: Connection, part: Sequence[int]
) -> None:
    """Copy spans and all that belongs to them, in the order in which a writer writes them."""
    rows: dict[Table, list[list[Any]]] = {}
    for table, version in _ROWS_OF.items():
        of_part = select(table).where(source.database.among_numbers(version, part))
        rows[table] = [list(row) for row in reading.execute(of_part.order_by(version))]
    project_of = {row[_VERSION]: row[0] for row in rows[spans]}
    shared = {
        envelopes: {(project_of[row[0]], row[_ENVELOPE]) for row in rows[bodies]},
        attachments: {(row[_PROJECT], row[1]) for row in rows[attached]},
    }
    for table, places in shared.items():
        for project, digest in _missing(writing, table, places):
            content = select(table).where(table.c.project == project, table.c.digest == digest)
            found = [list(row) for row in reading.execute(content)]
            target.database.upsert(writing, table, found, exact=True)
    for table, of_table in rows.items():
        if of_table:
            target.database.upsert(writing, table, of_table, exact=True)


_VERSION = spans.columns.keys().index("version")
_ENVELOPE = bodies.columns.keys().index("envelope")
_PROJECT = attached.columns.keys().index("project")


def _missing(
    writing: Connection, table: Table, places: Iterable[tuple[str, bytes | None]]
) -> Iterable[tuple[str, bytes]]:
    """The places (project, digest) for which a table has no row."""
    wanted: dict[str, set[bytes]] = defaultdict(set)
    for project, digest in places:
        if digest is not None:
            wanted[project].add(bytes(digest))
    for project, digests in wanted.items():
        ordered = sorted(digests)
        for start in range(0, len(ordered), _DIGESTS):
            some = ordered[start : start + _DIGESTS]
            there = select(table.c.digest).where(
                table.c.project == project, table.c.digest.in_(some)
            )
            found = {bytes(digest) for digest in writing.execute(there).scalars()}
            yield from ((project, digest) for digest in some if digest not in found)
