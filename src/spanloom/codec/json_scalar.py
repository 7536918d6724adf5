"""JSON scalars to protobuf wire bytes: one writer for each field, strict or lenient."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from spanloom.codec.struct_wire import SMALL, VARINTS, JsonError, fault, varint

# Takes a JSON value, how many levels of messages may stand below it, and the parse that it is part of (the latter two are for
# messages). Gives a field's wire bytes with its tag, or raises one of `spanloom.codec.struct_wire.FAULTS` without a path: only the
# containers know where they are.
Write = Callable[..., bytes]

_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5  # wire types

_MASK = (1 << 64) - 1
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST_NUMBER = 400
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_URL_SAFE = str.maketrans("-_", "+/")
_MOST_NAMES = 12

_double: Callable[[float], bytes] = struct.Struct("<d").pack
_float: Callable[[float], bytes] = struct.Struct("<f").pack


def shown(value: Any) -> str:
    """A value for the text of an error: short, or only its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {value[:40]!r}{'…' if len(value) > 40 else ''}"
    return json.dumps(value)[:40]


def scalar_writer(field: FieldDescriptor, lenient: bool) -> Write:
    """The writer of a field that is not a message, or of one element of it.

    Strict: the protobuf JSON mapping. Lenient also takes a number or bool for a text (its JSON text), blanks around numeric
    texts, and "true" and "false" for bools.
    """
    kind, number = field.type, field.number
    if kind in _INTS:
        wire_type, low, high, encode = _INTS[kind]
        return _int_writer(_tag(number, wire_type), low, high, encode, lenient)
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return _float_writer(_tag(number, _FIXED64), _double, "double", lenient)
    if kind == FieldDescriptor.TYPE_FLOAT:
        return _float_writer(_tag(number, _FIXED32), _float, "32-bit float", lenient)
    if kind == FieldDescriptor.TYPE_BOOL:
        return _bool_writer(_tag(number, _VARINT), lenient)
    if field.enum_type is not None:
        return _enum_writer(_tag(number, _VARINT), field.enum_type)
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes_writer(sized_tag(number))
    return _string_writer(sized_tag(number), lenient)


def map_key_writer(field: FieldDescriptor) -> Write:
    """As `scalar_writer`, for the names in a JSON object that stands for a map."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool_key_writer(_tag(field.number, _VARINT))
    return scalar_writer(field, lenient=False)


def sized_tag(number: int) -> bytes:
    """The tag of a field of texts, bytes or messages."""
    return _tag(number, _SIZED)


def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def _string_writer(tag: bytes, lenient: bool) -> Write:
    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        if type(value) is not str:
            value = _text(value, lenient)
        data: bytes = value.encode()
        size = len(data)
        return tag + (VARINTS[size] if size < SMALL else varint(size)) + data

    return write


def _text(value: Any, lenient: bool) -> str:
    """The JSON text of a number or bool."""
    if lenient and type(value) in (int, float, bool) and not value - value:
        return json.dumps(value)
    raise fault(f"must be a text, not {shown(value)}")


def _bytes_writer(tag: bytes) -> Write:
    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        data = _from_base64(value)
        return tag + varint(len(data)) + data

    return write


def _from_base64(value: Any) -> bytes:
    """Of the standard or the URL-safe alphabet, padded or not."""
    if type(value) is str:
        digits = value.translate(_URL_SAFE).rstrip("=")
        try:
            return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except ValueError:
            pass
    raise fault(f"must be base64, not {shown(value)}")


def _bool_writer(tag: bytes, lenient: bool) -> Write:
    yes, no = tag + b"\x01", tag + b"\x00"

    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        if lenient and type(value) is str:
            value = {"true": True, "false": False}.get(value.strip().lower(), value)
        if value is True:
            return yes
        if value is False:
            return no
        raise fault(f"must be true or false, not {shown(value)}")

    return write


def _bool_key_writer(tag: bytes) -> Write:
    keys = {"true": tag + b"\x01", "false": tag + b"\x00"}

    def write(name: str, levels: int = 0, call: object = None) -> bytes:
        if name not in keys:
            raise fault("is not a key of this map: its keys are true and false")
        return keys[name]

    return write


def _float_writer(tag: bytes, pack: Callable[[float], bytes], name: str, lenient: bool) -> Write:
    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        kind = type(value)
        # NaN and infinities leave more than 0.
        if kind is not int and (kind is not float or value - value):
            value = _number(value, lenient)
        try:
            return tag + pack(value)
        except (OverflowError, struct.error):
            raise fault(f"is beyond the range of a {name}") from None

    return write


def _number(value: Any, lenient: bool) -> float:
    """The number in a numeric text, "NaN", "Infinity" or "-Infinity"."""
    if type(value) is str:
        text = value.strip() if lenient else value
        if text in _SPECIAL:
            return _SPECIAL[text]
        if _is_number(text):
            number = float(text)
            if number - number:
                raise OverflowError
            return number
    elif type(value) is float:
        raise fault('must be a finite number (or the text "NaN", "Infinity" or "-Infinity")')
    raise fault(f"must be a number, not {shown(value)}")


def _int_writer(
    tag: bytes, low: int, high: int, encode: Callable[[int], bytes], lenient: bool
) -> Write:
    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        if type(value) is not int:
            value = _whole(value, lenient)
        if not low <= value <= high:
            raise fault(f"is out of range: from {low} to {high}")
        return tag + encode(value)

    return write


def _whole(value: Any, lenient: bool) -> int:
    """The integer in a float or a numeric text."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str:
        text = value.strip() if lenient else value
        if _is_number(text):
            number = Decimal(text)
            if number == number.to_integral_value():
                return int(number)
    raise fault(f"must be a whole number, not {shown(value)}")


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None


