"""JSON to protobuf messages: one writer of wire bytes a message type, made from its descriptor at first use.

The bytes of a whole request are parsed once, which is far quicker than setting its fields one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from spanloom.codec.json_load import load_json, load_json_strictly
from spanloom.codec.json_scalar import Write, map_key_writer, scalar_writer, shown, sized_tag
from spanloom.codec.json_shape import (
    any_type,
    has_own_form,
    is_wrapper,
    map_fields,
    snake_case,
    spellings,
)
from spanloom.codec.json_time import read_duration, read_timestamp
from spanloom.codec.struct_wire import (
    FAULTS,
    MAX_LEVELS,
    MOST_VIOLATIONS,
    SMALL,
    VARINTS,
    JsonError,
    fault,
    list_wire,
    sized_value,
    struct_wire,
    too_deep,
    under,
    value_wire,
    varint,
)

MOST_IGNORED = 32
_LONGEST_NAME = 100
_MASK = (1 << 64) - 1

M = TypeVar("M", bound=Message)


class Parsed(NamedTuple, Generic[M]):
    """A message, and the paths of what it had no field for: ASCII, each once, without list indexes, at most 32."""

    message: M
    ignored: list[str]


class _Call:
    """What one parse gathers on its way: where it is (JSON names, without indexes) and the names it had no field for."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.ignored: dict[str, None] = {}

    def ignore(self, name: str) -> None:
        if len(self.ignored) < MOST_IGNORED:
            self.ignored[".".join([*self.path, printable(name)])] = None


def printable(name: str) -> str:
    """A client's name for something, cut short and escaped to printable ASCII: it may become a header."""
    return json.dumps(name[:_LONGEST_NAME])[1:-1]


def parse(
    data: bytes | object,
    message_class: type[M],
    *,
    lenient: bool = True,
    body: str = "*",
    extra: Mapping[str, Any] | None = None,
) -> Parsed[M]:
    """The message that a JSON document (bytes, or a value already loaded) stands for.

    `body`: as in google.api.http: "*" for the whole message, the name of the one field that the document is the value of, or ""
    for none. `extra`: fields from the URL, as JSON; they win over the document's. Always read leniently.

    Strict is the protobuf JSON mapping. Lenient, the default, is a superset of it:
    - unknown fields are not errors but `ignored`; an empty document is no field at all;
    - a field is also read by the lowerCamelCase of its proto name, whatever its JSON name is;
    - null leaves any field unset, and is dropped from lists and maps (except where the type is Value, whose null it is);
    - times, numbers, texts and bools as `json_time` and `json_scalar` say;
    - a text that holds a JSON object is taken for a message or Struct.

    Raises JsonError with all violations found.
    """
    call = _Call()
    descriptor: Any = message_class.DESCRIPTOR
    wire = b""
    if body and not (lenient and isinstance(data, bytes) and not data.strip()):
        if isinstance(data, bytes):
            data = load_json(data) if lenient else load_json_strictly(data)
        value = data if body == "*" else {descriptor.fields_by_name[body].json_name: data}
        wire = _whole(descriptor, lenient, value, call)
    if extra:
        wire += _whole(descriptor, True, extra, call)
    return Parsed(message_class.FromString(wire), list(call.ignored))


def _whole(descriptor: Descriptor, lenient: bool, value: object, call: _Call) -> bytes:
    try:
        return _body(descriptor, lenient)(value, MAX_LEVELS, call)
    except FAULTS as error:
        raise JsonError(under("", error)) from None


@cache
def _body(descriptor: Descriptor, lenient: bool) -> Write:
    """The writer of a message type, without tag and length: its well-known form, or an object of its fields."""
    match descriptor.full_name:
        case "google.protobuf.Struct":
            return lambda value, levels, call: struct_wire(_object(value, lenient), levels)
        case "google.protobuf.Value":
            return lambda value, levels, call: value_wire(value, levels)
        case "google.protobuf.ListValue":
            return lambda value, levels, call: list_wire(_list(value), levels)
        case "google.protobuf.Timestamp":
            return lambda value, levels, call: _moment(*read_timestamp(value, lenient))
        case "google.protobuf.Duration":
            return lambda value, levels, call: _moment(*read_duration(value))
        case "google.protobuf.FieldMask":
            return lambda value, levels, call: _field_mask(value, lenient)
        case "google.protobuf.Any":
            return lambda value, levels, call: _any(descriptor, lenient, value, levels, call)
    if is_wrapper(descriptor):
        return _one(descriptor.fields_by_name["value"], lenient)
    return _message(descriptor, lenient)


