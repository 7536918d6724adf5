"""Usage over time and by group: what is asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

HOUR_NS: Final = 3600 * 10**9
# By what usage is grouped, and what it is filtered by. User and feature are those of the trace,
# `source` is the adapter by which the span came.
USAGE_FIELDS: Final = (
    *("kind", "name", "provider", "model", "agent_name", "agent_version"),
    *("user_id", "feature", "source"),
)
Bucket = Literal["", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """The usage to add up.

    Attributes:
        edges: Nanoseconds since 1970, ascending, each a full hour, at least two: a bucket lies
            between each two of them (`bucket_edges`).
        group_by: Some of USAGE_FIELDS.
        where: Values of some of USAGE_FIELDS that a span must have. The provider is compared
            without regard to case.
        most_groups: Groups beyond those with the highest cost, among equals the most spans, then
            in the order of their values, are added up.
    """

    edges: Sequence[int]
    group_by: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    most_groups: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """The usage of the spans of one group that started in one bucket.

    Tokens and costs are the spans' own use (`spanloom.model.own_use`); an agent is charged with
    that of the spans below it that name no agent. `model_calls` has each call once. Percentiles are
    within one percent (`spanloom.model.sketch`), and None where no span has a duration. `group` is
    empty where `others` marks the sum of further groups. `traces` are counted by their root.
    """

    bucket_ns: int
    group: tuple[str, ...]
    others: bool = False
    traces: int
    failed_traces: int
    spans: int
    errors: int
    model_calls: int
    tool_calls: int
    priced_calls: int
    input_tokens: float
    output_tokens: float
    cost: float | None
    duration_ms: float
    percentiles_ms: Mapping[int, float | None]
    first_ns: int | None
    last_ns: int | None


def bucket_edges(since_ns: int, before_ns: int, bucket: Bucket, zone: tzinfo = UTC) -> list[int]:
    """The edges of the buckets from a time on, lowered to a full hour, to one that is raised to a
    full hour.

    Days, weeks (from Monday) and months begin at midnight in the zone, or at the next full hour
    UTC. The first bucket and the last may be shorter.
    """
    begin = since_ns - since_ns % HOUR_NS
    end = before_ns + -before_ns % HOUR_NS
    if begin >= end:
        return [begin, begin]
    if not bucket:
        return [begin, end]
    if bucket == "hour":
        return list(range(begin, end + 1, HOUR_NS))
    edges = [begin]
    day = datetime.fromtimestamp(begin // 10**9, zone).replace(hour=0, minute=0, second=0)
    if bucket == "week":
        day -= timedelta(days=day.weekday())
    if bucket == "month":
        day = day.replace(day=1)
    while True:
        # In local time: a day has 23 to 25 hours.
        day = _next(day.replace(tzinfo=None), bucket).replace(tzinfo=zone)
        edge = int(day.timestamp()) * 10**9
        edge += -edge % HOUR_NS
        if edge >= end:
            return [*edges, end]
        if edge > edges[-1]:
            edges.append(edge)


def _next(day: datetime, bucket: Bucket) -> datetime:
    if bucket == "month":
        return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return day + timedelta(days=7 if bucket == "week" else 1)
