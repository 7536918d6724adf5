"""OTLP attribute values as compact typed JSON, and back without loss.

What a string, a boolean, an integer, a finite double or an array is in JSON says its type by
itself: an integer has no decimal point, a double always has one or an exponent. All else is an
object with one key:

    {"bytes": base64}   {"kvlist": attributes}   {"double": "NaN" | "Infinity" | "-Infinity"}
    {"strindex": n}     an index into a profile's string table
    {"unset": true}     a key without any value; null is a value that holds nothing

Attributes are an object in the order sent; where a key is given twice, or is an index into a string
table, they are a list of [key, value]. Source: opentelemetry/proto/common/v1/common.proto.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanloom.model import Json

_HOLDERS = frozenset({dict, list})
_NO_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def attributes_json(pairs: Any) -> Json:
    """The attributes of a repeated KeyValue."""
    out: dict[str, Json] = {}
    for pair in pairs:
        value = pair.value
        # Most values are texts, and most of the others are counts.
        out[pair.key] = value.string_value or value.int_value or _rest_json(pair, value)
    if len(out) == len(pairs) and ("" not in out or not any(pair.key_strindex for pair in pairs)):
        return out
    return [
        [pair.key_strindex or pair.key, pair.value.string_value or _rest_json(pair, pair.value)]
        for pair in pairs
    ]


def _rest_json(pair: KeyValue, value: AnyValue) -> Json:
    found = value_json(value)
    return found if found is not None or pair.HasField("value") else {"unset": True}


def value_json(value: AnyValue) -> Json:
    """One value."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    write = _WRITERS.get(kind)
    return getattr(value, kind) if write is None else write(getattr(value, kind))


def _double_json(value: float) -> Json:
    if value - value == 0:
        return value
    return {"double": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}


_WRITERS: dict[str, Callable[[Any], Json]] = {
    "double_value": _double_json,
    "bytes_value": lambda value: {"bytes": base64.b64encode(value).decode()},
    "array_value": lambda value: [item.string_value or value_json(item) for item in value.values],
    "kvlist_value": lambda value: {"kvlist": attributes_json(value.values)},
    "string_value_strindex": lambda value: {"strindex": value},
}


def attribute_messages(attributes: Json) -> Iterable[KeyValue]:
    """The KeyValue messages that `attributes_json` made this of."""
    for key, value in attributes.items() if isinstance(attributes, dict) else attributes or ():
        pair = KeyValue(key_strindex=key) if isinstance(key, int) else KeyValue(key=key)
        if value != {"unset": True}:
            pair.value.SetInParent()
            fill_value(pair.value, value)
        yield pair


def fill_value(message: AnyValue, value: Json) -> None:
    """Set the value that `value_json` made this of."""
    kind = type(value)
    if kind is str:
        message.string_value = value
    elif kind is bool:
        message.bool_value = value
    elif kind is int:
        message.int_value = value
    elif kind is float:
        message.double_value = value
    elif kind is list:
        message.array_value.SetInParent()
        for item in value:
            fill_value(message.array_value.values.add(), item)
    elif value is not None:
        [(tag, inner)] = value.items()
        if tag == "kvlist":
            message.kvlist_value.SetInParent()
            message.kvlist_value.values.extend(attribute_messages(inner))
        elif tag == "bytes":
            message.bytes_value = base64.b64decode(inner)
        elif tag == "double":
            message.double_value = _NO_NUMBERS[inner]
        else:
            message.string_value_strindex = inner


def plain_attributes(attributes: Json) -> dict[str, Json]:
    """Attributes as an ordinary JSON object, for reading; of a key that is given twice, the last
    counts."""
    found: dict[str, Json] = (
        {str(key): value for key, value in attributes}
        if isinstance(attributes, list)
        else attributes
    )
    if _HOLDERS.isdisjoint(map(type, found.values())):
        return found
    return {
        key: plain_value(value) if type(value) in _HOLDERS else value
        for key, value in found.items()
    }


def plain_value(value: Json) -> Json:
    """A value as ordinary JSON: bytes are base64 text, NaN and the infinities their names."""
    kind = type(value)
    if kind is list:
        return [plain_value(item) for item in value]
    if kind is dict:
        [(tag, inner)] = value.items()
        if tag == "kvlist":
            return plain_attributes(inner)
        return None if tag == "unset" else inner
    return value
