"""The query of a request for events: its filters, range of time, page and chart."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.codec.json_path import json_path
from spanloom.codec.struct_reader import value_object
from spanloom.errors import invalid_field
from spanloom.model import MAX_TIME_NS, Chart, EventQuery, Filter, Json
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.v1 import datapoint_service_pb2, event_pb2, event_service_pb2

DEFAULT_LIMIT = 1000
# What one request may ask: each filter is a condition of a statement, or is tried on each event.
MOST_FILTERS = 100
LONGEST_FIELD = 2048
MOST_KEYS = 64
LONGEST_VALUE = 65_536
# The evaluation that an event is part of.
_RUN_ID = "metadata.run_id"

_HOUR_NS = 3600 * 10**9
_DAY_NS = 24 * _HOUR_NS
# Width and offset of a bucket; 1970 began on a Thursday.
_BUCKETS = {
    "minute": (60 * 10**9, 0),
    "hour": (_HOUR_NS, 0),
    "day": (_DAY_NS, 0),
    "week": (7 * _DAY_NS, 4 * _DAY_NS),
}

# Operators of one type only.
_ORDERS = {
    "greater than": "number",
    "less than": "number",
    "after": "datetime",
    "before": "datetime",
}

_UNITS_NS = {"m": 60 * 10**9, "h": _HOUR_NS, "d": _DAY_NS, "w": 7 * _DAY_NS, "mo": 30 * _DAY_NS}
_RELATIVE = re.compile(f"([0-9]{{1,9}}) ?({'|'.join(_UNITS_NS)})")

EventsRequest = (
    event_service_pb2.ExportEventsRequest
    | event_service_pb2.SearchEventsRequest
    | event_service_pb2.ListEventsRequest
    | event_service_pb2.StreamEventsRequest
    | event_service_pb2.GetEventsSchemaRequest
    | event_service_pb2.GetEventsChartRequest
    | datapoint_service_pb2.BatchCreateDatapointsRequest
)


def event_query(request: EventsRequest) -> EventQuery:
    """The filters, range and evaluation of a request.

    Raises:
        SpanloomError: INVALID_ARGUMENT that names the field, like `filters[0].operator`.
    """
    filters = _filters(getattr(request, "filters", ()))
    if evaluation_id := getattr(request, "evaluation_id", ""):
        filters.append(
            Filter(field=_RUN_ID, operator="is", value=evaluation_id, position=len(filters))
        )
    return EventQuery(
        filters=filters,
        since_ns=_since(request),
        until_ns=_bound(request.date_range, "lte", "end_time"),
    )


def page_query(
    request: event_service_pb2.ExportEventsRequest
    | event_service_pb2.SearchEventsRequest
    | event_service_pb2.ListEventsRequest,
    *,
    maximum: int,
) -> EventQuery:
    """As `event_query`, with the page."""
    return replace(
        event_query(request),
        limit=clamped_page_size("limit", request.limit, default=DEFAULT_LIMIT, maximum=maximum),
        page=not_negative("page", request.page) or 1,
    )


def chart_of(
    request: event_service_pb2.GetEventsChartRequest,
) -> tuple[EventQuery, Chart]:
    """The events of a chart, and how they are aggregated.

    Raises:
        SpanloomError: INVALID_ARGUMENT that names the field.
    """
    query = event_query(request)
    if request.only_experiments:
        experiments = Filter(field=_RUN_ID, operator="exists", value=None)
        query = replace(query, filters=[*query.filters, experiments])
    bucket = request.bucket or "hour"
    if bucket not in _BUCKETS:
        raise invalid_field("bucket", f"must be one of {', '.join(_BUCKETS)}")
    for name in ("metric", "group_by"):
        if why := _too_large(getattr(request, name)):
            raise invalid_field(name, why)
    width_ns, offset_ns = _BUCKETS[bucket]
    return query, Chart(
        metric=request.metric or "duration",
        aggregation=request.aggregation or "average",
        group_by=request.group_by,
        width_ns=width_ns,
        offset_ns=offset_ns,
    )


def _filters(sent: str | Sequence[event_pb2.EventFilter]) -> list[Filter]:
    parts: list[Callable[[str], Json]]
    if isinstance(sent, str):
        parts = [_part_of_json(item) for item in _list_of_json(sent)]
    else:
        parts = [_part_of_message(item) for item in sent]
    if len(parts) > MOST_FILTERS:
        raise invalid_field(
            "filters", f"must have at most {MOST_FILTERS} elements, but has {len(parts)}"
        )
    violations = Violations()
    filters = []
    for position, part in enumerate(parts):
        value = part("value")
        words = {name: part(name) or "" for name in ("field", "operator", "type")}
        for name, word in words.items():
            if not isinstance(word, str):
                violations.add(f"filters[{position}].{name}", "must be a string")
            elif not word and name != "type":
                violations.add(f"filters[{position}].{name}", "is required")
            elif why := _too_large(word):
                violations.add(f"filters[{position}].{name}", why)
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            bound = f"must have at most {LONGEST_VALUE} characters"
            violations.add(f"filters[{position}].value", bound)
        filters.append(
            Filter(
                field=words["field"],
                operator=words["operator"],
                value=value,
                type=words["type"] or _type_of(words["operator"], value),
                position=position,
            )
        )
    violations.refuse()
    return filters


def _too_large(path: str) -> str:
    """What is wrong with the length of a field's path, "" for nothing."""
    if len(path) > LONGEST_FIELD:
        return f"must have at most {LONGEST_FIELD} characters"
    if path.count(".") >= MOST_KEYS:
        return f"must have at most {MOST_KEYS} keys"
    return ""


def _type_of(operator: str, value: Json) -> str:
    """The type of a comparison that does not name one."""
    if operator in _ORDERS:
        return _ORDERS[operator]
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else "string"


def _part_of_message(sent: event_pb2.EventFilter) -> Callable[[str], Json]:
    return lambda name: value_object(sent.value) if name == "value" else getattr(sent, name)


def _part_of_json(sent: dict[str, Json]) -> Callable[[str], Json]:
    return sent.get


def _list_of_json(text: str) -> list[dict[str, Json]]:
    if not text.strip():
        return []
    try:
        value: Any = orjson.loads(text)
    except ValueError:
        value = None
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise invalid_field("filters", "must be JSON text of a filter or of a list of filters")
    return items


def _since(request: EventsRequest) -> int | None:
    dates = request.date_range
    since_ns = _bound(dates, "gte", "start_time")
    if since_ns is not None or not dates.relative:
        return since_ns
    match = _RELATIVE.fullmatch(dates.relative.strip())
    if not match:
        raise invalid_field(
            json_path(type(request))("date_range.relative"),
            "must be a number followed by m, h, d, w or mo, for example 30m or 1mo",
        )
    return max(-1, time.time_ns() - int(match[1]) * _UNITS_NS[match[2]])


def _bound(dates: event_pb2.DateRange, *names: str) -> int | None:
    """Nanoseconds since 1970, clamped to one beyond the times that events can have."""
    for name in names:
        if dates.HasField(name):  # type: ignore[arg-type]
            bound: Timestamp = getattr(dates, name)
            return max(-1, min(bound.seconds * 10**9 + bound.nanos, MAX_TIME_NS))
    return None
