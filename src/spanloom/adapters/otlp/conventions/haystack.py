"""Haystack's attributes: haystack.*; what went in and came out is JSON.

Source: PyPI haystack-ai 2.31.0 (components of pipelines) and 3.4.1 (steps of agents) with
opentelemetry-haystack 2.0.0, recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.blocks import first
from spanloom.genai.read import after_last_question, messages_of
from spanloom.genai.reading import an_object, structured, text
from spanloom.genai.roles import ASSISTANT, TOOL, USER
from spanloom.genai.text import system_of
from spanloom.genai.usage import usage_from
from spanloom.model import Json
from spanloom.model.genai import ToolCallPart, ToolResultPart

# What a span is by its name; a component, by its type.
_OPERATIONS: Final = {
    "haystack.agent.run": "invoke_agent",
    "haystack.agent.step.llm": "chat",
    "haystack.agent.step.tool": "execute_tool",
}
_COMPONENTS: Final = {
    "Generator": "chat",
    "Retriever": "retrieval",
    "Embedder": "embeddings",
    "Ranker": "rerank",
}
_INVOKER: Final = "ToolInvoker"
_COMPONENT: Final = "haystack.component.type"
_HOLDERS: Final = (
    *("haystack.agent", "haystack.agent.step.llm", "haystack.agent.step.tool"),
    "haystack.component",
)


def _columns(source: SpanSource, draft: Draft) -> Offers:
    operation = _operation(source)
    if operation != "chat":
        return {"operation": operation}
    said = _meta(source)
    usage = an_object(said.get("usage")) or {}
    return {"operation": operation, "model": text(said.get("model")), **usage_from(usage)}


def _operation(source: SpanSource) -> str:
    if (said := _OPERATIONS.get(source.name)) is not None:
        return said
    kind = text(source.attributes.get(_COMPONENT)) or ""
    if kind == _INVOKER:
        return "execute_tool" if _only_result(source) else "chain"
    return next((said for end, said in _COMPONENTS.items() if kind.endswith(end)), "chain")


def _only_result(source: SpanSource) -> dict[str, Json] | None:
    """The call and its result, of a component that carried out a single one."""
    said = messages_of(first(_io(source, "output"), "tool_messages"), TOOL)
    results = [part for m in said for part in m.parts if isinstance(part, ToolResultPart)]
    calls = [
        part
        for message in messages_of(first(_io(source, "input"), "messages"), ASSISTANT)
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    if len(results) != 1:
        return None
    [result] = results
    asked = next((call for call in calls if call.id == result.id), None)
    return {
        "tool_name": result.name or (asked.name if asked else None),
        "tool_call_id": result.id or None,
        "tool_arguments": asked.arguments if asked else None,
        "tool_result": result.result,
    }


def _io(source: SpanSource, end: str) -> Json:
    get = source.attributes.get
    found = (structured(get(f"{holder}.{end}")) for holder in _HOLDERS)
    return next((value for value in found if value is not None), None)


def _meta(source: SpanSource) -> Mapping[str, Json]:
    """What a generator says of its answer: beside the answers, or in the message."""
    output = _io(source, "output")
    replies, beside = first(output, "replies"), first(output, "meta")
    for holder in (beside, replies):
        if isinstance(holder, list) and holder and isinstance(holder[0], dict):
            meta = holder[0] if holder is beside else first(holder[0], "meta", "_meta")
            if isinstance(meta, dict):
                return meta
    return {}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    operation = _operation(source)
    given, made = _io(source, "input"), _io(source, "output")
    if operation == "execute_tool" and _COMPONENT in source.attributes:
        return _only_result(source) or {}
    if operation == "execute_tool":
        return {"tool_arguments": given, "tool_result": made}
    offers: dict[str, Any] = {"input_value": given, "output_value": made}
    if operation in ("chat", "invoke_agent"):
        inputs = messages_of(given, USER)
        answers = messages_of(made, ASSISTANT)
        offers["input_messages"] = inputs or None
        offers["output_messages"] = after_last_question(answers) or None
        offers["system_instructions"] = system_of(inputs) or None
        offers["tool_definitions"] = first(given, "tools")
    return offers


def _of_component(value: Json) -> Json:
    """The input of a pipeline, by component: of a single one, what it was given."""
    value = structured(value)
    return next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value


CONVENTION = Convention(
    "Haystack",
    rules=(
        ("haystack.tool.name", "tool_name", text),
        ("haystack.tool.description", "tool_description", text),
        ("haystack.agent.tools", "tool_definitions", structured),
        ("haystack.pipeline.input_data", "input_value", _of_component),
        ("haystack.pipeline.output_data", "output_value", structured),
    ),
    prefixes=("haystack.",),
    columns=_columns,
    contents=_contents,
    tells=(
        "input_messages",
        "output_messages",
        "tool_name",
        "input_value",
        "output_value",
        "tool_arguments",
    ),
)
