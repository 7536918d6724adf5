"""Pydantic AI's own instrumentation, and Logfire's, which it was made for.

Source: pydantic/pydantic-ai, models/instrumented.py and docs/logfire.md (instrumentation versions 1
to 5, recorded from 0.2, 1.0 and 2.68); pydantic/logfire, integrations for openai, anthropic and the
OpenAI Agents SDK (request_data, response_data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.conventions.otel_events import said_in_events
from spanloom.genai.read import asked_and_answered, genai_messages, messages_of
from spanloom.genai.reading import (
    an_object,
    anything,
    decoded,
    dollars,
    identifier,
    structured,
    text,
)
from spanloom.genai.roles import ASSISTANT, SYSTEM, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, ToolResultPart

_RUN = (
    "all_messages_events",
    "pydantic_ai.all_messages",
    "pydantic_ai.new_message_index",
    "final_result",
)


# What the spans of the OpenAI Agents SDK are, by the beginning of their names, which are templates.
_AGENTS_SDK = "logfire.openai_agents"
_AGENTS_SDK_SPANS = {
    "Agent run": ("invoke_agent", "agent_name"),
    "Function": ("execute_tool", "tool_name"),
    "Handoff": ("handoff", ""),
}


def _given(value: Json) -> Json:
    """Logfire writes what is not there as JSON."""
    return None if value == "null" else value


def _agents_sdk(source: SpanSource) -> dict[str, Any]:
    """An agent, a function or a handoff of the OpenAI Agents SDK; other spans are plain steps."""
    get = source.attributes.get
    operation, named = _AGENTS_SDK_SPANS.get(source.name.partition(":")[0], ("chain", ""))
    group, output = _given(get("group_id")), _given(get("output"))
    offers: dict[str, Any] = {"operation": operation, "session_id": identifier(group)}
    if source.failed and (error := an_object(get("error"))):
        offers["status_message"] = text(error.get("message"))
    if "{" in source.name:
        offers["name"] = text(get("logfire.msg"))
    if named:
        offers[named] = text(get("name"))
    if operation == "execute_tool":
        offers["tool_arguments"] = structured(get("input"))
        offers["tool_result"] = anything(output)
    elif operation == "handoff":
        offers["handoff_from"], offers["handoff_to"] = get("from_agent"), get("to_agent")
    return offers


def _columns(source: SpanSource, draft: Draft) -> Offers:
    attributes = source.attributes
    if _is_of_agents_sdk(source, draft):
        return _agents_sdk(source)
    if "tool_name" in draft or "tool_arguments" in draft:
        return {"operation": "execute_tool"} if "model" not in draft else {}
    offers: dict[str, Any] = {}
    if any(key in attributes for key in _RUN) or (
        source.scope == "pydantic-ai" and "agent_name" in attributes
    ):
        offers["operation"] = "invoke_agent"
    if "request_data" in attributes and "model" not in draft:
        asked = structured(attributes["request_data"])
        offers["model"] = text(asked.get("model")) if isinstance(asked, dict) else None
    return offers


def _is_of_agents_sdk(source: SpanSource, draft: Draft) -> bool:
    of_sdk = source.scope == _AGENTS_SDK and "request_data" not in source.attributes
    return of_sdk and "operation" not in draft


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    if _is_of_agents_sdk(source, draft) or "tool_name" in draft or "tool_arguments" in draft:
        return {}
    get = source.attributes.get
    offers: dict[str, Any] = {}
    inputs, outputs = _events(get("events")) if "events" in found else ((), ())
    run = genai_messages(get("pydantic_ai.all_messages"), USER) or _run_events(
        get("all_messages_events")
    )
    if run:
        asked = _until_answer(run)
        inputs, outputs = inputs or run[:asked], outputs or run[asked:]
    if "final_result" in found and not outputs:
        outputs = messages_of(get("final_result"), ASSISTANT)
    # What Logfire keeps of a call of a model API.
    for key, role in (("request_data", USER), ("response_data", ASSISTANT)):
        if key in found:
            said = structured(get(key))
            messages = messages_of(said, role)
            if role == USER:
                inputs = inputs or messages
            else:
                outputs = outputs or messages
            if not messages:
                offers["input_value" if role == USER else "output_value"] = said
    if inputs and not outputs and source.scope == _AGENTS_SDK:
        inputs, outputs = asked_and_answered(inputs)
    if inputs and "input_messages" not in draft:
        offers["system_instructions"] = system_of(inputs) or None
    return {**offers, "input_messages": inputs or None, "output_messages": outputs or None}


def _until_answer(run: Sequence[GenAiMessage]) -> int:
    """Where in the messages of a whole run the answer begins: after the last question."""
    asked = (i for i, m in enumerate(run) if m.role in (USER, SYSTEM) and not _is_result(m))
    return max(asked, default=-1) + 1


def _is_result(message: GenAiMessage) -> bool:
    parts = message.parts
    return bool(parts) and all(isinstance(part, ToolResultPart) for part in parts)


def _events(value: Json) -> tuple[Sequence[GenAiMessage], Sequence[GenAiMessage]]:
    """GenAI events as JSON in an attribute."""
    events = structured(value)
    return said_in_events(
        (str(event.get("event.name")), event)
        for event in (events if isinstance(events, list) else ())
        if isinstance(event, dict)
    )


def _run_events(value: Json) -> Sequence[GenAiMessage]:
    inputs, outputs = _events(value)
    return [*inputs, *outputs]


CONVENTION = Convention(
    "Pydantic AI and Logfire",
    rules=(
        ("agent_name", "agent_name", text),
        ("model_name", "model", text),
        ("operation.cost", "cost", dollars),
        ("tool_arguments", "tool_arguments", structured),
        ("tool_response", "tool_result", anything),
        ("model_request_parameters", "tool_definitions", lambda value: _tools(structured(value))),
        ("pydantic_ai.final_result", "output_value", decoded),
    ),
    prefixes=(*_RUN, "events", "request_data", "response_data", "tool_arguments"),
    scopes=("pydantic-ai", _AGENTS_SDK),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "input_value", "output_value"),
)


def _tools(value: Json) -> Json:
    """The definitions of an agent's functions in the parameters of a request."""
    found = value.get("function_tools") if isinstance(value, dict) else None
    return found or None
