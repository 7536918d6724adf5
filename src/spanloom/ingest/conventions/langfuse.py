"""Langfuse's attributes: langfuse.*.

Source: langfuse.com, OpenTelemetry, property mapping; @langfuse/tracing, LangfuseOtelSpanAttributes.
"""

from __future__ import annotations

from typing import Any

from spanloom.ingest.conventions.convention import Convention, Draft, Offers, SpanSource
from spanloom.ingest.conventions.reading import (
    an_object,
    count,
    dollars,
    identifier,
    structured,
    text,
    word_in,
)
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


def _read(source: SpanSource, found: dict[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    usage = an_object(get("langfuse.observation.usage_details")) or {}
    costs = an_object(get("langfuse.observation.cost_details")) or {}
    metadata = (
        an_object(get("langfuse.observation.metadata"))
        or an_object(get("langfuse.trace.metadata"))
        or {}
    )
    offers: dict[str, Any] = {
        "input_tokens": count(usage.get("input", usage.get("prompt_tokens"))),
        "output_tokens": count(usage.get("output", usage.get("completion_tokens"))),
        "cost": dollars(costs.get("total")),
        "input_cost": dollars(costs.get("input")),
        "output_cost": dollars(costs.get("output")),
    }
    for key, value in found.items():
        for prefix in _METADATA:
            if key.startswith(prefix):
                metadata = {**metadata, key.removeprefix(prefix): value}
    offers["metadata"] = metadata or None
    return offers


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
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "langfuse.observation.metadata",
        "langfuse.trace.metadata",
    ),
    read=_read,
)
