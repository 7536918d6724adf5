"""LlamaIndex's own OpenTelemetry spans: their events have the content, as JSON or Python text.

OpenInference's spans of LlamaIndex name the agent of a workflow's step only in such a text.

Source: run-llama/llama_index, llama-index-observability-otel (recorded from 0.7 with
llama-index-core 0.14); its events, llama_index/core/instrumentation/events/llm.py. The library cuts
the output of a step after some 200 characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.python_text import STRING, literal
from spanloom.genai.blocks import first
from spanloom.genai.read import messages_of
from spanloom.genai.reading import count, identifier, nested, structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, TextPart

_SCOPE = "llamaindex.opentelemetry.tracer"
_WATCHED = "openinference.instrumentation.llama_index"
_AGENT = "current_agent_name='"
_TEXT_BLOCK = re.compile(rf"TextBlock\(block_type='text', text={STRING}", re.DOTALL)
_ASKED = re.compile(rf"user_msg={STRING}", re.DOTALL)
_TOOL_CALL = re.compile(
    rf"ToolCall\(tool_name={STRING}, tool_kwargs=(\{{.*\}}), tool_id={STRING}\)", re.DOTALL
)
_LONGEST = 10_000  # many times what the library leaves of it
_OPERATIONS = {"call_tool": "execute_tool", "run": "invoke_agent"}
_MODEL_EVENTS = ("LLMChat", "LLMCompletion")


def _columns(source: SpanSource, draft: Draft) -> Offers:
    if source.scope == _WATCHED:
        return {"agent_name": _agent(source.attributes.get("input.value"))}
    if event := _model_event(source):
        return _model_columns(event)
    step = _step(source)
    if step in _OPERATIONS:
        return {"operation": _OPERATIONS[step]}
    return {"operation": "chain", "agent_name": _agent(_given(source))}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    if source.scope == _WATCHED:
        return {}
    if event := _model_event(source):
        return _model_contents(event)
    step, given, output = _step(source), _given(source), _output(source)
    if step == "call_tool":
        return _tool(given, output)
    if step == "run":
        said = _said(output, ASSISTANT) or _said(output.removesuffix("...") + "')", ASSISTANT)
        return {"output_messages": said}
    offers: dict[str, Any] = {}
    if step == "init_run" and (asked := _ASKED.search(given)):
        offers["input_messages"] = [GenAiMessage(USER, (TextPart(str(literal(asked[1]))),))]
    elif step == "run_agent_step":
        offers["output_messages"] = _said(output, ASSISTANT)
    return offers


def _step(source: SpanSource) -> str:
    return source.name.rpartition(".")[2]


def _given(source: SpanSource) -> str:
    """What a step was given, as Python prints it."""
    return (text(source.attributes.get("llamaindex.step.input_summary")) or "")[:_LONGEST]


def _model_event(source: SpanSource) -> Mapping[str, Any] | None:
    """The start and the end of a call of a model; None if the span is another step."""
    model = [fields for name, fields in source.events if name.startswith(_MODEL_EVENTS)]
    return nested(pair for fields in model for pair in fields.items()) if model else None


def _agent(printed: Json) -> str | None:
    """The agent that a step of a workflow is of, by what the step was given."""
    found = printed.rpartition(_AGENT) if isinstance(printed, str) else ("", "", "")
    return found[2].partition("'")[0] or None if found[1] else None


def _model_columns(event: Mapping[str, Any]) -> Offers:
    response = event.get("response")
    raw = first(response, "raw")
    usage, extra = first(raw, "usage"), first(response, "additional_kwargs")
    return {
        "operation": "chat",
        "model": text(first(event.get("model_dict"), "model_name", "model")),
        "response_model": text(first(raw, "model")),
        "input_tokens": count(
            first(usage, "prompt_tokens", "input_tokens") or first(extra, "prompt_tokens")
        ),
        "output_tokens": count(
            first(usage, "completion_tokens", "output_tokens") or first(extra, "completion_tokens")
        ),
    }


def _model_contents(event: Mapping[str, Any]) -> Offers:
    inputs = messages_of(first(event, "messages", "prompt"), USER)
    return {
        "input_messages": inputs or None,
        "output_messages": messages_of(_answer(event.get("response")), ASSISTANT) or None,
        "system_instructions": system_of(inputs) or None,
        "tool_definitions": structured(first(event.get("additional_kwargs"), "tools")),
    }


def _answer(response: Json) -> Json:
    """The message of a response, whose fields that are lists are JSON; else its text."""
    message = first(response, "message")
    if not isinstance(message, dict):
        return first(response, "text")
    extra = first(message, "additional_kwargs")
    return {
        **message,
        "blocks": structured(message.get("blocks")),
        "tool_calls": structured(first(extra, "tool_calls")),
    }


def _tool(given: str, output: str) -> Offers:
    called = _TOOL_CALL.search(given)
    texts = [literal(said) for said in _TEXT_BLOCK.findall(output)]
    return {
        "tool_name": literal(called[1]) if called else None,
        "tool_arguments": structured(literal(called[2])) if called else None,
        "tool_call_id": identifier(literal(called[3])) if called else None,
        "tool_result": "\n".join(filter(None, texts)) or None,
    }


def _output(source: SpanSource) -> str:
    """The output of a step or a workflow, as Python prints it; "" if the span does not have it."""
    printed = (fields.get("output") for name, fields in source.events if name.endswith(".output"))
    return next((output for output in printed if isinstance(output, str)), "")


def _said(printed: str, role: str) -> list[GenAiMessage] | None:
    texts = [str(t) for said in _TEXT_BLOCK.findall(printed) if (t := literal(said))]
    return [GenAiMessage(role, tuple(map(TextPart, texts)))] if texts else None


CONVENTION = Convention(
    "LlamaIndex",
    scopes=(_SCOPE, _WATCHED),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_name", "tool_arguments"),
)
