"""What each span contributes to a chat, whichever adapter it came through.

This is the only place where the stored parts of a span become facts of the chat. A span of the
OpenTelemetry GenAI conventions has an operation and messages. One of the Basalt or HoneyHive
contract has a kind or a log type, and free-form inputs and outputs, which `spanloom.genai.read`
reads. Rules: docs/contracts/agent_chat.md, sections 2.2, 2.10 and 3.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from spanloom.chat.messages import by_speaker
from spanloom.chat.usage import NO_USAGE, Usage, sum_known
from spanloom.genai.json_text import json_object, printed, reprinted
from spanloom.genai.operations import TALKS
from spanloom.genai.read import Reader
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.stored import StoredMessages
from spanloom.genai.text import reasoning_of, system_of, text_of
from spanloom.genai.tool_io import arguments_text, result_text
from spanloom.model import genai
from spanloom.model.genai import Agent, Compaction, GenAiMessage, Handoff, TextPart, Tool

if TYPE_CHECKING:
    from spanloom.model import Json, Span

# What a span does in a chat.
AGENT: Final = "agent"
# A workflow answers for the spans below it as an agent does, but is nobody who speaks.
WORKFLOW: Final = "workflow"
TOOL: Final = "tool"
HANDOFF: Final = "handoff"
# A model call, or what wraps one: it speaks if it has messages.
OTHER: Final = "other"

_OPERATIONS: Final = {"invoke_agent": AGENT, "execute_tool": TOOL, "handoff": HANDOFF}
_LOG_TYPES: Final = {"generation": OTHER, "tool": TOOL, "function": TOOL, "retrieval": TOOL}
_KINDS: Final = {"tool": TOOL, "session": AGENT}
# Fields with which a workflow speaks for itself: it is then a span like any other.
_OWN_WORDS: Final = frozenset(
    {"input_messages", "output_messages", "system_instructions", "tool_definitions"}
)
_TOOL_PREFIX: Final = "execute_tool "
_AGENT_PREFIX: Final = "invoke_agent "


_NO_AGENT: Final = Agent()
_NO_TOOL: Final = Tool()
_NO_HANDOFF: Final = Handoff()
_NO_FURTHER_USAGE: Final = genai.Usage()
_UNKNOWN: Final = (None, None, None, None)


class Facts(NamedTuple):
    """What one span contributes to a chat. An absent text is "".

    `agent` is the span's own agent name or id, `agent_from_name` the rest of a span name that
    starts with invoke_agent. The roles of `inputs` and `outputs` are user, assistant, system and
    tool. `is_turn` marks an agent whose input is what the user said and whose output is what the
    user received (a Basalt trace), `is_relay` a span whose messages are copies of what other spans
    say (a message bus).
    """

    span: Span
    act: str
    agent: str = ""
    agent_from_name: str = ""
    agent_version: str = ""
    status: str = "UNSET"
    status_message: str = ""
    error_type: str = ""
    inputs: Sequence[GenAiMessage] = ()
    outputs: Sequence[GenAiMessage] = ()
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
    is_relay: bool = False

    @property
    def answer_model(self) -> str:
        """The model that answered, else the one that was asked."""
        return self.span.genai.response_model or self.span.model

    @property
    def scope(self) -> str:
        """The name of the instrumentation that recorded the span."""
        return self.span.instrumentation

    @property
    def handoff(self) -> Handoff:
        """The two agents of a handoff span, as far as its attributes name them."""
        return self.span.genai.handoff or _NO_HANDOFF

    @property
    def compaction(self) -> Compaction | None:
        """How the context was compacted before the span, None if it was not."""
        return self.span.genai.compaction

    @property
    def cache_tokens(self) -> tuple[int, int]:
        """Input tokens that were written to a cache, and read from one."""
        used = self.span.genai.usage
        return (
            (0, 0)
            if used is None
            else (used.cache_creation_tokens or 0, used.cache_read_tokens or 0)
        )

    @property
    def has_start(self) -> bool:
        """Whether the client sent the span's start."""
        return self.span.start_ns > 0 and not self.span.start_unknown

    @property
    def user_id(self) -> str | None:
        """The trace's user, else the one that the event's properties name."""
        user, properties = self.span.trace.user, json_object(self.span.io.user_properties)
        ids = (
            user and user.id,
            *(properties.get(key) for key in ("user_id", "user", "id")),
        )
        return next((user_id for user_id in ids if user_id and isinstance(user_id, str)), None)


