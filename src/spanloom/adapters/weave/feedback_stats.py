"""Sums over feedback: of the values in its payloads, and of what scorers assigned."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct

from spanloom.adapters.weave.feedback_query import at_path
from spanloom.adapters.weave.measures import percentile
from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_writer import struct_wire
from spanloom.errors import invalid_field
from spanloom.model import Feedback, Json
from spanloom.v1 import feedback_service_pb2 as pb

NS: Final = 10**9
MOST_BUCKETS: Final = 10_000
_SHOWN_BUCKETS: Final = 100
_MOST_PATHS: Final = 1_000
GROUPS: Final = ("scorer_id", "span_agent_name", "span_agent_version", "span_status_code")
_Sum = Callable[[Sequence[float]], float | None]
_SUMS: Final[dict[str, _Sum]] = {
    "sum": lambda values: math.fsum(values),
    "avg": lambda values: math.fsum(values) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "count": len,
    "count_true": lambda values: sum(1 for value in values if value),
    "count_false": lambda values: sum(1 for value in values if not value),
}
_DEFAULT: Final = {"boolean": ("count_true", "count_false"), "numeric": ("avg", "min", "max")}


def names(value: str, wanted: str) -> bool:
    """Whether a value is the wanted one; one that ends in `*` names a prefix."""
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def bucket_seconds(granularity: int, since_ns: int, before_ns: int) -> int:
    """The length of buckets that was asked for, or one that gives few of them. INVALID_ARGUMENT
    for too many."""
    span = max(1, -(-(before_ns - since_ns) // NS))
    seconds = granularity or max(1, -(-span // _SHOWN_BUCKETS))
    if span // seconds > MOST_BUCKETS:
        raise invalid_field("granularity", f"results in more than {MOST_BUCKETS} buckets")
    return seconds


def check_metrics(metrics: Iterable[pb.GetFeedbackStatsRequest.Metric]) -> None:
    """INVALID_ARGUMENT names what is wrong with a metric."""
    for index, metric in enumerate(metrics):
        at = f"metrics[{index}]."
        if not metric.json_path:
            raise invalid_field(f"{at}json_path", "is required")
        if metric.value_type not in ("", "numeric", "boolean", "categorical"):
            raise invalid_field(f"{at}value_type", "must be numeric, boolean or categorical")
        for name in metric.aggregations:
            if name not in _SUMS:
                raise invalid_field(f"{at}aggregations", f"must be of {', '.join(_SUMS)}")
        if not all(0 <= each <= 100 for each in metric.percentiles):
            raise invalid_field(f"{at}percentiles", "must be from 0 to 100")


def fill_stats(
    response: pb.GetFeedbackStatsResponse,
    found: Sequence[Feedback],
    metrics: Sequence[pb.GetFeedbackStatsRequest.Metric],
) -> None:
    """Fill the buckets of a response that has its granularity."""
    seconds = response.granularity
    buckets: defaultdict[int, list[Feedback]] = defaultdict(list)
    for feedback in found:
        buckets[feedback.created_ns // (seconds * NS) * seconds].append(feedback)
    shown: list[dict[str, Json]] = []
    for start, of_bucket in sorted(buckets.items()):
        row: dict[str, Json] = {
            "timestamp": datetime.fromtimestamp(start, UTC).isoformat(),
            "count": len(of_bucket),
        }
        for metric in metrics:
            slug = _slug(metric.json_path)
            row |= {f"{name}_{slug}": each for name, each in _values(metric, of_bucket).items()}
        shown.append(row)
    whole = {_slug(metric.json_path): _values(metric, found) for metric in metrics}
    response.buckets.extend(Struct.FromString(struct_wire(row)) for row in shown)
    put_json(response, {"window_stats": whole})


def _slug(path: str) -> str:
    return path.replace(".", "_")


def _values(
    metric: pb.GetFeedbackStatsRequest.Metric, found: Iterable[Feedback]
) -> dict[str, Json]:
    kind = metric.value_type or "numeric"
    given = (at_path(feedback.body.get("payload"), metric.json_path) for feedback in found)
    if kind == "categorical":
        return {"count": sum(1 for value in given if value is not None)}
    is_boolean = kind == "boolean"
    values = [float(each) for each in given if _fits(each, is_boolean=is_boolean)]
    sums = metric.aggregations or _DEFAULT[kind]
    told: dict[str, Json] = {name: _SUMS[name](values) for name in sums}
    if not is_boolean:
        ordered = sorted(values)
        told |= {f"p{each:g}": percentile(ordered, each) for each in metric.percentiles}
    return told


def _fits(value: Json, *, is_boolean: bool) -> bool:
    return isinstance(value, bool) if is_boolean else type(value) in (int, float)


def aggregated(
    request: pb.AggregateFeedbackRequest, found: Iterable[Feedback], after_ms: int
) -> list[pb.AggregateFeedbackResponse.Bucket]:
    """The buckets of what scorers assigned, by time and then by group."""
    seconds = request.time_bucket_seconds
    groups: defaultdict[tuple[Any, ...], list[Feedback]] = defaultdict(list)
    for feedback in found:
        if not _is_asked(request, feedback):
            continue
        start = feedback.created_ns // (seconds * NS) * seconds * 1000 if seconds else after_ms
        key = (start, *(_group(feedback, name) for name in request.group_by))
        groups[key].append(feedback)
    buckets = []
    for (start, *group), of_group in sorted(groups.items()):
        bucket = pb.AggregateFeedbackResponse.Bucket(
            group=dict(zip(request.group_by, group, strict=True)), total_count=len(of_group)
        )
        if seconds:
            bucket.time_bucket_start_ms = start
        for feedback in of_group:
            tags, ratings = _scored(feedback)
            bucket.scored_count += bool(tags or ratings)
            for tag in set(tags):
                bucket.tag_counts[tag] += 1
            for name, value in ratings.items():
                bucket.rating_sums[name] += value
                bucket.rating_counts[name] += 1
        buckets.append(bucket)
    return buckets


def _scored(feedback: Feedback) -> tuple[Sequence[str], dict[str, float]]:
    return feedback.body.get("scorer_tags", ()), feedback.body.get("scorer_ratings", {})


def _group(feedback: Feedback, name: str) -> str:
    return str(feedback.body.get("runnable_ref" if name == "scorer_id" else name) or "")


def _is_asked(request: pb.AggregateFeedbackRequest, feedback: Feedback) -> bool:
    tags, ratings = _scored(feedback)
    scorer, trigger = (str(feedback.body.get(f"{of}_ref") or "") for of in ("runnable", "trigger"))
    kinds = {"agent_turn": "trace", "agent_conversation": "conversation"}
    least, most = (
        getattr(request, name) if request.HasField(name) else None
        for name in ("rating_min", "rating_max")
    )
    return (
        _any(request.feedback_types, feedback.type.startswith)
        and _any(request.tags, lambda tag: tag in tags)
        and _any(request.scorer_ids, lambda wanted: names(scorer, wanted))
        and _any(request.monitor_ids, lambda wanted: names(trigger, wanted))
        and _any(request.span_agent_names, lambda name: name == feedback.body.get(_AGENT))
        and _any(request.span_types, lambda kind: kinds.get(kind) == feedback.target)
        and (least is None or any(value >= least for value in ratings.values()))
        and (most is None or any(value <= most for value in ratings.values()))
    )


_AGENT: Final = "span_agent_name"


def _any(wanted: Sequence[str], holds: Callable[[str], bool]) -> bool:
    return not wanted or any(map(holds, wanted))


def paths_of(found: Iterable[Feedback]) -> list[tuple[str, str]]:
    """The dotted paths to the values of payloads, with the type of the first value of each."""
    paths: dict[str, str] = {}
    waiting: list[tuple[str, Json]] = [("", f.body.get("payload", {})) for f in found]
    waiting.reverse()
    while waiting and len(paths) < _MOST_PATHS:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}" if path else key, each) for key, each in value.items()]
        elif value is not None and path:
            kind = "boolean" if isinstance(value, bool) else "categorical"
            paths.setdefault(path, "numeric" if type(value) in (int, float) else kind)
    return sorted(paths.items())
