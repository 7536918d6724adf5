"""The sums in `usage_cells`, and how changes are added to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from spanloom.model import sketch
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import usage_cells
from spanloom.store.sql.usage.changes import Change
from spanloom.store.sql.usage.parts import DIMENSIONS, HOUR_NS, NUMBERS

DAY: Final = 24
# What is summed up: by which dimensions, and over how many hours. A question is answered by the
# first that has its dimensions. Users are many: they are apart from all others, and by hour alone.
CUBOIDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "all": ((), (1, DAY)),
    "agent": (("agent_name", "agent_version"), (1, DAY)),
    "model": (("provider", "model"), (1, DAY)),
    "name": (("kind", "name"), (1, DAY)),
    "user": (("user_id",), (1,)),
    "most": (
        ("kind", "provider", "model", "agent_name", "agent_version", "feature", "source"),
        (1, DAY),
    ),
}
_USER_AT: Final = DIMENSIONS.index("user_id")
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
        for bucket, count in other.sketch.items():
            self.sketch[bucket] = self.sketch.get(bucket, 0) + count
        self.starts = _extremes(self.starts + other.starts)
        self.durations = _extremes(self.durations + other.durations)
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
    # First by everything but the user, and by user: then most places are sums of few sums.
    fine: defaultdict[tuple[str, int, tuple[str, ...]], list[Change]] = defaultdict(list)
    users: defaultdict[Place, list[Change]] = defaultdict(list)
    for change in changes:
        part = change[0]
        user = part.dimensions[_USER_AT]
        without = (*part.dimensions[:_USER_AT], "", *part.dimensions[_USER_AT + 1 :])
        fine[part.project, part.hour_ns, without].append(change)
        by_user = tuple(user if at == _USER_AT else "" for at in range(len(DIMENSIONS)))
        users[part.project, "user", 1, part.hour_ns, by_user].append(change)
    found: dict[Place, Sum] = {place: sum_of(of) for place, of in users.items()}
    for (project, hour_ns, dimensions), of in fine.items():
        total = sum_of(of)
        for cuboid, kept, widths in _OTHERS:
            some = tuple(map(lambda value, keep: value if keep else "", dimensions, kept))
            for hours in widths:
                start = hour_ns - hour_ns % (hours * HOUR_NS)
                found.setdefault((project, cuboid, hours, start, some), Sum()).add(total)
    return found


_OTHERS: Final = tuple(
    (cuboid, tuple(name in names for name in DIMENSIONS), widths)
    for cuboid, (names, widths) in CUBOIDS.items()
    if cuboid != "user"
)


def apply(connection: Connection, database: Database, sums: Mapping[Place, Sum]) -> None:
    """Add sums to the table."""
    ids = {_id(place): place for place in sums}
    for some in _slices(list(ids)):
        which = database.among(usage_cells.c.id, some)
        stored = {row.id: row for row in connection.execute(select(usage_cells).where(which))}
        rows = []
        for cell in some:
            total = sums[ids[cell]]
            if cell in stored:
                total = _with(total, stored[cell])
            if any(total.numbers):
                rows.append(_row(cell, ids[cell], total))
        if stored:
            connection.execute(delete(usage_cells).where(which))
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


def _with(change: Sum, row: Any) -> Sum:
    total = stored_sum(row)
    total.change(change)
    return total


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


def _id(place: Place) -> str:
    return blake2b(repr(place).encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _extremes(values: list[Any]) -> list[Any]:
    return [min(values), max(values)] if len(values) > 1 else values


def _slices(cells: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        yield cells[start : start + _CELLS_AT_ONCE]
