"""Charts of events: one query, whatever the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, Select, case, cast, func, literal, select

from spanloom import errors
from spanloom.model import Chart, EventQuery
from spanloom.store.spans import MOST_POINTS
from spanloom.store.sql import filters
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans

_SUMS: dict[str, Any] = {
    "average": func.avg,
    "sum": func.sum,
    "min": func.min,
    "max": func.max,
    "count": func.count,
}
PERCENTILES = (50, 75, 90, 95, 99)
AGGREGATIONS = (*_SUMS, *(f"p{rank}" for rank in PERCENTILES))


def points(database: Database, project: str, query: EventQuery, chart: Chart) -> Select[Any]:
    """Bucket, group, count, value of each point, by bucket, then group."""
    if chart.aggregation not in AGGREGATIONS:
        raise errors.invalid_field("aggregation", f"must be one of {', '.join(AGGREGATIONS)}")
    width = chart.width_ns
    # Of numbers that are not negative, for SQL's remainder has the sign of what is divided.
    begin = spans.c.start_ns - (spans.c.start_ns % width + width - chart.offset_ns) % width
    group: ColumnElement[Any] = literal("")
    if chart.group_by:
        group = filters.text_of(database, chart.group_by, "group_by")
    number = cast(filters.number_of(database, chart.metric, "metric"), Double)
    events = (
        select(begin.label("begin"), group.label("of"), number.label("number"))
        .where(spans.c.project == project, *filters.conditions(database, query))
        .subquery("events")
    )
    if chart.aggregation in _SUMS:
        # A count is of events, with the number or without.
        counted = chart.aggregation == "count"
        value = func.count() if counted else _SUMS[chart.aggregation](events.c.number)
        source: Any = events
    else:
        # Nearest rank: the least value that so many percent of the values do not pass.
        rank = int(chart.aggregation[1:])
        place: dict[str, Any] = {"partition_by": [events.c.begin, events.c.of]}
        ranked = select(
            *events.c,
            func.row_number()
            .over(**place, order_by=[events.c.number.is_(None), events.c.number])
            .label("place"),
            func.count(events.c.number).over(**place).label("numbers"),
        ).subquery("ranked")
        wanted = ranked.c.place * 100 - ranked.c.numbers * rank
        value = func.max(case((wanted.between(0, 99), ranked.c.number)))
        source = ranked
    return (
        select(source.c.begin, source.c.of, func.count(), cast(value, Double))
        .group_by(source.c.begin, source.c.of)
        .order_by(source.c.begin, source.c.of)
        .limit(MOST_POINTS + 1)
    )
