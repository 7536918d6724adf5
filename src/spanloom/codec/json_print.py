"""Protobuf messages to JSON: one printer a message type, made from its descriptor at first use."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import orjson
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from spanloom.codec.json_shape import (
    any_type,
    has_own_form,
    is_wrapper,
    lower_camel_case,
    map_fields,
    snake_case,
)
from spanloom.codec.json_time import duration_text, timestamp_text
from spanloom.codec.struct_wire import (
    JsonError,
    fault,
    json_number,
    list_object,
    struct_object,
    under,
    value_object,
)

Print = Callable[[Any], Any]
_float = struct.Struct("<f").pack


class _Field(NamedTuple):
    name: str
    json_name: str
    message: bool  # a single message
    optional: bool  # with presence, but no message
    print: Print | None  # None: the value is JSON as it is


def to_json(message: Message, field: str = "") -> bytes:
    """The message as compact UTF-8 JSON; with `field`, the value of that field of it alone (for `response_body`).

    Fields without presence are always printed, unset fields with presence never; an unset message asked for by `field` is
    printed as an empty one. Integral doubles are printed as integers. Raises JsonError for a message that has no JSON: an
    invalid Timestamp, Duration or FieldMask, or an Any of an unknown type.
    """
    try:
        return orjson.dumps(to_object(message, field))
    except (orjson.JSONEncodeError, RecursionError):
        raise fault("is nested too deeply to print") from None


def to_object(message: Message, field: str = "") -> Any:
    """As `to_json`, before the text: dicts, lists, str, int, float, bool and None."""
    if not field:
        return message_printer(message.DESCRIPTOR)(message)
    descriptor: Any = message.DESCRIPTOR
    convert = _field_printer(descriptor.fields_by_name[field])
    value = getattr(message, field)
    return convert(value) if convert else value


@cache
def message_printer(descriptor: Descriptor) -> Print:
    """The printer of a message type: its well-known form, or an object with its fields in their declared order."""
    well_known = _WELL_KNOWN.get(descriptor.full_name)
    if well_known:
        return well_known
    if is_wrapper(descriptor):
        convert = _scalar_printer(descriptor.fields_by_name["value"])
        return (lambda message: convert(message.value)) if convert else _value_of
    plan: list[_Field] | None = None

    def write(message: Any) -> dict[str, Any]:
        nonlocal plan
        if plan is None:  # made at first use, for types may hold themselves
            plan = _plan(descriptor)
        out = {}
        has = message.HasField
        for name, json_name, is_message, optional, convert in plan:
            if is_message and not has(name):
                continue
            value = getattr(message, name)
            # HasField is slow, so it is asked only of what may be a default.
            if optional and not value and not has(name):
                continue
            if convert is not None:
                try:
                    value = convert(value)
                except JsonError as error:
                    raise JsonError(under(json_name, error)) from None
            out[json_name] = value
        return out

    return write


def _plan(descriptor: Descriptor) -> list[_Field]:
    plan = []
    for field in descriptor.fields:
        message = field.has_presence and field.message_type is not None
        optional = field.has_presence and not message
        plan.append(_Field(field.name, field.json_name, message, optional, _field_printer(field)))
    return plan


def _field_printer(field: FieldDescriptor) -> Print | None:
    if not field.is_repeated:
        return _scalar_printer(field)
    entry = map_fields(field)
    if entry:
        return _map_printer(entry[0].type == FieldDescriptor.TYPE_BOOL, _scalar_printer(entry[1]))
    convert = _scalar_printer(field)
    return _list_printer(convert) if convert else (lambda values: values[:])


def _list_printer(convert: Print) -> Print:
    def write(values: Any) -> list[Any]:
        out: list[Any] = []
        for value in values:
            try:
                out.append(convert(value))
            except JsonError as error:
                raise JsonError(under(f"[{len(out)}]", error)) from None
        return out

    return write


def _map_printer(bool_keys: bool, convert: Print | None) -> Print:
    name: Callable[[Any], str] = (lambda key: "true" if key else "false") if bool_keys else str
    if convert is None:
        return lambda entries: {name(key): entries[key] for key in entries}

    def write(entries: Any) -> dict[str, Any]:
        out = {}
        for key in entries:
            try:
                out[name(key)] = convert(entries[key])
            except JsonError as error:
                raise JsonError(under(name(key), error)) from None
        return out

    return write


def _scalar_printer(field: FieldDescriptor) -> Print | None:
    if field.message_type is not None:
        return message_printer(field.message_type)
    if field.enum_type is not None:
        return _enum_printer(field.enum_type)
    return _SCALARS.get(field.type)


@cache
def _enum_printer(enum: EnumDescriptor) -> Print:
    if enum.full_name == "google.protobuf.NullValue":
        return lambda number: None
    names = {number: value.name for number, value in enum.values_by_number.items()}
    return lambda number: names.get(number, number)


def _float_number(value: float) -> int | float | str:
    """The shortest decimal that is this 32-bit float, so that 0.1 is printed as 0.1."""
    if value - value:  # NaN and infinities leave more than 0
        return json_number(value)
    bits = _float(value)
    for digits in (6, 7, 8, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= _FLOAT_MAX and _float(short) == bits:
            return json_number(short)
    return json_number(value)


def _value_of(message: Any) -> Any:
    return message.value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _field_mask(message: Any) -> str:
    """Paths in lowerCamelCase, joined by commas; JsonError where a path would not come back the same."""
    return ",".join(_camel_path(path) for path in message.paths)


def _camel_path(path: str) -> str:
    camel = lower_camel_case(path)
    if snake_case(camel) != path:
        raise fault(f"has no JSON form: the path {path!r} is not in snake_case")
    return camel


def _any(message: Any) -> dict[str, Any]:
    url = message.type_url
    if not url and not message.value:
        return {}
    descriptor = any_type(message.DESCRIPTOR, url)
    try:
        inner = message_factory.GetMessageClass(descriptor).FromString(message.value)
    except DecodeError:
        raise fault(f"does not hold a valid {descriptor.full_name}") from None
    value = message_printer(descriptor)(inner)
    if has_own_form(descriptor):
        return {"@type": url, "value": value}
    return {"@type": url, **value}


_FLOAT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
_SCALARS: dict[int, Print] = {
    FieldDescriptor.TYPE_DOUBLE: json_number,
    FieldDescriptor.TYPE_FLOAT: _float_number,
    FieldDescriptor.TYPE_BYTES: _base64,
    FieldDescriptor.TYPE_INT64: str,
    FieldDescriptor.TYPE_UINT64: str,
    FieldDescriptor.TYPE_SINT64: str,
    FieldDescriptor.TYPE_FIXED64: str,
    FieldDescriptor.TYPE_SFIXED64: str,
}
_WELL_KNOWN: dict[str, Print] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": duration_text,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.ListValue": list_object,
    "google.protobuf.Struct": struct_object,
    "google.protobuf.Timestamp": timestamp_text,
    "google.protobuf.Value": value_object,
}
