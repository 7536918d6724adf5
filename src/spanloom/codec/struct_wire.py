"""JSON values to and from `google.protobuf.Struct`, `Value` and `ListValue`, quicker than one setter at a time.

Both ways go through protobuf wire bytes: writing makes them in Python, to be parsed once (`Struct.FromString(struct_wire(obj))`);
reading takes what the runtime serializes. Numbers are doubles: integers lose digits past 2^53.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Every protobuf runtime reads 100 levels of messages by default. Ten are left for the messages that such a value is put in.
# In a Struct each object takes three levels (map entry, Value, Struct), each list two (Value, ListValue).
MAX_LEVELS = 90
MOST_VIOLATIONS = 100

SMALL = 2048
_EXACT = 2.0**53
_MOST_KEYS = 4096
_LONGEST_KEY = 64
_LONGEST_PATH = 400

_double: Callable[[float], bytes] = struct.Struct("<d").pack


class JsonError(ValueError):
    """JSON that does not fit its message. `violations` holds (field path, description) pairs, at most `MOST_VIOLATIONS`.

    A path is like `events[3].event_type`, in the JSON names of the fields; "" is the document itself. Both texts are valid
    Unicode whatever the input was.
    """

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        self.violations = [
            (_clean(path), _clean(why)) for path, why in violations[:MOST_VIOLATIONS]
        ]
        super().__init__("; ".join(f"{p}: {why}" if p else why for p, why in self.violations))


# What writing one value may raise: containers turn each into violations under the value's own path.
FAULTS = (JsonError, UnicodeEncodeError, OverflowError, struct.error)


def fault(why: str, path: str = "") -> JsonError:
    """A JsonError with one violation."""
    return JsonError([(path, why)])


def under(segment: str, error: Exception) -> list[tuple[str, str]]:
    """The violations of a value's error (one of `FAULTS`), seen from the container that holds the value at `segment`."""
    if isinstance(error, JsonError):
        return [
            (f"{segment}{'.' if segment and path and path[0] != '[' else ''}{path}", why)
            for path, why in error.violations
        ]
    if isinstance(error, UnicodeEncodeError):
        return [
            (segment, "is not valid Unicode: it has a lone surrogate, or bytes that are not UTF-8")
        ]
    return [(segment, "is beyond the range of a double")]


def varint(n: int) -> bytes:
    """A non-negative integer as protobuf's base-128 varint."""
    if n < SMALL:
        return VARINTS[n]
    return _varint(n)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _value_head(tag: int, size: int) -> bytes:
    """What stands before `size` bytes of a string, Struct or ListValue that is a Value: the Value's length, tag, length."""
    inner = bytes((tag,)) + _varint(size)
    return _varint(len(inner) + size) + inner


VARINTS = [_varint(n) for n in range(SMALL)]
_TEXT, _OBJECT, _LIST = 0x1A, 0x2A, 0x32
_TEXT_HEADS, _OBJECT_HEADS, _LIST_HEADS = (
    [_value_head(tag, n) for n in range(SMALL)] for tag in (_TEXT, _OBJECT, _LIST)
)
_ENTRY_HEADS = [b"\x0a" + size for size in VARINTS]
# Keys repeat from event to event, so their bytes are kept; emptied when full, for clients choose them. With the key alone, and
# with all of an entry that holds a number but the number.
_keys: dict[str, bytes] = {}
_number_keys: dict[str, bytes] = {}


def struct_wire(fields: Mapping[str, Any], levels: int = MAX_LEVELS) -> bytes:
    """The wire bytes of the Struct that holds a JSON object.

    `levels`: how many levels of messages may stand below it. Raises JsonError, with the paths of all that cannot be written:
    too deep, lone surrogates, NaN, infinities, integers beyond a double, and what is no JSON value.
    """
    if levels < 2:
        raise too_deep()
    levels -= 2
    out: list[bytes] = []
    bad: list[tuple[str, str]] = []
    for name, value in fields.items():
        try:
            kind = type(value)
            if (
                kind is str
            ):  # texts and numbers are most of all values: written here, without a call
                key = _keys.get(name) or _key(name)
                data = value.encode()
                size = len(data)
                head = _TEXT_HEADS[size] if size < SMALL else _value_head(_TEXT, size)
                size += len(key) + len(head)
                out += (_ENTRY_HEADS[size] if size < SMALL else _entry_head(size), key, head, data)
            elif kind is int or (
                kind is float and not value - value
            ):  # NaN and infinities leave more than 0
                out += (_number_keys.get(name) or _number_key(name), _double(value))
            else:
                key = _keys.get(name) or _key(name)
                data = sized_value(value, levels)
                size = len(key) + len(data)
                out += (_ENTRY_HEADS[size] if size < SMALL else _entry_head(size), key, data)
        except FAULTS as error:
            bad += under(name, error)
            if len(bad) >= MOST_VIOLATIONS:
                break
    if bad:
        raise JsonError(bad)
    return b"".join(out)


