"""Answers from the sums, and from what has changed since they were made."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, or_, select, true

from spanloom.model import sketch
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans, usage_cells
from spanloom.store.sql.usage.cells import CUBOIDS, DAY, Sum, cells_between, sum_of
from spanloom.store.sql.usage.changes import (
    READER,
    Change,
    Window,
    all_parts,
    changes,
    is_quiet,
    position,
)
from spanloom.store.sql.usage.parts import DIMENSIONS, HOUR_NS, NUMBERS, Part, by_agent

_DAY_NS: Final = DAY * HOUR_NS

Group = tuple[str, ...]
# The group of what is in none that is needed.
OTHERS: Final[Group] = ()
_SUMMED: Final = (*NUMBERS, "first_ns", "last_ns", "least_ms", "most_ms", "loose")
# By bucket and group.
Totals = dict[tuple[int, Group], Sum]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is summed up.

    Attributes:
        group_by: Dimensions.
        where: The value that each of some dimensions has; a provider in lower case.
        tiles: (hours, from, before) of the cells that are read: together the whole range.
        bucket: The bucket of a start, for the starts of cells.
        one_bucket: The bucket of all starts, None where there are several.
        with_sketches: Whether the durations' sketches are needed.
        most_groups: So many groups, those with the highest cost, among equals the most spans, then
            in the order of their values, are needed; further ones may be in OTHERS.
    """

    group_by: Sequence[str]
    where: Mapping[str, str]
    tiles: Sequence[tuple[int, int, int]]
    bucket: Callable[[int], int]
    one_bucket: int | None = None
    with_sketches: bool = False
    most_groups: int | None = None

    def has(self, part: Part) -> bool:
        """Whether a part is asked for."""
        return all(
            _comparable(name, part.dimensions[DIMENSIONS.index(name)]) == value
            for name, value in self.where.items()
        ) and any(start <= part.hour_ns < before for _, start, before in self.tiles)

    def place(self, part: Part) -> tuple[int, Group]:
        """The bucket and the group of a part."""
        group = tuple(part.dimensions[DIMENSIONS.index(name)] for name in self.group_by)
        return self.bucket(part.hour_ns), group


def tiles_between(edges: Sequence[int]) -> list[tuple[int, int, int]]:
    """The largest cells that fill each stretch between two edges: days inside, hours around."""
    found: list[tuple[int, int, int]] = []
    for start, before in pairwise(edges):
        first, last = start + -start % _DAY_NS, before - before % _DAY_NS
        if first >= last:
            pieces = [(1, start, before)]
        else:
            pieces = [(1, start, first), (DAY, first, last), (1, last, before)]
        for piece in pieces:
            if piece[1] >= piece[2]:
                continue
            if found and found[-1][0] == piece[0] and found[-1][2] == piece[1]:
                found[-1] = (piece[0], found[-1][1], piece[2])
            else:
                found.append(piece)
    return found


def bucket_by(edges: Sequence[int]) -> Callable[[int], int]:
    """The edge at which the bucket of a start begins."""
    return lambda start_ns: edges[max(0, bisect_right(edges, start_ns) - 1)]


def answer(
    connection: Connection,
    database: Database,
    project: str,
    question: Question,
    check: Callable[[], None],
) -> Totals:
    """The sums that a question asks for.

    They come from the first cuboid that has its dimensions. Where none has, or the sums are of
    another version of the code, all traces with spans in the range are read.
    """
    cuboid = _cuboid_of(question)
    reached, reader = position(connection)
    if cuboid is None or reader != READER:
        return _from_spans(connection, database, project, question, check)
    changed: list[tuple[tuple[int, Group], Sum]] = []
    if not is_quiet(connection, reached):
        window = Window(reached, None)
        changes_now = changes(connection, database, window, project, check)
        changed = list(_by_place(question, changes_now))
    cells = _Cells(connection, database, project, cuboid)
    kept = cells.first_groups(question, {group for (_, group), _ in changed})
    found: Totals = {}
    for tile in question.tiles:
        for place, total in cells.sums(question, tile, kept):
            if place in found:
                found[place].add(total)
            else:
                found[place] = total
    if kept is not None and question.with_sketches:
        _put_sketches_of_others(cells, question, found)
    for place, total in changed:
        found.setdefault(place, Sum()).change(total)
    return {place: total for place, total in found.items() if any(total.numbers)}


def _put_sketches_of_others(cells: _Cells, question: Question, found: Totals) -> None:
    """Those of all less those of the groups: the sketches of all groups would take long to add."""
    everything: Totals = {}
    of_all = replace(question, group_by=())
    for tile in question.tiles:
        for place, total in cells.of_cuboid(of_all).sums(of_all, tile, None):
            everything.setdefault(place, Sum()).add(total)
    for (bucket, group), total in found.items():
        if group:
            whole = everything[bucket, ()]
            whole.sketch = sketch.subtracted(whole.sketch, total.sketch)
    for (bucket, group), total in found.items():
        if not group:
            total.sketch = everything[bucket, ()].sketch


