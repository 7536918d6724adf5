"""JSON scalars to protobuf wire bytes: one writer for each field.

Beyond the protobuf JSON mapping, a number or bool is taken for a string (its JSON text), blanks
around numeric texts are ignored, and "true" and "false" are bools.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from spanloom.codec.json_error import JsonError, describe, violation
from spanloom.codec.json_time import read_timestamp
from spanloom.codec.varint import SMALL, VARINTS, varint

# Takes a JSON value, how many levels of messages may be below it, and the state of the parse (the
# latter two are for messages). Gives a field's wire bytes with its tag, or raises one of
# `json_error.CONVERSION_ERRORS` without a path: only containers know where they are.
Write = Callable[..., bytes]

_VARINT, _FIXED64, _LENGTH_DELIMITED = 0, 1, 2  # wire types

_MASK = (1 << 64) - 1
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST_NUMBER = 400
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_MOST_NAMES = 12
# Doubles that are times in milliseconds since 1970.
_TIMES = frozenset({"start_time", "end_time"})
# Base64 has two alphabets, and both are read.
_URL_SAFE = str.maketrans("-_", "+/")
_RANGES: dict[int, tuple[int, int]] = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
}

_double: Callable[[float], bytes] = struct.Struct("<d").pack


def scalar_writer(field: FieldDescriptor) -> Write:
    """The writer of a field that is not a message, or of one element of it."""
    kind, number = field.type, field.number
    if kind in _RANGES:
        return _integer_writer(_tag(number, _VARINT), *_RANGES[kind])
    if kind == FieldDescriptor.TYPE_DOUBLE:
        read = _time if field.name in _TIMES else _number
        return _double_writer(_tag(number, _FIXED64), read)
    if kind == FieldDescriptor.TYPE_BOOL:
        return _bool_writer(_tag(number, _VARINT))
    if field.enum_type is not None:
        return _enum_writer(_tag(number, _VARINT), field.enum_type)
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes_writer(length_delimited_tag(number))
    return _string_writer(length_delimited_tag(number))


def length_delimited_tag(number: int) -> bytes:
    """The tag of a field of strings or messages."""
    return _tag(number, _LENGTH_DELIMITED)


def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def _string_writer(tag: bytes) -> Write:
    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        if type(value) is not str:
            value = _string(value)
        data: bytes = value.encode()
        size = len(data)
        return tag + (VARINTS[size] if size < SMALL else varint(size)) + data

    return write


def _bytes_writer(tag: bytes) -> Write:
    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        if type(value) is not str:
            raise violation(f"must be a string in base64, not {describe(value)}")
        text = value.translate(_URL_SAFE).rstrip("=")
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            raise violation(f"must be base64, not {describe(value)}") from None
        return tag + varint(len(data)) + data

    return write


def _string(value: Any) -> str:
    """The JSON text of a number or bool."""
    if type(value) in (int, float, bool) and not value - value:
        return json.dumps(value)
    raise violation(f"must be a string, not {describe(value)}")


def _bool_writer(tag: bytes) -> Write:
    yes, no = tag + b"\x01", tag + b"\x00"

    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        if type(value) is str:
            value = {"true": True, "false": False}.get(value.strip().lower(), value)
        if value is True:
            return yes
        if value is False:
            return no
        raise violation(f"must be true or false, not {describe(value)}")

    return write


def _double_writer(tag: bytes, read: Callable[[Any], float]) -> Write:
    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        kind = type(value)
        # NaN and infinities leave more than 0.
        if kind is not int and (kind is not float or value - value):
            value = read(value)
        try:
            return tag + _double(value)
        except (OverflowError, struct.error):
            raise violation("is out of the range of a double") from None

    return write


def _time(value: Any) -> float:
    """The milliseconds since 1970 of an ISO 8601 text, or the number."""
    if type(value) is str and not _is_number(value.strip()):
        seconds, nanos = read_timestamp(value)
        return (seconds * 1_000_000_000 + nanos) / 1_000_000
    return _number(value)


def _number(value: Any) -> float:
    """The number in a numeric text, "NaN", "Infinity" or "-Infinity"."""
    if type(value) is str:
        text = value.strip()
        if text in _SPECIAL:
            return _SPECIAL[text]
        if _is_number(text):
            number = float(text)
            if number - number:
                raise OverflowError
            return number
    elif type(value) is float:
        raise violation('must be a finite number (or the string "NaN", "Infinity" or "-Infinity")')
    raise violation(f"must be a number, not {describe(value)}")


def _integer_writer(tag: bytes, low: int, high: int) -> Write:
    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        if type(value) is not int:
            value = _integer(value)
        if not low <= value <= high:
            raise violation(f"is out of range: must be from {low} to {high}")
        return tag + varint(value & _MASK)

    return write


def _integer(value: Any) -> int:
    """The integer in a float or a numeric text."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str:
        text = value.strip()
        if _is_number(text):
            number = Decimal(text)
            if number == number.to_integral_value():
                return int(number)
    raise violation(f"must be an integer, not {describe(value)}")


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None


def _enum_writer(tag: bytes, enum: EnumDescriptor) -> Write:
    names = {value.name: tag + varint(value.number & _MASK) for value in enum.values}
    words = ", ".join(names) if len(names) <= _MOST_NAMES else enum.full_name
    # Enums are open: they keep numbers that they do not know.
    low, high = _RANGES[FieldDescriptor.TYPE_INT32]

    def write(value: Any, levels: int = 0, state: object = None) -> bytes:
        if type(value) is str and value in names:
            return names[value]
        try:
            number = value if type(value) is int else _integer(value)
        except JsonError:
            number = None
        if number is None or not low <= number <= high:
            raise violation(f"must be one of {words}, not {describe(value)}")
        return tag + varint(number & _MASK)

    return write
