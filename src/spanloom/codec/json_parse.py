"""JSON to protobuf messages: one writer of wire bytes a message type, made at first use.

The bytes of a whole request are parsed once, which is far quicker than setting its fields one by
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from spanloom.codec.json_error import (
    CONVERSION_ERRORS,
    MAX_LEVELS,
    MOST_VIOLATIONS,
    JsonError,
    describe,
    prefix_path,
    too_deep,
    violation,
)
from spanloom.codec.json_load import load_json
from spanloom.codec.json_scalar import Write, length_delimited_tag, scalar_writer
from spanloom.codec.json_shape import has_own_form, map_fields, snake_case, spellings
from spanloom.codec.json_time import read_duration, read_timestamp
from spanloom.codec.struct_writer import length_delimited_value, struct_wire, value_wire
from spanloom.codec.varint import SMALL, VARINTS, varint

MOST_IGNORED = 32
_LONGEST_NAME = 100
_MASK = (1 << 64) - 1
_VALUE = "google.protobuf.Value"
_STRUCT = "google.protobuf.Struct"

M = TypeVar("M", bound=Message)


class Parsed(NamedTuple, Generic[M]):
    """A message, and the paths of what it had no field for.

    The paths are ASCII, each is listed once, without list indexes, and there are at most 32.
    """

    message: M
    ignored: list[str]


class _ParseState:
    """What one parse gathers: its place (JSON names, without indexes), and unknown names."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.ignored: dict[str, None] = {}

    def ignore(self, name: str) -> None:
        if len(self.ignored) < MOST_IGNORED:
            self.ignored[".".join([*self.path, printable(name)])] = None


def printable(name: str) -> str:
    """A client's name for something, cut and escaped to printable ASCII: it may become a header."""
    return json.dumps(name[:_LONGEST_NAME])[1:-1]


def parse(
    data: bytes | object,
    message_class: type[M],
    *,
    body: str = "*",
    extra: Mapping[str, Any] | None = None,
) -> Parsed[M]:
    """The message in a JSON document.

    It reads a superset of the protobuf JSON mapping:
    - unknown fields are not errors but `ignored`; an empty document has no fields;
    - a field is also read by the lowerCamelCase of its proto name, whatever its JSON name is;
    - null leaves any field unset, and is dropped from lists and maps (a Value can be null);
    - times, numbers, strings and bools are read as `json_time` and `json_scalar` say;
    - a text that holds a JSON object is taken for a message or Struct.

    Args:
        data: The document's bytes, or a value that is loaded already.
        body: As in google.api.http: "*" if the document is the whole message, the name of the one
            field that it is the value of, or "" if it is not read.
        extra: Fields from the URL, as JSON. They replace those of the document.

    Raises:
        JsonError: Names all violations found.
    """
    state = _ParseState()
    descriptor: Any = message_class.DESCRIPTOR
    wire = b""
    if body and not (isinstance(data, bytes) and not data.strip()):
        if isinstance(data, bytes):
            data = load_json(data)
        value = data if body == "*" else {descriptor.fields_by_name[body].json_name: data}
        wire = _message_wire(descriptor, value, state)
    if extra:
        wire += _message_wire(descriptor, extra, state)
    return Parsed(message_class.FromString(wire), list(state.ignored))


def _message_wire(descriptor: Descriptor, value: object, state: _ParseState) -> bytes:
    try:
        return _body(descriptor)(value, MAX_LEVELS, state)
    except CONVERSION_ERRORS as error:
        raise JsonError(prefix_path("", error)) from None


@cache
def _body(descriptor: Descriptor) -> Write:
    """The writer of a message type, without tag and length."""
    match descriptor.full_name:
        case "google.protobuf.Struct":
            return lambda value, levels, state: struct_wire(_object(value), levels)
        case "google.protobuf.Value":
            return lambda value, levels, state: value_wire(value, levels)
        case "google.protobuf.Timestamp":
            return lambda value, levels, state: _seconds_and_nanos(*read_timestamp(value))
        case "google.protobuf.Duration":
            return lambda value, levels, state: _seconds_and_nanos(*read_duration(value))
        case "google.protobuf.FieldMask":
            return lambda value, levels, state: _field_mask(value)
    return _message(descriptor)