def list_wire(values: Sequence[Any], levels: int = MAX_LEVELS) -> bytes:
    """The wire bytes of the ListValue that holds a JSON array; as `struct_wire`."""
    if levels < 1:
        raise too_deep()
    levels -= 1
    out: list[bytes] = []
    bad: list[tuple[str, str]] = []
    for index, value in enumerate(values):
        try:
            out += (b"\x0a", sized_value(value, levels))
        except FAULTS as error:
            bad += under(f"[{index}]", error)
            if len(bad) >= MOST_VIOLATIONS:
                break
    if bad:
        raise JsonError(bad)
    return b"".join(out)


def value_wire(value: Any, levels: int = MAX_LEVELS) -> bytes:
    """The wire bytes of the Value that holds any JSON value; as `struct_wire`."""
    try:
        data = sized_value(value, levels)
    except FAULTS as error:
        raise JsonError(under("", error)) from None
    start = 1
    while data[start - 1] > 127:
        start += 1
    return data[start:]


def sized_value(value: Any, levels: int) -> bytes:
    """A Value with its length before it; as `struct_wire`, but raises any of `FAULTS`."""
    kind = type(value)
    data: bytes
    if kind is str:
        data = value.encode()
        size = len(data)
        return (_TEXT_HEADS[size] if size < SMALL else _value_head(_TEXT, size)) + data
    if kind is dict:
        data = struct_wire(value, levels - 1)
        size = len(data)
        return (_OBJECT_HEADS[size] if size < SMALL else _value_head(_OBJECT, size)) + data
    if kind is list:
        data = list_wire(value, levels - 1)
        size = len(data)
        return (_LIST_HEADS[size] if size < SMALL else _value_head(_LIST, size)) + data
    if kind is int or (kind is float and not value - value):
        return b"\x09\x11" + _double(value)
    if value is None:
        return b"\x02\x08\x00"
    if value is True:
        return b"\x02\x20\x01"
    if value is False:
        return b"\x02\x20\x00"
    if kind is float:
        raise fault("must be a finite number: JSON has no NaN or Infinity")
    raise fault(f"is not a JSON value: {kind.__name__}")


def _entry_head(size: int) -> bytes:
    return b"\x0a" + _varint(size)


def _key(name: str) -> bytes:
    data = name.encode()
    return _keep(_keys, name, b"\x0a" + _varint(len(data)) + data + b"\x12")


def _number_key(name: str) -> bytes:
    key = _keys.get(name) or _key(name)
    return _keep(_number_keys, name, _entry_head(len(key) + 10) + key + b"\x09\x11")


def _keep(cache: dict[str, bytes], name: str, data: bytes) -> bytes:
    if len(name) <= _LONGEST_KEY:
        if len(cache) >= _MOST_KEYS:
            cache.clear()
        cache[name] = data
    return data


def too_deep() -> JsonError:
    """The error of a value with too many levels of messages below it."""
    return fault(
        f"is nested too deeply: an object inside takes 3 levels, a list 2, and {MAX_LEVELS} are allowed in all"
    )


def _clean(text: str) -> str:
    if len(text) > _LONGEST_PATH:
        text = text[:_LONGEST_PATH] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def struct_object(message: Any) -> dict[str, Any]:
    """The JSON object in a Struct. Integral doubles up to 2^53 are ints; NaN and infinities, which JSON lacks, are texts.

    Objects and lists inside may be shared with other results: not to be changed.
    """
    return _read(_object, message)  # type: ignore[no-any-return]


def list_object(message: Any) -> list[Any]:
    """The JSON array in a ListValue; as `struct_object`."""
    return _read(_list, message)  # type: ignore[no-any-return]


