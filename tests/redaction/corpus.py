"""Content with credentials and personal data in every place, and what of it must not be stored."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

PRESETS = ("email", "phone", "card", "iban")
SECRET = "zqgeheim42"
# Words of the corpus as the index of texts has them, too.
FORBIDDEN = (
    SECRET,
    "corpusada",
    "4111 1111",
    "4111111111111111",
    "3704 0044",
    "30 1234567",
    "zqdeep",
)
PERSONAL = (
    "Write to corpusada@example.org or call +49 30 1234567, "
    "pay with 4111 1111 1111 1111 from DE89 3704 0044 0532 0130 00 today"
)
INNER = {"password": SECRET, "note": PERSONAL, "max_tokens": 12}
CONTENT: dict[str, Any] = {
    "api_key": SECRET,
    "X-Api-Key": [SECRET],
    "deep": {"client_secret": {"is": ["zqdeep"]}, "refreshToken": 4111111111111111},
    "headers": [{"name": "Authorization", "value": f"Bearer {SECRET}"}],
    "pairs": [["cookie", SECRET], ["accept", "*"]],
    "note": PERSONAL,
    "card": 4111111111111111,
    "arguments": json.dumps(INNER),
    "prompt_tokens": 7,
    "ssn_of_path": "zqdeep",
    "question": "how does a password reset work?",
}
TEXT = json.dumps({**CONTENT, "text": "kept"})
PROSE = f'{PERSONAL}. The call was tool({{"api_key": "{SECRET}", "n": 1}}).'
PATHS = ("$..ssn_of_path",)


def fill(message: Any, levels: int = 7) -> None:
    """Put content into each field of a message that can take it."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Struct":
        message.update(CONTENT)
    elif name == "google.protobuf.Value":
        message.struct_value.update(CONTENT)
    elif name in ("spanloom.v1.AttributeValue", "opentelemetry.proto.common.v1.AnyValue"):
        fill_value(message, CONTENT)
    elif name == "opentelemetry.proto.common.v1.KeyValue":
        message.key = "whole"
        fill_value(message.value, CONTENT)
    elif levels and not name.startswith("google.protobuf."):
        for field in message.DESCRIPTOR.fields:
            _fill_field(message, field, levels)


def _fill_field(message: Any, field: FieldDescriptor, levels: int) -> None:
    name, inner = field.name, field.message_type
    if inner is None:
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                getattr(message, name).extend([TEXT, PROSE])
            elif field.containing_oneof is None or not message.WhichOneof(
                field.containing_oneof.name
            ):
                setattr(message, name, TEXT if len(name) % 2 else PROSE)
    elif inner.GetOptions().map_entry:
        members = getattr(message, name)
        value = inner.fields_by_name["value"]
        if value.message_type is not None:
            fill_value(members["whole"], CONTENT)
        elif value.type == FieldDescriptor.TYPE_STRING:
            members.update(api_key=SECRET, note=PROSE, text=TEXT)
    elif field.is_repeated:
        for _ in range(2):
            fill(getattr(message, name).add(), levels - 1)
    elif field.containing_oneof is None or not message.WhichOneof(field.containing_oneof.name):
        getattr(message, name).SetInParent()
        fill(getattr(message, name), levels - 1)


def fill_value(message: Any, value: Any) -> None:
    """Make a value of JSON that of an AttributeValue or an AnyValue."""
    is_native = message.DESCRIPTOR.full_name == "spanloom.v1.AttributeValue"
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, list):
        holder = message.list_value if is_native else message.array_value
        holder.SetInParent()
        for item in value:
            fill_value(holder.values.add(), item)
    elif is_native:
        for key, item in value.items():
            fill_value(message.map_value.fields[key], item)
    else:
        for key, item in value.items():
            pair = message.kvlist_value.values.add(key=key)
            fill_value(pair.value, item)


def found_in(data: bytes) -> list[str]:
    """What of the corpus is in bytes."""
    lower = data.lower()
    return [word for word in FORBIDDEN if word.encode() in lower]
