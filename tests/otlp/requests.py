"""OTLP requests to send, and the views to read them back by."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanloom.v1 import agent_chat_service_pb2, trace_service_pb2
from tests.contract.conftest import Project

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
START = 1_790_000_000_000_000_001
SECOND = 10**9


def attributes(**values: Any) -> list[KeyValue]:
    """Attributes by name, `__` standing for a dot; objects and lists as JSON text, as GenAI
    instrumentations send them."""
    return [KeyValue(key=name.replace("__", "."), value=_value(v)) for name, v in values.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(string_value=value if isinstance(value, str) else json.dumps(value))


def request(*spans: dict[str, Any], **resource: Any) -> ExportTraceServiceRequest:
    """A request with these spans: `id` and `parent` are numbers, all other keys fields of the span,
    attributes by name."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.extend(attributes(service__name="bot", **resource))
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "tests", "1"
    for fields in spans:
        add_span(scope, **fields)
    return message


def add_span(
    scope: Any,
    id: int,
    parent: int = 0,
    trace_id: str = TRACE_ID,
    seconds: float = 1,
    **fields: Any,
) -> None:
    given = fields.pop("attributes", {})
    start = fields.pop("start", START)
    span = scope.spans.add(
        trace_id=bytes.fromhex(trace_id),
        span_id=id.to_bytes(8),
        start_time_unix_nano=start,
        **fields,
    )
    if parent:
        span.parent_span_id = parent.to_bytes(8)
    if seconds:
        span.end_time_unix_nano = start + int(seconds * SECOND)
    span.attributes.extend(attributes(**given))


AGENT = {
    "id": 1,
    "name": "invoke_agent Ada",
    "seconds": 4,
    "attributes": {
        "gen_ai__operation__name": "invoke_agent",
        "gen_ai__agent__name": "Ada",
        "gen_ai__conversation__id": "conversation",
    },
}
MODEL = {
    "id": 2,
    "parent": 1,
    "name": "chat gpt-4o",
    "start": START + SECOND,
    "attributes": {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o",
        "gen_ai__conversation__id": "conversation",
        "gen_ai__usage__input_tokens": 1000,
        "gen_ai__usage__output_tokens": 100,
        "gen_ai__input__messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Wie spät ist es?"}]}
        ],
        "gen_ai__output__messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "Zwölf."}]}
        ],
    },
}
TOOL = {
    "id": 3,
    "parent": 1,
    "name": "execute_tool clock",
    "start": START,
    "attributes": {
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": "clock",
        "gen_ai__conversation__id": "conversation",
        "gen_ai__tool__call__arguments": {"zone": "UTC"},
        "gen_ai__tool__call__result": "12:00",
    },
}


def chat(project: Project, trace_id: str = TRACE_ID, **fields: Any) -> Any:
    request = agent_chat_service_pb2.GetTraceChatRequest(
        project_id=project.name, trace_id=trace_id, **fields
    )
    return project("AgentChatService/GetTraceChat", request)


def steps(chat: Any) -> list[tuple[str, str]]:
    """The type of each message, and its text."""
    texts = {
        "user_message": lambda m: m.text,
        "assistant_message": lambda m: m.text,
        "tool_call": lambda m: f"{m.tool_name} {m.tool_arguments} {m.tool_result}",
        "agent_start": lambda m: m.system_instructions,
        "agent_handoff": lambda m: f"{m.from_agent} {m.to_agent}",
        "context_compacted": lambda m: m.compaction_summary,
    }
    return [(m.type, texts[m.type](getattr(m, m.type))) for m in chat.messages]


def trace(project: Project, trace_id: str = TRACE_ID) -> Any:
    request = trace_service_pb2.GetTraceRequest(trace_id=trace_id)
    return project("TraceService/GetTrace", request).trace
