"""The one derivation: what each span says in a chat, whatever door it came through.

A span of the OpenTelemetry GenAI conventions carries an operation and messages. One of the Basalt or HoneyHive door
carries a kind or a log type, inputs and outputs; what they mean in a chat stands in the tables and rules here, and
nowhere else. Rules: contract agent_chat, sections 2.2 and 2.10, and design, "Agent chat".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from spanloom.chat.freeform import (
    answered,
    arguments_text,
    asked,
    asked_before,
    result_text,
)
from spanloom.chat.json_text import json_object, printed, reprinted
from spanloom.chat.messages import (
    ASSISTANT,
    USER,
    Message,
    read_messages,
    reasoning_of,
    system_text,
    text_of,
)
from spanloom.model.genai import Agent, Tool

if TYPE_CHECKING:
    from spanloom.model import Json, Span

Number = TypeVar("Number", int, float)

# What a span does in a chat. OTHER speaks if it has messages: model calls, and whatever wraps them.
AGENT: Final = "agent"
WORKFLOW: Final = (
    "workflow"  # answers for those below it as an agent does, but is nobody who speaks
)
TOOL: Final = "tool"
HANDOFF: Final = "handoff"
OTHER: Final = "other"

_OPERATIONS = {"invoke_agent": AGENT, "execute_tool": TOOL, "handoff": HANDOFF}
_LOG_TYPES = {"generation": OTHER, "tool": TOOL, "function": TOOL, "retrieval": TOOL}
_KINDS = {"tool": TOOL, "session": AGENT}
# Operations whose inputs and outputs are a conversation; those of embeddings, retrieval and the like are not.
_TALKS = frozenset({"chat", "generate_content", "text_completion"})
# Fields with which a workflow speaks for itself: it is then a span like any other.
_OWN_WORDS = ("input_messages", "output_messages", "system_instructions", "tool_definitions")
_TOOL_PREFIX = "execute_tool "
_AGENT_PREFIX = "invoke_agent "


class Usage(NamedTuple):
    """Tokens and US dollars; None is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    total_cost: float | None = None

    def plus(self, other: Usage) -> Usage:
        """The sum of what is known."""
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        return Usage._make(map(_sum, self, other))


NO_USAGE: Final = Usage()
_NO_AGENT: Final = Agent()
_NO_TOOL: Final = Tool()
_UNKNOWN: Final = (None, None, None, None)


class Facts(NamedTuple):
    """What one span says in a chat. Texts are "" where there is none.

    `agent` is the span's own agent name or id; `agent_from_name` the rest of a span name that starts with invoke_agent.
    `is_turn` marks the agent whose input is what the user said and whose output is what the user got (a Basalt trace).
    """

    span: Span
    act: str
    agent: str = ""
    agent_from_name: str = ""
    agent_version: str = ""
    status: str = "UNSET"
    status_message: str = ""
    error_type: str = ""
    inputs: Sequence[Message] = ()
    outputs: Sequence[Message] = ()
    system: str = ""
    tool_definitions: str = ""
    tool_name: str = ""
    call_id: str = ""
    tool_arguments: str = ""
    tool_result: str = ""
    reasoning: str = ""
    content_refs: tuple[str, ...] = ()
    usage: Usage = NO_USAGE
    is_turn: bool = False

    @property
    def answer_model(self) -> str:
        """The model that answered, else the one that was asked."""
        return self.span.genai.response_model or self.span.model


def scope_of(facts: Facts) -> str:
    """What recorded the span: the name of its instrumentation."""
    return facts.span.instrumentation


def derive(spans: Iterable[Span]) -> dict[str, Facts]:
    """The facts of each span by its id. Span ids are unique."""
    spans = list(spans)
    calls_model = _parents_of_models(spans)
    turns = _silent_turns(spans)
    return {span.span_id: _facts(span, span.span_id in calls_model, turns) for span in spans}


def _parents_of_models(spans: Sequence[Span]) -> set[str]:
    """The spans right above a model event: the chain events among them are agents."""
    models = [span for span in spans if span.kind == "model"]
    events = {span.span_id: span for span in spans if span.kind == "chain"} if models else {}
    return {
        span.parent_id
        for span in models
        if (parent := events.get(span.parent_id)) is not None
        and (not span.operation or _has_io(parent))
    }


def _silent_turns(spans: Sequence[Span]) -> frozenset[str]:
    """The topmost chain events with inputs or outputs of a trace in which neither a model nor an agent tells what was
    said: theirs are all the chat there is."""
    if any(map(_speaks, spans)):
        return frozenset()
    chains = {span.span_id: span for span in spans if span.kind == "chain"}
    telling = {span_id for span_id, span in chains.items() if _has_io(span)}
    if not telling:
        return frozenset()
    parents = {span.span_id: span.parent_id for span in spans if span.kind != "session"}
    # Whether a span, or one above it, tells or is no chain; each is looked at once.
    covered: dict[str, bool] = {}
    for span_id in parents:
        trail: list[str] = []
        here = span_id
        while here in parents and here not in covered:
            covered[here] = here in telling or here not in chains
            trail.append(here)
            if covered[here]:
                break
            here = parents[here]
        if covered.get(here):
            covered.update(dict.fromkeys(trail, True))
    return frozenset(span_id for span_id in telling if not covered.get(parents[span_id]))


def _speaks(span: Span) -> bool:
    return (
        span.genai.input_messages is not None
        or span.genai.output_messages is not None
        or (span.kind == "model" and span.operation != "embeddings")
        or (span.operation == "invoke_agent" and _has_io(span))
    )


def _has_io(span: Span) -> bool:
    return span.io.inputs is not None or span.io.outputs is not None


