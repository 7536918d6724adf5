"""Runs of evaluations, and what the events of a run add up to."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from spanloom.codec.struct_reader import message_fields, struct_object
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import invalid_field
from spanloom.model import Json, Span
from spanloom.v1 import run_pb2, run_service_pb2

UPDATED: Final = "updated_ns"
_MERGED: Final = ("metadata", "results", "configuration")
_OBJECTS: Final = (*_MERGED, "passing_ranges")
_AVERAGE: Final = "average"
_SUMS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    _AVERAGE: statistics.fmean,
    "sum": math.fsum,
    "min": min,
    "max": max,
    "median": statistics.median,
}


class Value(NamedTuple):
    """One value of a metric in a run: of which event, and on which example."""

    metric: str
    event_name: str
    event_type: str
    example: str
    session_id: str
    value: bool | float

    @property
    def of(self) -> tuple[str, str, str]:
        return self.metric, self.event_name, self.event_type


def body_of(message: Message) -> dict[str, Json]:
    """The fields that are set, by their names."""
    fields = message_fields(message)
    for name in ("project", "run_id"):
        fields.pop(name, None)
    return fields


def merged(stored: Mapping[str, Json], update: Mapping[str, Json]) -> dict[str, Json]:
    """A run with an update: objects are merged key by key, and the rest is replaced."""
    objects = {name: {**stored.get(name, {}), **update[name]} for name in _MERGED if name in update}
    return {**stored, **update, **objects}


def run_message(
    project: str, run_id: str, created_ns: int, body: Mapping[str, Json]
) -> run_pb2.Run:
    """A run as it is shown. Clients require the objects, also empty ones."""
    fields = {name: value for name, value in body.items() if name != UPDATED}
    run = run_pb2.Run()
    json_format.ParseDict(fields, run)
    for name in _OBJECTS:
        getattr(run, name).SetInParent()
    run.id = run.run_id = run_id
    run.is_active = True
    run.scope_type, run.scope_id, run.project = "project", project, project
    run.created_at.CopyFrom(timestamp_from_ns(created_ns))
    run.updated_at.CopyFrom(timestamp_from_ns(body.get(UPDATED, created_ns)))
    return run


def aggregation(name: str) -> str:
    """The function that was asked for. INVALID_ARGUMENT for an unknown one."""
    if name and name not in _SUMS:
        raise invalid_field("aggregate_function", f"must be one of {', '.join(_SUMS)}")
    return name or _AVERAGE


def values_of(spans: Sequence[Span]) -> list[Value]:
    """The values of all metrics of the events of a run, in the order of the events."""
    examples = _examples(spans)
    return [
        Value(
            *(name, span.name, span.kind),
            *(examples.get(span.session_id, span.session_id), span.session_id, value),
        )
        for span in spans
        for name, value in (span.io.metrics or {}).items()
        if isinstance(value, bool) or (type(value) in (int, float) and math.isfinite(value))
    ]


def _examples(spans: Iterable[Span]) -> dict[str, str]:
    """The examples of sessions, by the session's id."""
    examples: dict[str, str] = {}
    for span in spans:
        named = (span.io.metadata or {}).get("datapoint_id")
        if isinstance(named, str) and named:
            examples.setdefault(span.session_id, named)
    return examples


def pairs_of(
    first: Sequence[Span], second: Sequence[Span], *, name: str, kind: str
) -> list[tuple[str, Span, Span]]:
    """The events of a run with their partners in another one: (example, event, partner).

    Args:
        name, kind: Only events with this name and of this type; "" for any.
    """
    waiting: defaultdict[tuple[str, str, str], deque[Span]] = defaultdict(deque)
    for span, example in _with_examples(second):
        waiting[example, span.name, span.kind].append(span)
    found = []
    for span, example in _with_examples(first):
        partners = waiting[example, span.name, span.kind]
        if partners and name in ("", span.name) and kind in ("", span.kind):
            found.append((example, span, partners.popleft()))
    return found


def _with_examples(spans: Sequence[Span]) -> Iterator[tuple[Span, str]]:
    """The events of sessions that name an example, with its id."""
    examples = _examples(spans)
    return ((span, examples[span.session_id]) for span in spans if span.session_id in examples)


