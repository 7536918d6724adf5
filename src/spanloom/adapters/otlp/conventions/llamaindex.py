"""LlamaIndex's own OpenTelemetry spans: what happened stands in their events, as JSON or as Python prints it. OpenInference's
tell the agent of a workflow's step in such print alone.

Source: run-llama/llama_index, llama-index-observability-otel (recorded from 0.7 with llama-index-core 0.14); its events,
llama_index/core/instrumentation/events/llm.py. What a step gives on is cut after some 200 characters by the library.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
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
_QUOTED = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_TEXT_BLOCK = re.compile(rf"TextBlock\(block_type='text', text={_QUOTED}", re.DOTALL)
_ASKED = re.compile(rf"user_msg={_QUOTED}", re.DOTALL)
_TOOL_CALL = re.compile(
    rf"ToolCall\(tool_name={_QUOTED}, tool_kwargs=(\{{.*\}}), tool_id={_QUOTED}\)", re.DOTALL
)
_LONGEST = 10_000  # many times what the library leaves of it
_MODEL_EVENTS = ("LLMChat", "LLMCompletion")


def _read(source: SpanSource, found: dict[str, Json], draft: Draft) -> Offers:
    if source.scope == _WATCHED:
        return {"agent_name": _agent(source.attributes.get("input.value"))}
    model = [fields for name, fields in source.events if name.startswith(_MODEL_EVENTS)]
    if model:
        return _model(nested(pair for fields in model for pair in fields.items()))
    step = source.name.rpartition(".")[2]
    given = (text(source.attributes.get("llamaindex.step.input_summary")) or "")[:_LONGEST]
    told = _output(source)
    if step == "call_tool":
        return _tool(given, told)
    if step == "run":
        said = _said(told, ASSISTANT) or _said(told.removesuffix("...") + "')", ASSISTANT)
        return {"operation": "invoke_agent", "output_messages": said}
    offers: dict[str, Any] = {"operation": "chain", "agent_name": _agent(given)}
    if step == "init_run" and (asked := _ASKED.search(given)):
        offers["input_messages"] = [GenAiMessage(USER, (TextPart(str(_literal(asked[1]))),))]
    elif step == "run_agent_step":
        offers["output_messages"] = _said(told, ASSISTANT)
    return offers


def _agent(printed: Json) -> str | None:
    """The agent that a step of a workflow is of, by what the step was given."""
    found = printed.rpartition(_AGENT) if isinstance(printed, str) else ("", "", "")
    return found[2].partition("'")[0] or None if found[1] else None


def _model(told: Mapping[str, Any]) -> Offers:
    """A call of a model, from its start and its end."""
    response = told.get("response")
    raw = first(response, "raw")
    usage, extra = first(raw, "usage"), first(response, "additional_kwargs")
    inputs = messages_of(first(told, "messages", "prompt"), USER)
    return {
        "operation": "chat",
        "model": text(first(told.get("model_dict"), "model_name", "model")),
        "response_model": text(first(raw, "model")),
        "input_messages": inputs or None,
        "output_messages": messages_of(_answer(response), ASSISTANT) or None,
        "system_instructions": system_of(inputs) or None,
        "tool_definitions": structured(first(told.get("additional_kwargs"), "tools")),
        "input_tokens": count(
            first(usage, "prompt_tokens", "input_tokens") or first(extra, "prompt_tokens")
        ),
        "output_tokens": count(
            first(usage, "completion_tokens", "output_tokens") or first(extra, "completion_tokens")
        ),
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


def _tool(given: str, told: str) -> Offers:
    called = _TOOL_CALL.search(given)
    texts = [_literal(said) for said in _TEXT_BLOCK.findall(told)]
    return {
        "operation": "execute_tool",
        "tool_name": _literal(called[1]) if called else None,
        "tool_arguments": structured(_literal(called[2])) if called else None,
        "tool_call_id": identifier(_literal(called[3])) if called else None,
        "tool_result": "\n".join(filter(None, texts)) or None,
    }


def _output(source: SpanSource) -> str:
    """What a step or a workflow gave on, as Python prints it; "" where it does not tell."""
    told = (fields.get("output") for name, fields in source.events if name.endswith(".output"))
    return next((said for said in told if isinstance(said, str)), "")


def _said(printed: str, role: str) -> list[GenAiMessage] | None:
    texts = [str(t) for said in _TEXT_BLOCK.findall(printed) if (t := _literal(said))]
    return [GenAiMessage(role, tuple(map(TextPart, texts)))] if texts else None


def _literal(printed: str) -> Any:
    """What Python printed, as a value; the text itself where it is no literal."""
    try:
        return ast.literal_eval(printed)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return printed


CONVENTION = Convention("LlamaIndex", scopes=(_SCOPE, _WATCHED), read=_read)
