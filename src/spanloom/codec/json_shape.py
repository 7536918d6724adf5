"""What a descriptor says about the JSON of its messages: names of fields, maps, supported types."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

# Messages whose JSON is not an object of their fields.
WELL_KNOWN = frozenset(
    f"google.protobuf.{name}" for name in ("Duration", "FieldMask", "Struct", "Timestamp", "Value")
)
_SCALARS = frozenset(
    {
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_UINT32,
    }
)
_KEYS = _SCALARS - {FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_DOUBLE}
_KINDS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


class UnsupportedTypeError(ValueError):
    """A field whose type this codec does not read and print. The text names the field."""


def check_supported(descriptor: Descriptor) -> None:
    """Check that all fields of a message, and of the messages in it, have types of this codec.

    These are string, bytes, bool, double, int32, int64, uint32, open enums, messages, maps with
    string or integer keys, and `WELL_KNOWN`.

    Raises:
        UnsupportedTypeError: One of them has another type.
    """
    _check(descriptor, set())


def _check(descriptor: Descriptor, checked: set[str]) -> None:
    if descriptor.full_name in WELL_KNOWN or descriptor.full_name in checked:
        return
    checked.add(descriptor.full_name)
    for field in descriptor.fields:
        entry = map_fields(field)
        if entry and entry[0].type not in _KEYS:
            raise UnsupportedTypeError(
                f"{field.full_name}: the keys of JSON maps are strings or integers"
            )
        value = entry[1] if entry else field
        if value.message_type is not None:
            if _is_special(value.message_type):
                name = value.message_type.full_name
                raise UnsupportedTypeError(
                    f"{field.full_name}: the JSON of {name} is not supported"
                )
            _check(value.message_type, checked)
        elif value.enum_type is not None:
            if (
                value.enum_type.is_closed
                or value.enum_type.full_name == "google.protobuf.NullValue"
            ):
                name = value.enum_type.full_name
                raise UnsupportedTypeError(f"{field.full_name}: the enum {name} is not supported")
        elif value.type not in _SCALARS:
            raise UnsupportedTypeError(
                f"{field.full_name}: the type {_KINDS[value.type]} is not supported in JSON"
            )


def _is_special(descriptor: Descriptor) -> bool:
    """Whether protobuf's JSON mapping has a form for the type that this codec does not have."""
    is_wrapper = descriptor.file.name == "google/protobuf/wrappers.proto"
    return is_wrapper or descriptor.full_name in (
        "google.protobuf.Any",
        "google.protobuf.ListValue",
    )


@cache
def spellings(descriptor: Descriptor) -> dict[str, tuple[FieldDescriptor, tuple[str, ...]]]:
    """Every name that a field is read by, with the field and its names of higher precedence.

    These are its JSON name, its proto name, and the lowerCamelCase of that (if `json_name` says
    otherwise). A JSON name precedes any field's proto name, and that precedes any camelCase.
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


def has_own_form(descriptor: Descriptor) -> bool:
    """Whether the type's JSON is not an object of its fields."""
    return descriptor.full_name in WELL_KNOWN


def lower_camel_case(name: str) -> str:
    """`start_time` to `startTime`, as protoc makes JSON names."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def snake_case(name: str) -> str:
    """`startTime` to `start_time`."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
