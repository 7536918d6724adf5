"""Spans as OTLP: the message that came in, for spans that came by OTLP, and a rendering in GenAI
attributes for all others.

A span of another adapter keeps its ids where they fit (a trace id of 16 bytes in hex or as a UUID,
a span id of 8 bytes in hex); others become a hash, the same for the same id, with the id as it was
in `spanloom.trace_id`, `spanloom.span_id`, `spanloom.parent_id`. What no GenAI attribute is for
stands in `spanloom.<name>`, JSON in text where it is an object or a list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.around import UNKNOWN_SERVICE
from spanloom.adapters.otlp.attributes import attribute_messages
from spanloom.adapters.otlp.read import ADAPTER, STATUS_CODES
from spanloom.adapters.recorded import RECORDED, recorded
from spanloom.errors import span_damaged
from spanloom.genai.read import messages_of
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.stored import messages_json
from spanloom.model import Io, Json, Span
from spanloom.model.genai import GenAiMessage, TextPart
from spanloom.model.span import DAMAGED, EVENT_VALUES, Party, PromptUse, Variable

_TRACE_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
)
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}", re.IGNORECASE)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
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
_ATTRIBUTES: Final = (
    ("gen_ai.response.model", "response_model"),
    ("gen_ai.system_instructions", "system_instructions"),
    ("gen_ai.tool.definitions", "tool_definitions"),
)
_USAGE: Final = (
    ("gen_ai.usage.reasoning.output_tokens", "reasoning_tokens"),
    ("gen_ai.usage.cache_read.input_tokens", "cache_read_tokens"),
    ("gen_ai.usage.cache_creation.input_tokens", "cache_creation_tokens"),
)


def traces_data(spans: Iterable[Span], service: str = "") -> trace_pb2.TracesData:
    """The spans as one message, grouped by resource and scope in the order in which these first
    come.

    Args:
        service: The `service.name` of spans that did not come by OTLP, "" for that of each.
    """
    data = trace_pb2.TracesData()
    resources: dict[bytes, trace_pb2.ResourceSpans] = {}
    scopes: dict[tuple[bytes, bytes], trace_pb2.ScopeSpans] = {}
    for span in spans:
        is_otlp = span.sent.adapter == ADAPTER
        kept = recorded(span)
        resource = kept.get("resource") if is_otlp else _resource(span, kept, service)
        scope = kept.get("scope") if is_otlp else kept.get("scope") or _SCOPE
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


def otel_json(span: Span) -> dict[str, Json]:
    """What an OTLP span has of its own, for the trace view: times are text, since a Struct's
    numbers are too short for them."""
    kept = recorded(span)
    otel = {name: kept[name] for name in RECORDED if name in kept}
    if "events" in otel:
        otel["events"] = [
            {
                **{key: value for key, value in event.items() if key != "time_ns"},
                "time_unix_nano": str(event.get("time_ns", 0)),
            }
            for event in otel["events"]
        ]
    return otel


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
    if span.sent is DAMAGED:  # an export without it would not be what came in
        raise span_damaged(span.trace_id, span.span_id)
    message.trace_id = trace_id_bytes(span.trace_id)
    message.span_id = span_id_bytes(span.span_id)
    message.name = span.name
    message.end_time_unix_nano = span.end_ns or 0
    if is_otlp:
        _fill_otlp(message, span, span.sent.fields)
        return
    if span.parent_id:
        message.parent_span_id = span_id_bytes(span.parent_id)
    message.start_time_unix_nano = span.start_ns
    kept = recorded(span)
    default = "SPAN_KIND_CLIENT" if span.kind == "model" else "SPAN_KIND_INTERNAL"
    _fill_recorded(message, {"span_kind": default, **kept})
    if span.status != "UNSET":
        message.status.code = trace_pb2.Status.StatusCode.ValueType(STATUS_CODES.index(span.status))
        message.status.message = span.status_message or span.io.error or ""
    message.attributes.extend(
        KeyValue(key=key, value=_any_value(value))
        for key, value in _rendered(span)
        if key not in kept.get("attributes", ())
    )


def _fill_otlp(message: trace_pb2.Span, span: Span, sent: Mapping[str, Json]) -> None:
    message.parent_span_id = bytes.fromhex(span.parent_id or sent.get("parent_id", ""))
    message.name = sent.get("name", span.name)
    if not span.start_unknown:
        message.start_time_unix_nano = span.start_ns
    if "status" in sent:
        message.status.SetInParent()
        message.status.code = sent["status"].get("code", 0)
        message.status.message = sent["status"].get("message", "")
    _fill_recorded(message, sent)


def _fill_recorded(message: trace_pb2.Span, sent: Mapping[str, Json]) -> None:
    """What `spanloom.adapters.recorded` has of the span itself. An id of a link that does not fit
    becomes a hash, as the span's own."""
    message.attributes.extend(attribute_messages(sent.get("attributes")))
    message.trace_state = sent.get("trace_state", "")
    message.flags = sent.get("flags", 0)
    kind = sent.get("span_kind", 0)
    message.kind = trace_pb2.Span.SpanKind.Value(kind) if isinstance(kind, str) else kind
    dropped = sent.get("dropped", {})
    message.dropped_attributes_count = dropped.get("attributes", 0)
    message.dropped_events_count = dropped.get("events", 0)
    message.dropped_links_count = dropped.get("links", 0)
    for event in sent.get("events", ()):
        made = message.events.add(
            name=event.get("name", ""), time_unix_nano=event.get("time_ns", 0)
        )
        _fill_attributes(made, event)
    for link in sent.get("links", ()):
        ids = {key: _LINKED[key](link[key]) for key in _LINKED if key in link}
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