FactsById = Mapping[str, Facts]


def derive(spans: Iterable[Span]) -> dict[str, Facts]:
    """The facts of each span by its id. Span ids are unique."""
    spans = list(spans)
    calls_model = _parents_of_models(spans)
    turns = _silent_turns(spans)
    reader = Reader(remember=len(spans) > 1)
    return {
        span.span_id: _facts(span, span.span_id in calls_model, turns, reader) for span in spans
    }


def _parents_of_models(spans: Sequence[Span]) -> set[str]:
    """The chain events right above a model event: these are agents."""
    models = [span for span in spans if span.kind == "model"]
    chains = {span.span_id: span for span in spans if span.kind == "chain"} if models else {}
    return {
        span.parent_id
        for span in models
        if (parent := chains.get(span.parent_id)) is not None
        and (not span.operation or _has_io(parent))
    }


def _silent_turns(spans: Sequence[Span]) -> frozenset[str]:
    """The topmost chain events with inputs or outputs, where no model and no agent has messages.

    Their inputs and outputs are then all the chat there is.
    """
    if any(map(_speaks, spans)):
        return frozenset()
    chains = {span.span_id: span for span in spans if span.kind == "chain"}
    with_io = {span_id for span_id, span in chains.items() if _has_io(span)}
    if not with_io:
        return frozenset()
    parents = {span.span_id: span.parent_id for span in spans if span.kind != "session"}
    # Whether a span, or one above it, has inputs or outputs or is no chain; each is visited once.
    covered: dict[str, bool] = {}
    for span_id in parents:
        trail: list[str] = []
        here = span_id
        while here in parents and here not in covered:
            covered[here] = here in with_io or here not in chains
            trail.append(here)
            if covered[here]:
                break
            here = parents[here]
        if covered.get(here):
            covered.update(dict.fromkeys(trail, True))
    return frozenset(span_id for span_id in with_io if not covered.get(parents[span_id]))


def _speaks(span: Span) -> bool:
    return (
        bool(span.genai.input_messages or span.genai.output_messages)
        or (span.kind == "model" and span.operation != "embeddings")
        or (span.operation == "invoke_agent" and _has_io(span))
    )


def _has_io(span: Span) -> bool:
    return span.io.inputs is not None or span.io.outputs is not None


def _facts(span: Span, calls_model: bool, turns: frozenset[str], reader: Reader) -> Facts:
    said, log_type = span.genai, span.log_type
    is_chain_agent = calls_model and not span.operation and not log_type
    act = _act(span, log_type)
    is_silent_turn = span.span_id in turns and not log_type
    if is_chain_agent or is_silent_turn:
        act = AGENT
    agent, tool = said.agent or _NO_AGENT, said.tool or _NO_TOOL
    inputs, outputs, system = _messages(span, act, log_type, reader)
    if act == WORKFLOW:
        # The calls in the conversation that it returns are those of the models below it.
        outputs = [
            GenAiMessage(message.role, (TextPart(text),))
            for message in outputs
            if (text := text_of(message))
        ]
    if is_silent_turn and not inputs:
        inputs = by_speaker(reader.asked_before(span.io.outputs))
    status, status_message = _status(span)
    own_agent = span.agent_name or agent.id
    name, arguments, result = _tool_texts(span, tool, log_type) if act == TOOL else ("", "", "")
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
        tool_definitions=reprinted(tools) if (tools := said.tool_definitions) else "",
        call_id=tool.call_id,
        reasoning=said.reasoning or _reasoning(outputs),
        content_refs=said.content_refs,
        usage=_usage(span),
        is_turn=_is_turn(span),
        is_relay=said.relayed,
        tool_name=name,
        tool_arguments=arguments,
        tool_result=result,
    )


