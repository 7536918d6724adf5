"""A database of two that are compared, and what both of them are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Engine, LargeBinary, Table, Text, func, select

from spanloom.store.sql.copying.tables import PROJECT
from spanloom.store.sql.database import MAX_VERSION, Database
from spanloom.store.sql.tables import bodies, spans
from spanloom.store.sql.urls import database

# Spans that are compared at once, and bytes that are read at once, but for a row that is larger.
SPANS_AT_ONCE = 2_500
BYTES_AT_ONCE = 4 << 20


class Side(NamedTuple):
    """A database and its connection."""

    database: Database
    engine: Engine

    @classmethod
    @contextmanager
    def open(cls, url: str, *, writer: bool) -> Iterator[Self]:
        target = database(url)
        engine = target.engine(writer=writer, connections=1)
        try:
            yield cls(target, engine)
        finally:
            engine.dispose()


def of_project(table: Table, project: str) -> list[Any]:
    """The condition that a row is of a project; none where that is "", all projects."""
    return [table.c[PROJECT.get(table, "project")] == project] if project else []


def versions(connection: Connection, project: str, after: int) -> list[int]:
    """The next versions of spans, in order."""
    found = select(spans.c.version).where(spans.c.version > after, *of_project(spans, project))
    return list(connection.execute(found.order_by(spans.c.version).limit(SPANS_AT_ONCE)).scalars())


def until(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """Up to which version what `versions` found on both sides can be compared."""
    full = [found[-1] for found in (ours, theirs) if len(found) == SPANS_AT_ONCE]
    return min(full, default=MAX_VERSION)


def parts(side: Side, connection: Connection, wanted: Sequence[int]) -> Iterator[list[int]]:
    """Versions of spans in parts whose bodies can be read at once."""
    if not wanted:
        return
    found = select(bodies.c.span_version, size_of(bodies)).where(
        side.database.among_numbers(bodies.c.span_version, wanted)
    )
    sizes = {row.span_version: row[1] for row in connection.execute(found)}
    yield from cut(wanted, [sizes.get(version, 0) for version in wanted])


def size_of(table: Table) -> Any:
    """About how many bytes a row has."""
    lengths = [
        func.coalesce(func.length(column), 0)
        for column in table.columns
        if isinstance(column.type, Text | LargeBinary)
    ]
    return sum(lengths[1:], lengths[0])


def cut(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """The items in parts of at most BYTES_AT_ONCE, or of one item."""
    part: list[Any] = []
    weight = 0
    for item, size in zip(items, sizes, strict=True):
        if part and weight + size > BYTES_AT_ONCE:
            yield part
            part, weight = [], 0
        part.append(item)
        weight += size
    if part:
        yield part
