"""Spans by the ids of their events, which clients choose and which are mostly random.

An index on random ids writes a page for each row as soon as it is large. PostgreSQL takes that;
on SQLite it would halve the rate of writes among a million spans. There, the transaction that
writes spans notes their ids in a small table, and the writer moves them to a large one in the order
of the ids, between two transactions: then rows that lie side by side are written together. A span
is found by its version in either of them. Triggers delete the ids of rows that are replaced or
deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
    union_all,
)

from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import patches, spans

_metadata = MetaData()
_PLACES = [
    Table(name, _metadata, Column("event_id", Text), Column("version", BigInteger))
    for name in ("recent_event_ids", "event_ids")
]


def of_events(database: Database, event_ids: Collection[str]) -> ColumnElement[bool]:
    """Whether a row of `spans`, of any project, is of one of the events."""
    if not database.moves_event_ids:
        return database.among(spans.c.event_id, event_ids)
    found = (select(t.c.version).where(database.among(t.c.event_id, event_ids)) for t in _PLACES)
    return spans.c.version.in_(union_all(*found))


def of_patched_event(database: Database) -> ColumnElement[bool]:
    """Whether a row of `spans` is of the event that a row of `patches` is of: several traces may
    hold one event id."""
    of_project = spans.c.project == patches.c.project
    if not database.moves_event_ids:
        return of_project & (spans.c.event_id == patches.c.event_id)
    found = (
        select(t.c.version).where(t.c.event_id == patches.c.event_id).correlate(patches)
        for t in _PLACES
    )
    return of_project & spans.c.version.in_(union_all(*found))


@lru_cache(maxsize=16)
def repeated(database: Database) -> Select[Any]:
    """Those of the ids in the parameter `event_ids` that several spans have, in `project` or
    perhaps in others; read from indexes alone."""
    if not database.moves_event_ids:
        # A look into the index for each id. For a group by the ids, PostgreSQL may read the whole
        # project in the order of the ids, as long as it has no statistics, and compare each row
        # with all ids that are wanted.
        wanted = func.unnest(bindparam("event_ids", type_=ARRAY(Text))).column_valued("wanted")
        number = (
            select(func.count())
            .select_from(spans)
            .where(spans.c.project == bindparam("project"), spans.c.event_id == wanted)
        )
        return select(wanted).where(number.scalar_subquery() > 1)
    places = union_all(
        *(
            select(table.c.event_id).where(database.among_named(table.c.event_id, "event_ids"))
            for table in _PLACES
        )
    ).subquery()
    ids = places.c.event_id
    return select(ids).group_by(ids).having(func.count() > 1)
