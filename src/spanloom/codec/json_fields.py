"""JSON of a span's body into the Struct and Value fields of a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
from google.protobuf.message import Message

from spanloom.codec.json_error import MAX_LEVELS, JsonError
from spanloom.codec.struct_writer import struct_wire, value_wire
from spanloom.codec.varint import varint
from spanloom.model import Json

_LENGTH_DELIMITED = 2
# What one object inside another takes: map entry, Value, Struct.
_LEVELS_AN_OBJECT = 3


def put_json(message: Message, values: Mapping[str, Json], levels: int = MAX_LEVELS) -> None:
    """Set Struct and Value fields by name; a Struct takes objects only.

    Args:
        levels: How many levels of messages may be below such a field. What is nested deeper is set
            as its JSON text, so that no body makes an answer that cannot be read.
    """
    writers = _writers(message.DESCRIPTOR)
    wire = bytearray()
    for name, value in values.items():
        tag, write = writers[name]
        try:
            data = write(value, levels)
        except JsonError:
            data = write(_flattened(value, levels // _LEVELS_AN_OBJECT - 1), levels)
        wire += tag + varint(len(data)) + data
    message.MergeFromString(bytes(wire))


@cache
def _writers(descriptor: Any) -> dict[str, tuple[bytes, Callable[[Any, int], bytes]]]:
    """By field name: the field's wire tag, and what writes its value."""
    write = {"google.protobuf.Struct": struct_wire, "google.protobuf.Value": value_wire}
    return {
        field.name: (
            varint(field.number << 3 | _LENGTH_DELIMITED),
            write[field.message_type.full_name],
        )
        for field in descriptor.fields
        if field.message_type is not None and field.message_type.full_name in write
    }


def _flattened(value: Json, levels: int) -> Json:
    """The value with everything `levels` containers deep as JSON text."""
    if not isinstance(value, dict | list):
        return value
    if levels <= 0:
        return orjson.dumps(value).decode()
    if isinstance(value, dict):
        return {key: _flattened(item, levels - 1) for key, item in value.items()}
    return [_flattened(item, levels - 1) for item in value]
