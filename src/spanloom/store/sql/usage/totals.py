"""Answers from the sums, and from what has changed since they were made."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from spanloom.model import sketch
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans, usage_cells
from spanloom.store.sql.usage.cells import CUBOIDS, DAY, Sum, sum_of
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
    """

    group_by: Sequence[str]
    where: Mapping[str, str]
    tiles: Sequence[tuple[int, int, int]]
    bucket: Callable[[int], int]
    one_bucket: int | None = None
    with_sketches: bool = False

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
    names = {*question.group_by, *question.where}
    cuboid = next((of for of, (has, *_) in CUBOIDS.items() if names <= set(has)), None)
    reached, reader = position(connection)
    if cuboid is None or reader != READER:
        return _from_spans(connection, database, project, question, check)
    found: Totals = {}
    for tile in question.tiles:
        for place, total in _stored(connection, project, cuboid, question, tile):
            if place in found:
                found[place].add(total)
            else:
                found[place] = total
    if not is_quiet(connection, reached):
        window = Window(reached, None)
        changed = changes(connection, database, window, project, check)
        for place, total in _by_place(question, changed):
            found.setdefault(place, Sum()).change(total)
    return {place: total for place, total in found.items() if any(total.numbers)}


def _stored(
    connection: Connection,
    project: str,
    cuboid: str,
    question: Question,
    tile: tuple[int, int, int],
) -> Iterator[tuple[tuple[int, Group], Sum]]:
    hours, start, before = tile
    if hours not in CUBOIDS[cuboid][1]:
        hours = 1
    c = usage_cells.c
    where: list[ColumnElement[bool]] = [
        *(c.project == project, c.cuboid == cuboid, c.hours == hours),
        *(c.start_ns >= start, c.start_ns < before),
    ]
    for name, value in question.where.items():
        where.append((func.lower(c[name]) if name == "provider" else c[name]) == value)
    groups = [c[name] for name in question.group_by]
    # The database adds up all hours and days where they are in one bucket.
    keys = [c.start_ns, *groups] if question.one_bucket is None else groups
    width = len(keys)

    def place(row: Sequence[Any]) -> tuple[int, Group]:
        if question.one_bucket is None:
            return question.bucket(row[0]), tuple(row[1:width])
        return question.one_bucket, tuple(row[:width])

    sums = (
        *(func.sum(c[name]) for name in NUMBERS),
        *(func.min(c.first_ns), func.max(c.last_ns), func.min(c.least_ms), func.max(c.most_ms)),
        func.max(c.loose),
    )
    for row in connection.execute(select(*keys, *sums).where(*where).group_by(*keys)):
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
    for row in connection.execute(select(*keys, c.sketch).where(*where)):
        packed[place(row)].append(row[width])
    for of_place, sketches in packed.items():
        yield of_place, Sum(sketch=sketch.added(sketches))


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
