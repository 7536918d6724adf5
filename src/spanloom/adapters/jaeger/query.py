"""Jaeger's conditions on spans, as Jaeger reads them.

Source: jaegertracing/jaeger, query_parser.go of its query service, of both versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from spanloom.codec.go_duration import parse_duration
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.model import MAX_TIME_NS
from spanloom.model.checks import Violations
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import jaeger_service_pb2, jaeger_v3_service_pb2

MOST_TRACES: Final = 1_500
_USUAL_TRACES: Final = 100
_LOOKBACK_NS: Final = 2 * 86_400 * 10**9
_DEPENDENCY_LOOKBACK_NS: Final = 86_400 * 10**9
_MOST_TAGS: Final = 20
_LONGEST: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a span of each trace meets. Starts lie within [since_ns, before_ns); `most_ns` None is
    any duration."""

    service: str = ""
    operation: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    since_ns: int
    before_ns: int
    least_ns: int = 0
    most_ns: int | None = None
    limit: int = _USUAL_TRACES


def conditions(
    request: jaeger_service_pb2.FindJaegerTracesRequest, now_ns: int, bad: Violations
) -> Conditions:
    """The conditions of a request of the first version, which `bad` refuses."""
    if not request.service:
        bad.add("service", "is required")
    before = _time(request, "end", 1_000, bad, now_ns) + 1
    lookback = parse_duration(request.lookback) or _LOOKBACK_NS
    since = _time(request, "start", 1_000, bad, max(before - 1 - lookback, -MAX_TIME_NS))
    if since >= before:
        bad.add("start", "must not be after end")
    tags: dict[str, str] = {}
    for index, text in enumerate(request.tag):
        key, mark, value = text.partition(":")
        if not (key and mark):
            bad.add(f"tag[{index}]", "must be of the form key:value")
        tags[key] = value
    for index, text in enumerate(request.tags):
        tags |= _tags(text, f"tags[{index}]", bad)
    return _checked(
        bad,
        service=request.service,
        operation=request.operation,
        tags=tags,
        since_ns=since,
        before_ns=before,
        durations=[(name, getattr(request, name)) for name in ("min_duration", "max_duration")],
        limit=request.limit if request.HasField("limit") else _USUAL_TRACES,
        limit_field="limit",
    )


def conditions_v3(query: jaeger_v3_service_pb2.JaegerV3Query, bad: Violations) -> Conditions:
    """The same of the third version."""
    times = []
    for name in ("start_time_min", "start_time_max"):
        found = ns_from_timestamp(getattr(query, name)) if query.HasField(name) else None
        if found is None:
            bad.add(f"query.{name}", OUT_OF_RANGE if query.HasField(name) else "is required")
        times.append(found or 0)
    if query.filter:
        bad.add("query.filter", "is not supported: use the other fields")
    return _checked(
        bad,
        within="query.",
        service=query.service_name,
        operation=query.operation_name,
        tags=_tags(query.attributes, "query.attributes", bad) if query.attributes else {},
        since_ns=times[0],
        before_ns=times[1],
        durations=[(name, getattr(query, name)) for name in ("duration_min", "duration_max")],
        limit=query.search_depth or query.num_traces or _USUAL_TRACES,
        limit_field="search_depth",
    )


def dependency_range(
    request: jaeger_service_pb2.GetJaegerDependenciesRequest, now_ns: int, bad: Violations
) -> tuple[int, int]:
    """The range of time of a request for dependencies."""
    before = _time(request, "end_ts", 10**6, bad, now_ns) + 1
    lookback = _DEPENDENCY_LOOKBACK_NS
    if request.HasField("lookback"):
        lookback = request.lookback * 10**6
        if not 0 <= lookback <= MAX_TIME_NS:
            bad.add("lookback", "must be a range of time from 0 to 292 years")
            lookback = 0
    return max(before - 1 - lookback, -MAX_TIME_NS), before


def _time(request: Any, name: str, unit_ns: int, bad: Violations, default: int) -> int:
    if not request.HasField(name):
        return default
    found: int = getattr(request, name) * unit_ns
    if not 0 <= found < MAX_TIME_NS:
        bad.add(name, OUT_OF_RANGE)
        return default
    return found


def _tags(text: str, field: str, bad: Violations) -> dict[str, str]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        bad.add(field, "must be a JSON object of strings")
        return {}
    return found


def _checked(
    bad: Violations,
    *,
    within: str = "",
    durations: Iterable[tuple[str, str]],
    limit: int,
    limit_field: str,
    **rest: Any,
) -> Conditions:
    took: list[int | None] = []
    for name, text in durations:
        found = parse_duration(text) if text else None
        if text and (found is None or found > MAX_TIME_NS):
            bad.add(within + name, "must be a duration such as 1.2s, 100ms or 500us")
            found = None
        took.append(found)
    least, most = took
    if least is not None and most is not None and most < least:
        bad.add(within + [name for name, _ in durations][1], "must not be less than the other")
    if limit <= 0:
        bad.add(within + limit_field, "must be greater than 0")
    if len(rest["tags"]) > _MOST_TAGS:
        bad.add(f"{within}attributes" if within else "tags", f"must be at most {_MOST_TAGS} tags")
    for name in ("service", "operation"):
        if len(rest[name]) > _LONGEST:
            shown = f"query.{name}_name" if within else name
            bad.add(shown, f"must have at most {_LONGEST} characters")
    return Conditions(least_ns=least or 0, most_ns=most, limit=min(limit, MOST_TRACES), **rest)
