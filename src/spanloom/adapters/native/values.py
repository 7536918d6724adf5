"""Attribute values, messages to models and media between the proto messages and the model.

Attributes are typed JSON (`spanloom.adapters.otlp.attributes`) in the model.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from spanloom.codec.base64_runs import LEAST_CONTENT
from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import value_object
from spanloom.model import Json, Sent
from spanloom.model.genai import (
    GenAiMessage,
    MediaPart,
    OtherPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from spanloom.model.span import NATIVE
from spanloom.v1 import span_pb2

_NO_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LAST_INT64: Final = 2**63 - 1
# Which field of Media has the source of each kind of media.
_SOURCES: Final = {"uri": "uri", "file": "file_id"}


def attributes_json(attributes: Any) -> dict[str, Json]:
    """The attributes of a map, in the order of their names."""
    return {name: value_json(attributes[name]) for name in sorted(attributes)}


def value_json(value: span_pb2.AttributeValue) -> Json:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "double_value":
            number = value.double_value
            if math.isfinite(number):
                return number
            return {"double": "NaN" if number != number else f"{'-' * (number < 0)}Infinity"}
        case "bytes_value":
            return {"bytes": base64.b64encode(value.bytes_value).decode()}
        case "list_value":
            return [value_json(item) for item in value.list_value.values]
        case "map_value":
            return {"kvlist": attributes_json(value.map_value.fields)}
    return getattr(value, kind)


def fill_attributes(message: Any, attributes: Json) -> None:
    """Fill a map of AttributeValue. Of a name that is there twice the last value counts."""
    pairs = attributes.items() if isinstance(attributes, dict) else attributes or ()
    for name, value in pairs:
        _fill_value(message[str(name)], value)


def _fill_value(message: span_pb2.AttributeValue, value: Json) -> None:
    message.Clear()
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
        message.list_value.SetInParent()
        for item in value:
            _fill_value(message.list_value.values.add(), item)
    elif value is not None:
        [(tag, inner)] = value.items()
        if tag == "kvlist":
            message.map_value.SetInParent()
            fill_attributes(message.map_value.fields, inner)
        elif tag == "bytes":
            message.bytes_value = base64.b64decode(inner)
        elif tag == "double":
            message.double_value = _NO_NUMBERS[inner]
        elif tag == "strindex":
            message.int_value = inner


def sent_of(span: span_pb2.Span) -> Sent:
    """What is kept of a span."""
    message = span.SerializeToString(deterministic=True)
    if len(message) < LEAST_CONTENT:
        return Sent(NATIVE, message=message)
    media = [
        part.media
        for messages in (span.input_messages, span.output_messages)
        for said in messages
        for part in said.parts
        if len(part.media.data) >= LEAST_CONTENT
    ]
    return Sent(NATIVE, message=message, data=[(each.mime_type, each.data) for each in media])


def messages_of(messages: Iterable[span_pb2.ModelMessage]) -> tuple[GenAiMessage, ...]:
    """Messages to the model. A part without a known content is left out."""
    return tuple(
        GenAiMessage(
            message.role,
            tuple(part for sent in message.parts if (part := _part(sent)) is not None),
            message.name,
            message.finish_reason,
        )
        for message in messages
    )


def _part(part: span_pb2.MessagePart) -> Part | None:
    match part.WhichOneof("content"):
        case "text":
            return TextPart(part.text)
        case "reasoning":
            return ReasoningPart(part.reasoning)
        case "tool_request":
            call = part.tool_request
            return ToolCallPart(call.call_id, call.name, value_object(call.arguments))
        case "tool_response":
            response = part.tool_response
            return ToolResultPart(response.call_id, response.name, value_object(response.result))
        case "media":
            return _media(part.media)
        case "other":
            return OtherPart(value_object(part.other))
    return None


def _media(media: span_pb2.Media) -> MediaPart:
    modality, mime_type = media.modality, media.mime_type
    match media.WhichOneof("source"):
        case "data":
            data = base64.b64encode(media.data).decode()
            return MediaPart("blob", data, modality, mime_type)
        case "file_id":
            return MediaPart("file", media.file_id, modality, mime_type)
    return MediaPart("uri", media.uri, modality, mime_type)


def fill_messages(messages: Any, said: Sequence[GenAiMessage]) -> None:
    """Add messages of the model to a repeated ModelMessage, part by part."""
    for message in said:
        made = messages.add(
            role=message.role, name=message.name, finish_reason=message.finish_reason
        )
        for part in message.parts:
            _fill_part(made.parts.add(), part)


def _fill_part(message: span_pb2.MessagePart, part: Part) -> None:
    match part:
        case TextPart(content):
            message.text = content
        case ReasoningPart(content):
            message.reasoning = content
        case ToolCallPart():
            message.tool_request.name = part.name
            message.tool_request.call_id = part.id
            if part.arguments is not None:
                put_json(message.tool_request, {"arguments": part.arguments})
        case ToolResultPart():
            message.tool_response.SetInParent()
            message.tool_response.name = part.name
            message.tool_response.call_id = part.id
            if part.result is not None:
                put_json(message.tool_response, {"result": part.result})
        case MediaPart():
            fill_media(message.media, part)
        case OtherPart(value):
            put_json(message, {"other": value})


def fill_media(message: span_pb2.Media, part: MediaPart) -> None:
    """A blob that is not base64 is given as its address."""
    message.SetInParent()
    message.mime_type, message.modality = part.mime_type, part.modality
    if part.kind == "blob":
        try:
            message.data = base64.b64decode(part.value, validate=True)
        except (binascii.Error, ValueError):
            message.uri = part.value
    elif part.value:
        setattr(message, _SOURCES[part.kind], part.value)


def int64(value: int | None) -> int | None:
    """A number that may be larger than a field of 64 bits, as it is shown there."""
    return None if value is None else max(-_LAST_INT64 - 1, min(value, _LAST_INT64))
