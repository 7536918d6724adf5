"""The canonical model: what every door writes and every view reads.

Plain frozen values. Times are integer nanoseconds since 1970 UTC; durations are milliseconds; ids are case-sensitive
text; "" means "none" in ids, so that no two spellings of absence exist.

A span's `body` is one JSON object for all that has no column. Its keys, by the door that fills them:

    inputs, outputs            any JSON: what went in and came out (Basalt input/output, HoneyHive inputs/outputs)
    ideal_output               any JSON: the ground truth for evaluators (Basalt idealOutput)
    metadata, config, metrics, feedback, user_properties
                               objects, as sent (HoneyHive; metadata also Basalt)
    error                      text (HoneyHive error)
    source, project            text, as sent (HoneyHive)
    children_ids               list of event ids, as sent (HoneyHive)
    log_type                   span, generation, function, tool, retrieval, event (Basalt log type)
    prompt                     {slug, version?, tag?} (Basalt)
    variables                  [{label, value?}] (Basalt)
    evaluators                 [{slug}] (Basalt)
    sample_rate, sampled       number 0..1 as decided, and the decision (Basalt; on the root span)
    evaluation_config          {sample_rate?} as sent (Basalt; on the root span)
    experiment                 {id} (Basalt; on the root span)
    user, organization         {id?, name?, email?} (Basalt; on the root span)
    feature_slug, chain_slug   text (Basalt; on the root span)
    parent_id                  a log's parentId as sent, where the span hangs under the trace instead (Basalt)
    computed                   start_time, end_time: times that were not sent, whose column holds what follows from others (Basalt)
    end_ns_sent                an end before the start, whose column holds the start (Basalt)
    unset                      names of fields that the client left unset and whose column holds a default
    input_messages, output_messages
                               [{role, content? | parts?, finish_reason?}] (OpenTelemetry GenAI)
    system_instructions        text
    tool                       {name?, call_id?, type?, description?, arguments?, result?} (arguments/result any JSON)
    tool_definitions           any JSON
    agent                      {id?, version?, description?}; the name is a column
    response_model, reasoning, reasoning_tokens, cache_read_tokens, cache_creation_tokens, content_refs, compaction
                               what the chat view shows beside the columns
    status_message, error_type text
    attributes, events, links, resource, scope, trace_state, flags, dropped
                               an OTLP span's own parts, as sent
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Json = Any  # dict[str, Json] | list[Json] | str | int | float | bool | None

NO_BODY: Mapping[str, Json] = {}

EVENT_TYPES = ("model", "tool", "chain", "session")
STATUSES = ("UNSET", "OK", "ERROR")
MAX_ID_LENGTH = 256
# The type of the feedback that an evaluator's result is.
EVALUATION = "spanloom.evaluation"
# The largest time a signed 64-bit count of nanoseconds can hold (2262-04-11).
MAX_TIME_NS = 2**63 - 1


# Not frozen, though nobody changes one: that makes four times the work of each span, written or read.
@dataclass(slots=True, kw_only=True)
class Span:
    """One unit of work. Identity is (project, trace_id, span_id); the project is the store call's, not the span's.

    `parent_id` "" marks a root. `event_id` is the span's id in the events view: the span id unless a client gave
    another. `session_id` is the conversation it belongs to (gen_ai.conversation.id, honeyhive.session_id, session.id),
    else the trace id: a span whose session id is its trace id has no conversation of its own. Doors always fill both.
    `kind` is the event type: model, tool, chain, session. `operation` is gen_ai.operation.name (chat,
    invoke_agent, execute_tool, ...), "" when none was said. `end_ns` None is a span still open. `duration_ms` is what
    the client said, else end - start, else None. `cost` is in US dollars.
    """

    trace_id: str
    span_id: str
    event_id: str
    session_id: str
    parent_id: str = ""
    name: str = ""
    kind: str = "chain"
    operation: str = ""
    start_ns: int = 0
    end_ns: int | None = None
    duration_ms: float | None = None
    status: str = "UNSET"
    agent_name: str = ""
    provider: str = ""
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is known of a trace as a whole, for lists: one row a trace, derived by the store from the root span.

    A trace whose root has not come (yet) is listed by the earliest span of the first batch that named it.
    """

    trace_id: str
    name: str = ""
    feature_slug: str = ""
    start_ns: int = 0
    end_ns: int | None = None
    status: str = "UNSET"
    session_id: str = ""
    user_id: str = ""
    organization_id: str = ""
    experiment_id: str = ""
    sampled: bool | None = None  # for evaluation; None where nobody asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A judgement of a trace, a span or a conversation, by a person or a program.

    `target` is "trace", "span", "conversation" or "" (an object Spanloom does not store); `target_id` its id.
    `trace_id` narrows a span target where the client said it. `body` holds payload, scorer_* and the refs, as sent.
    """

    id: str
    target: str = ""
    target_id: str = ""
    trace_id: str = ""
    ref: str = ""
    type: str = ""
    creator: str = ""
    created_ns: int = 0
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key without its secret. `project` "*" is an instance key. Roles: ingest, read, admin."""

    id: str
    project: str
    role: str
    digest: str
    created_ns: int
    revoked_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A set of traces of one feature that are compared."""

    id: str
    name: str
    feature_slug: str
    created_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """One version of a prompt; it never changes. `body` holds text, system_text and model, as PromptService shows them.

    Name, description and feature of a prompt are those of its newest version.
    """

    slug: str
    version: str
    name: str = ""
    description: str = ""
    feature_slug: str = ""
    created_ns: int = 0
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTag:
    """A name that points at one version of a prompt, and can move."""

    slug: str
    label: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table of examples, without its rows. A row is {values: {column: text}, name?, ideal_output?, metadata?}."""

    slug: str
    name: str
    columns: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A program that judges traces and spans which name its slug: a kind with settings (`body`)."""

    slug: str
    kind: str
    created_ns: int = 0
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluator to be run on one thing: a trace (`span_id` "") or a span of it. `attempts` counts the runs begun.

    `evaluator` "" is a look at a trace, for what it asks to be evaluated.
    """

    trace_id: str
    span_id: str
    evaluator: str
    project: str = ""
    attempts: int = 0


