"""From what the conventions make of an OTLP span to its typed parts: what they leave open is filled
in here.

The inputs and outputs of `Io` (the events and traces views) are what the client named so, else what
went in and came out in the terms of the step: {chat_history} and {role, content, tool_calls?,
finish_reason?} of a model, an agent or a whole workflow, arguments and result of a tool, else the
values themselves ({"input": ...}, {"output": ...} where they are no objects). Messages past
`chat_history.MOST_COPIED` characters stand in the GenAI part alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from spanloom.adapters.otlp.convention import Draft, SpanSource
from spanloom.genai.chat_history import inputs_of, outputs_of
from spanloom.genai.conventional import Conventional
from spanloom.genai.operations import CONVENTIONAL, MODEL_OPERATIONS, TALKS
from spanloom.genai.pricing import Cost, cost_of
from spanloom.genai.read import after_last_question, messages_of, received
from spanloom.genai.reading import structured
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import reasoning_of, text_of
from spanloom.genai.tool_io import arguments_of, result_of
from spanloom.model import GenAi, Io, Json, TraceFacts
from spanloom.model.genai import (
    Agent,
    Compaction,
    GenAiMessage,
    Handoff,
    Part,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from spanloom.model.span import (
    EVENT_FIELDS,
    EVENT_OBJECTS,
    NO_GENAI,
    NO_TRACE,
    Party,
    PromptUse,
    Variable,
)

TOOL_OPERATIONS: Final = frozenset({"execute_tool", "retrieval", "rerank"})
_FAILED_CALL: Final = "gen_ai.client.operation.exception"

# docs/contracts/agent_chat.md, section 2.2.
_NAMED_OPERATIONS = (
    "chat",
    "invoke_agent",
    "execute_tool",
    "generate_content",
    "text_completion",
    "embeddings",
    "create_agent",
    "retrieval",
)
_AGENT_NAME = "invoke_agent "
_TOOL_NAME = "execute_tool "
_ANSWERING = TALKS | {"invoke_agent"}
_SPEAKING = _ANSWERING | MODEL_OPERATIONS
# What wraps others, and says nothing of its own.
_STEPS = frozenset({"chain", "invoke_workflow"})


def _party(value: Json) -> Party:
    return Party(**value)


# Which field of which part a field of the draft becomes, and what makes it of the draft's value.
_Place = tuple[str, str, Callable[[Any], Any] | None]
_PLACES: Final[dict[str, _Place]] = {
    **{field: ("io", field, None) for field in EVENT_FIELDS},
    **{
        field: ("genai", field, None)
        for field in (
            *("input_messages", "output_messages", "system_instructions", "reasoning"),
            *("tool_definitions", "response_model", "relayed", "is_turn"),
        )
    },
    "content_refs": ("genai", "content_refs", tuple),
    "prompt_used": ("genai", "prompt", lambda value: PromptUse(**value)),
    "variables": ("genai", "variables", lambda values: tuple(Variable(**v) for v in values)),
    **{
        f"tool_{name}": ("tool", name, None)
        for name in ("name", "call_id", "type", "description", "arguments", "result")
    },
    **{f"agent_{name}": ("agent", name, None) for name in ("id", "version", "description")},
    **{
        field: ("usage", field, None)
        for field in (
            *("reasoning_tokens", "cache_read_tokens", "cache_creation_tokens"),
            *("input_cost", "output_cost", "cost_source"),
        )
    },
    **{
        f"compaction_{name}": ("compaction", name, None)
        for name in ("summary", "items_before", "items_after")
    },
    "handoff_from": ("handoff", "from_agent", None),
    "handoff_to": ("handoff", "to_agent", None),
}
_OF_TRACE: Final = ("feature_slug", "sample_rate", "sampled")
_ON_TRACE: Final = frozenset(_OF_TRACE) | {
    *("user", "user_id", "organization", "experiment", "evaluators", "evaluation_config")
}
_GENAI_PARTS: Final = {
    "tool": Tool,
    "agent": Agent,
    "usage": Usage,
    "compaction": Compaction,
    "handoff": Handoff,
}


def complete(draft: Draft, source: SpanSource, start_ns: int) -> None:
    """Fill in the draft what follows from the rest of it."""
    if cost := complete_columns(draft, source, start_ns):
        draft["input_cost"], draft["output_cost"] = cost.input, cost.output
    operation = draft["operation"]
    if operation in TOOL_OPERATIONS:
        _complete_tool(draft, source, operation)
    else:
        _complete_messages(draft, source, operation)
    if source.failed or any(name == _FAILED_CALL for name, _ in source.events):
        _complete_error(draft, source.events)
    if "output_messages" in draft and (reasoning := _reasoning(draft["output_messages"])):
        draft["reasoning"] = reasoning
    if "inputs" not in draft and (value := _inputs(draft, operation)) is not None:
        draft["inputs"] = value
    if "outputs" not in draft and (value := _outputs(draft, operation)) is not None:
        draft["outputs"] = value


def complete_columns(draft: Draft, source: SpanSource, start_ns: int) -> Cost | None:
    """The part of it that columns need; the cost that the price list tells."""
    operation = draft["operation"] = _operation(draft, source)
    if (
        operation == "invoke_agent"
        and "agent_name" not in draft
        and _starts(source.name, _AGENT_NAME)
    ):
        draft["agent_name"] = source.name[len(_AGENT_NAME) :]
    if "\0" in (version := draft.get("agent_version", "")):
        draft["agent_version"] = version.replace("\0", "\ufffd")
    if "kind" not in draft:
        draft["kind"] = _kind(operation, draft)
    return _complete_cost(draft, operation, start_ns)


def parts_of(draft: Draft) -> tuple[Io, GenAi, TraceFacts]:
    """The parts of the span that a complete draft describes."""
    parts: dict[str, dict[str, Any]] = {"io": {}, "genai": {}}
    for field, value in draft.items():
        if (place := _PLACES.get(field)) is None:
            continue
        part, name, made = place
        if made is not None:
            value = made(value)
        if part in parts:
            parts[part][name] = value
        else:
            parts[part] = {name: value}
    io, genai = parts.pop("io"), parts.pop("genai")
    for name in EVENT_OBJECTS:
        if name in io and not isinstance(io[name], dict):
            del io[name]
    if draft["operation"] in MODEL_OPERATIONS:
        # SDKs tell of a model's span, too, which tools it asked for.
        parts.pop("tool", None)
    for name, values in parts.items():
        genai[name] = _GENAI_PARTS[name](**values)
    return (
        Io(**io),
        GenAi(**genai) if genai else NO_GENAI,
        trace_facts(draft),
    )


def trace_facts(draft: Draft) -> TraceFacts:
    """What a draft says of the trace."""
    if _ON_TRACE.isdisjoint(draft):
        return NO_TRACE
    facts: dict[str, Any] = {name: draft[name] for name in _OF_TRACE if name in draft}
    for name in ("user", "organization"):
        if name in draft:
            facts[name] = Party(**draft[name])
    if "user_id" in draft and "user" not in draft:
        facts["user"] = Party(id=draft["user_id"])
    if "experiment" in draft:
        facts["experiment_id"] = draft["experiment"].get("id", "")
    if "evaluators" in draft:
        facts["evaluators"] = tuple(evaluator["slug"] for evaluator in draft["evaluators"])
    if "evaluation_config" in draft:
        facts["evaluation_rate"] = draft["evaluation_config"].get("sample_rate")
    return TraceFacts(**facts)


def _operation(draft: Draft, source: SpanSource) -> str:
    """What was said; else what the span's name starts with; else what its attributes can only
    mean."""
    if said := draft.get("operation"):
        is_workflow = (
            said == "chain"
            and source.is_root
            and ("input_value" in draft or "output_value" in draft)
        )
        return "invoke_workflow" if is_workflow else str(said)
    name = source.name.lower()
    for operation in _NAMED_OPERATIONS:
        if name.startswith(operation):
            return operation
    if "kind" in draft:
        return ""
    speaks = any(
        key in draft for key in ("input_messages", "output_messages", "prompt", "completion")
    )
    if "tool_name" in draft and not speaks:
        return "execute_tool"
    if "model" in draft and (speaks or "input_tokens" in draft or "output_tokens" in draft):
        return "chat"
    return ""


def _starts(name: str, prefix: str) -> bool:
    return name[: len(prefix)].lower() == prefix and len(name) > len(prefix)


def _kind(operation: str, draft: Draft) -> str:
    if operation in CONVENTIONAL:
        return "model"
    if operation in MODEL_OPERATIONS:
        # A word that is not the convention's may mean something else where no model is named.
        return "model" if "model" in draft or "response_model" in draft else "chain"
    return "tool" if operation in TOOL_OPERATIONS else "chain"


def _complete_tool(draft: Draft, source: SpanSource, operation: str) -> None:
    """A tool's arguments and result, from what went in and came out where they are not named so."""
    for field, others, unwrap in (
        ("tool_arguments", ("prompt", "input_value"), arguments_of),
        ("tool_result", ("completion", "output_value"), result_of),
    ):
        for other in (field, *others):
            if (value := draft.get(other)) is not None:
                draft[field] = unwrap(value)
                break
    for part in _parts_told(draft):
        if isinstance(part, ToolCallPart):
            for field, value in (
                ("tool_name", part.name or None),
                ("tool_call_id", part.id or None),
                ("tool_arguments", part.arguments),
            ):
                if value is not None:
                    draft.setdefault(field, value)
        elif isinstance(part, ToolResultPart) and part.result is not None:
            draft.setdefault("tool_result", part.result)
    if "tool_result" not in draft and (
        texts := [
            text for message in draft.get("output_messages", ()) if (text := text_of(message))
        ]
    ):
        draft["tool_result"] = "\n".join(texts)
    if operation == "execute_tool" and "tool_name" not in draft:
        name = source.name[len(_TOOL_NAME) :] if _starts(source.name, _TOOL_NAME) else source.name
        if name and "log_type" not in draft:
            draft["tool_name"] = name


