"""What reads the bytes of strangers: each target takes any bytes, and may refuse them by its own
errors alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.honeyhive.query import page_query
from spanloom.adapters.honeyhive.read import read_batch
from spanloom.adapters.otlp.read import briefs_from
from spanloom.codec import json_codec, otlp_json
from spanloom.codec.list_token import position_in
from spanloom.codec.opaque import sealed
from spanloom.codec.page_token import page_token, position_of
from spanloom.codec.value_path import path_steps, path_text
from spanloom.errors import SpanloomError
from spanloom.redaction.documents import redacted_text
from spanloom.redaction.messages import redact_message
from spanloom.redaction.presets import PRESETS
from spanloom.redaction.rules import Compiled, Rules, compile_rules
from spanloom.server.admission import ByteBudget, Held
from spanloom.server.compression import unpacked
from spanloom.store.sql import filters
from spanloom.store.sql.database import Database
from spanloom.store.sql.urls import database
from spanloom.v1 import event_service_pb2, span_service_pb2, trace_service_pb2

REFUSALS: Final = (SpanloomError, json_codec.JsonError, DecodeError)
_DATABASES: Final[list[Database]] = [
    database(url) for url in ("sqlite:///fuzz.db", "postgresql+psycopg://h/fuzz")
]
_RULES: Final = (Compiled(), compile_rules(Rules(tuple(PRESETS), paths=("$..a",))))
_RECEIVED_NS: Final = 1_790_000_000 * 10**9


def _json_of(kind: Any) -> Callable[[bytes], Any]:
    """A request as REST reads it; printed, it is the same."""

    def read(data: bytes) -> Any:
        message = json_codec.parse(data, kind).message
        again = json_codec.parse(json_codec.to_json(message), kind).message
        assert again == message or message != message
        return message

    return read


def _create_trace(data: bytes) -> None:
    request = trace_service_pb2.CreateTraceRequest.FromString(data)
    read_trace(request.trace, trace_id="t", received_ns=_RECEIVED_NS, within="trace.")


def _create_events(data: bytes) -> None:
    request = event_service_pb2.CreateEventBatchRequest.FromString(data)
    read_batch(request, received_ns=_RECEIVED_NS, field="events", brief=True)


def _export(data: bytes) -> None:
    request = ExportTraceServiceRequest.FromString(data)
    list(briefs_from(list(request.resource_spans), received_ns=_RECEIVED_NS, most=1000))


def _otlp_json(data: bytes) -> None:
    _export(otlp_json.parse(data).SerializeToString())


def _filters(data: bytes) -> None:
    request = event_service_pb2.ExportEventsRequest.FromString(data)
    query = page_query(request, maximum=7500)
    for each in _DATABASES:
        filters.conditions(each, query)


def _tokens(data: bytes) -> None:
    """As a token, and as the content of one: the digest of a token is no secret."""
    token = data.decode(errors="replace")
    kinds = (int, str, str)
    for text in (token, sealed("ListSpans", "p", data)):
        with suppress(SpanloomError):
            place = position_of(text, "ListSpans", "p", field="page_token")
            again = position_of(page_token("ListSpans", "p", place), "ListSpans", "p", field="")
            assert again == place
        with suppress(SpanloomError):
            position = position_in(text, "ListSpans", "p", kinds, "page_token")
            assert position is None or tuple(map(type, position)) == kinds


def _paths(data: bytes) -> None:
    steps = path_steps(data.decode(errors="replace"))
    if steps is not None:
        assert path_steps(path_text(steps)) == steps


def _packed(data: bytes) -> None:
    for encoding in ("gzip", "deflate", "zstd", "identity"):
        try:
            assert len(unpacked(data, encoding, 1 << 20, Held(ByteBudget(1 << 30)))) <= 1 << 20
        except SpanloomError:
            continue


def _redacted_text(data: bytes) -> None:
    """A redacted text can be stored, and JSON stays JSON."""
    text = data.decode("utf-8", "replace")
    for rules in _RULES:
        once = redacted_text(rules, text)
        assert once.encode().decode() == once
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            continue
        json.loads(once)


def _redacted_spans(data: bytes) -> None:
    request = ExportTraceServiceRequest.FromString(data)
    redact_message(_RULES[1], request)
    ExportTraceServiceRequest.FromString(request.SerializeToString())


TARGETS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "json_spans": _json_of(span_service_pb2.WriteSpansRequest),
    "json_trace": _json_of(trace_service_pb2.CreateTraceRequest),
    "json_events": _json_of(event_service_pb2.CreateEventBatchRequest),
    "create_trace": _create_trace,
    "create_events": _create_events,
    "export": _export,
    "otlp_json": _otlp_json,
    "filters": _filters,
    "tokens": _tokens,
    "paths": _paths,
    "packed": _packed,
    "redacted_text": _redacted_text,
    "redacted_spans": _redacted_spans,
}


def seeds(name: str) -> list[bytes]:
    """Input that a target reads to the end, from which changed input is made."""
    text: Any = {"a": [1, -2.5, None, True, "\u00e9\U0001f600", {"b": ""}]}
    trace = {
        "trace": {
            "id": "t",
            "input": "x",
            "startTime": "2021-01-01T00:00:00Z",
            "metadata": text,
            "logs": [{"id": "l", "type": "generation", "output": "y", "prompt": {"slug": "p"}}],
        }
    }
    event = {"event_id": "e", "event_type": "model", "session_id": "s", "inputs": text}
    events = {"events": [{**event, "start_time": 1.5, "duration": 2, "children_ids": ["c"]}]}
    span = {"traceId": "t", "spanId": "s", "kind": "SPAN_KIND_TOOL", "metadata": text}
    asked = [{"field": "metadata.a.0", "operator": "is", "value": 1, "type": "number"}]
    otlp = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": "1790000000000000001",
        "attributes": [
            {"key": "gen_ai.prompt.0.content", "value": {"stringValue": "x"}},
            {"key": "k", "value": {"kvlistValue": {"values": [{"key": "a", "value": {}}]}}},
        ],
    }
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp]}]}]}
    made: dict[str, list[bytes]] = {
        "json_spans": [orjson.dumps({"spans": [span]})],
        "json_trace": [orjson.dumps(trace)],
        "json_events": [orjson.dumps(events)],
        "create_trace": [_wire(trace_service_pb2.CreateTraceRequest, trace)],
        "create_events": [_wire(event_service_pb2.CreateEventBatchRequest, events)],
        "export": [otlp_json.parse(orjson.dumps(export)).SerializeToString()],
        "redacted_text": [
            b'{"api_key": "x", "a": [1, {"name": "cookie", "value": "y"}], "n": 4111111111111111}',
            b'call({"password": "x, "secret": {"a": 1}, ?api_key=1&b=a@b.org +49 30 1234567',
        ],
        "redacted_spans": [otlp_json.parse(orjson.dumps(export)).SerializeToString()],
        "otlp_json": [orjson.dumps(export)],
        "filters": [_wire(event_service_pb2.ExportEventsRequest, {"filters": asked})],
        "paths": [b"a.0.`b.c`.``"],
    }
    return made.get(name, [b""])


def _wire(kind: Any, fields: Any) -> bytes:
    message: Message = json_codec.parse(orjson.dumps(fields), kind).message
    return message.SerializeToString()
