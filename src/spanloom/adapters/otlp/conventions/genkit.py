"""Genkit's attributes: genkit:*.

Source: npm genkit 1.42.0, recorded. A span is an action; what went in and came out is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.read import messages_of
from spanloom.genai.reading import an_object, decoded, identifier, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.genai.usage import usage_from
from spanloom.model import Json

_OPERATIONS = {
    "model": "chat",
    "tool": "execute_tool",
    "embedder": "embeddings",
    "retriever": "retrieval",
    "reranker": "rerank",
    "agent": "invoke_agent",
}
# The provider of a plugin, which is the first part of a model's name.
_PROVIDERS = {"googleai": "gcp.gemini", "vertexai": "gcp.vertex_ai"}
_USAGE = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cachedContentTokens": "cache_read_tokens",
    "thoughtsTokens": "reasoning_tokens",
}


def _columns(source: SpanSource, draft: Draft) -> Offers:
    get = source.attributes.get
    operation = _OPERATIONS.get(str(get("genkit:metadata:subtype")), "chain")
    name = text(get("genkit:name"))
    if operation not in ("chat", "embeddings") or name is None:
        return {"operation": operation, "agent_name": name if operation == "invoke_agent" else None}
    plugin, slash, model = name.partition("/")
    offers: dict[str, Any] = {"operation": operation, "model": model if slash else name}
    if slash:
        offers["provider"] = _PROVIDERS.get(plugin, plugin.lower())
    return {**offers, **_usage(an_object(get("genkit:output")) or {})}


def _usage(output: Mapping[str, Json]) -> Mapping[str, Json]:
    """The usage of an answer. Plugins leave out cached tokens; the model's own answer has them."""
    usage, raw = an_object(output.get("usage")) or {}, an_object(output.get("raw")) or {}
    counted = {field: usage[name] for name, field in _USAGE.items() if name in usage}
    return {**usage_from(an_object(raw.get("usage")) or {}), **usage_from(counted)}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    if get("genkit:metadata:subtype") == "tool":
        return {"tool_name": text(get("genkit:name"))}
    if get("genkit:metadata:subtype") != "model":
        return {}
    given = an_object(get("genkit:input")) or {}
    made = an_object(get("genkit:output")) or {}
    inputs = messages_of(given.get("messages"), USER)
    return {
        "input_messages": inputs or None,
        "output_messages": messages_of(made.get("message"), ASSISTANT) or None,
        "system_instructions": system_of(inputs) or None,
        "tool_definitions": given.get("tools") or None,
    }


CONVENTION = Convention(
    "Genkit",
    rules=(
        ("genkit:input", "input_value", decoded),
        ("genkit:output", "output_value", decoded),
        ("genkit:sessionId", "session_id", identifier),
        ("genkit:metadata:context:sessionId", "session_id", identifier),
    ),
    prefixes=("genkit:type", "genkit:metadata:subtype"),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_name"),
)