def _message(descriptor: Descriptor) -> Write:
    fields: dict[str, tuple[str, tuple[str, ...], bytes, Write]] | None = None
    has_oneofs = any(len(oneof.fields) > 1 for oneof in descriptor.oneofs)

    def write(value: Any, levels: int, state: _ParseState) -> bytes:
        nonlocal fields
        if fields is None:  # made at first use, for types may contain themselves
            fields = _fields(descriptor)
        if type(value) is not dict:
            value = _object(value)
        if levels < 0:
            raise too_deep()
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for name, item in value.items():
            known = fields.get(name)
            if known is None:
                state.ignore(name)
                continue
            json_name, other_names, null, write_field = known
            if item is None:
                out.append(null)
                continue
            try:
                if not (other_names and _is_repeated(value, name, other_names)):
                    out.append(write_field(item, levels, state))
            except CONVERSION_ERRORS as error:
                bad += prefix_path(json_name, error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
        if has_oneofs:
            bad += _oneof_violations(descriptor, value)
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _fields(descriptor: Descriptor) -> dict[str, tuple[str, tuple[str, ...], bytes, Write]]:
    """By each name of a field: its JSON name, its names of higher precedence, the bytes of null,
    its writer."""
    writers = {field.name: _field(field) for field in descriptor.fields}
    return {
        name: (field.json_name, before, _null(field), writers[field.name])
        for name, (field, before) in spellings(descriptor).items()
    }


def _is_repeated(value: Mapping[str, Any], name: str, other_names: tuple[str, ...]) -> bool:
    """Whether the object has the same field, with the same value, by another of its names.

    Raises:
        JsonError: It has the field with another value.
    """
    for other in other_names:
        also = value.get(other)
        if also is not None:
            if also != value[name]:
                raise violation(f"is given twice with different values, as {other} and as {name}")
            return True
    return False


def _oneof_violations(descriptor: Descriptor, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = spellings(descriptor)
    chosen: dict[str, str] = {}
    bad = []
    for name, item in value.items():
        if item is None or name not in names:
            continue
        field = names[name][0]
        if field.containing_oneof is not None:
            first = chosen.setdefault(field.containing_oneof.name, field.json_name)
            if first != field.json_name:
                bad.append((field.json_name, f"must not be set together with {first}"))
    return bad


def _null(field: FieldDescriptor) -> bytes:
    """The bytes of a field given as null: none, but a Value can be null."""
    return _one(field)(None, 1, None) if _can_be_null(field) and not field.is_repeated else b""


def _can_be_null(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _VALUE


def _field(field: FieldDescriptor) -> Write:
    """The writer of a whole field: tags and all elements."""
    entry = map_fields(field)
    message = field.message_type
    if entry:
        write = _map(field.number, *entry)
        message = entry[1].message_type
    elif field.is_repeated:
        write = _repeated(field)
    else:
        write = _one(field)
    if message is None or has_own_form(message):
        return write
    json_name = field.json_name

    def write_below(value: Any, levels: int, state: _ParseState) -> bytes:
        state.path.append(json_name)
        data = write(value, levels, state)
        state.path.pop()  # not reached on an error, after which nobody asks for what was ignored
        return data

    return write_below


def _one(field: FieldDescriptor) -> Write:
    """The writer of a singular field or one element of a list, with its tag."""
    if field.message_type is None:
        return scalar_writer(field)
    tag = length_delimited_tag(field.number)
    if field.message_type.full_name == _VALUE:
        return lambda value, levels, state: tag + length_delimited_value(value, levels - 1)
    if field.message_type.full_name == _STRUCT:
        return _struct(tag)
    body = _body(field.message_type)

    def write(value: Any, levels: int, state: _ParseState) -> bytes:
        data = body(value, levels - 1, state)
        return tag + varint(len(data)) + data

    return write


def _struct(tag: bytes) -> Write:
    empty = tag + b"\x00"

    def write(value: Any, levels: int, state: _ParseState) -> bytes:
        if type(value) is not dict:
            value = _object(value)
        if not value:
            return empty
        data = struct_wire(value, levels - 1)
        size = len(data)
        return tag + (VARINTS[size] if size < SMALL else varint(size)) + data

    return write


def _repeated(field: FieldDescriptor) -> Write:
    write_one = _one(field)
    keeps_null = _can_be_null(field)

    def write(value: Any, levels: int, state: _ParseState) -> bytes:
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for index, item in enumerate(_list(value)):
            if item is None and not keeps_null:
                continue
            try:
                out.append(write_one(item, levels, state))
            except CONVERSION_ERRORS as error:
                bad += prefix_path(f"[{index}]", error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _map(number: int, key_field: FieldDescriptor, value_field: FieldDescriptor) -> Write:
    write_key = scalar_writer(key_field)
    write_value = _one(value_field)
    keeps_null = _can_be_null(value_field)
    tag = length_delimited_tag(number)

    def write(value: Any, levels: int, state: _ParseState) -> bytes:
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for name, item in _object(value).items():
            if item is None and not keeps_null:
                continue
            try:
                entry = write_key(name) + write_value(item, levels - 1, state)
            except CONVERSION_ERRORS as error:
                bad += prefix_path(name, error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
            else:
                out += (tag, varint(len(entry)), entry)
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, or the one that a text holds."""
    if type(value) is str:
        try:
            held = load_json(value.encode())
        except JsonError:
            held = value
        if type(held) is dict:
            return held
    if type(value) is not dict:
        raise violation(f"must be an object, not {describe(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise violation(f"must be an array, not {describe(value)}")
    return value


def _seconds_and_nanos(seconds: int, nanos: int) -> bytes:
    # Both are written even if they are 0, so that a time in the URL replaces all of the body's.
    return b"\x08" + varint(seconds & _MASK) + b"\x10" + varint(nanos & _MASK)


def _field_mask(value: Any) -> bytes:
    if type(value) is not str:
        raise violation(f"must be a string of field paths, not {describe(value)}")
    out = []
    for path in value.split(",") if value else ():
        data = snake_case(path).encode()
        out += [b"\x0a", varint(len(data)), data]
    return b"".join(out)
