"""Whole messages as JSON, for every method, whatever types its messages have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from spanloom.adapters.honeyhive.incoming import json_batch, json_event
from spanloom.codec import json_codec, otlp_json
from spanloom.codec.json_values import has_more_values
from spanloom.codec.unknown_fields import nearest_name
from spanloom.errors import Code, Reason, SpanloomError, Violation, invalid, too_many_values
from spanloom.server.methods import Method
from spanloom.v1 import catalog_service_pb2, event_service_pb2

_OTLP_METRICS = re.compile(rb'"resource_?[Mm]etrics"')
_LARGEST_METRIC = 1 << 20
_MOST_VALUES = 1_000_000


def _metrics(data: bytes) -> Message:
    """HoneyHive's client creates a metric at the path of OpenTelemetry's metrics: that is an object
    with a name."""
    if len(data) <= _LARGEST_METRIC and not _OTLP_METRICS.search(data):
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict) and "name" in document:
            body = json_codec.parse({"metric": document}, catalog_service_pb2.CreateMetricRequest)
            return body.message
    return otlp_json.parse_metrics(data)


# Messages whose JSON is not protobuf's: OTLP writes ids in hex.
READ_JSON: dict[str, Callable[[bytes], Message]] = {
    trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name: otlp_json.parse,
    logs_service_pb2.ExportLogsServiceRequest.DESCRIPTOR.full_name: otlp_json.parse_logs,
    metrics_service_pb2.ExportMetricsServiceRequest.DESCRIPTOR.full_name: _metrics,
}
# Requests that an adapter reads from plain documents, loaded by orjson, without a message between.
# The service gets what it made. None if the document is not plain.
READ_PLAIN: dict[str, Callable[[object], tuple[object, list[str]] | None]] = {
    event_service_pb2.CreateEventBatchRequest.DESCRIPTOR.full_name: json_batch,
    event_service_pb2.CreateEventRequest.DESCRIPTOR.full_name: json_event,
}
WRITE_JSON: dict[str, Callable[[Message], bytes]] = {
    trace_service_pb2.ExportTraceServiceResponse.DESCRIPTOR.full_name: otlp_json.to_json
}

# Services of which also the calls that write must not have a name that is no field.
_STRICT = frozenset(
    f"spanloom.v1.{name}"
    for name in (
        *("SpanService", "ChatService", "QueryService", "ReviewService", "KeyService"),
        *("AttachmentService", "PriceService", "ProjectService"),
    )
)

# Reads without conditions, of which the rules of another product say that names which are no fields
# are ignored: docs/contracts/agent_chat.md, section 1.1, and Jaeger's server.
_LENIENT = frozenset(
    (
        *("AgentChatService/GetTraceChat", "AgentChatService/GetConversationChat"),
        *("JaegerService/GetJaegerTrace", "JaegerService/ListJaegerServices"),
        *("JaegerV3Service/GetJaegerV3Trace", "JaegerV3Service/ListJaegerV3Services"),
    )
)
# Names that a client of another product sends with a read, and that change nothing.
_OF_HONEYHIVE = frozenset(("project_id",))
_OF_JAEGER = frozenset(("raw", "prettyPrint"))
_OF_JAEGER_V3 = frozenset(("query.raw_traces", "query.rawTraces"))
_SENT: dict[str, frozenset[str]] = {
    "RunService/GetRunResult": _OF_HONEYHIVE,
    "RunService/CompareRuns": _OF_HONEYHIVE,
    "JaegerService/FindJaegerTraces": _OF_JAEGER,
    "JaegerService/ListJaegerOperations": _OF_JAEGER,
    "JaegerService/ListJaegerOperationNames": _OF_JAEGER,
    "JaegerService/GetJaegerDependencies": _OF_JAEGER,
    "JaegerV3Service/FindJaegerV3Traces": _OF_JAEGER_V3,
    "JaegerV3Service/FindJaegerV3TraceSummaries": _OF_JAEGER_V3,
}


def refused_names(method: Method, names: Sequence[str]) -> list[str]:
    """Those of the names that are no fields for which a request is refused: a condition that is
    misspelt would find too much."""
    if method.descriptor.containing_service.full_name in _STRICT:
        return list(names)
    called = method.full_name.removeprefix("spanloom.v1.")
    if not method.is_read or called in _LENIENT:
        return []
    return [name for name in names if name not in _SENT.get(called, ())]


def unknown_fields(
    request: Descriptor, names: Sequence[str], place: Callable[[str], str] = str
) -> SpanloomError:
    """UNKNOWN_FIELD, with the nearest name that the request has.

    Args:
        place: Where the caller has a name.
    """
    violations = []
    for name in names:
        near = nearest_name(request, name)
        if near == name:
            why = "is given by the path or the body, so the query must not have it"
        else:
            why = "not a field of the request" + (f"; the nearest is {near}" if near else "")
        violations.append(Violation(place(name), why))
    return invalid(violations, Reason.UNKNOWN_FIELD)


def check_values(data: bytes) -> None:
    """Refuse a document with too many values.

    Raises:
        SpanloomError: REQUEST_TOO_LARGE.
    """
    if has_more_values(data, _MOST_VALUES):
        raise too_many_values(_MOST_VALUES)


def parse(
    data: bytes,
    message_class: type[Message],
    *,
    body: str = "*",
    extra: Mapping[str, Any] | None = None,
) -> tuple[Any, list[str]]:
    """The request in a JSON document, and the names of what the document has and it has not.

    It is a message, or what an adapter made of the document. The arguments are those of
    `json_codec.parse`.

    Raises:
        JsonError: Names all violations found.
    """
    read_plain = READ_PLAIN.get(message_class.DESCRIPTOR.full_name)
    if read_plain and body == "*" and not extra:
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:  # also lone surrogates, NaN and numbers beyond a double
            pass
        else:
            return read_plain(document) or json_codec.parse(document, message_class)
    return json_codec.parse(data, message_class, body=body, extra=extra)


def read(message_class: type[Message], data: bytes) -> tuple[Any, list[str]]:
    """The request, and the names of what the document has and it has not, as `parse`.

    Raises:
        SpanloomError: INVALID_ARGUMENT, which names each bad field; MALFORMED_BODY if the document
            cannot be read at all; REQUEST_TOO_LARGE if it has too many values.
    """
    check_values(data)
    descriptor = message_class.DESCRIPTOR
    if data and (read_json := READ_JSON.get(descriptor.full_name)):
        return read_json(data), []
    if not _is_supported(descriptor):
        return _read_any(message_class, data), []
    try:
        return parse(data, message_class)
    except json_codec.JsonError as error:
        raise refusal([Violation(*each) for each in error.violations]) from None


def write(message: Message) -> bytes:
    """The message as JSON.

    Raises:
        JsonError: The message has no JSON, as an invalid Timestamp.
    """
    descriptor = message.DESCRIPTOR
    if write_json := WRITE_JSON.get(descriptor.full_name):
        return write_json(message)
    if not _is_supported(descriptor):
        return json_format.MessageToJson(message, indent=None, ensure_ascii=False).encode()
    return json_codec.to_json(message)


def refusal(violations: Sequence[Violation]) -> SpanloomError:
    """INVALID_ARGUMENT; MALFORMED_BODY if all violations are of the document as a whole."""
    if any(violation.field for violation in violations):
        return invalid(violations)
    text = "; ".join(f"the body {violation.description}" for violation in violations)
    return SpanloomError(Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, text, violations=violations)


@cache
def _is_supported(descriptor: Descriptor) -> bool:
    try:
        json_codec.check_supported(descriptor)
    except json_codec.UnsupportedTypeError:
        return False
    return True


def _read_any(message_class: type[Message], data: bytes) -> Message:
    """A message with types that only protobuf's own JSON has, such as bytes and Any."""
    message = message_class()
    try:
        json_format.Parse(data or b"{}", message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        name = message.DESCRIPTOR.full_name
        raise refusal([Violation("", f"is not the JSON of a {name}")]) from None
    return message