def _facts(span: Span, calls_model: bool, turns: frozenset[str]) -> Facts:
    log_type = span.log_type
    is_chain_agent = calls_model and not span.operation and not log_type
    act = _act(span, log_type)
    is_silent_turn = span.span_id in turns and not log_type
    if is_chain_agent or is_silent_turn:
        act = AGENT
    agent, tool = span.genai.agent or _NO_AGENT, span.genai.tool or _NO_TOOL
    inputs, outputs, system = _said(span, act, log_type)
    if act == WORKFLOW:
        # The calls in the history that it gives back are those of the models below it.
        outputs = [Message(m.role, said) for m in outputs if (said := text_of(m))]
    if is_silent_turn and not inputs:
        inputs = asked_before(span.io.outputs)
    status, status_message = _status(span)
    own_agent = span.agent_name or agent.id
    tool_name, given, back = _tool_texts(span, tool, log_type) if act == TOOL else ("", "", "")
    return Facts(
        span=span,
        act=act,
        agent=own_agent or (span.name if is_chain_agent else ""),
        agent_from_name=_agent_from_name(span.name) if act == AGENT else "",
        agent_version=agent.version,
        status=status,
        status_message=status_message,
        error_type=span.error_type,
        inputs=inputs,
        outputs=outputs,
        system=system,
        tool_definitions=reprinted(tools) if (tools := span.genai.tool_definitions) else "",
        call_id=tool.call_id,
        reasoning=span.genai.reasoning or _reasoning(outputs),
        content_refs=span.genai.content_refs,
        usage=_usage(span),
        is_turn=span.kind == "session" and span.operation == "invoke_agent" and _has_io(span),
        tool_name=tool_name,
        tool_arguments=given,
        tool_result=back,
    )


def _act(span: Span, log_type: str) -> str:
    if log_type in _LOG_TYPES:
        return _LOG_TYPES[log_type]
    if span.operation == "invoke_workflow" and not any(
        getattr(span.genai, name) for name in _OWN_WORDS
    ):
        return WORKFLOW
    if span.operation or log_type:
        return _OPERATIONS.get(span.operation.lower(), OTHER)
    return _KINDS.get(span.kind, OTHER)


def _said(span: Span, act: str, log_type: str) -> tuple[Sequence[Message], Sequence[Message], str]:
    """What went in, what came out, and the system prompt."""
    inputs: Sequence[Message] = ()
    outputs: Sequence[Message] = ()
    system = span.genai.system_instructions
    if raw := span.genai.input_messages:
        inputs = read_messages(raw, USER)
    if raw := span.genai.output_messages:
        outputs = [m for m in read_messages(raw, ASSISTANT) if m.role != USER]
    if not _has_io(span) or not _talks(span, act, log_type):
        return inputs, outputs, system
    # A step that says it is no more than that may hold anything, a workflow's state or the envelope of a message.
    any_json = span.operation != "chain"
    if not inputs:
        inputs = asked(span.io.inputs, any_json=any_json)
        if act == OTHER:
            system = system or system_text(inputs)
    return inputs, outputs or answered(span.io.outputs, any_json=any_json), system


def _talks(span: Span, act: str, log_type: str) -> bool:
    """Whether free-form inputs and outputs are a conversation."""
    if act == OTHER:
        return (
            log_type == "generation"
            or span.operation.lower() in _TALKS
            or (span.kind == "model" and not span.operation)
        )
    return act in (AGENT, WORKFLOW)


def _tool_texts(span: Span, tool: Tool, log_type: str) -> tuple[str, str, str]:
    """The tool's name, what it was given, and what it gave back."""
    name = tool.name or span.name.removeprefix(_TOOL_PREFIX) or log_type
    given, back = tool.arguments, tool.result
    return (
        name,
        arguments_text(span.io.inputs) if given is None else reprinted(given),
        result_text(span.io.outputs) if back is None else reprinted(back),
    )


def _status(span: Span) -> tuple[str, str]:
    """The status, and its text. An event with an error failed; a Basalt log tells its error in the metadata."""
    error: Json = span.io.error
    status = "ERROR" if error else span.status
    message = span.status_message
    if status == "ERROR" and not message:
        error = error or json_object(span.io.metadata).get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            error = error["message"]
        message = printed(error)
    return status, message


def _usage(span: Span) -> Usage:
    """A session's own figures are those of its events, so they do not count again."""
    if span.kind == "session" and not span.operation:
        return NO_USAGE
    input_cost = output_cost = reasoning_tokens = None
    if (used := span.genai.usage) is not None:
        input_cost, output_cost = used.input_cost, used.output_cost
        reasoning_tokens = used.reasoning_tokens
    total_cost = span.cost if span.cost is not None else _sum(input_cost, output_cost)
    if (span.input_tokens, span.output_tokens, reasoning_tokens, total_cost) == _UNKNOWN:
        return NO_USAGE
    return Usage(
        span.input_tokens,
        span.output_tokens,
        reasoning_tokens,
        input_cost,
        output_cost,
        total_cost,
    )


def count(value: Json) -> int | None:
    """A whole number of JSON, None for anything else."""
    number = None if value is None else dollars(value)
    return None if number is None else int(number)


def dollars(value: Json) -> float | None:
    """A finite number of JSON, None for anything else."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _sum(a: Number | None, b: Number | None) -> Number | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _reasoning(outputs: Sequence[Message]) -> str:
    return reasoning_of([m for m in outputs if m.from_parts]) if outputs else ""


def _agent_from_name(name: str) -> str:
    return name.removeprefix(_AGENT_PREFIX) if name.startswith(_AGENT_PREFIX) else ""
