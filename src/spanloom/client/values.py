"""Values of Python as values of protobuf. Nothing that a program may hold makes them fail."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.v1.span_pb2 import AttributeList, AttributeMap, AttributeValue

# The server refuses deeper JSON; what is deeper, or contains itself, is given as its `repr`.
_DEEPEST = 40
_EXACT = 2**53


def text(value: object) -> str:
    """A text that can be sent: half of a surrogate pair becomes "?"."""
    return str(value).encode("utf-8", "replace").decode()


def to_value(value: Any, depth: int = 0) -> Value:
    """Any object as JSON: numbers that JSON does not have and objects of other types as text."""
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        whole = isinstance(value, int) and abs(value) <= _EXACT
        if whole or (isinstance(value, float) and math.isfinite(value)):
            return Value(number_value=value)
        return Value(string_value=str(value))
    if isinstance(value, str):
        return Value(string_value=text(value))
    if depth < _DEEPEST:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return Value(struct_value=to_struct(value, depth))
        if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
            items = [to_value(item, depth + 1) for item in value]
            return Value(list_value=ListValue(values=items))
    return Value(string_value=_shown(value))


def to_struct(value: Mapping[Any, Any], depth: int = 0) -> Struct:
    """A mapping as a JSON object."""
    fields = {text(name): to_value(item, depth + 1) for name, item in value.items()}
    return Struct(fields=fields)


def to_attribute(value: Any, depth: int = 0) -> AttributeValue:
    """Any object as an attribute; integers of 64 bits and bytes are kept."""
    match value:
        case bool():
            return AttributeValue(bool_value=value)
        case int() if -(2**63) <= value < 2**63:
            return AttributeValue(int_value=value)
        case float():
            return AttributeValue(double_value=value)
        case bytes():
            return AttributeValue(bytes_value=value)
        case str():
            return AttributeValue(string_value=text(value))
        case Mapping() if depth < _DEEPEST:
            fields = {text(name): to_attribute(item, depth + 1) for name, item in value.items()}
            return AttributeValue(map_value=AttributeMap(fields=fields))
        case list() | tuple() if depth < _DEEPEST:
            items = [to_attribute(item, depth + 1) for item in value]
            return AttributeValue(list_value=AttributeList(values=items))
        case None:
            return AttributeValue()
    return AttributeValue(string_value=_shown(value))


def to_timestamp(value: datetime | Timestamp | None) -> Timestamp | None:
    """A time. One without a time zone is in the local one, as Python has it."""
    if not isinstance(value, datetime):
        return value
    made = Timestamp()
    made.FromDatetime(value.astimezone())
    return made


def timestamp_of(nanoseconds: int) -> Timestamp:
    """A time, in nanoseconds since 1970."""
    return Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


def is_past(value: Timestamp) -> bool:
    """Whether a time has passed, by this machine's clock."""
    return value.ToNanoseconds() <= time.time_ns()


def _shown(value: object) -> str:
    try:
        return text(repr(value))
    except Exception:  # noqa: BLE001 - the program's own code, which must not fail because of us
        return f"<{type(value).__name__}>"
