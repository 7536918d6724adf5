"""Charts over spans of agents, as Weave's API has them: rows, and what their columns are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from spanloom.adapters.weave.measures import (
    VALUE_TYPES,
    Facts,
    Value,
    aggregation_at,
    an_object,
    comparable,
    is_number,
    measure_at,
    numbers,
    percentile,
    summed,
    value_at,
)
from spanloom.adapters.weave.span_groups import binned, grouped, values_at, whole_at
from spanloom.errors import invalid_field
from spanloom.model import Json
from spanloom.v1 import agent_span_service_pb2 as pb

_Column = pb.GetAgentSpanStatsResponse.Column
_DEFAULT: Final = {
    "number": ("avg", "min", "max"),
    "boolean": ("count_true", "count_false"),
    "string": ("count", "count_distinct"),
    "datetime": ("min", "max"),
}
_BINS: Final = 10
# Columns whose values are of the metric's own type.
_OWN_TYPE: Final = ("min", "max")
_GROUP_TYPES: Final = {
    "custom_attrs_int": "number",
    "custom_attrs_float": "number",
    "custom_attrs_bool": "boolean",
}


class Metric(NamedTuple):
    """What a request asks of a value of spans."""

    alias: str
    value: Value
    kind: str
    aggregations: Sequence[str]
    percentiles: Sequence[float]

    def columns(self) -> list[pb.GetAgentSpanStatsResponse.Column]:
        return [
            _Column(
                name=f"{name}_{self.alias}",
                role="metric",
                metric=self.alias,
                aggregation=name,
                value_type=self.kind if name in _OWN_TYPE else "number",
            )
            for name in (*self.aggregations, *map(_of_percent, self.percentiles))
        ]

    def over(self, spans: Iterable[Facts]) -> dict[str, Json]:
        values = [self.value.of(facts) for facts in spans]
        told = {f"{name}_{self.alias}": summed(name, values) for name in self.aggregations}
        ordered = sorted(numbers(values)) if self.percentiles else []
        for percent in self.percentiles:
            told[f"{_of_percent(percent)}_{self.alias}"] = percentile(ordered, percent)
        return told


def _of_percent(percent: float) -> str:
    return f"p{percent:g}"


def metrics_at(path: str, given: Iterable[Json]) -> list[Metric]:
    """The metrics that a request describes. INVALID_ARGUMENT names the path."""
    found = []
    for n, one in enumerate(given):
        at = f"{path}[{n}]"
        asked = an_object(at, one)
        alias, kind = asked.get("alias"), asked.get("value_type")
        if not isinstance(alias, str) or not alias:
            raise invalid_field(f"{at}.alias", "is required")
        if kind not in VALUE_TYPES:
            raise invalid_field(f"{at}.value_type", f"must be one of {', '.join(VALUE_TYPES)}")
        percents = asked.get("percentiles") or []
        if not all(is_number(each) and 0 <= each <= 100 for each in percents):
            raise invalid_field(f"{at}.percentiles", "must be from 0 to 100")
        names = [
            aggregation_at(f"{at}.aggregations", each) for each in asked.get("aggregations") or ()
        ]
        if not names and not percents:
            names = list(_DEFAULT[kind])
        found.append(
            Metric(alias, value_at(f"{at}.value", asked.get("value")), kind, names, percents)
        )
    return found


def fill_by_time(
    response: pb.GetAgentSpanStatsResponse,
    spans: Iterable[Facts],
    by: Sequence[Value],
    metrics: Sequence[Metric],
    group_limit: int,
) -> list[dict[str, Json]]:
    """The rows of buckets of time that have spans, and the columns of the response, which has its
    granularity."""
    response.bucket_type = "time"
    response.columns.add(name="timestamp", role="time", value_type="datetime")
    for value in by:
        kind = _GROUP_TYPES.get(value.holder, "string")
        response.columns.add(name=value.name, role="group", value_type=kind)
    for metric in metrics:
        response.columns.extend(metric.columns())
    groups = sorted(grouped(spans, by).items(), key=lambda pair: -len(pair[1]))
    rows = []
    for key, of_group in groups[: group_limit or None]:
        buckets: defaultdict[int, list[Facts]] = defaultdict(list)
        for facts in of_group:
            start = int(comparable(facts["started_at"])[1])
            buckets[start // response.granularity * response.granularity].append(facts)
        names = {value.name: each for value, each in zip(by, key, strict=True)}
        for start, of_bucket in buckets.items():
            row = {"timestamp": datetime.fromtimestamp(start, UTC).isoformat(), **names}
            rows.append((start, row | _told(metrics, of_bucket)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def fill_by_number(
    response: pb.GetAgentSpanStatsResponse,
    spans: list[Facts],
    bucket_by: Mapping[str, Json],
    metrics: Sequence[Metric],
) -> list[dict[str, Json]]:
    """The same by ranges of a number: of a value of each span, or of a measure of each group."""
    alias = bucket_by.get("alias")
    name = alias if isinstance(alias, str) and alias else "bucket"
    response.bucket_type = "number"
    for end in ("min", "max"):
        response.columns.add(name=f"{name}_{end}", role="bucket", value_type="number")
    response.columns.add(name="count", role="metric", aggregation="count", value_type="number")
    for metric in metrics:
        response.columns.extend(metric.columns())
    bounds = [bucket_by.get(end) for end in ("min", "max")]
    if not all(bound is None or is_number(bound) for bound in bounds):
        raise invalid_field("bucket_by", "min and max must be numbers")
    bins = whole_at("bucket_by.bins", bucket_by.get("bins"), _BINS)
    return [
        {
            f"{name}_min": low,
            f"{name}_max": high,
            "count": len(things),
            **_told(metrics, [facts for thing in things for facts in thing]),
        }
        for low, high, things in binned(_numbered(spans, bucket_by), bins, *bounds)
    ]


def _numbered(spans: list[Facts], bucket_by: Mapping[str, Json]) -> list[tuple[float, list[Facts]]]:
    if bucket_by.get("measure"):
        by = values_at("bucket_by.group_by", bucket_by.get("group_by") or ())
        if not by:
            by = [value_at("bucket_by.group_by", {"key": "conversation_id"})]
        measure = measure_at("bucket_by.measure", bucket_by["measure"])
        pairs: list[tuple[Any, list[Facts]]] = [
            (measure.over(group), group) for group in grouped(spans, by).values()
        ]
    else:
        value = value_at("bucket_by.value", bucket_by.get("value"))
        pairs = [(value.of(facts), [facts]) for facts in spans]
    return [(float(number), group) for number, group in pairs if is_number(number)]


def _told(metrics: Iterable[Metric], spans: Sequence[Facts]) -> dict[str, Json]:
    told: dict[str, Json] = {}
    for metric in metrics:
        told |= metric.over(spans)
    return told
