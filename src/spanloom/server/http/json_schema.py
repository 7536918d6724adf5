"""The JSON of messages as JSON Schema 2020-12, the dialect of OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from spanloom.codec.json_shape import map_fields
from spanloom.errors import Code, Reason
from spanloom.server.status import DOMAIN, REASON_PREFIX

Object = dict[str, Any]

PACKAGE: Final = "spanloom.v1."
_UINT32: Final = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_INT32: Final = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
# 64-bit integers are texts, which keep all their digits.
_INT64: Final = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
_UINT64: Final = {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}
_SCALARS: Final[Mapping[int, Object]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_UINT64: _UINT64,
}
_WELL_KNOWN: Final[Mapping[str, Object]] = {
    "google.api.HttpBody": {},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Value": {},
}
# OTLP's JSON has its ids in hex.
_HEX: Final = {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"}


class Schemas:
    """Makes the schemas of messages; `found` has those of all that were asked for, by name.

    Args:
        comments: Of messages, enums and fields, by full name.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.found: dict[str, Object] = {}

    def of_message(self, message: Descriptor, *, without: Collection[str] = ()) -> Object:
        """The schema of a message.

        Args:
            without: Fields that the URL gives, and that the body need not have.
        """
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        if without:
            return self._object(message, without)
        name = _name(message)
        if name not in self.found:
            self.found[name] = {}  # before its fields, which may be of the same type
            self.found[name] = self._object(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def of_field(self, field: FieldDescriptor, *, comment: bool = True) -> Object:
        """The schema of a field's value, with its comment."""
        entry = map_fields(field)
        if entry:
            schema: Object = {"type": "object", "additionalProperties": self.of_value(entry[1])}
        elif field.is_repeated:
            schema = {"type": "array", "items": self.of_value(field)}
        else:
            schema = self.of_value(field)
        if not comment:
            return schema
        if text := self.comment(field):
            schema = {**schema, "description": text}
        if field.GetOptions().deprecated:
            schema = {**schema, "deprecated": True}
        if field_behavior_pb2.OUTPUT_ONLY in _behaviors(field):
            schema = {**schema, "readOnly": True}
        return schema

    def of_value(self, field: FieldDescriptor) -> Object:
        """The schema of a field's value, of one if it has many."""
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        is_id = field.type == FieldDescriptor.TYPE_BYTES and field.name.endswith("_id")
        return dict(_HEX if is_id else _SCALARS[field.type])

    def comment(self, field: FieldDescriptor) -> str:
        """The field's comment, and which others it excludes."""
        text = self._comments.get(field.full_name, "")
        oneof = field.containing_oneof
        if oneof is None or len(oneof.fields) == 1:
            return text
        others = ", ".join(f"`{other.json_name}`" for other in oneof.fields if other != field)
        return f"{text}\n\nNot together with {others}.".strip()

    @staticmethod
    def is_required(field: FieldDescriptor) -> bool:
        """Whether a request must have the field."""
        return field_behavior_pb2.REQUIRED in _behaviors(field)

    def _object(self, message: Descriptor, without: Collection[str] = ()) -> Object:
        fields = [field for field in message.fields if field.name not in without]
        schema: Object = {
            "type": "object",
            "properties": {field.json_name: self.of_field(field) for field in fields},
        }
        if text := self._comments.get(message.full_name):
            schema["description"] = text
        if required := [field.json_name for field in fields if self.is_required(field)]:
            schema["required"] = required
        return schema

    def _enum(self, enum: EnumDescriptor) -> Object:
        name = _name(enum)
        if name not in self.found:
            lines = [self._comments.get(enum.full_name, "")]
            for value in enum.values:
                text = self._comments.get(f"{enum.full_name}.{value.name}", "")
                lines.append(f"- `{value.name}`: {text}")
            self.found[name] = {
                "type": "string",
                "enum": [value.name for value in enum.values],
                "description": "\n\n".join(line for line in lines if line),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def is_message(field: FieldDescriptor) -> bool:
    """Whether the JSON of a field's values is an object with the fields of a message."""
    message = field.message_type
    return message is not None and message.full_name not in _WELL_KNOWN


def error_schema(comments: Mapping[str, str]) -> Object:
    """The one REST body of errors."""
    reasons = "\n".join(
        f"- `{reason}`: {comments.get(f'{PACKAGE}ErrorReason.{REASON_PREFIX}{reason}', '')}"
        for reason in Reason
    )
    properties: Object = {
        "code": {"type": "integer", "description": "The number of google.rpc.Code."},
        "status": {"type": "string", "enum": [code.value for code in Code]},
        "message": {"type": "string", "description": "For people; it may change."},
        "details": {
            "type": "array",
            "description": f"google.rpc.ErrorInfo with the domain `{DOMAIN}`, and others.",
            "items": {
                "type": "object",
                "properties": {"@type": {"type": "string"}},
                "required": ["@type"],
            },
        },
        "error": {
            "type": ["string", "object"],
            "description": "The same as `message`; in JaegerV3Service an object that has it.",
        },
        "success": {"const": False},
        "statusCode": {"type": "integer", "description": "The HTTP status."},
        "errorCode": {
            "type": "string",
            "enum": [REASON_PREFIX + reason for reason in Reason],
            "description": f"Why the call was refused; values may be added.\n\n{reasons}",
        },
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _behaviors(field: FieldDescriptor) -> Collection[int]:
    found: Collection[int] = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return found


def _name(descriptor: Descriptor | EnumDescriptor) -> str:
    return str(descriptor.full_name).removeprefix(PACKAGE)
