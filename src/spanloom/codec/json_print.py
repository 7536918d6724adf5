"""Protobuf messages to JSON: one printer a message type, made from its descriptor at first use."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from spanloom.codec.json_error import JsonError, prefix_path, violation
from spanloom.codec.json_shape import lower_camel_case, map_fields, snake_case
from spanloom.codec.json_time import duration_text, timestamp_text
from spanloom.codec.struct_reader import json_number, struct_object, value_object

Print = Callable[[Any], Any]


class _Field(NamedTuple):
    name: str
    json_name: str
    message: bool  # a single message
    optional: bool  # with presence, but no message
    print: Print | None  # None: the value is JSON as it is


def to_json(message: Message, field: str = "") -> bytes:
    """The message as compact UTF-8 JSON.

    Fields without presence are always printed, unset fields with presence never; an unset message
    asked for by `field` is printed as an empty one. Integral doubles are printed as integers.

    Args:
        field: Only the value of this field is printed (the rule's `response_body`).

    Raises:
        JsonError: The message has no JSON: an invalid Timestamp, Duration or FieldMask, or it is
            nested too deeply.
    """
    try:
        return orjson.dumps(to_object(message, field))
    except (orjson.JSONEncodeError, RecursionError):
        raise violation("is nested too deeply to print") from None


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
    """The printer of a message type: its own form, or an object of its fields in declared order."""
    well_known = _WELL_KNOWN.get(descriptor.full_name)
    if well_known:
        return well_known
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
                    raise JsonError(prefix_path(json_name, error)) from None
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
        return _map_printer(_scalar_printer(entry[1]), entry[0].type == FieldDescriptor.TYPE_STRING)
    convert = _scalar_printer(field)
    return _list_printer(convert) if convert else (lambda values: values[:])


def _list_printer(convert: Print) -> Print:
    def write(values: Any) -> list[Any]:
        out: list[Any] = []
        for value in values:
            try:
                out.append(convert(value))
            except JsonError as error:
                raise JsonError(prefix_path(f"[{len(out)}]", error)) from None
        return out

    return write


def _map_printer(convert: Print | None, has_texts_as_keys: bool) -> Print:
    if convert is None and has_texts_as_keys:
        return dict

    def write(entries: Any) -> dict[str, Any]:
        out = {}
        for key in entries:
            value = entries[key]
            try:
                out[str(key)] = value if convert is None else convert(value)
            except JsonError as error:
                raise JsonError(prefix_path(str(key), error)) from None
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
    names = {number: value.name for number, value in enum.values_by_number.items()}
    return lambda number: names.get(number, number)


def _field_mask(message: Any) -> str:
    """Paths in lowerCamelCase, joined by commas; JsonError if one would not come back the same."""
    return ",".join(_camel_path(path) for path in message.paths)


def _camel_path(path: str) -> str:
    camel = lower_camel_case(path)
    if snake_case(camel) != path:
        raise violation(f"has no JSON form: the path {path!r} is not in snake_case")
    return camel


_SCALARS: dict[int, Print] = {
    FieldDescriptor.TYPE_BYTES: lambda value: b64encode(value).decode(),
    FieldDescriptor.TYPE_DOUBLE: json_number,
    FieldDescriptor.TYPE_INT64: str,
}
_WELL_KNOWN: dict[str, Print] = {
    "google.protobuf.Duration": duration_text,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.Struct": struct_object,
    "google.protobuf.Timestamp": timestamp_text,
    "google.protobuf.Value": value_object,
}
