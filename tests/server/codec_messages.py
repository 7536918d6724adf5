"""Messages for tests and benchmark of the codec, built at run time.

`Every` has every kind of field that the codec reads, `Batch` is the documented batch of events.
"""

from __future__ import annotations

import itertools
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor

# Loaded, so that the pool knows the types.
from google.protobuf import (  # isort: skip
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

Field = descriptor_pb2.FieldDescriptorProto

WELL_KNOWN_FILES = [
    module.DESCRIPTOR.name
    for module in (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
]
SCALARS = {
    name: getattr(Field, f"TYPE_{name.upper()}")
    for name in ("double", "bool", "string", "int32", "int64", "uint32")
}
# Scalars that the codec does not know.
OTHER_SCALARS = {
    name: getattr(Field, f"TYPE_{name.upper()}")
    for name in (
        *("float", "uint64", "sint32", "sint64"),
        *("fixed32", "fixed64", "sfixed32", "sfixed64"),
    )
}


class FileBuilder:
    """Builds a proto3 file.

    A field's type is a scalar's name, or the full name of a message (".p.M") or enum ("enum .p.E").
    """

    def __init__(self, name: str, package: str) -> None:
        self.proto = descriptor_pb2.FileDescriptorProto(
            name=name, package=package, syntax="proto3", dependency=WELL_KNOWN_FILES
        )

    def message(self, name: str) -> MessageBuilder:
        return MessageBuilder(self, self.proto.message_type.add(name=name))

    def classes(self, *names: str) -> list[Any]:
        pool = descriptor_pool.Default()
        pool.AddSerializedFile(self.proto.SerializeToString())
        return [
            message_factory.GetMessageClass(
                pool.FindMessageTypeByName(f"{self.proto.package}.{name}")
            )
            for name in names
        ]


class MessageBuilder:
    def __init__(self, file: FileBuilder, proto: descriptor_pb2.DescriptorProto) -> None:
        self.file, self.proto = file, proto

    def field(
        self,
        name: str,
        kind: str,
        *,
        label: str = "",
        oneof: str = "",
        json_name: str = "",
        number: int = 0,
    ) -> MessageBuilder:
        """`label`: "" (implicit presence), "optional" or "repeated"."""
        proto = self.proto.field.add(name=name, number=number or len(self.proto.field) + 1)
        proto.label = Field.LABEL_REPEATED if label == "repeated" else Field.LABEL_OPTIONAL
        if json_name:
            proto.json_name = json_name
        scalar = SCALARS.get(kind) or OTHER_SCALARS.get(kind)
        if scalar:
            proto.type = scalar
        elif kind.startswith("enum "):
            proto.type, proto.type_name = Field.TYPE_ENUM, kind.removeprefix("enum ")
        else:
            proto.type, proto.type_name = Field.TYPE_MESSAGE, kind
        if label == "optional":
            proto.proto3_optional = True
            oneof = f"_{name}"
        if oneof:
            names = [o.name for o in self.proto.oneof_decl]
            if oneof not in names:
                self.proto.oneof_decl.add(name=oneof)
                names.append(oneof)
            proto.oneof_index = names.index(oneof)
        return self

    def map(self, name: str, key: str, value: str) -> MessageBuilder:
        entry_name = "".join(part.title() for part in name.split("_")) + "Entry"
        entry = MessageBuilder(self.file, self.proto.nested_type.add(name=entry_name))
        entry.field("key", key).field("value", value)
        entry.proto.options.map_entry = True
        package = self.file.proto.package
        return self.field(name, f".{package}.{self.proto.name}.{entry_name}", label="repeated")


def _every_kind() -> list[Any]:
    """`Every`: scalars (also optional, repeated), maps, oneof, enums, well-known types, itself."""
    file = FileBuilder("codec_test/every.proto", "codec_test")
    enum = file.proto.enum_type.add(name="Color")
    for number, name in enumerate(("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_GREEN")):
        enum.value.add(name=name, number=number)
    enum.value.add(name="COLOR_NEGATIVE", number=-7)
    child = file.message("Child").field("name", "string").field("item_count", "int32")
    child.field("labels", "string", label="repeated").field("more", ".codec_test.Every")
    every = file.message("Every")
    # First, for the oneofs of optional fields must follow it.
    every.field("chosen_text", "string", oneof="choice")
    every.field("chosen_number", "int64", oneof="choice")
    every.field("chosen_child", ".codec_test.Child", oneof="choice")
    every.field("chosen_value", ".google.protobuf.Value", oneof="choice")
    for name in SCALARS:
        every.field(f"a_{name}", name)
        every.field(f"optional_{name}", name, label="optional")
        every.field(f"repeated_{name}", name, label="repeated")
    for name in SCALARS:
        every.map(f"{name}_by_string", "string", name)
    color = "enum .codec_test.Color"
    every.field("color", color).field("optional_color", color, label="optional")
    every.field("repeated_color", color, label="repeated").map("color_by_name", "string", color)
    every.map("child_by_name", "string", ".codec_test.Child")
    every.map("value_by_name", "string", ".google.protobuf.Value")
    every.field("child", ".codec_test.Child")
    every.field("children", ".codec_test.Child", label="repeated")
    for name in ("Duration", "Empty", "FieldMask", "Struct", "Timestamp"):
        every.field(f"wkt_{name.lower()}", f".google.protobuf.{name}")
        every.field(f"many_{name.lower()}", f".google.protobuf.{name}", label="repeated")
    every.field("wkt_value", ".google.protobuf.Value")
    every.field("many_value", ".google.protobuf.Value", label="repeated")
    every.field("snake_named", "string", json_name="snake_named")
    every.field("odd_named", "string", json_name="$odd")
    return file.classes("Every", "Child")


def _documented_batch() -> list[Any]:
    """`Batch`: the documented body of POST /events/batch, with snake_case JSON names."""
    file = FileBuilder("codec_test/batch.proto", "codec_test.batch")

    def snake(message: MessageBuilder, name: str, kind: str, label: str = "") -> None:
        message.field(name, kind, label=label, json_name=name)

    event, properties = file.message("Event"), file.message("SessionProperties")
    for name in ("event_id", "event_type", "event_name", "source", "project"):
        snake(event, name, "string")
    for name in ("session_id", "parent_id", "error"):
        snake(event, name, "string", "optional")
    snake(event, "children_ids", "string", "repeated")
    for name in ("start_time", "end_time", "duration"):
        snake(event, name, "double", "optional")
    for name in ("source", "session_name", "session_id", "error"):
        snake(properties, name, "string", "optional")
    for name in ("inputs", "outputs", "metadata", "metrics", "feedback", "user_properties"):
        snake(event, name, ".google.protobuf.Struct")
        snake(properties, name, ".google.protobuf.Struct")
    snake(event, "config", ".google.protobuf.Struct")
    batch = file.message("Batch")
    snake(batch, "events", ".codec_test.batch.Event", "repeated")
    snake(batch, "is_single_session", "bool", "optional")
    snake(batch, "session_properties", ".codec_test.batch.SessionProperties")
    return file.classes("Batch")


def message_with(kind: str, *, map_key: str = "") -> Any:
    """The class of a message whose inner message has a field `odd` of that type, or a map to it."""
    number = next(_files)
    file = FileBuilder(f"codec_test/odd_{number}.proto", f"codec_test.odd_{number}")
    inner = file.message("Inner")
    if map_key:
        inner.map("odd", map_key, kind)
    else:
        inner.field("odd", kind)
    file.message("Outer").field("inner", f".codec_test.odd_{number}.Inner")
    (outer,) = file.classes("Outer")
    return outer


_files = itertools.count()
Every, Child = _every_kind()
(Batch,) = _documented_batch()

_services = itertools.count()


def method(rule: http_pb2.HttpRule | None) -> MethodDescriptor:
    """The descriptor of an RPC from `Every` to `Every` with this google.api.http rule."""
    number = next(_services)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"codec_test/service_{number}.proto",
        package=f"codec_test.service_{number}",
        syntax="proto3",
        dependency=["codec_test/every.proto", "google/api/annotations.proto"],
    )
    proto = file.service.add(name="Things").method.add(
        name="Do", input_type=".codec_test.Every", output_type=".codec_test.Every"
    )
    if rule is not None:
        proto.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{file.package}.Things").methods[0]