def fill_result(
    response: run_service_pb2.GetRunResultResponse, spans: Sequence[Span], function: str
) -> None:
    """Fill in what the events of the response's run add up to."""
    ranges = struct_object(response.run_object.passing_ranges)
    values = values_of(spans)
    response.status = response.run_object.status
    response.metrics.aggregation_function = function
    for of, of_metric in _by_metric(values):
        metric = response.metrics.details.add(**_named(of, of_metric))
        metric.aggregate = _SUMS[function]([float(each.value) for each in of_metric])
        metric.values.extend(float(each.value) for each in of_metric)
        metric.datapoints.SetInParent()
        for each in of_metric:
            passes = _passes(each, ranges)
            (metric.datapoints.passed if passes else metric.datapoints.failed).append(each.example)
    of_session: defaultdict[str, list[Value]] = defaultdict(list)
    for each in values:
        of_session[each.session_id].append(each)
    for session_id in dict.fromkeys(span.session_id for span in spans):
        found = of_session[session_id]
        session = response.datapoints.add(
            session_id=session_id, passed=all(_passes(each, ranges) for each in found)
        )
        if found and found[0].example != session_id:
            session.datapoint_id = found[0].example
        for each in found:
            shown = session.metrics.add(
                name=each.metric, event_name=each.event_name, event_type=each.event_type
            )
            _set(shown.value, each.value)
            shown.passed = _passes(each, ranges)
        named = session.datapoint_id or session_id
        (response.passed if session.passed else response.failed).append(named)
    response.success = not response.failed
    for name, kind in sorted({(span.name, span.kind) for span in spans}):
        response.event_details.add(event_name=name, event_type=kind)


def fill_comparison(
    response: run_service_pb2.CompareRunsResponse,
    old: Sequence[Span],
    new: Sequence[Span],
    function: str,
) -> None:
    """Fill in how the metrics of two runs differ."""
    both = [values_of(spans) for spans in (old, new)]
    found = [dict(_by_metric(values)) for values in both]
    for of in sorted(found[0].keys() | found[1].keys()):
        olds, news = (each.get(of, []) for each in found)
        metric = response.metrics.add(**_named(of, olds or news))
        _compare(metric, olds, news, _SUMS[function])
    examples = [{each.example for each in values} for values in both]
    response.common_datapoints.extend(sorted(examples[0] & examples[1]))
    kinds = [{(span.name, span.kind) for span in spans} for spans in (old, new)]
    for name, kind in sorted(kinds[0] | kinds[1]):
        in_old, in_new = ((name, kind) in each for each in kinds)
        presence = "both" if in_old and in_new else "old_only" if in_old else "new_only"
        response.event_details.add(event_name=name, event_type=kind, presence=presence)


def _compare(
    metric: run_service_pb2.CompareRunsResponse.Metric,
    olds: Sequence[Value],
    news: Sequence[Value],
    sum_up: Callable[[Sequence[float]], float],
) -> None:
    metric.old_values.extend(float(each.value) for each in olds)
    metric.new_values.extend(float(each.value) for each in news)
    if olds:
        metric.old_aggregate = sum_up(metric.old_values)
    if news:
        metric.new_aggregate = sum_up(metric.new_values)
    if olds and news:
        metric.difference = metric.new_aggregate - metric.old_aggregate
        if metric.old_aggregate:
            metric.percentage_change = 100 * metric.difference / abs(metric.old_aggregate)
    before = {each.example: float(each.value) for each in olds}
    for example, value in {each.example: float(each.value) for each in news}.items():
        if example in before:
            change = value - before[example]
            kind = "improved" if change > 0 else "degraded" if change < 0 else "same"
            getattr(metric, kind).append(example)
    counts = [len(getattr(metric, kind)) for kind in ("improved", "degraded", "same")]
    metric.improved_total, metric.degraded_total, metric.same_total = counts
    metric.found_count = sum(counts)


def _by_metric(values: Iterable[Value]) -> list[tuple[tuple[str, str, str], list[Value]]]:
    found: defaultdict[tuple[str, str, str], list[Value]] = defaultdict(list)
    for each in values:
        found[each.of].append(each)
    return sorted(found.items())


def _named(of: tuple[str, str, str], values: Sequence[Value]) -> dict[str, Any]:
    is_boolean = all(isinstance(each.value, bool) for each in values)
    names = ("metric_name", "event_name", "event_type")
    kind = "boolean" if is_boolean else "numeric"
    return {**dict(zip(names, of, strict=True)), "metric_type": kind}


def _passes(value: Value, ranges: Mapping[str, Json]) -> bool:
    given = ranges.get(value.metric)
    if not isinstance(given, dict):
        return True
    least, most = (_limit(given.get(name)) for name in ("min", "max"))
    number = float(value.value)
    return (least is None or number >= least) and (most is None or number <= most)


def _limit(value: Json) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _set(message: Any, value: bool | float) -> None:
    if isinstance(value, bool):
        message.bool_value = value
    else:
        message.number_value = value
