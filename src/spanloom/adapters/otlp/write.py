"""Spans as OTLP: the message that came in, for spans that came by OTLP, and a rendering in GenAI attributes for all others.

A span of another door keeps its ids where they fit (a trace id of 16 bytes in hex or as a UUID, a span id of 8 bytes in hex); others
become a hash, the same for the same id, with the id as it was in `spanloom.trace_id`, `spanloom.span_id`, `spanloom.parent_id`. What
no GenAI attribute is for stands in `spanloom.<name>`, JSON in text where it is an object or a list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import attribute_messages
from spanloom.adapters.otlp.read import STATUS_CODES
from spanloom.genai.json import messages_to_json
from spanloom.genai.read import messages_of
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import Json, Span

_TRACE_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
)
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}", re.IGNORECASE)
# Keys of a body that only the OTLP door fills.
_OTLP_KEYS: Final = frozenset(
    {
        "attributes",
        "events",
        "links",
        "resource",
        "scope",
        "status",
        "span_kind",
        "trace_state",
        "flags",
        "dropped",
    }
)
_SCOPE: Final[Json] = {"name": "spanloom"}
_OPERATIONS: Final = {"model": "chat", "tool": "execute_tool", "session": "invoke_agent"}
_COLUMNS: Final = (
    ("gen_ai.agent.name", "agent_name"),
    ("gen_ai.provider.name", "provider"),
    ("gen_ai.request.model", "model"),
    ("gen_ai.usage.input_tokens", "input_tokens"),
    ("gen_ai.usage.output_tokens", "output_tokens"),
    ("gen_ai.usage.cost", "cost"),
)
_BODY: Final = {
    "response_model": "gen_ai.response.model",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "input_messages": "gen_ai.input.messages",
    "output_messages": "gen_ai.output.messages",
    "system_instructions": "gen_ai.system_instructions",
    "tool_definitions": "gen_ai.tool.definitions",
    "error_type": "error.type",
}


def traces_data(spans: Iterable[Span]) -> trace_pb2.TracesData:
    """The spans as one message, grouped by resource and scope in the order in which these first come."""
    data = trace_pb2.TracesData()
    resources: dict[bytes, trace_pb2.ResourceSpans] = {}
    scopes: dict[tuple[bytes, bytes], trace_pb2.ScopeSpans] = {}
    for span in spans:
        is_otlp = _came_by_otlp(span)
        resource = span.body.get("resource") if is_otlp else _resource(span)
        scope = span.body.get("scope") if is_otlp else _SCOPE
        key = orjson.dumps(resource), orjson.dumps(scope)
        group = scopes.get(key)
        if group is None:
            around = resources.get(key[0])
            if around is None:
                around = resources[key[0]] = data.resource_spans.add()
                _fill_resource(around, resource)
            group = scopes[key] = around.scope_spans.add()
            _fill_scope(group, scope)
        _fill_span(group.spans.add(), span, is_otlp)
    return data


def _came_by_otlp(span: Span) -> bool:
    if not _OTLP_KEYS.isdisjoint(span.body):
        return True
    fits = len(span.trace_id) == 32 and _SPAN_ID.fullmatch(span.span_id) is not None
    return fits and span.body.keys() <= {"unset", "parent_id_sent", "span_name"}


def _fill_resource(message: trace_pb2.ResourceSpans, resource: Json) -> None:
    if resource is None:
        return
    message.schema_url = resource.get("schema_url", "")
    if "absent" in resource:
        return
    message.resource.SetInParent()
    _fill_attributes(message.resource, resource)
    for ref in resource.get("entity_refs", ()):
        message.resource.entity_refs.add(**ref)


def _fill_scope(message: trace_pb2.ScopeSpans, scope: Json) -> None:
    if scope is None:
        return
    message.schema_url = scope.get("schema_url", "")
    if "absent" in scope:
        return
    message.scope.SetInParent()
    message.scope.name = scope.get("name", "")
    message.scope.version = scope.get("version", "")
    _fill_attributes(message.scope, scope)


def _fill_attributes(message: Any, holder: Mapping[str, Json]) -> None:
    message.attributes.extend(attribute_messages(holder.get("attributes")))
    message.dropped_attributes_count = holder.get("dropped", 0)


def _fill_span(message: trace_pb2.Span, span: Span, is_otlp: bool) -> None:
    body = span.body
    message.trace_id = trace_id_bytes(span.trace_id)
    message.span_id = span_id_bytes(span.span_id)
    if span.parent_id:
        message.parent_span_id = (
            bytes.fromhex(span.parent_id) if is_otlp else span_id_bytes(span.parent_id)
        )
    elif "parent_id_sent" in body:
        message.parent_span_id = bytes.fromhex(body["parent_id_sent"])
    message.name = body.get("span_name", span.name)
    if "start_time" not in body.get("unset", ()) or not is_otlp:
        message.start_time_unix_nano = span.start_ns
    message.end_time_unix_nano = span.end_ns or 0
    if is_otlp:
        _fill_otlp(message, body)
        return
    message.kind = (
        trace_pb2.Span.SPAN_KIND_CLIENT
        if span.kind == "model"
        else trace_pb2.Span.SPAN_KIND_INTERNAL
    )
    if span.status != "UNSET":
        message.status.code = trace_pb2.Status.StatusCode.ValueType(STATUS_CODES.index(span.status))
        message.status.message = _text(body.get("status_message") or body.get("error"))
    message.attributes.extend(
        KeyValue(key=key, value=_any_value(value)) for key, value in _rendered(span)
    )


def _fill_otlp(message: trace_pb2.Span, body: Mapping[str, Json]) -> None:
    message.attributes.extend(attribute_messages(body.get("attributes")))
    message.trace_state = body.get("trace_state", "")
    message.flags = body.get("flags", 0)
    kind = body.get("span_kind", 0)
    message.kind = trace_pb2.Span.SpanKind.Value(kind) if isinstance(kind, str) else kind
    dropped = body.get("dropped", {})
    message.dropped_attributes_count = dropped.get("attributes", 0)
    message.dropped_events_count = dropped.get("events", 0)
    message.dropped_links_count = dropped.get("links", 0)
    if "status" in body:
        message.status.SetInParent()
        message.status.code = body["status"].get("code", 0)
        message.status.message = body["status"].get("message", "")
    for event in body.get("events", ()):
        sent = message.events.add(
            name=event.get("name", ""), time_unix_nano=event.get("time_ns", 0)
        )
        _fill_attributes(sent, event)
    for link in body.get("links", ()):
        ids = {key: bytes.fromhex(link[key]) for key in ("trace_id", "span_id") if key in link}
        rest = {key: link[key] for key in ("trace_state", "flags") if key in link}
        _fill_attributes(message.links.add(**ids, **rest), link)


def trace_id_bytes(trace_id: str) -> bytes:
    """16 bytes: those that the id spells, else a hash of it."""
    if _TRACE_ID.fullmatch(trace_id):
        found = bytes.fromhex(trace_id.replace("-", ""))
        if any(found):
            return found
    return hashlib.sha256(trace_id.encode()).digest()[:16]


def span_id_bytes(span_id: str) -> bytes:
    """8 bytes: those that the id spells, else a hash of it."""
    if _SPAN_ID.fullmatch(span_id):
        found = bytes.fromhex(span_id)
        if any(found):
            return found
    return hashlib.sha256(span_id.encode()).digest()[:8]


def _resource(span: Span) -> Json:
    return {"attributes": {"service.name": _text(span.body.get("source")) or "unknown_service"}}


def _rendered(span: Span) -> Iterator[tuple[str, Json]]:
    """The attributes of a span that did not come by OTLP."""
    body = dict(span.body)
    operation = span.operation or _OPERATIONS.get(span.kind, "")
    yield from (("gen_ai.operation.name", operation),) if operation else ()
    for key, column in _COLUMNS:
        if value := getattr(span, column):
            yield key, value
    if span.session_id != span.trace_id:
        yield "gen_ai.conversation.id", span.session_id
    inputs, outputs = body.pop("inputs", None), body.pop("outputs", None)
    if operation == "execute_tool":
        yield "gen_ai.tool.name", span.name
        yield from _present("gen_ai.tool.call.arguments", inputs)
        yield from _present("gen_ai.tool.call.result", outputs)
    elif operation:
        for key, value, role in (
            ("input_messages", inputs, USER),
            ("output_messages", outputs, ASSISTANT),
        ):
            if key not in body and value is not None:
                body[key] = messages_to_json(messages_of(value, role)) or [
                    {"role": role, "parts": [{"type": "text", "content": _text(value)}]}
                ]
    for key, value in (("input.value", inputs), ("output.value", outputs)):
        yield from _present(key, value)
    for key, value in body.items():
        yield from _present(_BODY.get(key, f"spanloom.{key}"), value)
    yield "spanloom.kind", span.kind
    for key, sent, made in (
        ("trace_id", span.trace_id, trace_id_bytes(span.trace_id)),
        ("span_id", span.span_id, span_id_bytes(span.span_id)),
        ("parent_id", span.parent_id, span_id_bytes(span.parent_id) if span.parent_id else b""),
        ("event_id", span.event_id, span.span_id.encode()),
    ):
        if sent not in (made.hex(), made.decode(errors="replace")):
            yield f"spanloom.{key}", sent


def _present(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    if value is not None:
        yield key, value


def _any_value(value: Json) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=_text(value))


def _text(value: Json) -> str:
    """Text as it is, all else as JSON; null is no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