def look_at(trace_id: str) -> Evaluation:
    """The look at a trace, for what it asks to be evaluated: spans of it came, perhaps not all at once."""
    return Evaluation(trace_id=trace_id, span_id="", evaluator="")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces: every condition that is not None or "" holds. `text` is looked for in all that the trace's spans hold."""

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
    """One condition on events, by the contract's words: operator `is`, ...; type string, number, boolean, datetime.

    `field` is an event field or a dotted path into its JSON (`metadata.cost`, `inputs.chat_history.0.content`).
    `position` is the filter's index in the request, for error paths like `filters[2].field`.
    """

    field: str
    operator: str
    value: Json
    type: str = "string"
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events: all filters hold, start within [since_ns, until_ns]; newest start first (ties by event id); page from 1."""

    filters: Sequence[Filter] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 1000
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How events are summed up over time. `metric` and `group_by` are fields as in a filter, "" for no groups.

    `aggregation` is average, sum, min, max, count, or a percentile by nearest rank (p50). Buckets begin at `offset_ns` after
    1970 and every `width_ns` from there.
    """

    metric: str = "duration"
    aggregation: str = "average"
    group_by: str = ""
    width_ns: int
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """What the events of one bucket and group come to; `value` None when none of them has the number."""

    start_ns: int
    group: str
    count: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: the items, and the grand total of the filter where the contract asks for it."""

    items: Sequence[T]
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTotals:
    """What a session's events add up to. Times are the earliest start and the latest end; cost None when nothing is priced."""

    events: int = 0
    model_events: int = 0
    tool_events: int = 0
    errors: int = 0
    has_feedback: bool = False
    start_ns: int | None = None
    end_ns: int | None = None
    cost: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenQuery:
    """Which spans may say something: all that is given holds; "" and None stand for any.

    `text` may occur somewhere in the body, however it is escaped there; `provider` is compared in lower case;
    start within [since_ns, before_ns).
    """

    text: str = ""
    trace_id: str = ""
    session_id: str = ""
    agent_name: str = ""
    provider: str = ""
    model: str = ""
    since_ns: int | None = None
    before_ns: int | None = None


# What agents can be sorted by: the fields of `AgentTotals`.
AGENT_FIGURES = (
    *("agent_name", "agent_version", "invocations", "spans", "input_tokens", "output_tokens"),
    *("duration_ms", "errors", "first_ns", "last_ns", "cost"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentQuery:
    """Which agents, or with `by_version` which versions of agents; `order` is (one of AGENT_FIGURES, descending) pairs."""

    agent_name: str = ""
    by_version: bool = False
    order: Sequence[tuple[str, bool]]
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTotals:
    """What the spans that carry an agent's name add up to; first and last are starts, cost None when nothing is priced."""

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


def uuid7() -> str:
    """A new UUIDv7 as 32 lower-case hex digits: ids made by the server cluster by time in every index (RFC 9562)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return f"{value:032x}"


def dashed(hex32: str) -> str:
    """The 8-4-4-4-12 spelling of a UUID, which the events contract uses."""
    return f"{hex32[:8]}-{hex32[8:12]}-{hex32[12:16]}-{hex32[16:20]}-{hex32[20:]}"