def _is_turn(span: Span) -> bool:
    if span.operation != "invoke_agent" or not _has_io(span):
        return False
    return span.kind == "session" or span.genai.is_turn


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


def _messages(
    span: Span, act: str, log_type: str, reader: Reader
) -> tuple[Sequence[GenAiMessage], Sequence[GenAiMessage], str]:
    """The messages that went in, those that came out, and the system prompt."""
    inputs: Sequence[GenAiMessage] = ()
    outputs: Sequence[GenAiMessage] = ()
    system = span.genai.system_instructions
    if messages := span.genai.input_messages:
        inputs = by_speaker(_read(messages, USER, reader))
    if messages := span.genai.output_messages:
        outputs = by_speaker(_read(messages, ASSISTANT, reader))
        outputs = [message for message in outputs if message.role != USER]
    if not _talks(span, act, log_type):
        return inputs, outputs, system
    if _has_io(span):
        # A plain step may hold anything, like a workflow's state or the envelope of a message.
        any_json = span.operation != "chain"
        if not inputs:
            inputs = by_speaker(reader.asked(span.io.inputs, any_json=any_json))
        if not outputs:
            outputs = by_speaker(reader.answered(span.io.outputs, any_json=any_json))
    if act == OTHER and not system:
        system = system_of(inputs)
    return inputs, outputs, system


def _read(messages: Sequence[GenAiMessage], role: str, reader: Reader) -> Sequence[GenAiMessage]:
    """Messages that occur in several spans are made once."""
    if isinstance(messages, StoredMessages):
        return reader.genai_messages(messages.json, role)
    return messages


def _talks(span: Span, act: str, log_type: str) -> bool:
    """Whether free-form inputs and outputs are a conversation."""
    if act == OTHER:
        return (
            log_type == "generation"
            or span.operation.lower() in TALKS
            or (span.kind == "model" and not span.operation)
        )
    return act in (AGENT, WORKFLOW)


def _tool_texts(span: Span, tool: Tool, log_type: str) -> tuple[str, str, str]:
    """The tool's name, its arguments and its result."""
    name = tool.name or span.name.removeprefix(_TOOL_PREFIX) or log_type
    arguments, result = tool.arguments, tool.result
    return (
        name,
        arguments_text(span.io.inputs) if arguments is None else reprinted(arguments),
        result_text(span.io.outputs) if result is None else reprinted(result),
    )


def _status(span: Span) -> tuple[str, str]:
    """The status and its text. An event's error is a failure, a Basalt log's is in its metadata."""
    error: Json = span.io.error
    message = span.status_message
    if not error and span.status != "ERROR":
        return span.status, message
    if not message:
        error = error or json_object(span.io.metadata).get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            error = error["message"]
        message = printed(error)
    return "ERROR", message


def _usage(span: Span) -> Usage:
    """A session's own figures sum up those of its events, so they do not count again."""
    if span.kind == "session" and not span.operation:
        return NO_USAGE
    used = span.genai.usage or _NO_FURTHER_USAGE
    input_cost, output_cost = used.input_cost, used.output_cost
    reasoning_tokens = used.reasoning_tokens
    total_cost = span.cost if span.cost is not None else sum_known(input_cost, output_cost)
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


def _reasoning(outputs: Sequence[GenAiMessage]) -> str:
    return reasoning_of([m for m in outputs if not m.as_content]) if outputs else ""


def _agent_from_name(name: str) -> str:
    return name.removeprefix(_AGENT_PREFIX) if name.startswith(_AGENT_PREFIX) else ""
