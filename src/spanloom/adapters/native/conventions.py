"""Attributes of OpenTelemetry's GenAI conventions that mean a field of a span."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from google.protobuf.struct_pb2 import Value

from spanloom.codec.json_error import JsonError
from spanloom.codec.struct_writer import value_wire
from spanloom.genai.reading import count, identifier, lowered, structured, text
from spanloom.model import Json
from spanloom.v1 import span_pb2 as pb

# The attribute that sets a field, how its value is read, and the field.
_Rule = tuple[Callable[[Json], Json], str]
_RULES: Final[Mapping[str, _Rule]] = {
    "gen_ai.conversation.id": (identifier, "conversation_id"),
    "gen_ai.operation.name": (lowered, "operation"),
    "gen_ai.provider.name": (lowered, "model.provider"),
    "gen_ai.request.model": (text, "model.request_model"),
    "gen_ai.response.model": (text, "model.response_model"),
    "gen_ai.usage.input_tokens": (count, "model.input_tokens"),
    "gen_ai.usage.output_tokens": (count, "model.output_tokens"),
    "gen_ai.usage.reasoning.output_tokens": (count, "model.reasoning_tokens"),
    "gen_ai.usage.cache_read.input_tokens": (count, "model.cache_read_tokens"),
    "gen_ai.usage.cache_creation.input_tokens": (count, "model.cache_creation_tokens"),
    "gen_ai.agent.name": (text, "agent.name"),
    "gen_ai.agent.id": (identifier, "agent.id"),
    "gen_ai.agent.version": (identifier, "agent.version"),
    "gen_ai.agent.description": (text, "agent.description"),
    "gen_ai.tool.name": (text, "tool.name"),
    "gen_ai.tool.call.id": (identifier, "tool.call_id"),
    "gen_ai.tool.type": (text, "tool.type"),
    "gen_ai.tool.description": (text, "tool.description"),
    "gen_ai.tool.call.arguments": (structured, "input"),
    "gen_ai.tool.call.result": (structured, "output"),
    "gen_ai.tool.definitions": (structured, "tool_definitions"),
    "error.type": (text, "status.error_type"),
}


def filled(sent: pb.Span) -> pb.Span:
    """The span with the fields that its attributes set; the span itself where they set none."""
    if not sent.attributes:
        return sent
    rules = [(name, _RULES[name]) for name in sorted(sent.attributes) if name in _RULES]
    if not rules:
        return sent
    span = pb.Span()
    span.CopyFrom(sent)
    for name, (read, path) in rules:
        value = read(plain_value(sent.attributes[name]))
        if value is None:
            continue
        holder, _, field = path.rpartition(".")
        message: Any = getattr(span, holder) if holder else span
        if isinstance(getattr(message, field), Value):
            if not message.HasField(field):
                with suppress(JsonError):  # nested deeper than messages can be
                    getattr(message, field).MergeFromString(value_wire(value))
        elif not getattr(message, field) and not (
            message.DESCRIPTOR.fields_by_name[field].has_presence and message.HasField(field)
        ):
            setattr(message, field, value)
    return span


def plain_value(value: pb.AttributeValue) -> Json:
    """A scalar attribute, or a list or map of them, as ordinary JSON."""
    kind = value.WhichOneof("value")
    if kind == "list_value":
        return [plain_value(item) for item in value.list_value.values]
    if kind == "map_value":
        fields = value.map_value.fields
        return {name: plain_value(fields[name]) for name in sorted(fields)}
    if kind is None or kind == "bytes_value":
        return None
    found = getattr(value, kind)
    return None if kind == "double_value" and not math.isfinite(found) else found