def value_object(message: Any) -> Any:
    """The JSON value in a Value; as `struct_object`. A Value that holds nothing is null."""
    return _read(_value, message)


def message_fields(message: Any) -> dict[str, Any]:
    """The fields that are set in a message of texts, doubles, Structs and Values, by name; as `struct_object`.

    TypeError for a message that has a field of another type.
    """
    descriptor = message.DESCRIPTOR
    layout = _layouts.get(descriptor) or _layouts.setdefault(descriptor, _layout(descriptor))
    return _read(lambda data: _fields(layout, data), message)  # type: ignore[no-any-return]


# The runtime's own reflection takes a microsecond or two a value. Its serializer is native, so the bytes are read here instead,
# and what came before is known: keys, roles, models and whole configurations repeat from event to event.
_SHORT = 512
_entries: dict[bytes, tuple[str, Any]] = {}
_names: dict[bytes, str] = {}
_read_double = struct.Struct("<d").unpack_from


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
    """The object in a Struct's bytes, as the runtime writes them: each entry with its key, then its value."""
    out = {}
    at, end = 0, len(data)
    while at < end:
        if data[at] != 0x0A:
            raise _UnknownFieldError
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = _size(data, at - 1)
        entry = data[at : at + size]
        at += size
        if size > _SHORT:
            name, value = _entry(entry)
        else:
            known = _entries.get(entry)
            if known is None:
                known = _entry(entry)
                if len(_entries) >= _MOST_KEYS:
                    _entries.clear()
                _entries[entry] = known
            name, value = known
        out[name] = value
    return out


def _entry(data: bytes) -> tuple[str, Any]:
    size, at = data[1], 2
    if size > 127:
        size, at = _size(data, 1)
    end = at + size
    key = data[at:end]
    if data[0] != 0x0A or data[end] != 0x12:
        raise _UnknownFieldError
    size, at = data[end + 1], end + 2
    if size > 127:
        size, at = _size(data, end + 1)
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
        size, at = _size(data, at + 1)
        out.append(_value(data[at : at + size]))
        at += size
    return out


def _value(data: bytes, at: int = 0) -> Any:
    """The value in a Value's bytes, which begin at `at` and end with the data."""
    if at == len(data):
        return None
    tag = data[at]
    if tag in _SIZED:
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = _size(data, at - 1)
        if at + size != len(data):
            raise _UnknownFieldError
        if tag == _TEXT:
            return data[at:].decode()
        return _object(data[at:]) if tag == _OBJECT else _list(data[at:])
    if tag == _NUMBER:
        end = at + 9
        value: Any = json_number(_read_double(data, at + 1)[0])
    else:
        end = at + 2
        value = None if tag == _NULL else data[at + 1] != 0
    if end != len(data) or tag not in _FIXED:
        raise _UnknownFieldError
    return value


_NULL, _NUMBER, _BOOL = 0x08, 0x11, 0x20
_SIZED, _FIXED = (_TEXT, _OBJECT, _LIST), (_NULL, _NUMBER, _BOOL)

# By tag: a field's name, whether it is repeated, and how its bytes are read (None for a double).
_Layout = dict[int, tuple[str, bool, Callable[[bytes], Any] | None]]
_layouts: dict[Any, _Layout] = {}


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


_READERS: dict[str, Callable[[bytes], Any]] = {
    "google.protobuf.Struct": _object,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Value": _value,
}


def _fields(layout: _Layout, data: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _size(data, at - 1)
        field = layout.get(tag)
        if field is None:
            raise _UnknownFieldError
        name, repeated, read = field
        if read is None:
            out[name] = _read_double(data, at)[0]
            at += 8
            continue
        size = data[at]
        at += 1
        if size > 127:
            size, at = _size(data, at - 1)
        value = read(data[at : at + size])
        at += size
        if repeated:
            out.setdefault(name, []).append(value)
        else:
            out[name] = value
    return out


def _size(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `at`, and where what follows it begins."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    size, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        size |= (byte & 127) << shift
        if byte < 128:
            return size, at + 1
        shift += 7


def json_number(value: float) -> int | float | str:
    """A double as JSON has it: integral ones to 2^53 as int, "NaN", "Infinity" and "-Infinity" as text."""
    if -_EXACT < value < _EXACT:
        whole = int(value)
        if whole != value or (not whole and math.copysign(1, value) < 0):
            return value
        return whole
    if value - value:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
