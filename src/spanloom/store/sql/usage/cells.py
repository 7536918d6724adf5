"""The sums in `usage_cells`, and how changes are added to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, select

from spanloom.model import sketch
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import usage_cells
from spanloom.store.sql.usage.changes import Change
from spanloom.store.sql.usage.parts import DAY_NS, DIMENSIONS, NUMBERS, by_agent

DAY: Final = 24
# What is summed up: by which dimensions, over how many hours, and of which other cuboid's sums, or
# of the spans themselves. A question is answered by the first that has its dimensions. Users are
# many: they are apart from all others, and by hour alone.
CUBOIDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[int, ...], str]]] = {
    "all": ((), (1, DAY), "name"),
    "agent": (("agent_name", "agent_version"), (1, DAY), "most"),
    "model": (("provider", "model"), (1, DAY), "most"),
    "name": (("kind", "name"), (1, DAY), ""),
    "user": (("user_id",), (1,), ""),
    "most": (
        ("kind", "provider", "model", "agent_name", "agent_version", "feature", "source"),
        (1, DAY),
        "",
    ),
}
_CELLS_AT_ONCE: Final = 2_000

# Cuboid, hours, start, and the dimensions that the cuboid has, "" for the others; and the project.
Place = tuple[str, str, int, int, tuple[str, ...]]


@dataclass(slots=True)
class Sum:
    """A sum of parts: NUMBERS, how often each bucket of durations occurs, and the extremes of the
    starts and durations that were added, and of those that were taken away."""

    numbers: list[float] = field(default_factory=lambda: [0] * len(NUMBERS))
    sketch: dict[int, int] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    gone_starts: list[int] = field(default_factory=list)
    gone_durations: list[float] = field(default_factory=list)
    loose: bool = False

    def add(self, other: Sum) -> None:
        """Add another sum."""
        self.numbers = [a + b for a, b in zip(self.numbers, other.numbers, strict=True)]
        if self.sketch:
            for bucket, count in other.sketch.items():
                self.sketch[bucket] = self.sketch.get(bucket, 0) + count
        else:
            self.sketch = dict(other.sketch)
        self.starts = _extremes(self.starts + other.starts)
        self.durations = _extremes(self.durations + other.durations)
        if other.gone_starts:
            self.gone_starts = _extremes(self.gone_starts + other.gone_starts)
            self.gone_durations = _extremes(self.gone_durations + other.gone_durations)
        self.loose = self.loose or other.loose

    def change(self, by: Sum) -> None:
        """Add what has changed, and find out whether an extreme is gone."""
        loose = _is_lost(self.starts, by.starts, by.gone_starts) or _is_lost(
            self.durations, by.durations, by.gone_durations
        )
        self.add(by)
        self.loose = self.loose or loose
        self.gone_starts, self.gone_durations = [], []


def _is_lost(stored: Sequence[float], added: Sequence[float], gone: Sequence[float]) -> bool:
    """Whether one of the stored extremes is gone, and none was added in its place."""
    if not gone:
        return False
    kept = [*stored, *added]
    return (
        not kept
        or (min(gone) <= min(kept) and not (added and min(added) <= min(gone)))
        or (max(gone) >= max(kept) and not (added and max(added) >= max(gone)))
    )


def sum_of(changes: Sequence[Change]) -> Sum:
    """The sum of changes."""
    signed = [part.numbers if sign > 0 else [-n for n in part.numbers] for part, sign in changes]
    counts: dict[int, int] = {}
    total = Sum(numbers=[sum(of) for of in zip(*signed, strict=True)], sketch=counts)
    for part, sign in changes:
        if part.start_ns is not None:
            (total.starts if sign > 0 else total.gone_starts).append(part.start_ns)
        if part.duration_ms is not None:
            bucket = sketch.bucket_of(part.duration_ms)
            counts[bucket] = counts.get(bucket, 0) + sign
            (total.durations if sign > 0 else total.gone_durations).append(part.duration_ms)
    total.starts, total.gone_starts = _extremes(total.starts), _extremes(total.gone_starts)
    total.durations = _extremes(total.durations)
    total.gone_durations = _extremes(total.gone_durations)
    return total


def sums_of(changes: Iterable[Change]) -> dict[Place, Sum]:
    """The sums of changes at all their places."""
    found: dict[Place, Sum] = {}
    changes = list(changes)
    apart = [(part, sign) for whole, sign in changes for part in by_agent(whole)]
    for cuboid, some in (("name", changes), ("user", changes), ("most", apart)):
        values_of = itemgetter(*(DIMENSIONS.index(name) for name in CUBOIDS[cuboid][0]))
        parts: defaultdict[tuple[str, int, Any], list[Change]] = defaultdict(list)
        for change in some:
            part = change[0]
            parts[part[0], part[1], values_of(part[2])].append(change)
        for (project, hour_ns, _), of in parts.items():
            dimensions = _only(of[0][0].dimensions, _KEPT[cuboid])
            found[project, cuboid, 1, hour_ns, dimensions] = sum_of(of)
    for (project, cuboid, hours, start_ns, dimensions), total in tuple(found.items()):
        for name, kept in _OF_CUBOIDS.get(cuboid, ()):
            place = (project, name, hours, start_ns, _only(dimensions, kept))
            found.setdefault(place, Sum()).add(total)
    for (project, cuboid, _, start_ns, dimensions), total in tuple(found.items()):
        if DAY in CUBOIDS[cuboid][1]:
            day_ns = start_ns - start_ns % DAY_NS
            found.setdefault((project, cuboid, DAY, day_ns, dimensions), Sum()).add(total)
    return found


def _only(dimensions: Sequence[str], kept: Sequence[bool]) -> tuple[str, ...]:
    """The dimensions that a cuboid has, "" for the others."""
    return tuple([value if keep else "" for value, keep in zip(dimensions, kept, strict=True)])


_KEPT: Final = {
    cuboid: tuple(name in names for name in DIMENSIONS) for cuboid, (names, _, _) in CUBOIDS.items()
}
_OF_CUBOIDS: Final[dict[str, list[tuple[str, tuple[bool, ...]]]]] = {
    source: [(cuboid, _KEPT[cuboid]) for cuboid, (_, _, of) in CUBOIDS.items() if of == source]
    for source in CUBOIDS
}


def with_stored(
    connection: Connection, database: Database, sums: Mapping[Place, Sum]
) -> dict[str, list[Any] | None]:
    """The rows of cells, by id, with what is stored of them and these sums; None where nothing is
    left."""
    ids = {_id(place): place for place in sums}
    found: dict[str, list[Any] | None] = {}
    for some in _slices(list(ids)):
        which = database.among(usage_cells.c.id, some)
        stored = {row.id: row for row in connection.execute(select(usage_cells).where(which))}
        for cell in some:
            total = sums[ids[cell]]
            if cell in stored:
                change, total = total, stored_sum(stored[cell])
                total.change(change)
            found[cell] = _row(cell, ids[cell], total) if any(total.numbers) else None
    return found


def store(
    connection: Connection, database: Database, found: Mapping[str, list[Any] | None]
) -> None:
    """Write rows of `with_stored` in place of those that are there."""
    for some in _slices(list(found)):
        connection.execute(delete(usage_cells).where(database.among(usage_cells.c.id, some)))
    rows = [row for row in found.values() if row is not None]
    if rows:
        database.upsert(connection, usage_cells, rows)


def clear(connection: Connection) -> None:
    """Forget all sums."""
    connection.execute(delete(usage_cells))


def stored_sum(row: Any) -> Sum:
    """The sum of a row."""
    return Sum(
        numbers=[getattr(row, name) for name in NUMBERS],
        sketch=sketch.unpacked(row.sketch),
        starts=[row.first_ns, row.last_ns] if row.first_ns is not None else [],
        durations=[row.least_ms, row.most_ms] if row.least_ms is not None else [],
        loose=bool(row.loose),
    )


def _row(cell: str, place: Place, total: Sum) -> list[Any]:
    """In the order of the table."""
    project, cuboid, hours, start_ns, dimensions = place
    starts, durations = (values or [None] for values in (total.starts, total.durations))
    numbers = map(float, total.numbers)
    return [
        *(cell, project, cuboid, hours, start_ns, *dimensions, *numbers),
        *(starts[0], starts[-1], durations[0], durations[-1]),
        int(total.loose),
        sketch.packed(total.sketch),
    ]


def cells_between(
    project: str, cuboid: str, hours: int, start_ns: int, before_ns: int
) -> list[ColumnElement[bool]]:
    """The condition on the cells that begin in a range, which lie side by side."""
    c = usage_cells.c
    first, end = (_prefix(project, cuboid, hours, edge) for edge in (start_ns, before_ns))
    return [c.id >= first, c.id < end, c.project == project]


def of_project(project: str) -> list[ColumnElement[bool]]:
    """The condition on the cells of a project."""
    digest = _digest(project, 6)
    c = usage_cells.c
    return [c.id >= f"{digest}-", c.id < f"{digest}.", c.project == project]


def _prefix(project: str, cuboid: str, hours: int, start_ns: int) -> str:
    """What the ids of cells begin with, in the order of their starts."""
    return f"{_digest(project, 6)}-{cuboid}-{hours}-{start_ns + (1 << 63):016x}-"


def _id(place: Place) -> str:
    return _prefix(*place[:4]) + _digest(repr(place), 10)


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def _extremes(values: list[Any]) -> list[Any]:
    return [min(values), max(values)] if len(values) > 1 else values


def _slices(cells: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        yield cells[start : start + _CELLS_AT_ONCE]
