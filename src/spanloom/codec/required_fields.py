"""Which fields of a request have to be set: what `google.api.field_behavior` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from google.api.field_behavior_pb2 import REQUIRED, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from spanloom.codec.json_shape import map_fields


class _Plan(NamedTuple):
    """The names of required fields, and whether HasField tells whether they are set; the names of
    fields with messages that have required fields themselves, and whether they are lists."""

    required: tuple[tuple[str, bool], ...]
    inner: tuple[tuple[str, bool], ...]


def missing_fields(message: Any, at: str = "") -> Iterator[str]:
    """The paths of required fields that are not set, like `spans[3].tool.name`, also in the
    messages that are set in the message. Maps are not looked into.

    Args:
        at: Begins each path.
    """
    plan = _plan(message.DESCRIPTOR)
    for name, has_presence in plan.required:
        if not (message.HasField(name) if has_presence else getattr(message, name)):
            yield at + name
    for name, is_list in plan.inner:
        if is_list:
            for index, item in enumerate(getattr(message, name)):
                yield from missing_fields(item, f"{at}{name}[{index}].")
        elif message.HasField(name):
            yield from missing_fields(getattr(message, name), f"{at}{name}.")


@cache
def _plan(descriptor: Descriptor) -> _Plan:
    fields = descriptor.fields
    return _Plan(
        tuple((f.name, f.has_presence) for f in fields if _is_required(f)),
        tuple(
            (f.name, f.is_repeated)
            for f in fields
            if f.message_type is not None
            and not map_fields(f)
            and _has_required(f.message_type, frozenset())
        ),
    )


def _is_required(field: FieldDescriptor) -> bool:
    return REQUIRED in field.GetOptions().Extensions[field_behavior]


def _has_required(descriptor: Descriptor, above: frozenset[str]) -> bool:
    """Whether a message, or one in it, has required fields; `above` are those that it is in."""
    if descriptor.full_name in above:
        return False
    inside = above | {descriptor.full_name}
    return any(
        _is_required(field)
        or (field.message_type is not None and _has_required(field.message_type, inside))
        for field in descriptor.fields
        if not map_fields(field)
    )