def _enum_writer(tag: bytes, enum: EnumDescriptor) -> Write:
    names: dict[str | None, bytes] = {v.name: tag + _plain(v.number) for v in enum.values}
    words = ", ".join(v.name for v in enum.values) if len(names) <= _MOST_NAMES else enum.full_name
    if enum.full_name == "google.protobuf.NullValue":
        names[None] = tag + b"\x00"
    # Open enums keep numbers that they do not know.
    numbers = set(enum.values_by_number) if enum.is_closed else range(-(1 << 31), 1 << 31)

    def write(value: Any, levels: int = 0, call: object = None) -> bytes:
        if (value is None or type(value) is str) and value in names:
            return names[value]
        try:
            number = value if type(value) is int else _whole(value, lenient=True)
        except JsonError:
            number = None
        if number is None or number not in numbers:
            raise fault(f"must be one of {words}, not {shown(value)}")
        return tag + _plain(number)

    return write


def _plain(number: int) -> bytes:
    return varint(number & _MASK)


def _zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else ~(number << 1))


_RANGES = {
    "INT32": (-(1 << 31), (1 << 31) - 1),
    "INT64": (-(1 << 63), (1 << 63) - 1),
    "UINT32": (0, (1 << 32) - 1),
    "UINT64": (0, (1 << 64) - 1),
}
_INTS: dict[int, tuple[int, int, int, Callable[[int], bytes]]] = {
    FieldDescriptor.TYPE_INT32: (_VARINT, *_RANGES["INT32"], _plain),
    FieldDescriptor.TYPE_INT64: (_VARINT, *_RANGES["INT64"], _plain),
    FieldDescriptor.TYPE_UINT32: (_VARINT, *_RANGES["UINT32"], _plain),
    FieldDescriptor.TYPE_UINT64: (_VARINT, *_RANGES["UINT64"], _plain),
    FieldDescriptor.TYPE_SINT32: (_VARINT, *_RANGES["INT32"], _zigzag),
    FieldDescriptor.TYPE_SINT64: (_VARINT, *_RANGES["INT64"], _zigzag),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, *_RANGES["UINT32"], struct.Struct("<I").pack),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, *_RANGES["UINT64"], struct.Struct("<Q").pack),
    FieldDescriptor.TYPE_SFIXED32: (_FIXED32, *_RANGES["INT32"], struct.Struct("<i").pack),
    FieldDescriptor.TYPE_SFIXED64: (_FIXED64, *_RANGES["INT64"], struct.Struct("<q").pack),
}