def _parts_told(draft: Draft) -> Iterator[Part]:
    """The parts of a tool's messages, in which some clients tell what it was given and returned."""
    for field in ("input_messages", "output_messages"):
        for message in draft.get(field, ()):
            yield from message.parts


def _complete_messages(draft: Draft, source: SpanSource, operation: str) -> None:
    """The messages of a model or an agent, from what went in and came out where they are not named
    so."""
    if operation in _STEPS:
        for field, other in (("prompt", "input_value"), ("completion", "output_value")):
            if field in draft:
                draft.setdefault(other, structured(draft[field]))
        return
    if "input_messages" not in draft:
        if "prompt" in draft:
            found = received(draft["prompt"], USER)
        else:
            given = draft.get("input_value") if operation in _SPEAKING else None
            found = messages_of(given, USER)
        if found:
            draft["input_messages"] = found
    if "output_messages" not in draft:
        if "completion" in draft:
            found = _completion(draft["completion"])
        else:
            # What a failed call left behind is its error.
            speaks = operation in _ANSWERING and not source.failed
            found = _answers(draft.get("output_value")) if speaks else []
        if found:
            draft["output_messages"] = found


def _answers(value: Json) -> list[GenAiMessage]:
    return after_last_question(messages_of(value, ASSISTANT))


