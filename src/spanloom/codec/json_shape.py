"""What a descriptor says about the JSON of its messages: the names of fields, maps, well-known forms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from spanloom.codec.struct_wire import fault

WELL_KNOWN = frozenset(
    f"google.protobuf.{name}"
    for name in ("Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value")
)


@cache
def spellings(descriptor: Descriptor) -> dict[str, tuple[FieldDescriptor, tuple[str, ...]]]:
    """Every name that a field is read by, with the field and the names of it that come before this one.

    A field's JSON name, its proto name, and the lowerCamelCase of that (where `json_name` says otherwise). A JSON name goes
    before any field's proto name, and that before any camelCase.
    """
    found: dict[str, FieldDescriptor] = {}
    for name, field in _names(descriptor):
        found.setdefault(name, field)
    names: dict[FieldDescriptor, list[str]] = {}
    out = {}
    for name, field in found.items():
        before = names.setdefault(field, [])
        out[name] = field, tuple(before)
        before.append(name)
    return out


def _names(descriptor: Descriptor) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in descriptor.fields:
        yield field.json_name, field
    for field in descriptor.fields:
        yield field.name, field
    for field in descriptor.fields:
        yield lower_camel_case(field.name), field


def map_fields(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    """The key and the value of a map field's entries; None for a field that is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["key"], entry.fields_by_name["value"]


def is_wrapper(descriptor: Descriptor) -> bool:
    """Whether the type is one of google/protobuf/wrappers.proto, whose JSON is that of their value."""
    return descriptor.file.name == "google/protobuf/wrappers.proto"


def has_own_form(descriptor: Descriptor) -> bool:
    """Whether the type's JSON is not an object of its fields. An Any holds such JSON under "value"."""
    return descriptor.full_name in WELL_KNOWN or is_wrapper(descriptor)


def any_type(any_descriptor: Descriptor, url: str) -> Descriptor:
    """The type that an Any's type URL names, from the Any's own pool. JsonError when it is not there."""
    try:
        return any_descriptor.file.pool.FindMessageTypeByName(url.rpartition("/")[2])
    except KeyError:
        raise fault(f"is not a known type: {url!r}", "@type") from None


def lower_camel_case(name: str) -> str:
    """`start_time` to `startTime`, as protoc makes JSON names."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def snake_case(name: str) -> str:
    """`startTime` to `start_time`."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
