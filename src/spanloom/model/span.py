"""Spans, traces and feedback: what adapters write and views read.

Plain values. Times are integer nanoseconds since 1970 UTC; durations are milliseconds; ids are
case-sensitive text. In ids and in texts that are columns "" means "none", so that absence is
spelled in one way only.

A span has four parts in addition to its columns:

    io      the JSON values of an event: what went in, what came out, and what is kept beside them
    genai   what the span says in the terms of the OpenTelemetry GenAI conventions
    trace   what the span says of its trace as a whole
    sent    what the client sent that the other parts do not hold exactly

All readers read the first three. `sent` is read by one adapter alone, the one whose name it
carries, to give the client's message back. In the parts None means that the client did not say it;
an empty text or object was sent as such, and is given back as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spanloom.model.genai import Agent, Compaction, GenAiMessage, Handoff, Json, Tool, Usage

NO_BODY: Mapping[str, Json] = {}

EVENT_TYPES = ("model", "tool", "chain", "session")
STATUSES = ("UNSET", "OK", "ERROR")
# The adapter of spans that have a field of their own for what others keep in `config` and
# `metadata`.
NATIVE = "native"
# The adapter of what the API of events wrote.
HONEYHIVE = "honeyhive"
# The type of the feedback that an evaluator's result is.
EVALUATION = "spanloom.evaluation"

# The values of an event are the fields of `Io`. Whoever filters, exports or updates events takes
# the list from here. What went in and what came out may be any JSON.
EVENT_VALUES = ("inputs", "outputs")
# Updates merge the keys of these objects.
EVENT_OBJECTS = ("config", "metadata", "metrics", "feedback", "user_properties")
EVENT_TEXTS = ("error", "source", "project")
EVENT_LISTS = ("children_ids",)  # of texts
EVENT_FIELDS = (*EVENT_VALUES, *EVENT_OBJECTS, *EVENT_TEXTS, *EVENT_LISTS)
# Keys of an event's objects that a column may hold as well. Where the client did not send the key,
# the events view shows the column in its place, and filters and charts compare the column.
SHOWN_COLUMNS = {
    ("config", "provider"): "provider",
    ("config", "model"): "model",
    ("metadata", "prompt_tokens"): "input_tokens",
    ("metadata", "completion_tokens"): "output_tokens",
    ("metadata", "cost"): "cost",
    ("metadata", "agent_name"): "agent_name",
}
# Follows from both kinds of tokens in the same way.
TOTAL_TOKENS = ("metadata", "total_tokens")
# The keys of both, in the order of the bits of `Sent.apart`.
SHOWN_KEYS = (*SHOWN_COLUMNS, TOTAL_TOKENS)
EVERY_KEY = (1 << len(SHOWN_KEYS)) - 1
# What every event has in addition to its values.
EVENT_COLUMNS = (
    *("event_id", "event_name", "event_type", "session_id", "parent_id"),
    *("start_time", "end_time", "duration"),
)


# Nobody changes a part once its span is made. They are not frozen all the same, since making a
# frozen one takes four times as long, and each span that is written or read makes some.
@dataclass(slots=True)
class Io:
    """The JSON values of an event, as far as the span's adapter knows them.

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
    """The prompt, stored on this server or elsewhere, that a model was called with."""

    slug: str
    version: str | None = None
    tag: str | None = None


@dataclass(slots=True, kw_only=True)
class Variable:
    """A variable of the prompt, and the text in its place."""

    label: str
    value: str | None = None


