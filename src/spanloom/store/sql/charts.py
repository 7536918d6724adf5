"""Charts of events: one query where columns tell them, else over the spans themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Double, Select, case, cast, func, literal, select

from spanloom import errors
from spanloom.model import Chart, ChartPoint, Json, Span
from spanloom.model.span import SHOWN_COLUMNS
from spanloom.store.spans import MOST_POINTS
from spanloom.store.sql import filters, predicates
from spanloom.store.sql.tables import spans

_SUMS: dict[str, Any] = {
    "average": func.avg,
    "sum": func.sum,
    "min": func.min,
    "max": func.max,
    "count": func.count,
}
# Fields of the metadata that are columns: a chart is of the columns, without reading what was sent.
_METADATA = {
    ".".join(path): spans.c[name] for path, name in SHOWN_COLUMNS.items() if path[0] == "metadata"
}
PERCENTILES = (50, 75, 90, 95, 99)
AGGREGATIONS = (*_SUMS, *(f"p{rank}" for rank in PERCENTILES))


def check(chart: Chart) -> None:
    """INVALID_ARGUMENT names the part of a chart that means nothing."""
    if chart.aggregation not in AGGREGATIONS:
        raise errors.invalid_field("aggregation", f"must be one of {', '.join(AGGREGATIONS)}")
    for name, field, kind, column in (
        ("metric", chart.metric, "numeric", filters.number_column),
        ("group_by", chart.group_by, "text", filters.text_column),
    ):
        try:
            known = column(field) is not None or predicates.is_field(field)
        except ValueError:
            known = False
        if not known and (field or name == "metric"):
            raise errors.invalid_field(name, f"{field!r} is not a {kind} field")


def is_of_columns(chart: Chart) -> bool:
    """Whether columns alone tell a chart."""
    metric = "" if chart.metric in _METADATA else chart.metric
    return not any(predicates.is_field(field) for field in (metric, chart.group_by))


def points(project: str, conditions: Sequence[ColumnElement[bool]], chart: Chart) -> Select[Any]:
    """Bucket, group, count, value of each point of a chart of columns, by bucket, then group."""
    width = chart.width_ns
    # Of numbers that are not negative, for SQL's remainder has the sign of what is divided.
    begin = spans.c.start_ns - (spans.c.start_ns % width + width - chart.offset_ns) % width
    group: ColumnElement[Any] = literal("")
    if chart.group_by:
        group = filters.text_column(chart.group_by)  # type: ignore[assignment]
    column = _METADATA.get(chart.metric)
    number = cast(filters.number_column(chart.metric) if column is None else column, Double)
    events = (
        select(begin.label("begin"), group.label("of"), number.label("number"))
        .where(spans.c.project == project, *conditions)
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


def points_of(found: Iterable[Span], chart: Chart) -> list[ChartPoint]:
    """The same of spans, whatever the fields."""
    number_of, group_of = _reader(chart.metric), _reader(chart.group_by)
    width = chart.width_ns
    groups: dict[tuple[int, str], list[float | None]] = {}
    for span in found:
        begin = span.start_ns - (span.start_ns - chart.offset_ns) % width
        group = _group(group_of(span)) if chart.group_by else ""
        groups.setdefault((begin, group), []).append(predicates.number_in(number_of(span)))
    made = []
    for (begin, group), of_group in sorted(groups.items())[: MOST_POINTS + 1]:
        numbers = [number for number in of_group if number is not None]
        if chart.aggregation == "count":
            value: float | None = len(of_group)
        else:
            value = _summed(numbers, chart.aggregation) if numbers else None
        made.append(ChartPoint(begin, group, len(of_group), value))
    return made


def _summed(numbers: list[float], aggregation: str) -> float:
    if aggregation in _PLAIN_SUMS:
        return float(_PLAIN_SUMS[aggregation](numbers))
    # Nearest rank, as in `points`.
    place = -(-len(numbers) * int(aggregation[1:]) // 100)
    return sorted(numbers)[max(place, 1) - 1]


_PLAIN_SUMS: dict[str, Callable[[list[float]], float]] = {
    "average": lambda numbers: sum(numbers) / len(numbers),
    "sum": sum,
    "min": min,
    "max": max,
}
# Of the fields that are columns alone, as a chart shows them.
_COLUMNS: dict[str, Callable[[Span], Json]] = {
    "event_id": lambda span: span.event_id,
    "event_type": lambda span: span.kind,
    "event_name": lambda span: span.name,
    "session_id": lambda span: span.session_id,
    "parent_id": lambda span: (
        span.parent_id
        if span.parent_id or span.kind == "session" or span.event_id == span.session_id
        else span.session_id
    ),
    "start_time": lambda span: span.start_ns / 1e6,
    "end_time": lambda span: None if span.end_ns is None else span.end_ns / 1e6,
    "duration": lambda span: span.duration_ms,
}


def _reader(field: str) -> Callable[[Span], Json]:
    return _COLUMNS.get(field) or predicates.value_at(field)


def _group(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(float(value))
    return predicates.text_in(value) or ""
