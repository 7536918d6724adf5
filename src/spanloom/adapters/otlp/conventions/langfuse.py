"""Langfuse's attributes: langfuse.*.

Source: langfuse.com, OpenTelemetry, property mapping; @langfuse/tracing, LangfuseOtelSpanAttributes
(recorded from 5.0 with LangGraph).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.read import messages_of
from spanloom.genai.reading import an_object, dollars, identifier, structured, text, word_in
from spanloom.genai.roles import USER
from spanloom.genai.text import system_of
from spanloom.genai.usage import usage_from
from spanloom.model import Json

OPERATIONS = {
    "generation": "chat",
    "embedding": "embeddings",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "chain": "chain",
    "evaluator": "chain",
    "guardrail": "chain",
}
_METADATA = ("langfuse.observation.metadata.", "langfuse.trace.metadata.")


def _columns(source: SpanSource, draft: Draft) -> Offers:
    get = source.attributes.get
    usage = an_object(get("langfuse.observation.usage_details")) or {}
    costs = an_object(get("langfuse.observation.cost_details")) or {}
    return {
        **usage_from(usage),
        "cost": dollars(costs.get("total")),
        "input_cost": dollars(costs.get("input")),
        "output_cost": dollars(costs.get("output")),
    }


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    metadata = (
        an_object(get("langfuse.observation.metadata"))
        or an_object(get("langfuse.trace.metadata"))
        or {}
    )
    for key, value in found.items():
        for prefix in _METADATA:
            if key.startswith(prefix):
                metadata = {**metadata, key.removeprefix(prefix): value}
    offers: dict[str, Any] = {"metadata": metadata or None}
    if draft.get("operation") == "chat" and "input_messages" not in draft:
        offers |= _asked(draft.get("input_value"))
    return offers


def _asked(given: Json) -> Offers:
    """The messages of a generation, among which the SDK puts the definitions of tools."""
    items = given if isinstance(given, list) else []
    definitions = [d for item in items if (d := _definition(item))]
    messages = [item for item in items if not _definition(item)] if definitions else given
    inputs = messages_of(messages, USER)
    return {
        "input_messages": inputs or None,
        "tool_definitions": definitions or None,
        "system_instructions": system_of(inputs) or None,
    }


def _definition(item: Json) -> Json:
    content = item.get("content") if isinstance(item, dict) and item.get("role") == "tool" else None
    is_one = isinstance(content, dict) and isinstance(content.get("function"), dict)
    return content if is_one and "tool_call_id" not in item else None


CONVENTION = Convention(
    "Langfuse",
    rules=(
        ("langfuse.observation.type", "operation", word_in(OPERATIONS)),
        ("langfuse.observation.model.name", "model", text),
        ("langfuse.observation.model", "model", text),
        ("langfuse.observation.input", "input_value", structured),
        ("langfuse.observation.output", "output_value", structured),
        ("langfuse.trace.input", "input_value", structured),
        ("langfuse.trace.output", "output_value", structured),
        ("langfuse.observation.status_message", "status_message", text),
        ("langfuse.session.id", "session_id", identifier),
        ("langfuse.user.id", "user_id", identifier),
    ),
    prefixes=(
        "langfuse.observation.input",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "langfuse.observation.metadata",
        "langfuse.trace.metadata",
    ),
    columns=_columns,
    contents=_contents,
    tells=("input_messages",),
)
