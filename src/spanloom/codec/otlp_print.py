"""Messages to OTLP/JSON: lowerCamelCase, ids in hex, 64-bit integers as text, no defaults."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.codec.otlp_parse import IDS
from spanloom.model import Json

_F = FieldDescriptor
_WIDE: Final = frozenset({_F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_FIXED64})


def to_json(message: Message) -> bytes:
    """A message of OTLP's trace service, or TracesData, as JSON."""
    return orjson.dumps(_WRITERS[message.DESCRIPTOR.full_name](message))


def _message_writer(descriptor: Descriptor) -> Callable[[Any], dict[str, Json]]:
    table: list[tuple[str, str, bool, Callable[[Any], Json]]] = []

    def write(message: Any) -> dict[str, Json]:
        out: dict[str, Json] = {}
        for name, json_name, has_presence, writer in table:
            value = getattr(message, name)
            # A scalar's default and an empty list are left out; a message that is set is not.
            if message.HasField(name) if has_presence else value:
                out[json_name] = writer(value)
        return out

    _WRITERS[descriptor.full_name] = write
    table += [
        (f.name, f.camelcase_name, f.has_presence, _field_writer(f)) for f in descriptor.fields
    ]
    return write


def _field_writer(field: FieldDescriptor) -> Callable[[Any], Json]:
    one: Callable[[Any], Json]
    if field.message_type is not None:
        one = _WRITERS.get(field.message_type.full_name) or _message_writer(field.message_type)
    elif field.name in IDS:
        one = bytes.hex
    elif field.type in _WIDE:
        one = str
    elif field.type == _F.TYPE_BYTES:
        one = _base64
    elif field.type == _F.TYPE_DOUBLE:
        one = _number
    else:
        one = _same
    return (lambda values: [one(value) for value in values]) if field.is_repeated else one


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _number(value: float) -> Json:
    if value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _same(value: Any) -> Any:
    return value


_WRITERS: Final[dict[str, Callable[[Any], dict[str, Json]]]] = {}
for _type in (
    trace_service_pb2.ExportTraceServiceRequest,
    trace_service_pb2.ExportTraceServiceResponse,
    trace_pb2.TracesData,
):
    _message_writer(_type.DESCRIPTOR)
