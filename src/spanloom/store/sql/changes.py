"""The log of changes: the spans of a project in the order in which they were stored, for readers
that follow it with a cursor.

A cursor is a version. Versions are handed out in blocks when transactions begin, so on a database
that writes together a transaction with a lower version may commit after one with a higher version.
A reader is therefore never shown a version at or above `horizon`, the first one that an open
transaction may still commit: what it has passed is complete.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Connection, Select, bindparam, func, select

from spanloom.model import Span
from spanloom.model.changes import Changes, SpanChange, SpanDeletion
from spanloom.store.sql.database import Database
from spanloom.store.sql.reading import SPAN_NAMES, from_columns
from spanloom.store.sql.tables import deleted_spans, spans

# Entries of the log that one call passes, those of other projects included: about 10 ms.
SCANNED = 10_000

_after: Any = bindparam("after", type_=BigInteger)
_horizon: Any = bindparam("horizon", type_=BigInteger)
_PART = (
    select(spans)
    .where(spans.c.version > _after, spans.c.version < _horizon)
    .order_by(spans.c.version)
    .limit(SCANNED)
)


def _of_project(part: Any) -> Select[Any]:
    columns = (part.c[name] for name in SPAN_NAMES)
    return (
        select(*columns, part.c.version)
        .where(part.c.project == bindparam("project"))
        .order_by(part.c.version)
        .limit(bindparam("limit"))
    )


_CHANGES = _of_project(_PART.subquery("part"))
_versions = _PART.with_only_columns(spans.c.version).subquery("versions")
_PASSED = select(func.max(_versions.c.version), func.count())
_PRESENT = [
    select(table.c.version)
    .where(table.c.version < _horizon)
    .order_by(table.c.version.desc())
    .limit(1)
    for table in (spans, deleted_spans)
]
_DELETIONS = (
    select(*(deleted_spans.c[name] for name in SpanDeletion._fields))
    .where(
        deleted_spans.c.version > _after,
        deleted_spans.c.version < _horizon,
        deleted_spans.c.project == bindparam("project"),
    )
    .order_by(deleted_spans.c.version)
    .limit(SCANNED)
)


def present(connection: Connection, database: Database) -> int:
    """The position after all that is committed now, and before all that is not."""
    parameters = {"horizon": database.horizon(connection)}
    return newest(connection, parameters["horizon"])


def newest(connection: Connection, horizon: int) -> int:
    """The highest version of the log below one."""
    found = (connection.execute(query, {"horizon": horizon}).scalar() for query in _PRESENT)
    return max(version or 0 for version in found)


def changes(
    connection: Connection, database: Database, project: str, after: int, limit: int
) -> Changes:
    """The spans of the project that were stored after a position, at most `limit`, and the
    position after them."""
    # Before the read has its snapshot: all that was committed below it is in the snapshot then.
    horizon = database.horizon(connection)
    parameters = {"project": project, "after": after, "horizon": horizon, "limit": limit}
    rows = connection.execute(_CHANGES, parameters).fetchall()
    passed, number = connection.execute(_PASSED, parameters).one()
    reached, more = passed or after, number == SCANNED
    if len(rows) == limit:
        reached, more = rows[-1].version, more or rows[-1].version < passed
    # The deletions of the same part of the log. Where it ends, also those behind the last span.
    until = reached + 1 if more else horizon
    found = connection.execute(_DELETIONS, {**parameters, "horizon": until})
    deleted = [SpanDeletion._make(row) for row in found]
    if len(deleted) == SCANNED:
        reached, more = deleted[-1].version, True
    elif deleted:
        reached = max(reached, deleted[-1].version)
    spans_seen = [_change(row) for row in rows if row.version <= reached]
    return Changes(spans_seen, deleted, reached, more)


def _change(row: Any) -> SpanChange:
    span: Span = from_columns(row)
    return SpanChange(row.version, span)
