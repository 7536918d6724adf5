"""OTLP/JSON to messages.

It reads field names in lowerCamelCase or snake_case, integers as numbers or text, enums as integers
or names, and null as unset, and ignores unknown fields. An id in base64, which plain protobuf JSON
has, is recognized by its length.

Values that senders get wrong are mended: lone surrogates become U+FFFD, an attribute's integer past
64 bits a text, a null in an array an empty value, a count out of range the nearest one, an empty
time none, an unknown word of an enum its zero. Whatever else is wrong inside a span refuses the
span alone: it stays in the request as one that `refusal_of` tells.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanloom.codec import large_json
from spanloom.codec.otlp_scalars import (
    RANGES,
    SCALARS,
    ViolationError,
    enum_reader,
    id_reader,
    integer_reader,
    lenient_reader,
    string,
)
from spanloom.errors import Reason, invalid_field
from spanloom.model import Json

Request = TypeVar("Request", bound=Message)
# Puts a JSON value into a message, or raises ViolationError.
Fill = Callable[[Any, Json], None]

# The fields that hold an id, and its bytes.
IDS: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
# As deep as protobuf's binary form may nest: a list takes two of its hundred levels.
_MAX_DEPTH: Final = 45
_ALONE: Final = frozenset({Span.DESCRIPTOR.full_name, LogRecord.DESCRIPTOR.full_name})
# How the name of a span begins that could not be read; the reason follows.
_REFUSED: Final = "\0refused: "
_F = FieldDescriptor
# A span is so many levels of objects and lists below the document.
_SPAN_LEVEL: Final = 6


def parse(data: bytes) -> ExportTraceServiceRequest:
    """The spans in a JSON document, as `_parsed` says."""
    return _parsed(ExportTraceServiceRequest(), data)


def parse_logs(data: bytes) -> ExportLogsServiceRequest:
    """The log records in a JSON document, as `_parsed` says. One that cannot be read is empty."""
    return _parsed(ExportLogsServiceRequest(), data)


def parse_metrics(data: bytes) -> ExportMetricsServiceRequest:
    """The metrics in a JSON document, as `_parsed` says: each is empty, for they are counted
    alone."""
    return _parsed(ExportMetricsServiceRequest(), data)


def _parsed(request: Request, data: bytes) -> Request:
    """The request filled from a JSON document.

    Raises:
        SpanloomError: INVALID_ARGUMENT, which names the path of what is wrong, like
            `resourceSpans[0].scopeSpans[1]`.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        document = _document(data)
        _FILLERS[request.DESCRIPTOR.full_name](request, document)
    except ViolationError as error:
        raise invalid_field(_path(error), str(error)) from None
    except ValueError:
        text = "the body is not JSON in UTF-8; protobuf needs Content-Type: application/x-protobuf"
        raise invalid_field("", text, Reason.MALFORMED_BODY) from None
    return request


def refusal_of(span: Span) -> str | None:
    """Why a span of a request could not be read; None if it could."""
    refused = not span.trace_id and span.name.startswith(_REFUSED)
    return span.name.removeprefix(_REFUSED) if refused else None


def _document(data: bytes) -> Json:
    if len(data) <= large_json.LARGE:
        try:
            return orjson.loads(data)
        except ValueError:
            if b"\\u" not in data:  # not for a lone surrogate, which orjson alone refuses
                raise
    return large_json.loads(data.decode(), levels=_SPAN_LEVEL)


def _fill_each(holder: Any, value: Json, fill: Fill) -> None:
    """As `_fill_all`; a span or a log record that cannot be read is refused alone."""
    if type(value) is not list:
        raise ViolationError("must be an array")
    for index, item in enumerate(value):
        one = holder.add()
        try:
            fill(one, item)
        except ViolationError as error:
            one.Clear()
            if isinstance(one, Span):
                one.name = f"{_REFUSED}{_path(error)}: {error}"
        value[index] = None


def _path(error: ViolationError) -> str:
    return "".join(s if s[0] == "[" else f".{s}" for s in reversed(error.path)).lstrip(".")


def _message_filler(descriptor: Descriptor) -> Fill:
    """Fills a message in place with an object's fields: one made apart would have to be copied."""
    table: dict[str, Fill] = {}

    def fill(message: Any, value: Json) -> None:
        if type(value) is not dict:
            raise ViolationError("must be an object")
        for name, inner in value.items():
            put = table.get(name)
            if put is None or inner is None:
                continue
            try:
                put(message, inner)
            except ViolationError as error:
                raise error.below(name) from None

    _FILLERS[descriptor.full_name] = fill
    for field in descriptor.fields:
        table[field.name] = table[field.camelcase_name] = _field_filler(field)
    return fill


def _field_filler(field: FieldDescriptor) -> Fill:
    name = field.name
    if field.message_type is not None:
        full_name = field.message_type.full_name
        one = _FILLERS.get(full_name) or _message_filler(field.message_type)
        if field.is_repeated:
            fill_all = _fill_each if full_name in _ALONE else _fill_all
            return lambda message, value: fill_all(getattr(message, name), value, one)

        def fill(message: Any, value: Json) -> None:
            inner = getattr(message, name)
            inner.SetInParent()
            one(inner, value)

        return fill
    read = _scalar_reader(field)
    if field.is_repeated:
        return lambda message, value: getattr(message, name).extend(_read_all(value, read))
    return lambda message, value: setattr(message, name, read(value))


