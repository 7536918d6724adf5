"""The strings of a message, each with its path as SpanService.ReadSpanText takes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from spanloom.codec.json_shape import map_fields
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.model import Json

_READERS = {"google.protobuf.Struct": struct_object, "google.protobuf.Value": value_object}


def strings(message: Any, without: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """(path, string) of all that is set, in the order of the fields' numbers; maps by key.

    Args:
        without: Names of fields that are left out.
    """
    for field, value in message.ListFields():
        if field.name not in without:
            yield from _of_field(field, value, field.name)


def _of_field(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if entry := map_fields(field):
        for key in sorted(value):
            yield from _of_value(entry[1], value[key], f"{path}.{step(str(key))}")
    elif field.is_repeated:
        for index, item in enumerate(value):
            yield from _of_value(field, item, f"{path}.{index}")
    else:
        yield from _of_value(field, value, path)


def _of_value(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if field.type == FieldDescriptor.TYPE_STRING:
        yield path, value
    elif field.message_type is not None:
        read = _READERS.get(field.message_type.full_name)
        if read is not None:
            yield from _of_json(read(value), path)
        else:
            for inner, item in value.ListFields():
                yield from _of_field(inner, item, f"{path}.{inner.name}")


def _of_json(value: Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _of_json(item, f"{path}.{step(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _of_json(item, f"{path}.{index}")


def step(key: str) -> str:
    """A key as a step of a path: one with a dot or a backtick is enclosed in backticks."""
    if "." in key or "`" in key:
        return "`" + key.replace("`", "``") + "`"
    return key
