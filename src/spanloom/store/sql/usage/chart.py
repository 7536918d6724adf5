"""Charts of events over long ranges, from the sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, func, select

from spanloom.model import MAX_TIME_NS, Chart, ChartPoint, EventQuery, sketch
from spanloom.model.own_use import PICODOLLARS, picodollars
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans, usage_cells
from spanloom.store.sql.usage.cells import DAY, Sum, cells_between
from spanloom.store.sql.usage.parts import HOUR_NS, NUMBERS, nanoseconds
from spanloom.store.sql.usage.totals import Question, answer, number, tiles_between

# A chart of fewer events is made of their columns: it is quick, and its percentiles are exact.
FEW: Final = 20_000
# More events than this in the hours that a range cuts are left to the columns, too.
_MOST_CUT: Final = 50_000
_DIMENSIONS: Final[Mapping[str, str]] = {"event_name": "name", "event_type": "kind"}
# What is added up and how many spans have it, and how many of it are one of the metric.
_METRICS: Final = {
    "duration": ("duration_ns", "ended", 1_000_000),
    "metadata.cost": ("reported_cost", "priced", PICODOLLARS),
}
# Start, kind, name, duration and cost of a span.
_EVENT = (spans.c.start_ns, spans.c.kind, spans.c.name, spans.c.duration_ms, spans.c.cost)


def points(
    connection: Connection,
    database: Database,
    project: str,
    query: EventQuery,
    chart: Chart,
    check: Callable[[], None],
) -> list[ChartPoint] | None:
    """The points of a chart by bucket, then group; None where the sums do not tell them, or the
    events are few."""
    value_of = _value(chart)
    where = _where(query)
    group_by = [_DIMENSIONS.get(chart.group_by, "?")] if chart.group_by else []
    if value_of is None or where is None or "?" in group_by:
        return None
    width = chart.width_ns
    if width % HOUR_NS or chart.offset_ns % HOUR_NS:
        return None
    since = -MAX_TIME_NS if query.since_ns is None else query.since_ns
    before = MAX_TIME_NS if query.until_ns is None else min(query.until_ns + 1, MAX_TIME_NS)
    first, last = since + -since % HOUR_NS, before - before % HOUR_NS
    if first >= last or _number(connection, project, first, last, DAY) < FEW:
        return None
    cut = [(since, first), (last, before)]
    around = (_number(connection, project, a - a % HOUR_NS, b, 1) for a, b in cut if a < b)
    if sum(around) > _MOST_CUT:
        return None

    def bucket(start_ns: int) -> int:
        return start_ns - (start_ns - chart.offset_ns) % width

    by_day = width % (DAY * HOUR_NS) == 0 and chart.offset_ns % (DAY * HOUR_NS) == 0
    question = Question(
        group_by=group_by,
        where=where,
        tiles=tiles_between([first, last]) if by_day else [(1, first, last)],
        bucket=bucket,
        with_sketches=chart.aggregation.startswith("p"),
    )
    found = answer(connection, database, project, question, check)
    for start, end in cut:
        if start < end:
            for place, total in _between(connection, project, question, start, end):
                found.setdefault(place, Sum()).add(total)
    if chart.aggregation in ("min", "max") and any(total.loose for total in found.values()):
        return None
    made = [
        ChartPoint(start, "".join(group), int(number(total, "spans")), value_of(total))
        for (start, group), total in found.items()
        if number(total, "spans")
    ]
    return sorted(made, key=lambda point: (point.start_ns, point.group))


def _value(chart: Chart) -> Callable[[Sum], float | None] | None:
    """What makes the value of a point, None where sums have no such value."""
    aggregation = chart.aggregation
    if aggregation == "count":
        return lambda total: float(number(total, "spans"))
    if chart.metric not in _METRICS:
        return None
    name, counted, unit = _METRICS[chart.metric]
    if aggregation == "sum":
        return lambda total: number(total, name) / unit if number(total, counted) else None
    if aggregation == "average":
        return lambda total: (
            number(total, name) / number(total, counted) / unit if number(total, counted) else None
        )
    if chart.metric != "duration":
        return None
    if aggregation in ("min", "max"):
        at = 0 if aggregation == "min" else -1
        return lambda total: total.durations[at] if total.durations else None
    return lambda total: sketch.percentile(total.sketch, int(aggregation[1:]))


def _where(query: EventQuery) -> dict[str, str] | None:
    """The values that the events have to have, None where more is asked of them."""
    where: dict[str, str] = {}
    for asked in query.filters:
        name = _DIMENSIONS.get(asked.field)
        of_text = asked.type == "string" and asked.operator == "is"
        if name is None or name in where or not of_text or not isinstance(asked.value, str):
            return None
        where[name] = asked.value.replace("\0", "\ufffd")
    return where


def _number(connection: Connection, project: str, start: int, before: int, hours: int) -> float:
    """How many events are summed up in the cells that begin in a range."""
    start = max(start - (hours - 1) * HOUR_NS, -MAX_TIME_NS)
    number = select(func.sum(usage_cells.c.spans)).where(
        *cells_between(project, "all", hours, start, min(before, MAX_TIME_NS))
    )
    return connection.execute(number).scalar() or 0


def _between(
    connection: Connection, project: str, question: Question, start: int, before: int
) -> Iterator[tuple[tuple[int, tuple[str, ...]], Sum]]:
    """The sums of the events in a part of an hour."""
    found = select(*_EVENT).where(
        spans.c.project == project,
        spans.c.start_ns >= start,
        spans.c.start_ns < before,
        *(spans.c[name] == value for name, value in question.where.items()),
    )
    at = [("start_ns", "kind", "name").index(of) for of in question.group_by]
    places: defaultdict[tuple[int, tuple[str, ...]], list[Any]] = defaultdict(list)
    for row in connection.execute(found):
        places[question.bucket(row[0]), tuple([row[n] for n in at])].append(row)
    for place, rows in places.items():
        durations = [row[3] for row in rows if row[3] is not None]
        costs = [row[4] for row in rows if row[4] is not None]
        numbers = dict.fromkeys(NUMBERS, 0) | {
            "spans": len(rows),
            "ended": len(durations),
            "duration_ns": sum(map(nanoseconds, durations)),
            "priced": len(costs),
            "reported_cost": sum(picodollars(cost) or 0 for cost in costs),
        }
        counts = Counter(map(sketch.bucket_of, durations)) if question.with_sketches else {}
        ends = [min(durations), max(durations)] if durations else []
        yield place, Sum(numbers=list(numbers.values()), sketch=dict(counts), durations=ends)
