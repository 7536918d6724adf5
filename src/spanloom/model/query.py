"""Queries of spans, events, agents and messages, and what they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from spanloom.model.genai import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """The traces for which every condition that is not None or "" holds. `text` is searched in all
    fields of the trace's spans."""

    since_ns: int | None = None
    before_ns: int | None = None
    feature_slug: str = ""
    name: str = ""
    user_id: str = ""
    organization_id: str = ""
    experiment_id: str = ""
    status: str = ""
    min_duration_ns: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition on events, in the words of the API: operator `is`, ...; type string, number,
    boolean, datetime.

    `field` is an event field or a dotted path into its JSON (`metadata.cost`,
    `inputs.chat_history.0.content`).
    `position` is the filter's index in the request, for error paths like `filters[2].field`.
    """

    field: str
    operator: str
    value: Json
    type: str = "string"
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """The events for which all filters hold and that start within [since_ns, until_ns]; newest
    start first (ties by event id). Pages are counted from 1. A page has at most `most_bytes` of
    what was sent, if it has more than one event."""

    filters: Sequence[Filter] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 1000
    page: int = 1
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How events are aggregated over time. `metric` and `group_by` are fields as in a filter, ""
    for no groups.

    `aggregation` is average, sum, min, max, count, or a percentile by nearest rank (p50). Buckets
    begin at `offset_ns` after 1970 and every `width_ns` from there.
    """

    metric: str = "duration"
    aggregation: str = "average"
    group_by: str = ""
    width_ns: int
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """The aggregate of the events of one bucket and group; `value` is None if none of them has the
    number."""

    start_ns: int
    group: str
    count: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: the items, and the number of all that match, where the API reports it.
    Where it is a lower bound, at least so many match."""

    items: Sequence[T]
    total: int = 0
    is_lower_bound: bool = False


class SlicedList(list[T]):
    """A part of a list by start and id. Where the read ended before it had all that it should find,
    `resume` is the place from which on nothing was looked at."""

    resume: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenQuery:
    """The spans that may contain a message: all given conditions hold; "" and None mean any.

    `text` may occur somewhere in the body, however it is escaped there; `provider` is compared in
    lower case; start within [since_ns, before_ns).
    """

    text: str = ""
    trace_id: str = ""
    session_id: str = ""
    agent_name: str = ""
    provider: str = ""
    model: str = ""
    since_ns: int | None = None
    before_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanQuery:
    """The spans for which every condition on their columns holds that is not None, "" or ().

    `provider` is compared in lower case; start within [since_ns, before_ns). `text` is somewhere in
    the span, whatever the case of ASCII letters. Spans without one of `texts`, which are compared
    in the same way, may be left out, but need not be.
    """

    trace_id: str = ""
    session_id: str = ""
    kinds: tuple[str, ...] = ()
    status: str = ""
    name: str = ""
    operation: str = ""
    agent_name: str = ""
    provider: str = ""
    model: str = ""
    min_duration_ms: float | None = None
    since_ns: int | None = None
    before_ns: int | None = None
    text: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackQuery:
    """The feedback for which every condition that is not None, "" or empty holds.

    Attributes:
        trace_ids: the traces of which it is on one, or on a span of one.
        span_id: the span, of the one trace of `trace_ids`.
        name: the type; of the results of evaluators their slug.
        is_evaluation: whether it is the result of an evaluator.
    """

    trace_ids: Sequence[str] = ()
    span_id: str = ""
    conversation_id: str = ""
    name: str = ""
    creator: str = ""
    is_evaluation: bool | None = None
    since_ns: int | None = None
    before_ns: int | None = None


# What agents can be sorted by: the fields of `AgentTotals`.
AGENT_FIGURES = (
    *("agent_name", "agent_version", "invocations", "spans", "input_tokens", "output_tokens"),
    *("duration_ms", "errors", "first_ns", "last_ns", "cost"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentQuery:
    """The agents to list, or with `by_version` the versions of agents; `order` is (one of
    AGENT_FIGURES, descending) pairs."""

    agent_name: str = ""
    by_version: bool = False
    order: Sequence[tuple[str, bool]]
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTotals:
    """The totals of the spans that have an agent's name; first and last are starts, and cost is
    None if no span has one."""

    agent_name: str
    agent_version: str
    invocations: int
    spans: int
    input_tokens: float
    output_tokens: float
    duration_ms: float
    errors: int
    first_ns: int
    last_ns: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class Match:
    """A message that a search found, and what is shown of the span that holds it.

    Attributes:
        text: The message, as much of it as the caller asked for.
        digest: The SHA-256 of the whole message, in hex.
    """

    trace_id: str
    span_id: str
    session_id: str
    conversation_name: str
    agent_name: str
    start_ns: int
    role: str
    text: str
    digest: str