def _cuboid_of(question: Question) -> str | None:
    """The first cuboid that has the dimensions of a question."""
    names = {*question.group_by, *question.where}
    return next((of for of, (has, *_) in CUBOIDS.items() if names <= set(has)), None)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The stored sums of a project by the dimensions of a cuboid."""

    connection: Connection
    database: Database
    project: str
    cuboid: str

    def of_cuboid(self, question: Question) -> _Cells:
        """Those of the cuboid that answers a question."""
        return replace(self, cuboid=_cuboid_of(question) or self.cuboid)

    def first_groups(self, question: Question, changed: Collection[Group]) -> list[str] | None:
        """The values of the one dimension of a question that are among the first groups, and those
        of changed groups; None where all groups are needed."""
        if question.most_groups is None or len(question.group_by) != 1:
            return None
        c = usage_cells.c
        group = c[question.group_by[0]]
        which = or_(false(), *(and_(*self._where(question, tile)) for tile in question.tiles))
        ranked = (
            select(group)
            .where(which)
            .group_by(group)
            .order_by(func.sum(c.cost).desc(), func.sum(c.spans).desc(), group)
            .limit(question.most_groups + len(changed) + 1)
        )
        first = list(self.connection.execute(ranked).scalars())
        if len(first) <= question.most_groups + len(changed):
            return None
        return list({*first, *(value for (value,) in changed)})

    def sums(
        self, question: Question, tile: tuple[int, int, int], kept: Collection[str] | None
    ) -> Iterator[tuple[tuple[int, Group], Sum]]:
        """The sums of a question, which are apart from each other; of groups that are not kept one
        sum, without a sketch."""
        c = usage_cells.c
        groups: list[ColumnElement[Any]] = [c[name] for name in question.group_by]
        is_kept: ColumnElement[bool] = true()
        if kept is not None:
            is_kept = self.database.among(groups[0], kept)
            groups = [case((is_kept, groups[0]))]
        # The database adds up all hours and days where they are in one bucket.
        keys = [c.start_ns, *groups] if question.one_bucket is None else groups
        width = len(keys)
        named = [key.label(f"key_{n}") for n, key in enumerate(keys)]
        cells = select(*named, *(c[name] for name in _SUMMED)).where(*self._where(question, tile))

        def place(row: Sequence[Any]) -> tuple[int, Group]:
            bucket = question.one_bucket
            if bucket is None:
                bucket = question.bucket(row[0])
            group = tuple(row[width - len(groups) : width])
            return bucket, OTHERS if None in group else group

        of = cells.subquery().c
        keys = [of[key.name] for key in named]
        grouped = select(
            *keys,
            *(func.sum(of[name]) for name in NUMBERS),
            *(func.min(of.first_ns), func.max(of.last_ns)),
            *(func.min(of.least_ms), func.max(of.most_ms), func.max(of.loose)),
        ).group_by(*keys)
        for row in self.connection.execute(grouped):
            numbers = list(row[width : width + len(NUMBERS)])
            if numbers[0] is None:  # the sums of no row
                continue
            first, last, least, most, loose = row[width + len(NUMBERS) :]
            yield (
                place(row),
                Sum(
                    numbers=numbers,
                    starts=[] if first is None else [first, last],
                    durations=[] if least is None else [least, most],
                    loose=bool(loose),
                ),
            )
        if not question.with_sketches:
            return
        packed: defaultdict[tuple[int, Group], list[bytes]] = defaultdict(list)
        sketches = cells.with_only_columns(*named, c.sketch).where(is_kept)
        for row in self.connection.execute(sketches):
            packed[place(row)].append(row[width])
        for of_place, contents in packed.items():
            yield of_place, Sum(sketch=sketch.added(contents))

    def _where(self, question: Question, tile: tuple[int, int, int]) -> list[ColumnElement[bool]]:
        hours, start, before = tile
        if hours not in CUBOIDS[self.cuboid][1]:
            hours = 1
        c = usage_cells.c
        where = cells_between(self.project, self.cuboid, hours, start, before)
        for name, value in question.where.items():
            where.append((func.lower(c[name]) if name == "provider" else c[name]) == value)
        return where


def _from_spans(
    connection: Connection,
    database: Database,
    project: str,
    question: Question,
    check: Callable[[], None],
) -> Totals:
    start = min((tile[1] for tile in question.tiles), default=0)
    before = max((tile[2] for tile in question.tiles), default=0)
    of_range = (
        select(spans.c.trace_id)
        .where(spans.c.project == project, spans.c.start_ns >= start, spans.c.start_ns < before)
        .distinct()
    )
    trace_ids = sorted(connection.execute(of_range).scalars())
    parts = all_parts(connection, database, project, trace_ids, check)
    return dict(_by_place(question, ((part, 1) for part in parts)))


def _by_place(
    question: Question, changed: Iterable[Change]
) -> Iterator[tuple[tuple[int, Group], Sum]]:
    found: defaultdict[tuple[int, Group], list[Change]] = defaultdict(list)
    of_agents = any(name.startswith("agent_") for name in (*question.group_by, *question.where))
    for whole, sign in changed:
        for part in by_agent(whole) if of_agents else (whole,):
            if question.has(part):
                found[question.place(part)].append((part, sign))
    for place, of_place in found.items():
        yield place, sum_of(of_place)


def _comparable(name: str, value: str) -> str:
    return ascii_lower(value) if name == "provider" else value


def ascii_lower(text: str) -> str:
    """A text in lower case as databases make it: letters outside ASCII are left as they are."""
    return text if text.islower() else text.encode().lower().decode()


def number(total: Sum, name: str) -> Any:
    """One of NUMBERS."""
    return total.numbers[NUMBERS.index(name)]
