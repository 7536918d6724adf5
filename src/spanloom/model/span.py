"""Spans, traces and feedback: what adapters write and views read.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any  # dict[str, Json] | list[Json] | str | int | float | bool | None

NO_BODY: Mapping[str, Json] = {}

EVENT_TYPES = ("model", "tool", "chain", "session")
STATUSES = ("UNSET", "OK", "ERROR")
# The type of the feedback that an evaluator's result is.
EVALUATION = "spanloom.evaluation"


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
