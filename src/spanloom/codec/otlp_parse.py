"""OTLP/JSON to messages.

It reads field names in lowerCamelCase or snake_case, integers as numbers or text, enums as integers
or names, and null as unset, and ignores unknown fields. An id in base64, which plain protobuf JSON
has, is recognized by its length.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanloom.codec import large_json
from spanloom.errors import Reason, invalid_field
from spanloom.model import Json

# Puts a JSON value into a message, or raises _ViolationError.
Fill = Callable[[Any, Json], None]

# The fields that hold an id, and its bytes.
IDS: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
# As deep as protobuf's binary form may nest: a list takes two of its hundred levels.
_MAX_DEPTH: Final = 45
_F = FieldDescriptor
_RANGES: Final = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_FIXED32: (0, 2**32 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
    _F.TYPE_FIXED64: (0, 2**64 - 1),
}
# A span is so many levels of objects and lists below the document.
_SPAN_LEVEL: Final = 6


class _ViolationError(ValueError):
    """What is wrong with a value; `path` grows towards the root of the document."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []

    def below(self, segment: str) -> _ViolationError:
        self.path.append(segment)
        return self


def parse(data: bytes) -> ExportTraceServiceRequest:
    """The request in a JSON document.

    Raises:
        SpanloomError: INVALID_ARGUMENT, which names the path of what is wrong, like
            `resourceSpans[0].scopeSpans[1]`.
    """
    request = ExportTraceServiceRequest()
    try:
        document = (
            large_json.loads(data.decode(), levels=_SPAN_LEVEL)
            if len(data) > large_json.LARGE
            else orjson.loads(data)
        )
        _FILLERS[ExportTraceServiceRequest.DESCRIPTOR.full_name](request, document)
    except _ViolationError as error:
        path = "".join(s if s[0] == "[" else f".{s}" for s in reversed(error.path)).lstrip(".")
        raise invalid_field(path, str(error)) from None
    except ValueError:
        text = "the body is not JSON in UTF-8; protobuf needs Content-Type: application/x-protobuf"
        raise invalid_field("", text, Reason.MALFORMED_BODY) from None
    return request


def _message_filler(descriptor: Descriptor) -> Fill:
    """Fills a message in place with an object's fields: one made apart would have to be copied."""
    table: dict[str, Fill] = {}

    def fill(message: Any, value: Json) -> None:
        if type(value) is not dict:
            raise _ViolationError("must be an object")
        for name, inner in value.items():
            put = table.get(name)
            if put is None or inner is None:
                continue
            try:
                put(message, inner)
            except _ViolationError as error:
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
            return lambda message, value: _fill_all(getattr(message, name), value, one)

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
        return _id_reader(IDS[field.name])
    if field.enum_type is not None:
        return _enum_reader(field.enum_type)
    if field.type in _RANGES:
        return _integer_reader(*_RANGES[field.type])
    return _SCALARS[field.type]


def _fill_all(holder: Any, value: Json, fill: Fill) -> None:
    """Elements are dropped from the list as they are read: a large document is not held twice."""
    if type(value) is not list:
        raise _ViolationError("must be an array")
    for index, item in enumerate(value):
        try:
            fill(holder.add(), item)
            value[index] = None
        except _ViolationError as error:
            raise error.below(f"[{index}]") from None


def _read_all(value: Json, read: Callable[[Json], Any]) -> list[Any]:
    if type(value) is not list:
        raise _ViolationError("must be an array")
    out = []
    for index, item in enumerate(value):
        try:
            out.append(read(item))
        except _ViolationError as error:
            raise error.below(f"[{index}]") from None
    return out


def _id_reader(size: int) -> Callable[[Json], bytes]:
    base64_length = 4 * math.ceil(size / 3)

    def read(value: Json) -> bytes:
        if type(value) is not str:
            raise _ViolationError("must be an id in hex")
        try:
            return bytes.fromhex(value)
        except ValueError:
            if len(value) == base64_length:
                return _bytes(value)
            raise _ViolationError("must be an id in hex") from None

    return read