def _message(descriptor: Descriptor, lenient: bool) -> Write:
    fields: dict[str, tuple[str, tuple[str, ...], bytes, Write]] | None = None
    has_oneofs = any(len(oneof.fields) > 1 for oneof in descriptor.oneofs)

    def write(value: Any, levels: int, call: _Call) -> bytes:
        nonlocal fields
        if fields is None:  # made at first use, for types may hold themselves
            fields = _fields(descriptor, lenient)
        if type(value) is not dict:
            value = _object(value, lenient)
        if levels < 0:
            raise too_deep()
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for name, item in value.items():
            known = fields.get(name)
            if known is None:
                if lenient:
                    call.ignore(name)
                else:
                    bad.append((name, f"is not a field of {descriptor.full_name}"))
                continue
            json_name, other_names, null, write_field = known
            if item is None:
                out.append(null)
                continue
            try:
                if not (other_names and _stands_also(value, name, other_names)):
                    out.append(write_field(item, levels, call))
            except FAULTS as error:
                bad += under(json_name, error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
        if has_oneofs:
            bad += _oneof_faults(descriptor, value)
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _fields(
    descriptor: Descriptor, lenient: bool
) -> dict[str, tuple[str, tuple[str, ...], bytes, Write]]:
    """By each name of a field: its JSON name, the names of it that come before this one, what null writes, its writer."""
    writers = {field.name: _field(field, lenient) for field in descriptor.fields}
    return {
        name: (field.json_name, before, _null(field), writers[field.name])
        for name, (field, before) in spellings(descriptor).items()
        if lenient or name in (field.json_name, field.name)
    }


def _stands_also(value: Mapping[str, Any], name: str, other_names: tuple[str, ...]) -> bool:
    """Whether the field stands in the object by another of its names too, with the same value; JsonError if with another."""
    for other in other_names:
        also = value.get(other)
        if also is not None:
            if also != value[name]:
                raise fault(f"stands twice with different values, as {other} and as {name}")
            return True
    return False


def _oneof_faults(descriptor: Descriptor, value: Mapping[str, Any]) -> list[tuple[str, str]]:
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
                bad.append((field.json_name, f"cannot be given together with {first}"))
    return bad


def _null(field: FieldDescriptor) -> bytes:
    """What a field given as null is on the wire: nothing, but for the types of which null is a value."""
    return (
        _one(field, False)(None, 0, _Call())
        if _holds_null(field) and not field.is_repeated
        else b""
    )


def _holds_null(field: FieldDescriptor) -> bool:
    kind = field.message_type or field.enum_type
    return kind is not None and kind.full_name in (
        "google.protobuf.Value",
        "google.protobuf.NullValue",
    )


def _field(field: FieldDescriptor, lenient: bool) -> Write:
    """The writer of a whole field: tags and all elements."""
    entry = map_fields(field)
    message = field.message_type
    if entry:
        write = _map(field.number, *entry, lenient)
        message = entry[1].message_type
    elif field.is_repeated:
        write = _repeated(field, lenient)
    else:
        write = _one(field, lenient)
    if message is None or (has_own_form(message) and message.name != "Any"):
        return write
    json_name = field.json_name

    def write_below(value: Any, levels: int, call: _Call) -> bytes:
        call.path.append(json_name)
        data = write(value, levels, call)
        call.path.pop()  # not reached on an error, after which nobody asks for what was ignored
        return data

    return write_below


def _one(field: FieldDescriptor, lenient: bool) -> Write:
    """The writer of a singular field or one element of a list, with its tag."""
    if field.message_type is None:
        return scalar_writer(field, lenient)
    tag = sized_tag(field.number)
    if field.message_type.full_name == "google.protobuf.Value":
        return lambda value, levels, call: tag + sized_value(value, levels - 1)
    if field.message_type.full_name == "google.protobuf.Struct":
        return _struct(tag, lenient)
    body = _body(field.message_type, lenient)

    def write(value: Any, levels: int, call: _Call) -> bytes:
        data = body(value, levels - 1, call)
        return tag + varint(len(data)) + data

    return write


def _struct(tag: bytes, lenient: bool) -> Write:
    empty = tag + b"\x00"

    def write(value: Any, levels: int, call: _Call) -> bytes:
        if type(value) is not dict:
            value = _object(value, lenient)
        if not value:
            return empty
        data = struct_wire(value, levels - 1)
        size = len(data)
        return tag + (VARINTS[size] if size < SMALL else varint(size)) + data

    return write


def _repeated(field: FieldDescriptor, lenient: bool) -> Write:
    write_one = _one(field, lenient)
    holds_null = _holds_null(field)

    def write(value: Any, levels: int, call: _Call) -> bytes:
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for index, item in enumerate(_list(value)):
            if item is None and not holds_null:
                if not lenient:
                    bad.append((f"[{index}]", "must not be null"))
                continue
            try:
                out.append(write_one(item, levels, call))
            except FAULTS as error:
                bad += under(f"[{index}]", error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _map(
    number: int, key_field: FieldDescriptor, value_field: FieldDescriptor, lenient: bool
) -> Write:
    write_key = map_key_writer(key_field)
    write_value = _one(value_field, lenient)
    holds_null = _holds_null(value_field)
    tag = sized_tag(number)

    def write(value: Any, levels: int, call: _Call) -> bytes:
        out: list[bytes] = []
        bad: list[tuple[str, str]] = []
        for name, item in _object(value, lenient).items():
            if item is None and not holds_null:
                if not lenient:
                    bad.append((name, "must not be null"))
                continue
            try:
                entry = write_key(name) + write_value(item, levels - 1, call)
            except FAULTS as error:
                bad += under(name, error)
                if len(bad) >= MOST_VIOLATIONS:
                    break
            else:
                out += (tag, varint(len(entry)), entry)
        if bad:
            raise JsonError(bad)
        return b"".join(out)

    return write


def _object(value: Any, lenient: bool) -> dict[str, Any]:
    """A JSON object, or, read leniently, the one that a text holds."""
    if type(value) is str and lenient:
        try:
            held = load_json(value.encode())
        except JsonError:
            held = value
        if type(held) is dict:
            return held
    if type(value) is not dict:
        raise fault(f"must be an object, not {shown(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise fault(f"must be a list, not {shown(value)}")
    return value


def _moment(seconds: int, nanos: int) -> bytes:
    # Both parts are written even when they are 0, so that a time in the URL replaces all of the one in the body.
    return b"\x08" + varint(seconds & _MASK) + b"\x10" + varint(nanos & _MASK)


def _field_mask(value: Any, lenient: bool) -> bytes:
    if type(value) is not str:
        raise fault(f"must be a text of field paths, not {shown(value)}")
    out = []
    for path in value.split(",") if value else ():
        if not lenient and "_" in path:
            raise fault(f"must name fields in lowerCamelCase, not {shown(path)}")
        data = snake_case(path).encode()
        out += [b"\x0a", varint(len(data)), data]
    return b"".join(out)


def _any(descriptor: Descriptor, lenient: bool, value: Any, levels: int, call: _Call) -> bytes:
    fields = dict(_object(value, lenient))
    if not fields:
        return b""
    url = fields.pop("@type", None)
    if type(url) is not str:
        raise fault("must be given: the type URL of what the Any holds", "@type")
    held = any_type(descriptor, url)
    write = _body(held, lenient)
    if has_own_form(held):
        try:
            data = write(fields.get("value"), levels - 1, call)
        except FAULTS as error:
            raise JsonError(under("value", error)) from None
    else:
        data = write(fields, levels - 1, call)
    # Through the message, for the bytes in an Any are compared as bytes.
    data = message_factory.GetMessageClass(held).FromString(data).SerializeToString()
    name = url.encode()
    return b"".join((b"\x0a", varint(len(name)), name, b"\x12", varint(len(data)), data))
