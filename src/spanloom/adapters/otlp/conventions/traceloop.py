"""Traceloop's (OpenLLMetry's) attributes: traceloop.*, llm.usage.*, llm.request.*.

Source: traceloop/openllmetry, opentelemetry-semantic-conventions-ai, SpanAttributes;
traceloop.com/docs, GenAI semantic conventions (recorded from 0.47 and 0.62 with LangGraph,
LlamaIndex and the OpenAI Agents SDK).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import count, elements, identifier, nested, structured, text, word_in
from spanloom.model import Json

_OPERATIONS = {
    "workflow": "invoke_workflow",
    "task": "chain",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "handoff": "handoff",
}
_REQUESTS = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
}
_PROPERTIES = "traceloop.association.properties."


def _entered(value: Json) -> Json:
    """traceloop.entity.input: LangChain's callback has the inputs among its other arguments."""
    value = structured(value)
    if (
        isinstance(value, dict)
        and "inputs" in value
        and {"tags", "metadata", "kwargs"} & value.keys()
    ):
        return structured(value["inputs"])
    return value


def _left(value: Json) -> Json:
    """traceloop.entity.output, as above."""
    value = structured(value)
    if isinstance(value, dict) and "outputs" in value and value.keys() <= {"outputs", "kwargs"}:
        return structured(value["outputs"])
    return value


def _columns(source: SpanSource, draft: Draft) -> Offers:
    get = source.attributes.get
    offers: dict[str, Any] = {}
    kind = get("traceloop.span.kind")
    name = text(get("traceloop.entity.name"))
    if kind == "tool":
        offers["tool_name"] = name
    elif kind == "agent":
        offers["agent_name"] = name
    elif (
        draft.get("operation") == "chain"
        and "tool.name" in source.attributes
        and "tool.arguments" in source.attributes
    ):
        draft["operation"] = "execute_tool"  # LlamaIndex's call of a tool
    return offers


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    offers: dict[str, Any] = {}
    properties = {
        key.removeprefix(_PROPERTIES): value
        for key, value in found.items()
        if key.startswith(_PROPERTIES)
    }
    if any(key.startswith("llm.request.functions.") for key in found):
        tree = nested(
            item for item in found.items() if item[0].startswith("llm.request.functions.")
        )
        request = tree.get("llm")
        request = request.get("request") if isinstance(request, dict) else None
        functions = elements(request.get("functions")) if isinstance(request, dict) else []
        offers["tool_definitions"] = [
            {key: structured(value) for key, value in f.items()}
            for f in functions
            if isinstance(f, dict)
        ] or None
    return {**offers, "metadata": properties or None}


CONVENTION = Convention(
    "Traceloop",
    rules=(
        ("traceloop.span.kind", "operation", word_in(_OPERATIONS)),
        ("llm.request.type", "operation", word_in(_REQUESTS)),
        ("traceloop.entity.input", "input_value", _entered),
        ("traceloop.entity.output", "output_value", _left),
        ("tool.arguments", "tool_arguments", structured),
        ("llm.usage.prompt_tokens", "input_tokens", count),
        ("llm.usage.completion_tokens", "output_tokens", count),
        ("llm.usage.reasoning_tokens", "reasoning_tokens", count),
        ("llm.usage.cache_read_input_tokens", "cache_read_tokens", count),
        ("llm.usage.cache_creation_input_tokens", "cache_creation_tokens", count),
        ("llm.request.model", "model", text),
        ("llm.response.model", "response_model", text),
        ("traceloop.association.properties.session_id", "session_id", identifier),
        ("traceloop.association.properties.conversation_id", "session_id", identifier),
        ("traceloop.association.properties.chat_id", "session_id", identifier),
        ("traceloop.association.properties.thread_id", "session_id", identifier),
        ("traceloop.association.properties.user_id", "user_id", identifier),
    ),
    prefixes=("traceloop.span.kind", _PROPERTIES, "llm.request.functions."),
    columns=_columns,
    contents=_contents,
)
