"""Spans, traces and feedback: what adapters write and views read.

Plain values. Times are integer nanoseconds since 1970 UTC; durations are milliseconds; ids are case-sensitive text; "" means
"none" in ids and in texts that are columns, so that no two spellings of absence exist.

A span has four parts beside its columns, and every reader but one reads these alone:

    io      the JSON values of an event: what went in and came out, and what is kept beside it
    genai   the terms of the OpenTelemetry GenAI conventions: messages, tool, agent, usage
    trace   what the span says of its trace as a whole
    sent    what the client sent that the other parts do not hold exactly. Only the adapter whose name it carries reads it,
            to give the client's message back.

In the parts None means "not said"; "" and {} were sent so, and are given back so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spanloom.model.genai import Agent, Compaction, GenAiMessage, Handoff, Json, Tool, Usage

NO_BODY: Mapping[str, Json] = {}

EVENT_TYPES = ("model", "tool", "chain", "session")
STATUSES = ("UNSET", "OK", "ERROR")
# The type of the feedback that an evaluator's result is.
EVALUATION = "spanloom.evaluation"

# The values of an event, which are the fields of `Io`. All that filters, exports or updates events takes its list from here.
# What went in and came out: any JSON.
EVENT_VALUES = ("inputs", "outputs")
# Objects, whose keys updates merge.
EVENT_OBJECTS = ("config", "metadata", "metrics", "feedback", "user_properties")
EVENT_TEXTS = ("error", "source", "project")
EVENT_LISTS = ("children_ids",)  # of texts
EVENT_FIELDS = (*EVENT_VALUES, *EVENT_OBJECTS, *EVENT_TEXTS, *EVENT_LISTS)
# What an event holds in its objects and a column holds, too. Where the client sent no such key, the column is shown in its place,
# and filters and charts compare it. The total of the tokens follows from two of them.
SHOWN_COLUMNS = {
    ("config", "provider"): "provider",
    ("config", "model"): "model",
    ("metadata", "prompt_tokens"): "input_tokens",
    ("metadata", "completion_tokens"): "output_tokens",
    ("metadata", "cost"): "cost",
}
TOTAL_TOKENS = ("metadata", "total_tokens")
# What every event has beside them.
EVENT_COLUMNS = (
    *("event_id", "event_name", "event_type", "session_id", "parent_id"),
    *("start_time", "end_time", "duration"),
)


# None of the parts is frozen, though nobody changes one: that makes four times the work of each span, written or read.
@dataclass(slots=True)
class Io:
    """The JSON values of an event. Spans of every adapter fill what they know of them.

    `ideal_output` is the ground truth for evaluators; the contract of events does not have it.
    """

    inputs: Json = None
    outputs: Json = None
    config: Mapping[str, Json] | None = None
    metadata: Mapping[str, Json] | None = None
    metrics: Mapping[str, Json] | None = None
    feedback: Mapping[str, Json] | None = None
    user_properties: Mapping[str, Json] | None = None
    error: str | None = None
    source: str | None = None
    project: str | None = None
    children_ids: Sequence[str] | None = None
    ideal_output: Json = None


@dataclass(slots=True, kw_only=True)
class PromptUse:
    """The stored prompt that a model was called with."""

    slug: str
    version: str | None = None
    tag: str | None = None


@dataclass(slots=True, kw_only=True)
class Variable:
    """What a variable of the prompt was replaced by."""

    label: str
    value: str | None = None


@dataclass(slots=True, kw_only=True)
class GenAi:
    """What a span says in the terms of the GenAI conventions.

    `tool_definitions` is any JSON.
    `relayed`: the messages are a copy of what other spans said.
    """

    input_messages: Sequence[GenAiMessage] = ()
    output_messages: Sequence[GenAiMessage] = ()
    system_instructions: str = ""
    reasoning: str = ""
    tool: Tool | None = None
    tool_definitions: Json = None
    agent: Agent | None = None
    usage: Usage | None = None
    response_model: str = ""
    content_refs: tuple[str, ...] = ()
    compaction: Compaction | None = None
    handoff: Handoff | None = None
    relayed: bool = False
    prompt: PromptUse | None = None
    variables: tuple[Variable, ...] = ()


@dataclass(slots=True, kw_only=True)
class Party:
    """A user or an organization, as the client described it."""

    id: str | None = None
    name: str | None = None
    email: str | None = None


@dataclass(slots=True, kw_only=True)
class TraceFacts:
    """What a span says of its trace: whom it was for, what it belongs to, and how it is to be evaluated.

    Mostly the root says it. `evaluators` (slugs) judge the span itself, and what `spanloom.model.evaluations` says beside it.
    `evaluation_rate` is the share of traces to be evaluated, as the client said it; `sample_rate` the one that counted, and
    `sampled` the decision.
    """

    feature_slug: str | None = None
    user: Party | None = None
    organization: Party | None = None
    experiment_id: str | None = None
    evaluators: tuple[str, ...] = ()
    evaluation_rate: float | None = None
    sample_rate: float | None = None
    sampled: bool | None = None


@dataclass(slots=True)
class Sent:
    """What the client sent that the span's other parts do not hold exactly. `fields` are known to the adapter of that name
    alone; they are JSON."""

    adapter: str = ""
    fields: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


NO_IO = Io()
NO_GENAI = GenAi()
NO_TRACE = TraceFacts()
NO_SENT = Sent()


@dataclass(slots=True, kw_only=True)
class Span:
    """One unit of work. Identity is (project, trace_id, span_id); the project is the store call's, not the span's.

    `parent_id` "" marks a root. `event_id` is the span's id in the events view: the span id unless a client gave
    another. `session_id` is the conversation it belongs to (gen_ai.conversation.id, honeyhive.session_id, session.id),
    else the trace id: a span whose session id is its trace id has no conversation of its own. Adapters always fill both.
    `kind` is the event type: model, tool, chain, session. `operation` is gen_ai.operation.name (chat,
    invoke_agent, execute_tool, ...), "" when the client did not say it. `end_ns` None is a span still open. `duration_ms` is
    what the client said, else end - start, else None. `cost` is in US dollars.

    `start_unknown`: the client gave no start, none follows from what it gave, and `start_ns` is the time of receipt.
    `updated` names those of the fields name, start_ns and end_ns that an update has set since the span was read.
    `log_type` is a Basalt log's: span, generation, function, tool, retrieval, event. `instrumentation` is the name of the
    library that recorded the span.
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
    status_message: str = ""
    error_type: str = ""
    log_type: str = ""
    instrumentation: str = ""
    conversation_name: str = ""
    start_unknown: bool = False
    updated: tuple[str, ...] = ()
    io: Io = field(default_factory=lambda: NO_IO)
    genai: GenAi = field(default_factory=lambda: NO_GENAI)
    trace: TraceFacts = field(default_factory=lambda: NO_TRACE)
    sent: Sent = field(default_factory=lambda: NO_SENT)


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
