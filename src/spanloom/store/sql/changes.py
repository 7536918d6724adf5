"""The log of changes: the spans of a project in the order in which they were stored, for readers
that follow it with a cursor.

A cursor is a version. Versions are handed out in blocks when transactions begin, so on a database
that writes together a transaction with a lower version may commit after one with a higher version.
A reader is therefore never shown a version at or above `horizon`, the first one that an open
transaction may still commit: what it has passed is complete.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, bindparam, func, select

from spanloom.model import Span
from spanloom.model.changes import Changes, SpanChange, SpanDeletion, StoredSpan, StoredSpans
from spanloom.store.sql.database import Database
from spanloom.store.sql.packing import length
from spanloom.store.sql.reading import (
    SPAN_NAMES,
    SpanReader,
    from_columns,
    select_whole,
)
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
_PRESENT = select(
    *(
        select(table.c.version)
        .where(table.c.version < _horizon)
        .order_by(table.c.version.desc())
        .limit(1)
        .scalar_subquery()
        for table in (spans, deleted_spans)
    )
)
_PART_OF_DELETIONS = (
    select(*(deleted_spans.c[name] for name in SpanDeletion._fields))
    .where(deleted_spans.c.version > _after, deleted_spans.c.version < _horizon)
    .order_by(deleted_spans.c.version)
    .limit(SCANNED)
)
_DELETIONS = _PART_OF_DELETIONS.where(deleted_spans.c.project == bindparam("project"))


@cache
def _of_projects(database: Database, chosen: bool) -> tuple[Select[Any], Select[Any]]:
    """The whole spans, and the deletions, of all or of several projects in a part of the log."""
    part = _PART.subquery("part")
    found = select(part).order_by(part.c.version).limit(bindparam("limit"))
    deletions = _PART_OF_DELETIONS.add_columns(deleted_spans.c.project)
    if chosen:
        found = found.where(database.among_named(part.c.project, "projects"))
        deletions = deletions.where(database.among_named(deleted_spans.c.project, "projects"))
    return select_whole(found, ("version",), also=("project",)), deletions


# Where a row of the whole spans has what was sent.
_SENT = len(SPAN_NAMES) + 1


def present(connection: Connection, database: Database) -> int:
    """The position after all that is committed now, and before all that is not."""
    parameters = {"horizon": database.horizon(connection)}
    return newest(connection, parameters["horizon"])


def newest(connection: Connection, horizon: int) -> int:
    """The highest version of the log below one."""
    found = connection.execute(_PRESENT, {"horizon": horizon}).one()
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


def stored(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    projects: Collection[str] | None,
    after: int,
    limit: int,
    size: int,
) -> StoredSpans:
    """The whole spans of projects, or of all (None), that were stored after a position: at most
    `limit`, and no more once they have `size` bytes."""
    parameters = {"after": after, "horizon": database.horizon(connection)}
    if newest(connection, parameters["horizon"]) <= after:  # most polls
        return StoredSpans([], [], after, more=False)
    passed, number = connection.execute(_PASSED, parameters).one()
    whole, deletions = _of_projects(database, projects is not None)
    of_projects = {**parameters}
    if projects is not None:
        of_projects["projects"] = database.texts(projects)
    found: list[StoredSpan] = []
    is_full = False
    if number:
        with connection.execute(
            whole, {**of_projects, "limit": limit}, execution_options={"stream_results": True}
        ) as rows:
            for row in rows:
                weight = length(row[_SENT])
                found.append(StoredSpan(row.project, reader.shown(row), weight))
                size -= weight
                if len(found) == limit or size <= 0:
                    is_full = True
                    break
    if is_full:
        reached = found[-1].span.version
        more = reached < passed or number == SCANNED
    else:
        reached, more = passed or after, number == SCANNED
    if more:
        of_projects["horizon"] = reached + 1
    rows_deleted = connection.execute(deletions, of_projects).fetchall()
    deleted = [(row.project, SpanDeletion._make(row[:-1])) for row in rows_deleted]
    if len(deleted) == SCANNED:
        reached, more = deleted[-1][1].version, True
    elif deleted:
        reached = max(reached, deleted[-1][1].version)
    return StoredSpans(
        [one for one in found if one.span.version <= reached], deleted, reached, more
    )


def _change(row: Any) -> SpanChange:
    span: Span = from_columns(row)
    return SpanChange(row.version, span)