def _scalar_reader(field: FieldDescriptor) -> Callable[[Json], Any]:
    if field.name in IDS:
        return id_reader(IDS[field.name])
    if field.enum_type is not None:
        return enum_reader(field.enum_type)
    if field.type in RANGES:
        return lenient_reader(*RANGES[field.type], is_count=field.name.startswith("dropped_"))
    return SCALARS[field.type]


def _fill_all(holder: Any, value: Json, fill: Fill) -> None:
    """Elements are dropped from the list as they are read: a large document is not held twice."""
    if type(value) is not list:
        raise ViolationError("must be an array")
    for index, item in enumerate(value):
        try:
            fill(holder.add(), item)
            value[index] = None
        except ViolationError as error:
            raise error.below(f"[{index}]") from None


def _read_all(value: Json, read: Callable[[Json], Any]) -> list[Any]:
    if type(value) is not list:
        raise ViolationError("must be an array")
    out = []
    for index, item in enumerate(value):
        try:
            out.append(read(item))
        except ViolationError as error:
            raise error.below(f"[{index}]") from None
    return out


_int64 = integer_reader(*RANGES[_F.TYPE_INT64])
_int32 = integer_reader(*RANGES[_F.TYPE_INT32])


def _fill_key_value(pair: Any, value: Json, depth: int = 0) -> None:
    """By hand, as for AnyValue: a request consists mostly of attributes."""
    if type(value) is not dict:
        raise ViolationError("must be an object")
    key = value.get("key")
    if key is not None:
        if type(key) is not str:
            raise ViolationError("must be a string").below("key")
        pair.key = string(key)
    index = value.get("keyStrindex", value.get("key_strindex"))
    if index is not None:
        pair.key_strindex = _int32(index)
    inner = value.get("value")
    if inner is not None:
        try:
            _fill_any_value(pair.value, inner, depth)
        except ViolationError as error:
            raise error.below("value") from None


def _is_past_64_bits(value: Json) -> bool:
    if type(value) is str:
        digits = value.removeprefix("-")
        return digits.isdecimal() and digits.isascii() and not -(2**63) <= int(value[:40]) < 2**63
    return type(value) in (int, float) and not -(2**63) <= value < 2**63


def _fill_element(message: Any, value: Json, depth: int = 0) -> None:
    """An element of an array: null is an empty value."""
    if value is not None:
        _fill_any_value(message, value, depth)


def _fill_any_value(message: Any, value: Json, depth: int = 0) -> None:
    if type(value) is not dict:
        raise ViolationError("must be an object")
    text = value.get("stringValue")
    if type(text) is str and len(value) == 1:
        message.string_value = string(text)
        return
    if depth > _MAX_DEPTH:
        raise ViolationError("is nested too deeply")
    message.SetInParent()
    for name, inner in value.items():
        entry = _ANY_FIELDS.get(name)
        if entry is None or inner is None:
            continue
        field, reader = entry
        try:
            if field == "int_value" and _is_past_64_bits(inner):
                message.string_value = f"{inner:.0f}" if type(inner) is float else str(inner)
                continue
            if reader is not None:
                setattr(message, field, reader(inner))
                continue
            if type(inner) is not dict:
                raise ViolationError("must be an object")
            holder = getattr(message, field)
            holder.SetInParent()
            one: Fill = partial(
                _fill_element if field == "array_value" else _fill_key_value, depth=depth + 1
            )
            values = inner.get("values")
            if values is not None:
                try:
                    _fill_all(holder.values, values, one)
                except ViolationError as error:
                    raise error.below("values") from None
        except ViolationError as error:
            raise error.below(name) from None


_ANY_READERS: Final[dict[str, Callable[[Json], Any] | None]] = {
    "string_value": string,
    "bool_value": SCALARS[_F.TYPE_BOOL],
    "int_value": _int64,
    "double_value": SCALARS[_F.TYPE_DOUBLE],
    "bytes_value": SCALARS[_F.TYPE_BYTES],
    "string_value_strindex": _int32,
    "array_value": None,
    "kvlist_value": None,
}
_ANY_FIELDS: Final = {
    name: (field.name, _ANY_READERS[field.name])
    for field in AnyValue.DESCRIPTOR.fields
    for name in (field.name, field.camelcase_name)
}
_FILLERS: Final[dict[str, Fill]] = {
    KeyValue.DESCRIPTOR.full_name: _fill_key_value,
    AnyValue.DESCRIPTOR.full_name: _fill_any_value,
    Metric.DESCRIPTOR.full_name: lambda message, value: None,
}
for _message in (ExportTraceServiceRequest, ExportLogsServiceRequest, ExportMetricsServiceRequest):
    _message_filler(_message.DESCRIPTOR)
