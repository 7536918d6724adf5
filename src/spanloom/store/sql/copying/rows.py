"""Makes the rows of a table those of the same table of another database, by their keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, Table, delete, select, tuple_

from spanloom.store.sql.copying.journal import Journal
from spanloom.store.sql.copying.side import Side, cut, of_project, size_of

_ROWS_AT_ONCE = 1_000

Key = tuple[Any, ...]


def synchronize(source: Side, target: Side, journal: Journal, table: Table) -> None:
    """Write the rows that the target does not have or has otherwise, and delete those that the
    source does not have. Each part of the keys is one transaction."""
    after: Key | None = None
    while True:
        with (
            source.engine.connect() as reading,
            target.database.write_lock(),
            target.engine.begin() as writing,
        ):
            journal.hold(writing)
            sides = (reading, writing)
            ends = [end_of_part(side, table, journal.project, after) for side in sides]
            last = min((end for end in ends if end is not None), default=None)
            ours, theirs = (
                rows_between(side, table, journal.project, after, last) for side in sides
            )
            gone = [key for key in theirs if key not in ours]
            if gone:
                writing.execute(delete(table).where(tuple_(*table.primary_key).in_(gone)))
            changed = [list(row) for key, row in ours.items() if theirs.get(key) != row]
            if changed:
                target.database.upsert(writing, table, changed, exact=True)
        if last is None:
            return
        after = last


def end_of_part(
    connection: Connection, table: Table, project: str, after: Key | None
) -> Key | None:
    """The last key of the rows after a key that can be read at once; None where all can be."""
    columns = tuple(table.primary_key)
    found = _between(select(*columns, size_of(table)), table, project, after, None)
    found = found.limit(_ROWS_AT_ONCE)
    weighed = [tuple(row) for row in connection.execute(found)]
    keys = [row[:-1] for row in weighed]
    part = next(cut(keys, [row[-1] for row in weighed]), [])
    return part[-1] if len(part) < len(keys) or len(keys) == _ROWS_AT_ONCE else None


def rows_between(
    connection: Connection, table: Table, project: str, after: Key | None, last: Key | None
) -> dict[Key, Key]:
    """The rows after a key, up to another one or the end, by their keys and in their order."""
    width = len(table.primary_key)
    found = connection.execute(_between(select(table), table, project, after, last))
    return {tuple(row[:width]): tuple(row) for row in found}


def _between(
    query: Select[Any], table: Table, project: str, after: Key | None, last: Key | None
) -> Select[Any]:
    columns = tuple(table.primary_key)
    query = query.where(*of_project(table, project)).order_by(*columns)
    if after is not None:
        query = query.where(tuple_(*columns) > tuple_(*after))
    if last is not None:
        query = query.where(tuple_(*columns) <= tuple_(*last))
    return query
