"""The recorded traces of tests/data/weave as canonical spans.

Attribute keys: docs/contracts/agent_chat.md, section 2.2.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from spanloom.model import Span
from spanloom.model.turn import TurnChat
from tests.parts import parts

DATA = Path("tests/data/weave")
OPERATIONS = (
    "chat",
    "invoke_agent",
    "execute_tool",
    "generate_content",
    "text_completion",
    "embeddings",
    "create_agent",
    "retrieval",
)
BODY_KEYS = {
    "input_messages": ("gen_ai.input.messages",),
    "output_messages": ("gen_ai.output.messages",),
    "response_model": ("gen_ai.response.model",),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    "cache_creation_tokens": ("gen_ai.usage.cache_creation.input_tokens",),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "tool_definitions": ("gen_ai.tool.definitions",),
    "content_refs": ("weave.content_refs",),
}
TOOL_KEYS = {
    "name": "gen_ai.tool.name",
    "call_id": "gen_ai.tool.call.id",
    "arguments": "gen_ai.tool.call.arguments",
    "result": "gen_ai.tool.call.result",
}


def span_of(captured: dict[str, Any]) -> Span:
    attributes = {key: parsed(value) for key, value in captured.get("attributes", {}).items()}
    name, status = captured.get("name", ""), captured.get("status") or {}
    exceptions = [
        e.get("attributes", {}) for e in captured.get("events", ()) if e["name"] == "exception"
    ]
    exception = exceptions[-1] if exceptions and status.get("code") == "ERROR" else {}
    operation = attributes.get("gen_ai.operation.name") or next(
        (op for op in OPERATIONS if name.lower().startswith(op)), ""
    )
    body: dict[str, Any] = {
        key: value
        for key, names in BODY_KEYS.items()
        if (value := next((attributes[n] for n in names if n in attributes), None)) is not None
    }
    body["tool"] = {key: attributes[n] for key, n in TOOL_KEYS.items() if n in attributes}
    body["agent"] = {
        key: attributes[f"gen_ai.agent.{key}"]
        for key in ("id", "version")
        if f"gen_ai.agent.{key}" in attributes
    }
    body["system_instructions"] = system_text(attributes.get("gen_ai.system_instructions"))
    body["compaction"] = {
        key: attributes[f"weave.compaction.{key}"]
        for key in ("summary", "items_before", "items_after")
        if f"weave.compaction.{key}" in attributes
    }
    body["status_message"] = status.get("message") or exception.get("exception.message", "")
    body["error_type"] = attributes.get("error.type") or exception.get("exception.type", "")
    agent_name = attributes.get("gen_ai.agent.name", "")
    if not agent_name and name.startswith("invoke_agent "):
        agent_name = name.removeprefix("invoke_agent ")
    return Span(
        trace_id=captured["trace_id"],
        span_id=captured["span_id"],
        event_id=captured["span_id"],
        session_id=attributes.get("gen_ai.conversation.id", captured["trace_id"]),
        parent_id=captured.get("parent") or "",
        name=name,
        operation=operation,
        start_ns=nanoseconds(captured.get("start")) or 0,
        end_ns=nanoseconds(captured.get("end")),
        status=status.get("code", "UNSET"),
        agent_name=agent_name,
        provider=attributes.get("gen_ai.provider.name", ""),
        model=attributes.get("gen_ai.request.model") or attributes.get("gen_ai.response.model", ""),
        input_tokens=attributes.get("gen_ai.usage.input_tokens"),
        output_tokens=attributes.get("gen_ai.usage.output_tokens"),
        **parts(body),
    )


def parsed(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def system_text(value: Any) -> str:
    if not isinstance(value, list):
        return value or ""
    return "\n".join(
        item if isinstance(item, str) else item.get("content") or item.get("text") or ""
        for item in value
    )


def nanoseconds(time: str | None) -> int | None:
    if time is None:
        return None
    return round(datetime.fromisoformat(time).timestamp() * 1000) * 1_000_000


def as_expected(turn: TurnChat) -> dict[str, Any]:
    """The turn in the shape of the recorded views, without what is absent (null, "", 0, empty)."""
    fields = {
        "trace_id": turn.trace_id,
        "root_span_name": turn.root_span_name,
        "agent_name": turn.agent_name,
        "agent_version": turn.agent_version,
        "status_code": turn.status_code,
        "provider": turn.provider,
        "started_at": turn.started_ns,
        "ended_at": turn.ended_ns,
        "wb_user_id": turn.user_id,
        "total_duration_ms": turn.total_duration_ms,
        "total_cost_usd": turn.total_cost_usd,
        "total_input_tokens": turn.total_input_tokens,
        "total_output_tokens": turn.total_output_tokens,
        "total_reasoning_tokens": turn.total_reasoning_tokens,
        "total_cache_creation_input_tokens": turn.total_cache_creation_input_tokens,
        "total_cache_read_input_tokens": turn.total_cache_read_input_tokens,
    }
    messages = [
        without_absent(
            {
                "type": message.type,
                "span_id": message.span_id,
                "agent_name": message.agent_name,
                "agent_version": message.agent_version,
                "status_code": message.status_code,
                "error_type": message.error_type,
                "status_message": message.status_message,
                "started_at": message.started_ns,
                message.type: without_absent(
                    {name: getattr(message.payload, name) for name in message.payload.__slots__}
                ),
            }
        )
        for message in turn.messages
    ]
    return {**without_absent(fields), "messages": messages}


def recorded(view: dict[str, Any]) -> dict[str, Any]:
    """A recorded view, without what is absent, times in nanoseconds."""
    messages = [without_absent(message) for message in view["messages"]]
    for message in messages:
        message["started_at"] = nanoseconds(message.get("started_at"))
        message[message["type"]] = without_absent(message.get(message["type"], {}))
    fields = without_absent({key: value for key, value in view.items() if key != "messages"})
    for key in ("started_at", "ended_at"):
        fields[key] = nanoseconds(fields.get(key))
    return {**fields, "messages": [without_absent(message) for message in messages]}


def without_absent(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value not in (None, "", 0, [], (), {})
    }
