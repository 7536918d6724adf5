"""Traces and conversations as rows of lists: what is asked for, and what a store finds of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from spanloom.model.span import Feedback, Span, Trace

TraceOrder = Literal["start", "duration", "cost", "tokens", "errors"]
Facet = Literal["status", "name", "feature", "model", "agent", "environment", "user", "origin"]
SpanTest = Callable[[Span], bool]

# Of more spans than these the figures of a trace or a conversation are lower bounds.
MOST_FIGURED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryQuery:
    """The traces for which every condition that is not None, "", 0 or empty holds.

    Attributes:
        status: of the root.
        has_error: whether a span failed.
        running: whether the root is open or has not come.
        of_root: what the whole root meets; of a trace without one, its earliest span.
        of_spans: for each of these, a whole span of the trace meets it.
        text: what a span of the trace says somewhere.
    """

    since_ns: int | None = None
    before_ns: int | None = None
    conversation_id: str = ""
    name: str = ""
    feature_slug: str = ""
    user_id: str = ""
    organization_id: str = ""
    experiment_id: str = ""
    agent_name: str = ""
    model: str = ""
    status: str = ""
    has_error: bool | None = None
    has_feedback: bool | None = None
    running: bool | None = None
    min_duration_ns: int = 0
    min_cost: float | None = None
    min_tokens: int = 0
    of_root: Sequence[SpanTest] = ()
    of_spans: Sequence[SpanTest] = ()
    text: str = ""
    order: TraceOrder = "start"


class TracePosition(NamedTuple):
    """The place of a trace in a list: what it is ordered by (0 by start), and its start and id."""

    rank: int
    start_ns: int
    trace_id: str


class SearchPlace(NamedTuple):
    """The place of a span in the outline of its trace."""

    start_ns: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanGroup:
    """What a store finds of the spans of a trace or a conversation.

    Attributes:
        spans: with their columns alone, by start, then trace and span id; at most MOST_FIGURED.
        count, errors: the numbers of all spans, and of those that failed.
        whole: the whole spans, by trace and span id, that tell what went in and came out.
        feedback: on all of it.
    """

    spans: Sequence[Span]
    count: int
    errors: int
    whole: Mapping[tuple[str, str], Span]
    feedback: Sequence[Feedback]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A trace of a list.

    Attributes:
        place: in the list.
        has_root: whether the root has come; else `trace` is of another span.
    """

    place: TracePosition
    trace: Trace
    has_root: bool
    group: SpanGroup


@dataclass(frozen=True, slots=True)
class TraceRows:
    """One page, and where to continue; None at the end."""

    rows: Sequence[TraceRow]
    after: TracePosition | None


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """The numbers of traces.

    Attributes:
        total: of all that match.
        complete: whether all were counted in time; else all numbers are lower bounds.
        facets: by facet and value.
        buckets: (all, those in which a span failed), by the number of the bucket.
    """

    total: int
    complete: bool
    facets: Mapping[Facet, Mapping[str, int]]
    buckets: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationQuery:
    """The conversations for which every condition that is not None, "" or 0 holds. The times are
    those of the latest span."""

    since_ns: int | None = None
    before_ns: int | None = None
    user_id: str = ""
    agent_name: str = ""
    model: str = ""
    feature_slug: str = ""
    has_error: bool | None = None
    has_feedback: bool | None = None
    min_traces: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """A conversation of a list.

    Attributes:
        last_ns: the start of the latest span that names it.
        traces: by their earliest span in it; of more than MOST_FIGURED the first and the latest.
    """

    conversation_id: str
    last_ns: int
    trace_count: int
    traces: Sequence[Trace]
    group: SpanGroup


@dataclass(frozen=True, slots=True)
class ConversationRows:
    """One page, and (last_ns, id) to continue from; None at the end."""

    rows: Sequence[ConversationRow]
    after: tuple[int, str] | None


def root_of(spans: Sequence[Span]) -> Span | None:
    """Of a trace's spans by start its root, or the earliest where the root has not come."""
    return next((span for span in spans if not span.parent_id), spans[0] if spans else None)


def whole_root(group: SpanGroup) -> Span | None:
    """The whole root of a trace, or its earliest span."""
    root = root_of(group.spans)
    return group.whole.get((root.trace_id, root.span_id)) if root else None