def _enum_reader(enum: EnumDescriptor) -> Callable[[Json], int]:
    integer = _integer_reader(*_RANGES[_F.TYPE_INT32])
    numbers = {value.name: value.number for value in enum.values}

    def read(value: Json) -> int:
        if type(value) is str and value in numbers:
            return numbers[value]
        try:
            return integer(value)
        except _ViolationError:
            raise _ViolationError(f"must be an integer or one of {', '.join(numbers)}") from None

    return read


def _integer_reader(least: int, most: int) -> Callable[[Json], int]:
    def read(value: Json) -> int:
        if type(value) is str:
            try:
                value = int(value) if value.isascii() and len(value) <= 24 else None
            except ValueError:
                value = None
        elif type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise _ViolationError("must be an integer")
        if not least <= value <= most:
            raise _ViolationError(f"must be from {least} to {most}")
        return value

    return read


def _string(value: Json) -> str:
    if type(value) is not str:
        raise _ViolationError("must be a string")
    return value


def _boolean(value: Json) -> bool:
    if type(value) is not bool:
        raise _ViolationError("must be true or false")
    return value


def _double(value: Json) -> float:
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            value = None
    if type(value) not in (int, float):
        raise _ViolationError("must be a number")
    try:
        return float(value)
    except OverflowError:
        raise _ViolationError("is out of the range of a double") from None


def _bytes(value: Json) -> bytes:
    text = _string(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _ViolationError("must be base64") from None


_SCALARS: Final[dict[int, Callable[[Json], Any]]] = {
    _F.TYPE_STRING: _string,
    _F.TYPE_BOOL: _boolean,
    _F.TYPE_DOUBLE: _double,
    _F.TYPE_BYTES: _bytes,
}
_int64 = _integer_reader(*_RANGES[_F.TYPE_INT64])
_int32 = _integer_reader(*_RANGES[_F.TYPE_INT32])


def _fill_key_value(pair: Any, value: Json, depth: int = 0) -> None:
    """By hand, as for AnyValue: a request consists mostly of attributes."""
    if type(value) is not dict:
        raise _ViolationError("must be an object")
    key = value.get("key")
    if key is not None:
        if type(key) is not str:
            raise _ViolationError("must be a string").below("key")
        pair.key = key
    index = value.get("keyStrindex", value.get("key_strindex"))
    if index is not None:
        pair.key_strindex = _int32(index)
    inner = value.get("value")
    if inner is not None:
        try:
            _fill_any_value(pair.value, inner, depth)
        except _ViolationError as error:
            raise error.below("value") from None


def _fill_any_value(message: Any, value: Json, depth: int = 0) -> None:
    if type(value) is not dict:
        raise _ViolationError("must be an object")
    text = value.get("stringValue")
    if type(text) is str and len(value) == 1:
        message.string_value = text
        return
    if depth > _MAX_DEPTH:
        raise _ViolationError("is nested too deeply")
    message.SetInParent()
    for name, inner in value.items():
        entry = _ANY_FIELDS.get(name)
        if entry is None or inner is None:
            continue
        field, reader = entry
        try:
            if reader is not None:
                setattr(message, field, reader(inner))
                continue
            if type(inner) is not dict:
                raise _ViolationError("must be an object")
            holder = getattr(message, field)
            holder.SetInParent()
            one: Fill = partial(
                _fill_any_value if field == "array_value" else _fill_key_value, depth=depth + 1
            )
            values = inner.get("values")
            if values is not None:
                try:
                    _fill_all(holder.values, values, one)
                except _ViolationError as error:
                    raise error.below("values") from None
        except _ViolationError as error:
            raise error.below(name) from None


_ANY_READERS: Final[dict[str, Callable[[Json], Any] | None]] = {
    "string_value": _string,
    "bool_value": _boolean,
    "int_value": _int64,
    "double_value": _double,
    "bytes_value": _bytes,
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
}
_message_filler(ExportTraceServiceRequest.DESCRIPTOR)
