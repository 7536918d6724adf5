"""Usage over time and by group, as a store adds it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from spanloom.codec.timestamps import duration_from_ns, timestamp_from_ns
from spanloom.errors import invalid_field
from spanloom.model import MAX_TIME_NS
from spanloom.model.usage import HOUR_NS, Bucket, UsagePoint, UsageQuery, bucket_edges
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.services.queries.pages import clamped, violations_of
from spanloom.services.queries.summaries import shown
from spanloom.services.queries.trace_filters import time_of
from spanloom.store.spans import SpanStore
from spanloom.v1 import query_pb2, query_service_pb2, span_pb2

_MOST_DIMENSIONS: Final = 2
_MOST_BUCKETS: Final = 100_000
_MOST_POINTS: Final = 10_000
_BUCKETS: Final[Mapping[int, Bucket]] = {
    query_pb2.USAGE_BUCKET_UNSPECIFIED: "",
    query_pb2.USAGE_BUCKET_HOUR: "hour",
    query_pb2.USAGE_BUCKET_DAY: "day",
    query_pb2.USAGE_BUCKET_WEEK: "week",
    query_pb2.USAGE_BUCKET_MONTH: "month",
}
_DIMENSIONS: Final[Mapping[int, str]] = {
    query_pb2.USAGE_DIMENSION_MODEL: "model",
    query_pb2.USAGE_DIMENSION_PROVIDER: "provider",
    query_pb2.USAGE_DIMENSION_AGENT: "agent_name",
    query_pb2.USAGE_DIMENSION_AGENT_VERSION: "agent_version",
    query_pb2.USAGE_DIMENSION_NAME: "name",
    query_pb2.USAGE_DIMENSION_KIND: "kind",
    query_pb2.USAGE_DIMENSION_USER: "user_id",
    query_pb2.USAGE_DIMENSION_FEATURE: "feature",
}
_TEXTS: Final = ("provider", "model", "agent_name", "name", "user_id", "feature")
# What sums know of a kind.
_KINDS: Final[Mapping[span_pb2.SpanKind.ValueType, str]] = {
    span_pb2.SPAN_KIND_STEP: "chain",
    span_pb2.SPAN_KIND_MODEL: "model",
    span_pb2.SPAN_KIND_TOOL: "tool",
    span_pb2.SPAN_KIND_CONVERSATION: "session",
}
_KIND_NAMES: Final = {kind: span_pb2.SpanKind.Name(number) for number, kind in _KINDS.items()}
# What sums do not know.
_UNKNOWN: Final = ("environment", "origin")
_RANKS: Final = (50, 95, 99)


async def usage(
    store: SpanStore,
    project: str,
    request: query_service_pb2.GetUsageRequest,
    received_ns: int,
) -> query_service_pb2.GetUsageResponse:
    """The answer to a request that was received at a time."""
    query = _query(request, received_ns)
    points = await store.usage(project, query)
    if len(points) > _MOST_POINTS:
        raise invalid_field("bucket", f"the response would have more than {_MOST_POINTS:,} points")
    response = query_service_pb2.GetUsageResponse(
        points=[_message(point, query.group_by, bool(request.bucket)) for point in points]
    )
    if response.ByteSize() > MAX_RESPONSE_BYTES:
        raise invalid_field("bucket", "the response would be larger than 3 MiB")
    return response


def _query(request: query_service_pb2.GetUsageRequest, received_ns: int) -> UsageQuery:
    violations = violations_of(request)
    since = time_of(request, "start_time_from", violations)
    if not request.HasField("start_time_from"):
        violations.add("start_time_from", "is required")
    before = time_of(request, "start_time_before", violations)
    if request.bucket not in _BUCKETS:
        violations.add("bucket", "is not a known length")
    try:
        zone = ZoneInfo(request.time_zone or "UTC")
    except (ValueError, OSError, KeyError):  # also of a name that is a directory's
        violations.add("time_zone", "is not a time zone of the IANA database")
    if len(request.group_by) > _MOST_DIMENSIONS:
        violations.add("group_by", f"must have at most {_MOST_DIMENSIONS} elements")
    for index, dimension in enumerate(request.group_by):
        if dimension not in _DIMENSIONS:
            violations.add(f"group_by[{index}]", "is not a dimension that usage is grouped by")
        elif dimension in request.group_by[:index]:
            violations.add(f"group_by[{index}]", "is given twice")
    most = clamped("max_groups", request.max_groups, violations, default=50)
    where = {name: text for name in _TEXTS if (text := getattr(request.filter, name))}
    for name in where:
        violations.check_text(f"filter.{name}", where[name])
    for name in _UNKNOWN:
        if getattr(request.filter, name):
            violations.add(f"filter.{name}", f"usage is not known by {name}")
    if request.filter.kind in _KINDS:
        where["kind"] = _KINDS[request.filter.kind]
    elif request.filter.kind:
        violations.add("filter.kind", f"must be one of {', '.join(_KIND_NAMES.values())}")
    violations.refuse()
    end = min(received_ns if before is None else before, MAX_TIME_NS - HOUR_NS)
    start = min(since or 0, end)
    bucket = _BUCKETS[request.bucket]
    if bucket == "hour" and end - start > _MOST_BUCKETS * HOUR_NS:
        raise invalid_field("bucket", f"the range has more than {_MOST_BUCKETS:,} hours")
    edges = bucket_edges(start, end, bucket, zone)
    return UsageQuery(
        edges=edges,
        group_by=[_DIMENSIONS[dimension] for dimension in request.group_by],
        where=where,
        most_groups=most,
    )


def _message(point: UsagePoint, group_by: Any, has_bucket: bool) -> query_pb2.UsagePoint:
    group = [
        _KIND_NAMES.get(value, "") if name == "kind" else shown(value)
        for name, value in zip(group_by, point.group, strict=False)
    ]
    message = query_pb2.UsagePoint(
        group=group,
        other_groups=point.others,
        trace_count=point.traces,
        failed_trace_count=point.failed_traces,
        figures=query_pb2.Figures(
            span_count=point.spans,
            error_count=point.errors,
            model_call_count=point.model_calls,
            tool_call_count=point.tool_calls,
            input_tokens=int(point.input_tokens),
            output_tokens=int(point.output_tokens),
            cost_usd=point.cost,
            priced_model_call_count=point.priced_calls,
        ),
        total_duration=_duration(point.duration_ms),
    )
    if has_bucket:
        message.bucket_time.CopyFrom(timestamp_from_ns(point.bucket_ns))
    for rank in _RANKS:
        took = point.percentiles_ms[rank]
        if took is not None:
            getattr(message, f"duration_p{rank}").CopyFrom(_duration(took))
    for name, start_ns in (
        ("first_start_time", point.first_ns),
        ("last_start_time", point.last_ns),
    ):
        if start_ns is not None:
            getattr(message, name).CopyFrom(timestamp_from_ns(start_ns))
    return message


def _duration(ms: float) -> Any:
    return duration_from_ns(round(ms * 1e6))
