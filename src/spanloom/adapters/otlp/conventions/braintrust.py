"""Braintrust's attributes: braintrust.*; most values are JSON.

Source: braintrust.dev, OpenTelemetry, Attributes and events; PyPI braintrust 0.48.1, recorded. A
field is an object, or its parts have keys of their own (`braintrust.metrics.prompt_tokens`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import an_object, count, decoded, identifier, lowered, text
from spanloom.model import Json

_OPERATIONS = {
    "llm": "chat",
    "tool": "execute_tool",
    "task": "chain",
    "function": "chain",
    "score": "chain",
    "eval": "chain",
}
_METRICS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_cached_tokens": "cache_read_tokens",
    "prompt_cache_creation_tokens": "cache_creation_tokens",
    "completion_reasoning_tokens": "reasoning_tokens",
}
# Names that applications give to the conversation and to the user in their metadata.
_SESSIONS = ("session_id", "sessionId", "thread_id", "threadId", "conversation_id")
_USERS = ("user_id", "userId")


def _columns(source: SpanSource, draft: Draft) -> Offers:
    metrics, metadata = _part(source, "metrics"), _part(source, "metadata")
    kind = lowered(_part(source, "span_attributes").get("type"))
    return {
        "operation": _OPERATIONS.get(kind or ""),
        "model": text(metadata.get("model")),
        "provider": lowered(metadata.get("provider")),
        "session_id": _first(metadata, _SESSIONS),
        "user_id": _first(metadata, _USERS),
        **{field: count(metrics.get(name)) for name, field in _METRICS.items()},
    }


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    metadata = _part(source, "metadata")
    return {
        "metadata": metadata or None,
        "metrics": _part(source, "metrics") or None,
        "tool_definitions": metadata.get("tools"),
    }


def _part(source: SpanSource, name: str) -> dict[str, Any]:
    """The object of a field, from its own key and from those of its parts."""
    whole, head = f"braintrust.{name}", f"braintrust.{name}."
    get = source.attributes.get
    parts = {key.removeprefix(head): get(key) for key in source.attributes if key.startswith(head)}
    return {**(an_object(get(whole)) or {}), **parts}


def _first(metadata: Mapping[str, Json], names: tuple[str, ...]) -> Json:
    return next((found for name in names if (found := identifier(metadata.get(name)))), None)


CONVENTION = Convention(
    "Braintrust",
    rules=tuple(
        (f"braintrust.{end}{form}", field, decoded)
        for end, field in (("input", "input_value"), ("output", "output_value"))
        for form in ("_json", "")
    ),
    prefixes=("braintrust.span_attributes", "braintrust.metadata", "braintrust.metrics"),
    columns=_columns,
    contents=_contents,
)