def _completion(value: Json) -> Sequence[GenAiMessage]:
    found = received(value, ASSISTANT)
    return (after_last_question(found) or found) if len(found) > 1 else found


def _complete_error(draft: Draft, events: Sequence[tuple[str, Mapping[str, Json]]]) -> None:
    """The error of a failed span that says none, from its last event of an error that has one."""
    if "status_message" in draft and "error_type" in draft:
        return
    for name, attributes in reversed(events):
        if name not in ("exception", _FAILED_CALL):
            continue
        message = attributes.get("exception.message") or attributes.get("error.message")
        kind = attributes.get("exception.type") or attributes.get("error.type")
        if message or kind:
            if isinstance(message, str) and message:
                draft.setdefault("status_message", message)
            if isinstance(kind, str) and kind:
                draft.setdefault("error_type", kind)
            return


def _complete_cost(draft: Draft, operation: str, start_ns: int) -> Cost | None:
    """The cost that was given, else that of a model's call by the price list, which is returned. An
    agent's tokens are those of its models."""
    if "cost" not in draft and "input_cost" in draft and "output_cost" in draft:
        draft["cost"] = draft["input_cost"] + draft["output_cost"]
    if "cost" in draft:
        draft["cost_source"] = "given"
        return None
    # One half of a cost says nothing.
    draft.pop("input_cost", None)
    draft.pop("output_cost", None)
    model = draft.get("response_model") or draft.get("model")
    if (operation not in MODEL_OPERATIONS and draft["kind"] != "model") or not model:
        return None
    if "input_tokens" not in draft and "output_tokens" not in draft:
        return None
    provider = draft.get("provider", "")
    for name in (model, draft.get("model")):
        cost = name and cost_of(
            provider,
            name,
            at_ns=start_ns,
            input_tokens=draft.get("input_tokens", 0),
            output_tokens=draft.get("output_tokens", 0),
            cache_read=draft.get("cache_read_tokens", 0),
            cache_written=draft.get("cache_creation_tokens", 0),
        )
        if cost:
            break
    if cost:
        draft["cost"], draft["cost_source"] = cost.total, "computed"
    return cost or None


def _inputs(draft: Draft, operation: str) -> Json:
    if operation in TOOL_OPERATIONS:
        return _as_object(draft.get("tool_arguments"), "input")
    messages = draft.get("input_messages")
    if operation == "invoke_workflow" and not messages:
        messages = messages_of(draft.get("input_value"), USER)
    if messages:
        return inputs_of(messages)
    return _as_object(draft.get("input_value"), "input")


def _outputs(draft: Draft, operation: str) -> Json:
    if operation in TOOL_OPERATIONS:
        return _as_object(draft.get("tool_result"), "result")
    messages = draft.get("output_messages")
    if operation == "invoke_workflow" and not messages:
        messages = _answers(draft.get("output_value"))
    if messages:
        return outputs_of(messages)
    return _as_object(draft.get("output_value"), "output")


def _as_object(value: Json, key: str) -> Json:
    return value if value is None or isinstance(value, dict) else {key: value}


def _reasoning(messages: Sequence[GenAiMessage]) -> str:
    return messages.reasoning if type(messages) is Conventional else reasoning_of(messages)