@dataclass(slots=True, kw_only=True)
class GenAi:
    """What a span says in the terms of the GenAI conventions.

    `tool_definitions` is any JSON. `relayed` tells that the messages are copies of those of other
    spans; `is_turn` that the input is what the user said, and the output what the user received.
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
    is_turn: bool = False
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
    """What a span, mostly the root, says of its trace.

    That is for whom the work was done, what it belongs to, and how it is to be evaluated.
    `evaluators` are slugs; `spanloom.model.evaluations` says what they judge. `evaluation_rate` is
    the share of traces to be evaluated that the client asked for, `sample_rate` the share that was
    applied, and `sampled` the decision for this trace.
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
    """What the client sent that the span's other parts do not hold exactly.

    `fields` are JSON that only the adapter of this name writes and reads.

    A span that has only its columns, for a store, has the whole `message` in bytes instead, and in
    `envelope` what it shares with other messages: the adapter of this name restores the parts.
    `apart` are bits, one for each of SHOWN_KEYS: whether the message may tell a value under the key
    that is not the one that columns show. An adapter that does not know sets them all. `data` are
    long contents that the message has as they are, not in base64, in their order, with their media
    types.
    """

    adapter: str = ""
    fields: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)
    message: bytes = b""
    envelope: bytes = b""
    apart: int = EVERY_KEY
    data: Sequence[tuple[str, bytes]] = ()


NO_IO = Io()
NO_GENAI = GenAi()
NO_TRACE = TraceFacts()
NO_SENT = Sent()
# That of a span of which the store cannot read what was sent: this very object.
DAMAGED = Sent()


@dataclass(slots=True, kw_only=True)
class Span:
    """One unit of work.

    Its identity is (project, trace_id, span_id). The project is a separate argument of the store's
    methods.

    `parent_id` "" marks a root. `event_id` is the span's id in the events view: the span id unless
    a client gave another. `session_id` is the conversation it belongs to (gen_ai.conversation.id,
    honeyhive.session_id, session.id), else the trace id: a span whose session id is its trace id
    has no conversation of its own. Adapters always fill both. `kind` is the event type: model,
    tool, chain, session. `operation` is gen_ai.operation.name (chat, invoke_agent, execute_tool,
    ...), "" when the client did not say it. `end_ns` None is a span still open. `duration_ms` is
    what the client sent, else end - start, else None. `cost` is in US dollars.

    `size` is the number of bytes of what was sent with its updates, 0 of a span that was not read
    from a store. `version` is that of the span's stored row, 0 likewise. Each write of a span and
    each of its updates gives it another version, which no other row ever has.

    `start_unknown`: the client gave no start, none follows from what it gave, and `start_ns` is the
    time of receipt. `updated` names those of the fields name, start_ns and end_ns that an update
    has set since the span was read, and duration_ms when `end_ns` follows from an updated duration.
    `log_type` is a Basalt log's: span, generation, function, tool,
    retrieval, event. `instrumentation` is the name of the library that recorded the span.
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
    version: int = field(default=0, compare=False)
    sequence: int = field(default=0, compare=False)
    size: int = field(default=0, compare=False, repr=False)


def told_apart(config: Json, metadata: Json, columns: Span) -> int:
    """The bits of `Sent.apart` for an event's objects, beside the columns of its span."""
    objects = {"config": config, "metadata": metadata}
    found = 0
    for bit, (head, key) in enumerate(SHOWN_KEYS):
        told = objects[head]
        value = told.get(key) if isinstance(told, Mapping) else told
        if value is not None and not _is_shown(value, head, key, columns):
            found |= 1 << bit
    return found


def _is_shown(value: Json, head: str, key: str, columns: Span) -> bool:
    """Whether columns show the value under a key."""
    if (head, key) == TOTAL_TOKENS:
        numbers = [n for n in (columns.input_tokens, columns.output_tokens) if n is not None]
        shown: Json = sum(numbers) if numbers else None
    else:
        shown = getattr(columns, SHOWN_COLUMNS[head, key])
    if isinstance(shown, str):
        return bool(shown) and value == shown
    return type(value) in (int, float) and shown is not None and float(value) == float(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is known of a trace as a whole, for lists: one row a trace, derived by the store from
    the root span.

    A trace whose root has not come (yet) is listed by the earliest span of the first batch that
    named it.
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

    `target` is "trace", "span", "conversation" or "" (an object Spanloom does not store);
    `target_id` its id. `trace_id` narrows a span target if the client sent it. `body` holds
    payload, scorer_* and the refs, as sent.
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
