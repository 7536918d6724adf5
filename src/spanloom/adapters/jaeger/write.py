"""Spans of OpenTelemetry as spans of Jaeger's query API.

Sources: opentelemetry.io, OpenTelemetry to Jaeger Transformation; jaegertracing/jaeger,
internal/uimodel/model.go.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
from google.protobuf.struct_pb2 import Value
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.model import Json, Span
from spanloom.v1 import jaeger_pb2 as pb

_SERVICE: Final = "service.name"
# JSON numbers hold integers up to here.
_MOST_EXACT: Final = 2**53
_STATUSES: Final = {
    trace_pb2.Status.STATUS_CODE_OK: "OK",
    trace_pb2.Status.STATUS_CODE_ERROR: "ERROR",
}


class Recorded(NamedTuple):
    """A span with its rendering as OpenTelemetry's ResourceSpans, which hold no other, and what is
    wrong with it, "" for nothing."""

    span: Span
    around: trace_pb2.ResourceSpans
    warning: str = ""


def trace_message(trace_id: str, spans: Iterable[Recorded]) -> pb.JaegerTrace:
    """A trace, with its processes once each.

    Args:
        trace_id: As it is shown.
    """
    trace = pb.JaegerTrace(trace_id=trace_id)
    processes: dict[bytes, str] = {}
    for recorded in spans:
        resource = recorded.around.resource
        key = resource.SerializeToString(deterministic=True)
        process_id = processes.get(key)
        if process_id is None:
            process_id = processes[key] = f"p{len(processes) + 1}"
            trace.processes[process_id].CopyFrom(_process(resource.attributes))
        span = span_message(recorded, trace_id)
        span.process_id = process_id
        trace.spans.append(span)
    return trace


def span_message(recorded: Recorded, trace_id: str) -> pb.JaegerSpan:
    """One span, without its process."""
    span, told = recorded.span, _told(recorded)
    end_ns = span.start_ns if span.end_ns is None else max(span.end_ns, span.start_ns)
    message = pb.JaegerSpan(
        trace_id=trace_id,
        span_id=span.span_id,
        flags=told.flags,
        operation_name=told.name,
        start_time=span.start_ns // 1000,
        duration=(end_ns - span.start_ns) // 1000,
        tags=_tags(told.attributes),
        warnings=[recorded.warning] if recorded.warning else [],
    )
    message.tags.extend(_tag(key, value) for key, value in _own_tags(recorded))
    if span.parent_id:
        message.references.add(ref_type="CHILD_OF", trace_id=trace_id, span_id=span.parent_id)
    for link in told.links:
        message.references.add(
            ref_type="FOLLOWS_FROM", trace_id=link.trace_id.hex(), span_id=link.span_id.hex()
        )
    for event in sorted(told.events, key=lambda event: event.time_unix_nano):
        log = message.logs.add(timestamp=event.time_unix_nano // 1000)
        log.fields.append(_tag("event", event.name))
        log.fields.extend(_tags(event.attributes))
    return message


def all_tags(recorded: Recorded) -> Iterator[tuple[str, str]]:
    """The keys of all tags of a span, of its process and of its events, and the values as texts."""
    told = _told(recorded)
    for key, value in _own_tags(recorded):
        yield key, _text(value)
    pairs = [*told.attributes, *recorded.around.resource.attributes]
    for event in told.events:
        yield "event", event.name
        pairs += event.attributes
    for pair in pairs:
        yield pair.key, _text(_plain(pair.value))


def _told(recorded: Recorded) -> trace_pb2.Span:
    [scoped] = recorded.around.scope_spans
    [told] = scoped.spans
    return told


def _own_tags(recorded: Recorded) -> Iterator[tuple[str, Json]]:
    """What Jaeger has as tags, and OpenTelemetry in fields."""
    [scoped] = recorded.around.scope_spans
    told = _told(recorded)
    if scoped.scope.name:
        yield "otel.scope.name", scoped.scope.name
    if scoped.scope.version:
        yield "otel.scope.version", scoped.scope.version
    if told.kind:
        yield "span.kind", _kind(told.kind)
    if told.status.code:
        yield "otel.status_code", _STATUSES.get(told.status.code, str(told.status.code))
    if told.status.code == trace_pb2.Status.STATUS_CODE_ERROR:
        yield "error", True
    if told.status.message:
        yield "otel.status_description", told.status.message
    if told.trace_state:
        yield "w3c.tracestate", told.trace_state


def _kind(number: int) -> str:
    names = trace_pb2.Span.SpanKind.DESCRIPTOR.values_by_number
    known = names.get(number)
    return known.name.removeprefix("SPAN_KIND_").lower() if known else str(number)


def _process(attributes: Sequence[KeyValue]) -> pb.JaegerProcess:
    service = next((_text(_plain(p.value)) for p in attributes if p.key == _SERVICE), "")
    others = sorted((p for p in attributes if p.key != _SERVICE), key=lambda pair: pair.key)
    return pb.JaegerProcess(service_name=service or "unknown_service", tags=_tags(others))


def _tags(pairs: Iterable[KeyValue]) -> list[pb.JaegerTag]:
    return [
        _tag(pair.key, base64.b64encode(pair.value.bytes_value).decode(), "binary")
        if pair.value.WhichOneof("value") == "bytes_value"
        else _tag(pair.key, _plain(pair.value))
        for pair in pairs
    ]


def _tag(key: str, value: Json, type: str = "") -> pb.JaegerTag:
    if isinstance(value, bool):
        return pb.JaegerTag(key=key, type="bool", value=Value(bool_value=value))
    if isinstance(value, int):
        exact = -_MOST_EXACT <= value <= _MOST_EXACT
        shown = Value(number_value=value) if exact else Value(string_value=str(value))
        return pb.JaegerTag(key=key, type="int64", value=shown)
    if isinstance(value, float) and math.isfinite(value):
        return pb.JaegerTag(key=key, type="float64", value=Value(number_value=value))
    return pb.JaegerTag(key=key, type=type or "string", value=Value(string_value=_text(value)))


def _plain(value: AnyValue) -> Json:
    """A value of an attribute as ordinary JSON."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held: Any = getattr(value, kind)
    if kind == "array_value":
        return [_plain(item) for item in held.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in held.values}
    return base64.b64encode(held).decode() if kind == "bytes_value" else held


def _text(value: Json) -> str:
    """A text as it is, nothing as no text, all else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(value)