# How an id of a link is written. Those that came by OpenTelemetry may have any length.
def _linked(of_span: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def written(text: str) -> bytes:
        return bytes.fromhex(text) if _HEX.fullmatch(text) else of_span(text)

    return written


_LINKED: Final = {"trace_id": _linked(trace_id_bytes), "span_id": _linked(span_id_bytes)}


def _resource(span: Span, kept: Mapping[str, Json], service: str) -> Json:
    found = kept.get("resource")
    if found and not service:
        return found
    name = service or span.io.source or UNKNOWN_SERVICE
    around = found or {}
    return {**around, "attributes": {**dict(around.get("attributes", {})), "service.name": name}}


def _rendered(span: Span) -> Iterator[tuple[str, Json]]:
    """The attributes of a span that did not come by OTLP."""
    io, genai = span.io, span.genai
    operation = span.operation or _OPERATIONS.get(span.kind, "")
    yield from (("gen_ai.operation.name", operation),) if operation else ()
    for key, column in _COLUMNS:
        if value := getattr(span, column):
            yield key, value
    if span.session_id != span.trace_id:
        yield "gen_ai.conversation.id", span.session_id
    if operation == "execute_tool":
        yield "gen_ai.tool.name", (genai.tool and genai.tool.name) or span.name
        yield from _present("gen_ai.tool.call.arguments", io.inputs)
        yield from _present("gen_ai.tool.call.result", io.outputs)
    elif operation:
        yield from _messages("gen_ai.input.messages", genai.input_messages, io.inputs, USER)
        yield from _messages("gen_ai.output.messages", genai.output_messages, io.outputs, ASSISTANT)
    yield from _present("input.value", io.inputs)
    yield from _present("output.value", io.outputs)
    for key, name in _ATTRIBUTES:
        yield from _present(key, getattr(genai, name) or None)
    for key, name in _USAGE:
        yield from _present(key, getattr(genai.usage, name, None))
    yield from _present("error.type", span.error_type or None)
    for key, value in _own(span):
        yield from _present(f"spanloom.{key}", value)
    yield "spanloom.kind", span.kind
    for key, sent, made in (
        ("trace_id", span.trace_id, trace_id_bytes(span.trace_id)),
        ("span_id", span.span_id, span_id_bytes(span.span_id)),
        ("parent_id", span.parent_id, span_id_bytes(span.parent_id) if span.parent_id else b""),
        ("event_id", span.event_id, span.span_id.encode()),
    ):
        if sent not in (made.hex(), made.decode(errors="replace")):
            yield f"spanloom.{key}", sent


def _messages(
    key: str, said: Sequence[GenAiMessage], value: Json, role: str
) -> Iterator[tuple[str, Json]]:
    if said:
        yield key, messages_json(said)
    elif value is not None:
        text = GenAiMessage(role, (TextPart(_text(value)),))
        yield key, messages_json(messages_of(value, role) or [text])


def _own(span: Span) -> Iterator[tuple[str, Json]]:
    """What no GenAI attribute is for. What another adapter keeps for itself is passed on whole."""
    io, said = span.io, span.trace
    for field in fields(Io):
        if field.name not in EVENT_VALUES:
            yield field.name, getattr(io, field.name)
    yield "status_message", span.status_message or None
    yield "log_type", span.log_type or None
    for name in ("feature_slug", "sample_rate", "sampled"):
        yield name, getattr(said, name)
    if said.evaluation_rate is not None:
        yield "evaluation_config", {"sample_rate": said.evaluation_rate}
    for name in ("user", "organization"):
        party: Party | None = getattr(said, name)
        yield name, None if party is None else _set_fields(party)
    if said.experiment_id is not None:
        yield "experiment", {"id": said.experiment_id}
    yield "evaluators", [{"slug": slug} for slug in said.evaluators] or None
    if span.genai.prompt is not None:
        yield "prompt", _set_fields(span.genai.prompt)
    yield "variables", [_set_fields(variable) for variable in span.genai.variables] or None
    kept = {name: value for name, value in span.sent.fields.items() if name not in RECORDED}
    if kept:
        yield "sent", {"adapter": span.sent.adapter, **kept}


def _set_fields(part: Party | PromptUse | Variable) -> dict[str, Json]:
    return {name: value for name, value in asdict(part).items() if value is not None}


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
