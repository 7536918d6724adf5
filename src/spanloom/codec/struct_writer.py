"""JSON values to the wire bytes of `google.protobuf.Struct`, `Value` and `ListValue`.

The bytes are made in Python and parsed once (`Struct.FromString(struct_wire(fields))`), which is
quicker than one setter a value. Numbers are doubles: integers lose digits past 2^53.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spanloom.codec.json_error import (
    CONVERSION_ERRORS,
    MAX_LEVELS,
    MOST_VIOLATIONS,
    JsonError,
    prefix_path,
    too_deep,
    violation,
)
from spanloom.codec.varint import SMALL, VARINTS, varint

_MOST_KEYS = 4096
_LONGEST_KEY = 64

_double: Callable[[float], bytes] = struct.Struct("<d").pack


def _value_head(tag: int, size: int) -> bytes:
    """The bytes before a string, Struct or ListValue of `size` bytes that is a Value.

    These are the length of the Value, the tag, and `size`.
    """
    inner = bytes((tag,)) + varint(size)
    return varint(len(inner) + size) + inner


_TEXT, _OBJECT, _LIST = 0x1A, 0x2A, 0x32
_TEXT_HEADS, _OBJECT_HEADS, _LIST_HEADS = (
    [_value_head(tag, n) for n in range(SMALL)] for tag in (_TEXT, _OBJECT, _LIST)
)
_ENTRY_HEADS = [b"\x0a" + size for size in VARINTS]
# Keys repeat from event to event, so their bytes are kept: with the key alone, and with all of an
# entry that holds a number but the number. The tables are emptied when full, for clients choose the
# keys.
_keys: dict[str, bytes] = {}
_number_keys: dict[str, bytes] = {}


def struct_wire(fields: Mapping[str, Any], levels: int = MAX_LEVELS) -> bytes:
    """The bytes of the Struct that holds a JSON object.

    Args:
        levels: How many levels of messages may be below it.

    Raises:
        JsonError: Names all that cannot be written: what is nested too deeply, lone surrogates,
            NaN, infinities, integers beyond a double, and what is no JSON value.
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
            ):  # most values are texts and numbers: they are written here, without a call
                key = _keys.get(name) or _key(name)
                data = value.encode()
                size = len(data)
                head = _TEXT_HEADS[size] if size < SMALL else _value_head(_TEXT, size)
                size += len(key) + len(head)
                out += (_ENTRY_HEADS[size] if size < SMALL else _entry_head(size), key, head, data)
            elif kind is int or (
                kind is float and not value - value
            ):  # NaN and infinities leave NaN
                out += (_number_keys.get(name) or _number_key(name), _double(value))
            else:
                key = _keys.get(name) or _key(name)
                data = length_delimited_value(value, levels)
                size = len(key) + len(data)
                out += (_ENTRY_HEADS[size] if size < SMALL else _entry_head(size), key, data)
        except CONVERSION_ERRORS as error:
            bad += prefix_path(name, error)
            if len(bad) >= MOST_VIOLATIONS:
                break
    if bad:
        raise JsonError(bad)
    return b"".join(out)


def list_wire(values: Sequence[Any], levels: int = MAX_LEVELS) -> bytes:
    """The bytes of the ListValue that holds a JSON array; as `struct_wire`."""
    if levels < 1:
        raise too_deep()
    levels -= 1
    out: list[bytes] = []
    bad: list[tuple[str, str]] = []
    for index, value in enumerate(values):
        try:
            out += (b"\x0a", length_delimited_value(value, levels))
        except CONVERSION_ERRORS as error:
            bad += prefix_path(f"[{index}]", error)
            if len(bad) >= MOST_VIOLATIONS:
                break
    if bad:
        raise JsonError(bad)
    return b"".join(out)


def value_wire(value: Any, levels: int = MAX_LEVELS) -> bytes:
    """The bytes of the Value that holds any JSON value; as `struct_wire`."""
    try:
        data = length_delimited_value(value, levels)
    except CONVERSION_ERRORS as error:
        raise JsonError(prefix_path("", error)) from None
    start = 1
    while data[start - 1] > 127:
        start += 1
    return data[start:]


def length_delimited_value(value: Any, levels: int) -> bytes:
    """A Value after its length; as `struct_wire`, but raises any of `CONVERSION_ERRORS`."""
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
        raise violation("must be a finite number: JSON has no NaN or Infinity")
    raise violation(f"is not a JSON value: {kind.__name__}")


def _entry_head(size: int) -> bytes:
    return b"\x0a" + varint(size)


def _key(name: str) -> bytes:
    data = name.encode()
    return _keep(_keys, name, b"\x0a" + varint(len(data)) + data + b"\x12")


def _number_key(name: str) -> bytes:
    key = _keys.get(name) or _key(name)
    return _keep(_number_keys, name, _entry_head(len(key) + 10) + key + b"\x09\x11")


def _keep(cache: dict[str, bytes], name: str, data: bytes) -> bytes:
    if len(name) <= _LONGEST_KEY:
        if len(cache) >= _MOST_KEYS:
            cache.clear()
        cache[name] = data
    return data
