"""`google.protobuf.Struct`, `Value` and `ListValue` to JSON values, by their wire bytes.

The runtime's reflection takes a microsecond or two a value. Its serializer is native, so the bytes
are read here instead, and short entries of objects are remembered: roles, models and whole
configurations repeat from event to event. Callers get a copy of a remembered object or list, so
that no two requests share one.

A Struct is a list of entries, and an entry holds a key and a Value:

    0a <size> | 0a <size> key | 12 <size> | 1a <size> text          a string
                                          | 11 <8 bytes>            a number
                                          | 20 00, 20 01, 08 <int>  false, true, null
                                          | 2a <size> entries       an object: a Struct
                                          | 32 <size> values        a list: 0a <size> Value
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any

from spanloom.codec.varint import read_varint

_EXACT = 2.0**53
_MOST_KEYS = 4096
_LONGEST_KEY = 64
_LONGEST_ENTRY = 512

_TEXT, _OBJECT, _LIST = 0x1A, 0x2A, 0x32
_NULL, _NUMBER, _BOOL = 0x08, 0x11, 0x20
_LENGTH_DELIMITED = (_TEXT, _OBJECT, _LIST)
_CONTAINERS = (dict, list)
_READ_DOUBLE = struct.Struct("<d").unpack_from

# The objects and lists inside another, with their keys or indexes there and what is inside them.
_Nested = tuple[tuple[Any, Any, "_Nested"], ...]

# By the bytes of an entry: its name, its value, and for an object or list what is nested in it. An
# object or list is kept when it comes again: many never do.
_SEEN_ONCE = ()
_entries: dict[bytes, tuple[str, Any, _Nested | None] | tuple[()]] = {}
# By the bytes of a name: the name. Both tables are emptied when full.
_names: dict[bytes, str] = {}


def struct_object(message: Any) -> dict[str, Any]:
    """The JSON object in a Struct.

    Integral doubles up to 2^53 are ints; NaN and infinities, which JSON lacks, are texts.
    """
    return _read(_object, message)  # type: ignore[no-any-return]


def value_object(message: Any) -> Any:
    """The JSON value in a Value; as `struct_object`. A Value that holds nothing is null."""
    return _read(_value, message)


def message_fields(message: Any) -> dict[str, Any]:
    """The fields that are set in a message of texts, doubles, Structs and Values, by name.

    Raises:
        TypeError: The message has a field of another type.
    """
    descriptor = message.DESCRIPTOR
    layout = _layouts.get(descriptor) or _layouts.setdefault(descriptor, _layout(descriptor))
    return _read(lambda data: _fields(layout, data), message)  # type: ignore[no-any-return]


def brief_reader(
    descriptor: Any, *, skipped: Collection[str], members: Mapping[str, Collection[str]]
) -> Callable[[Any], tuple[bytes, dict[str, Any]]]:
    """A reader of a message's bytes and of its fields but for those that are skipped, as
    `message_fields`; of the Structs in `members` it reads only the members that are named there.
    """
    layout: _Layout = {}
    for tag, (name, repeated, read) in _layout(descriptor).items():
        if name in skipped:
            read = _skip
        elif name in members:
            read = _some({member.encode() for member in members[name]})
        layout[tag] = name, repeated, read
    return lambda message: _read(lambda data: (data, _fields(layout, data)), message)


def _some(wanted: Set[bytes]) -> Callable[[bytes], dict[str, Any]]:
    """A reader of those members of a Struct that are wanted; their names are short."""

    def read(data: bytes) -> dict[str, Any]:
        out = {}
        at, end = 0, len(data)
        while at < end:
            if data[at] != 0x0A:
                raise _UnknownFieldError
            size = data[at + 1]
            at += 2
            if size > 127:
                size, at = read_varint(data, at - 1)
            if data[at + 2 : at + 2 + data[at + 1]] in wanted:
                name, value = _entry(data[at : at + size])
                out[name] = value
            at += size
        return out

    return read


def _skip(data: bytes) -> Any:
    raise NotImplementedError


def json_number(value: float) -> int | float | str:
    """A double as JSON has it: integral ones up to 2^53 as int, NaN and infinities as text."""
    if -_EXACT < value < _EXACT:
        integer = int(value)
        if integer != value or (not integer and math.copysign(1, value) < 0):
            return value
        return integer
    if value - value:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


class _UnknownFieldError(Exception):
    """The bytes hold a field that their message type does not have."""


def _read(read: Callable[[bytes], Any], message: Any) -> Any:
    try:
        return read(message.SerializeToString())
    except _UnknownFieldError:
        known = type(message)()
        known.CopyFrom(message)
        known.DiscardUnknownFields()
        return read(known.SerializeToString())


def _object(data: bytes) -> dict[str, Any]:
    """The object in the bytes of a Struct, as the runtime writes them: key before value."""
    out = {}
    at, end = 0, len(data)
    while at < end:
        if data[at] != 0x0A:
            raise _UnknownFieldError
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = read_varint(data, at - 1)
        entry = data[at : at + size]
        at += size
        if size > _LONGEST_ENTRY:
            name, value = _entry(entry)
            out[name] = value
            continue
        known = _entries.get(entry)
        if known:
            name, value, nested = known
            out[name] = value if nested is None else _copy(value, nested)
            continue
        name, value = _entry(entry)
        if len(_entries) >= _MOST_KEYS:
            _entries.clear()
        if type(value) not in _CONTAINERS:
            _entries[entry] = name, value, None
        elif known is None:
            _entries[entry] = _SEEN_ONCE
        else:
            nested = _nested(value)
            _entries[entry] = name, value, nested
            value = _copy(value, nested)
        out[name] = value
    return out


def _nested(container: Any) -> _Nested:
    """What `_copy` needs to know of an object or list."""
    items = container.items() if type(container) is dict else enumerate(container)
    return tuple((key, i, _nested(i)) for key, i in items if type(i) in _CONTAINERS)


def _copy(value: Any, nested: _Nested) -> Any:
    out = value.copy()
    for key, inner, deeper in nested:
        out[key] = _copy(inner, deeper) if deeper else inner.copy()
    return out


def _entry(data: bytes) -> tuple[str, Any]:
    size, at = data[1], 2
    if size > 127:
        size, at = read_varint(data, 1)
    end = at + size
    key = data[at:end]
    if data[0] != 0x0A or data[end] != 0x12:
        raise _UnknownFieldError
    size, at = data[end + 1], end + 2
    if size > 127:
        size, at = read_varint(data, end + 1)
    if at + size != len(data):
        raise _UnknownFieldError
    name = _names.get(key)
    if name is None:
        name = key.decode()
        if len(key) <= _LONGEST_KEY:
            if len(_names) >= _MOST_KEYS:
                _names.clear()
            _names[key] = name
    return name, _value(data, at)


def _list(data: bytes) -> list[Any]:
    out = []
    at, end = 0, len(data)
    while at < end:
        if data[at] != 0x0A:
            raise _UnknownFieldError
        size, at = read_varint(data, at + 1)
        out.append(_value(data[at : at + size]))
        at += size
    return out


def _value(data: bytes, at: int = 0) -> Any:
    """The value in the bytes of a Value, which begin at `at` and end with the data."""
    if at == len(data):
        return None
    tag = data[at]
    if tag in _LENGTH_DELIMITED:
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = read_varint(data, at - 1)
        if at + size != len(data):
            raise _UnknownFieldError
        if tag == _TEXT:
            return data[at:].decode()
        return _object(data[at:]) if tag == _OBJECT else _list(data[at:])
    value: Any
    if tag == _NUMBER:
        end = at + 9
        value = json_number(_READ_DOUBLE(data, at + 1)[0])
    elif tag == _BOOL:
        end = at + 2
        value = data[at + 1] != 0
    elif tag == _NULL:
        # NullValue is an open enum: every number is a null.
        _, end = read_varint(data, at + 1)
        value = None
    else:
        raise _UnknownFieldError
    if end != len(data):
        raise _UnknownFieldError
    return value


# By tag: a field's name, whether it is repeated, and how its bytes are read (None for a double).
_Layout = dict[int, tuple[str, bool, Callable[[bytes], Any] | None]]
_layouts: dict[Any, _Layout] = {}
_READERS: dict[str, Callable[[bytes], Any]] = {
    "google.protobuf.Struct": _object,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Value": _value,
}


def _layout(descriptor: Any) -> _Layout:
    layout: _Layout = {}
    for field in descriptor.fields:
        if field.type == field.TYPE_DOUBLE:
            layout[field.number << 3 | 1] = (field.name, False, None)
        elif field.type == field.TYPE_STRING:
            layout[field.number << 3 | 2] = (field.name, field.is_repeated, bytes.decode)
        elif field.message_type is not None and field.message_type.full_name in _READERS:
            read = _READERS[field.message_type.full_name]
            layout[field.number << 3 | 2] = (field.name, field.is_repeated, read)
        else:
            raise TypeError(f"{field.full_name} is not a text, a double or JSON")
    return layout


def _fields(layout: _Layout, data: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = read_varint(data, at - 1)
        field = layout.get(tag)
        if field is None:
            raise _UnknownFieldError
        name, repeated, read = field
        if read is None:
            out[name] = _READ_DOUBLE(data, at)[0]
            at += 8
            continue
        size = data[at]
        at += 1
        if size > 127:
            size, at = read_varint(data, at - 1)
        if read is _skip:
            at += size
            continue
        value = read(data[at : at + size])
        at += size
        if repeated:
            out.setdefault(name, []).append(value)
        else:
            out[name] = value
    return out
