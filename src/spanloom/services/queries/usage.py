"""Adds up the usage of spans by bucket of time and by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from spanloom.adapters.native.kinds import kind_of
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.timestamps import duration_from_ns, timestamp_from_ns
from spanloom.errors import invalid_field
from spanloom.model import MAX_TIME_NS, Span, Trace
from spanloom.model.checks import Violations
from spanloom.model.repeats import repeated_spans
from spanloom.services.context import CallContext
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.services.queries.summaries import shown
from spanloom.services.queries.trace_filters import time_of
from spanloom.store.summaries import Summaries
from spanloom.v1 import query_pb2, query_service_pb2, span_pb2

HOUR_NS: Final = 3600 * 10**9
_NS: Final = 10**9


class UsedSpan(NamedTuple):
    """A span with its columns, the version of its agent, and its trace."""

    span: Span
    agent_version: str
    trace: Trace


_KINDS: Final[Mapping[int, str]] = {number: name for name, number in span_pb2.SpanKind.items()}
DIMENSIONS: Final[Mapping[int, Callable[[UsedSpan], str]]] = {
    query_pb2.USAGE_DIMENSION_MODEL: lambda used: used.span.model,
    query_pb2.USAGE_DIMENSION_PROVIDER: lambda used: used.span.provider,
    query_pb2.USAGE_DIMENSION_AGENT: lambda used: used.span.agent_name,
    query_pb2.USAGE_DIMENSION_AGENT_VERSION: lambda used: used.agent_version,
    query_pb2.USAGE_DIMENSION_NAME: lambda used: used.span.name,
    query_pb2.USAGE_DIMENSION_KIND: lambda used: _KINDS[kind_of(used.span)],
    query_pb2.USAGE_DIMENSION_USER: lambda used: used.trace.user_id,
    query_pb2.USAGE_DIMENSION_FEATURE: lambda used: used.trace.feature_slug,
}


# More spans are not added up one by one.
_MOST_SPANS: Final = 200_000
_MOST_POINTS: Final = 10_000
_MOST_DIMENSIONS: Final = 2
_FILTERS: Final[Mapping[str, Callable[[UsedSpan, str], bool]]] = {
    "provider": lambda used, value: used.span.provider.lower() == value.lower(),
    "model": lambda used, value: used.span.model == value,
    "agent_name": lambda used, value: used.span.agent_name == value,
    "name": lambda used, value: used.span.name == value,
    "user_id": lambda used, value: used.trace.user_id == value,
    "feature": lambda used, value: used.trace.feature_slug == value,
}
# What no column tells.
_UNKNOWN: Final = ("environment", "origin")


async def usage_of(
    summaries: Summaries, request: query_service_pb2.GetUsageRequest, call: CallContext
) -> query_service_pb2.GetUsageResponse:
    """The answer to a request, from the spans of its range."""
    project = call.project()
    violations = Violations(spelled=json_path(type(request)))
    since = time_of(request, "start_time_from", violations)
    if not request.HasField("start_time_from"):
        violations.add("start_time_from", "is required")
    before = time_of(request, "start_time_before", violations)
    if request.bucket not in query_pb2.UsageBucket.values():
        violations.add("bucket", "is not a known length")
    zone = _zone(request.time_zone, violations)
    if len(request.group_by) > _MOST_DIMENSIONS:
        violations.add("group_by", f"must have at most {_MOST_DIMENSIONS} elements")
    for index, dimension in enumerate(request.group_by):
        if dimension not in DIMENSIONS:
            violations.add(f"group_by[{index}]", "is not a dimension that can be told")
        elif dimension in request.group_by[:index]:
            violations.add(f"group_by[{index}]", "is given twice")
    if request.max_groups < 0:
        violations.add("max_groups", "must not be negative")
    for name in _UNKNOWN:
        if getattr(request.filter, name):
            violations.add(f"filter.{name}", "is not a condition that can be told")
    if request.filter.kind not in span_pb2.SpanKind.values():
        violations.add("filter.kind", "is not a known kind")
    violations.refuse()
    first = (since or 0) // HOUR_NS * HOUR_NS
    end = call.received_ns if before is None else before
    end = min(-(-end // HOUR_NS) * HOUR_NS, MAX_TIME_NS)
    found, traces = await summaries.spans_between(project, first, end, limit=_MOST_SPANS + 1)
    if len(found) > _MOST_SPANS:
        raise invalid_field(
            json_path(type(request))("start_time_from"),
            f"more than {_MOST_SPANS:,} spans start in this range: choose a smaller one",
        )

    def answer() -> list[query_pb2.UsagePoint]:
        failed = frozenset(span.trace_id for span, _ in found if span.status == "ERROR")
        used = [each for each in used_spans(found, traces) if _holds(request.filter, each[0])]
        return usage_points(
            used,
            bucket_of=bucket_starts(request.bucket, zone) if request.bucket else lambda _: -1,
            dimensions=[DIMENSIONS[dimension] for dimension in request.group_by],
            max_groups=min(request.max_groups or 50, 1_000),
            failed=failed,
        )

    points = await run_in_thread_if_large(len(found), answer)
    if len(points) > _MOST_POINTS:
        raise invalid_field("bucket", f"the response would have more than {_MOST_POINTS:,} points")
    response = query_service_pb2.GetUsageResponse(points=points)
    if response.ByteSize() > MAX_RESPONSE_BYTES:
        raise invalid_field("bucket", "the response would be larger than 3 MiB")
    return response


def _zone(name: str, violations: Violations) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError, KeyError):  # also of a name that is a directory's
        violations.add("time_zone", "is not a time zone of the IANA database")
        return ZoneInfo("UTC")


def _holds(asked: query_pb2.UsageFilter, used: UsedSpan) -> bool:
    if asked.kind and kind_of(used.span) != asked.kind:
        return False
    values = ((test, getattr(asked, name)) for name, test in _FILTERS.items())
    return all(test(used, value) for test, value in values if value)


@dataclass(slots=True)
class _Sums:
    spans: list[Span] = field(default_factory=list)
    figures: query_pb2.Figures = field(default_factory=query_pb2.Figures)
    costs: list[float] = field(default_factory=list)
    traces: int = 0
    failed: int = 0


def used_spans(
    found: Sequence[tuple[Span, str]], traces: Mapping[str, Trace]
) -> list[tuple[UsedSpan, bool]]:
    """The spans, and whether each repeats the tokens of others."""
    repeated = repeated_spans([span for span, _ in found])
    return [
        (UsedSpan(span, version, traces.get(span.trace_id, Trace(trace_id=""))), n in repeated)
        for n, (span, version) in enumerate(found)
    ]


def usage_points(
    used: Sequence[tuple[UsedSpan, bool]],
    *,
    bucket_of: Callable[[int], int],
    dimensions: Sequence[Callable[[UsedSpan], str]],
    max_groups: int,
    failed: frozenset[str],
) -> list[query_pb2.UsagePoint]:
    """The points by bucket, then group, the others last.

    Args:
        bucket_of: The start of a time's bucket.
        failed: The ids of the traces in which a span failed.
    """
    groups: dict[tuple[str, ...], tuple[float, int]] = {}
    sums: dict[tuple[int, tuple[str, ...]], _Sums] = {}
    for each, is_repeated in used:
        group = tuple(value_of(each) for value_of in dimensions)
        cost = 0.0 if is_repeated else each.span.cost or 0.0
        before = groups.get(group, (0.0, 0))
        groups[group] = before[0] + cost, before[1] + 1
        _add(sums.setdefault((bucket_of(each.span.start_ns), group), _Sums()), each, is_repeated)
        if not each.span.parent_id:
            point = sums[bucket_of(each.span.start_ns), group]
            point.traces += 1
            point.failed += each.span.trace_id in failed
    order = sorted(groups, key=lambda group: (-groups[group][0], -groups[group][1], group))
    kept = set(order[:max_groups])
    merged: dict[tuple[int, bool, tuple[str, ...]], _Sums] = {}
    for (bucket, group), part in sums.items():
        key = (bucket, False, group) if group in kept else (bucket, True, ())
        if key in merged:
            _merge(merged[key], part)
        else:
            merged[key] = part
    return [_point(*key, merged[key]) for key in sorted(merged)]


def bucket_starts(bucket: int, zone: ZoneInfo) -> Callable[[int], int]:
    """The start of the bucket of a time, in nanoseconds: in the zone, then at the next full hour
    UTC."""
    known: dict[int, int] = {}

    def start(ns: int) -> int:
        hour = ns // HOUR_NS
        if hour not in known:
            known[hour] = _bucket_start(hour, bucket, zone)
        return known[hour]

    return start


def _bucket_start(hour: int, bucket: int, zone: ZoneInfo) -> int:
    if bucket == query_pb2.USAGE_BUCKET_HOUR:
        return hour * HOUR_NS
    local = datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, fold=0)
    if bucket == query_pb2.USAGE_BUCKET_WEEK:
        day -= timedelta(days=day.weekday())
    elif bucket == query_pb2.USAGE_BUCKET_MONTH:
        day = day.replace(day=1)
    begin = int(day.astimezone(UTC).timestamp())
    return -(-begin // 3600) * HOUR_NS


def _add(sums: _Sums, used: UsedSpan, is_repeated: bool) -> None:
    span, figures = used.span, sums.figures
    sums.spans.append(span)
    figures.span_count += 1
    figures.error_count += span.status == "ERROR"
    figures.tool_call_count += span.kind == "tool"
    if is_repeated:
        return
    figures.model_call_count += span.kind == "model"
    figures.priced_model_call_count += span.kind == "model" and span.cost is not None
    figures.input_tokens += span.input_tokens or 0
    figures.output_tokens += span.output_tokens or 0
    if span.cost is not None:
        sums.costs.append(span.cost)


def _merge(into: _Sums, part: _Sums) -> None:
    into.spans += part.spans
    into.costs += part.costs
    into.traces += part.traces
    into.failed += part.failed
    for number in part.figures.DESCRIPTOR.fields:
        if number.name != "cost_usd":
            total = getattr(into.figures, number.name) + getattr(part.figures, number.name)
            setattr(into.figures, number.name, total)


def _point(
    bucket: int, is_other: bool, group: tuple[str, ...], sums: _Sums
) -> query_pb2.UsagePoint:
    if sums.costs:
        sums.figures.cost_usd = sum(sums.costs)
    took = sorted(max(0, s.end_ns - s.start_ns) for s in sums.spans if s.end_ns is not None)
    starts = [span.start_ns for span in sums.spans]
    point = query_pb2.UsagePoint(
        group=map(shown, group),
        other_groups=is_other,
        trace_count=sums.traces,
        failed_trace_count=sums.failed,
        figures=sums.figures,
        total_duration=duration_from_ns(sum(took)),
        first_start_time=timestamp_from_ns(min(starts)),
        last_start_time=timestamp_from_ns(max(starts)),
    )
    if bucket >= 0:
        point.bucket_time.CopyFrom(timestamp_from_ns(bucket))
    for name, percent in (("duration_p50", 50), ("duration_p95", 95), ("duration_p99", 99)):
        if took:  # by nearest rank
            place = max(1, -(-len(took) * percent // 100))
            getattr(point, name).CopyFrom(duration_from_ns(took[place - 1]))
    return point
