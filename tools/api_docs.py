"""Prints what is made of a compiled contract with comments.

`api_docs.py page <image>` prints docs/api.md. `api_docs.py comments <image>` prints the comments of
all elements by full name, as JSON, which the server's OpenAPI document shows.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from spanloom.v1 import access_pb2

PACKAGE = "spanloom.v1"
WIDTH = 100
# Spanloom's own API. The other services have the shapes of other products.
NATIVE = (
    *("SpanService", "ChatService", "QueryService", "ReviewService", "KeyService"),
    *("AttachmentService", "PriceService", "ProjectService"),
)
INTRODUCTION = f"""\
# API reference

This page is generated from the comments of the [proto files](../proto/spanloom/v1) by
`make generate`; do not edit it. [Stability](stability.md) states what may change.

{textwrap.fill(f"{', '.join(NATIVE[:-1])} and {NATIVE[-1]} are Spanloom's own API.", WIDTH)}

The other services have the shapes of other products, for programs that were written for these. In
JSON, names of fields are in lowerCamelCase (`traceId`), unless stated otherwise."""

T = TypeVar("T")
Path_ = tuple[int, ...]  # where an element is in its file, as in SourceCodeInfo
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6  # numbers of fields of FileDescriptorProto
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4  # of DescriptorProto
_MEMBERS = 2  # methods of a service, values of an enum


class Element(NamedTuple, Generic[T]):
    """A message or an enum with its name inside the package, its place and the comments around."""

    name: str
    proto: T
    path: Path_
    comments: dict[Path_, str]


Message = Element[DescriptorProto]
Enum = Element[EnumDescriptorProto]


def page(image: FileDescriptorSet) -> str:
    files = [file for file in image.file if file.package == PACKAGE]
    messages = sorted((m for file in files for m in _messages(file)), key=lambda m: m.name)
    enums = sorted((e for file in files for e in _enums(file)), key=lambda e: e.name)
    maps = {f".{PACKAGE}.{m.name}": m.proto for m in messages if m.proto.options.map_entry}
    services = sorted((s for file in files for s in _services(file)), key=_native_first)
    parts = [INTRODUCTION, "\n".join(_link(service.name) for service, *_ in services)]
    for service, path, comments in services:
        parts += [f"## {service.name}", *_paragraphs(comments[path])]
        for number, method in enumerate(service.method):
            parts.append(f"### {service.name}.{method.name}")
            parts.append(_signature(method))
            parts += _paragraphs(comments[*path, _MEMBERS, number])
    parts.append("## Messages")
    for message in messages:
        if not message.proto.options.map_entry:
            parts += _message(message, maps)
    parts.append("## Enums")
    for enum in enums:
        parts += _enum(enum)
    return "\n\n".join(parts) + "\n"


def _messages(file: FileDescriptorProto) -> Iterator[Message]:
    comments = _comments(file)
    for number, message in enumerate(file.message_type):
        yield from _nested(Message(message.name, message, (_MESSAGES, number), comments))


def _nested(message: Message) -> Iterator[Message]:
    yield message
    for number, inner in enumerate(message.proto.nested_type):
        path = (*message.path, _NESTED, number)
        yield from _nested(Message(f"{message.name}.{inner.name}", inner, path, message.comments))


def _enums(file: FileDescriptorProto) -> Iterator[Enum]:
    comments = _comments(file)
    for number, enum in enumerate(file.enum_type):
        yield Enum(enum.name, enum, (_ENUMS, number), comments)
    for message in _messages(file):
        for number, enum in enumerate(message.proto.enum_type):
            path = (*message.path, _NESTED_ENUMS, number)
            yield Enum(f"{message.name}.{enum.name}", enum, path, comments)


def _comments(file: FileDescriptorProto) -> dict[Path_, str]:
    return {
        tuple(at.path): textwrap.dedent(at.leading_comments)
        for at in file.source_code_info.location
    }


def _services(
    file: FileDescriptorProto,
) -> Iterator[tuple[ServiceDescriptorProto, Path_, dict[Path_, str]]]:
    for number, service in enumerate(file.service):
        yield service, (_SERVICES, number), _comments(file)


def _native_first(entry: tuple[ServiceDescriptorProto, Path_, dict[Path_, str]]) -> tuple[int, str]:
    name = entry[0].name
    return NATIVE.index(name) if name in NATIVE else len(NATIVE), name


def _link(name: str) -> str:
    return f"- [{name}](#{name.lower().replace('.', '')})"


def _type(full_name: str) -> str:
    """A message or enum type: a link if this page describes it."""
    name = full_name.removeprefix(f".{PACKAGE}.")
    return _link(name)[2:] if name != full_name else f"`{full_name[1:]}`"


def _signature(method: MethodDescriptorProto) -> str:
    request, response = _type(method.input_type), _type(method.output_type)
    if method.client_streaming:
        request = f"stream of {request}"
    if method.server_streaming:
        response = f"stream of {response}"
    options = method.options
    rule = options.Extensions[annotations_pb2.http]
    role = access_pb2.Role.Name(options.Extensions[access_pb2.required_role])
    level = MethodOptions.IdempotencyLevel.Name(options.idempotency_level)
    lines = [
        f"- Request: {request}. Response: {response}.",
        *(f"- REST: {call}." for call in _calls(rule)),
        f"- Role: {'any' if role == 'ROLE_UNSPECIFIED' else role.removeprefix('ROLE_').lower()}.",
        f"- Idempotency: {level.lower().replace('_', ' ')}.",
    ]
    return "\n".join(_wrapped(line, "  ") for line in lines)


def _calls(rule: annotations_pb2.http_pb2.HttpRule) -> Iterator[str]:
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb:
            body = "" if binding.body in ("", "*") else f", the body is `{binding.body}`"
            yield f"`{verb.upper()} {getattr(binding, verb)}`{body}"


def _message(message: Message, maps: dict[str, DescriptorProto]) -> Iterator[str]:
    yield f"### {message.name}"
    yield from _paragraphs(message.comments[message.path])
    for number, field in enumerate(message.proto.field):
        about = ", ".join(_about(message.proto, field, maps))
        comment = message.comments[*message.path, _FIELDS, number]
        yield _item(f"`{field.name}` ({about}): {comment.strip()}")


def _about(
    message: DescriptorProto, field: FieldDescriptorProto, maps: dict[str, DescriptorProto]
) -> Iterator[str]:
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        yield f"map of {_value(key)} to {_value(value)}"
    elif field.label == FieldDescriptorProto.LABEL_REPEATED:
        yield f"repeated {_value(field)}"
    else:
        yield _value(field)
    for behavior in field.options.Extensions[field_behavior_pb2.field_behavior]:
        yield field_behavior_pb2.FieldBehavior.Name(behavior).lower().replace("_", " ")
    if field.HasField("oneof_index") and not field.proto3_optional:
        yield f"one of `{message.oneof_decl[field.oneof_index].name}`"
    if field.proto3_optional:
        yield "with presence"
    camel = re.sub(r"_(.)", lambda found: found[1].upper(), field.name)
    if field.json_name != camel:
        yield f"in JSON `{field.json_name}`"
    if field.options.deprecated:
        yield "deprecated"


def _value(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _type(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _enum(enum: Enum) -> Iterator[str]:
    yield f"### {enum.name}"
    yield from _paragraphs(enum.comments[enum.path])
    for number, value in enumerate(enum.proto.value):
        comment = enum.comments[*enum.path, _MEMBERS, number]
        yield _item(f"`{value.name}` ({value.number}): {comment.strip()}")


def _item(comment: str) -> str:
    """A comment as one item of a list."""
    return "- " + textwrap.indent("\n\n".join(_paragraphs(comment)), "  ").removeprefix("  ")


def _paragraphs(comment: str) -> list[str]:
    """The paragraphs of a comment, each wrapped to the width; examples and lists stay as they
    are."""
    found = []
    for paragraph in re.split(r"\n\s*\n", comment.strip("\n")):
        if paragraph.startswith(" "):
            found.append(paragraph)
        else:
            items = re.split(r"\n(?=- )", paragraph)
            found.append("\n".join(_wrapped(item, "  " * item.startswith("- ")) for item in items))
    return found


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH - 2,  # room for the indentation of a list
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def comments(image: FileDescriptorSet) -> str:
    found: dict[str, str] = {}

    def add(name: str, comments: dict[Path_, str], path: Path_) -> None:
        if text := comments.get(path, "").strip("\n"):
            found[f"{PACKAGE}.{name}"] = text

    for file in (file for file in image.file if file.package == PACKAGE):
        for service, path, around in _services(file):
            add(service.name, around, path)
            for number, method in enumerate(service.method):
                add(f"{service.name}.{method.name}", around, (*path, _MEMBERS, number))
        for message in _messages(file):
            add(message.name, message.comments, message.path)
            for number, field in enumerate(message.proto.field):
                place = (*message.path, _FIELDS, number)
                add(f"{message.name}.{field.name}", message.comments, place)
        for enum in _enums(file):
            add(enum.name, enum.comments, enum.path)
            for number, value in enumerate(enum.proto.value):
                place = (*enum.path, _MEMBERS, number)
                add(f"{enum.name}.{value.name}", enum.comments, place)
    return json.dumps(found, indent=0, sort_keys=True) + "\n"


PRINT = {"page": page, "comments": comments}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PRINT:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(PRINT)} <image>")
    image = FileDescriptorSet.FromString(Path(sys.argv[2]).read_bytes())
    sys.stdout.write(PRINT[sys.argv[1]](image))
