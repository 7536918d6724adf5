"""The texts of a span: shortened in an answer, and whole by their path."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from spanloom.adapters.native.write import JSON_FIELDS, messages_of, span_message
from spanloom.codec import json_codec
from spanloom.codec.json_shape import map_fields
from spanloom.codec.text_cuts import MOST_BYTES, shortened
from spanloom.codec.value_path import path_steps
from spanloom.model import Json, Span
from spanloom.model.genai import OtherPart, ToolCallPart, ToolResultPart
from spanloom.v1 import span_pb2 as pb

# By these a span is found, and they are short.
KEPT: Final = frozenset(
    ("trace_id", "span_id", "parent_span_id", "conversation_id", "event_id", "text_cuts")
)
_JSON_TYPES: Final = ("google.protobuf.Value", "google.protobuf.Struct")
_MISSING: Final = object()


def shown_span(
    span: Span, *, basic: bool = False, limit: int = 0, most_bytes: int = MOST_BYTES
) -> pb.Span:
    """The span as an answer has it, not larger than so many bytes.

    Args:
        basic: As of `span_message`.
        limit: The length to which strings are shortened; 0 only if the span is too large.
    """
    message = span_message(span, basic=basic)
    for cut in shortened(message, limit=limit, most_bytes=most_bytes, kept=KEPT):
        length, digest = cut.length, cut.sha256
        if not digest:  # a field that was left out
            whole = whole_text(span, cut.path) or ""
            length, digest = len(whole), sha256(whole.encode()).hexdigest()
        message.text_cuts.add(field=cut.path, path=cut.path, length=length, sha256=digest)
    return message


def whole_text(span: Span, path: str) -> str | None:
    """The text of the value at a path of a span, None where it has none: a string as it is, bytes
    in base64, all else as JSON, in which integers have all their digits.

    Raises:
        ValueError: The text is no path.
    """
    steps = path_steps(path)
    if steps is None:
        raise ValueError
    found = _value(span, steps)
    if found is _MISSING:
        return None
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def _value(span: Span, steps: Sequence[str]) -> Any:
    head, *rest = steps
    if head in JSON_FIELDS:
        value = JSON_FIELDS[head](span)
        return _MISSING if value is None else _in_json(value, rest)
    if steps[:2] == ["user", "properties"]:
        properties = span.io.user_properties
        return _MISSING if properties is None else _in_json(properties, steps[2:])
    exact = _in_messages(span, steps)
    return _in_message(span_message(span), steps) if exact is None else exact


def _in_messages(span: Span, steps: Sequence[str]) -> Any:
    """The exact JSON in a part of a message; None for any other path."""
    if steps[0] not in ("input_messages", "output_messages") or steps[2:3] != ["parts"]:
        return None
    messages = messages_of(span)[steps[0] == "output_messages"]
    try:
        part = messages[_index(steps[1])].parts[_index(steps[3])]
    except (IndexError, ValueError):
        return _MISSING
    match part, steps[4:6]:
        case ToolCallPart(), ["tool_request", "arguments"]:
            value, rest = part.arguments, steps[6:]
        case ToolResultPart(), ["tool_response", "result"]:
            value, rest = part.result, steps[6:]
        case OtherPart(), ["other", *_]:
            value, rest = part.value, steps[5:]
        case _:
            return None
    return _MISSING if value is None else _in_json(value, rest)


def _in_json(value: Json, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list):
            try:
                value = value[_index(step)]
            except (IndexError, ValueError):
                return _MISSING
        else:
            return _MISSING
    return value


def _index(step: str) -> int:
    if not (step.isdecimal() and step.isascii() and len(step) < 10):
        raise ValueError
    return int(step)


def _in_message(message: Any, steps: Sequence[str]) -> Any:
    """The value at a path of a message, as JSON."""
    name, *rest = steps
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None or not _is_set(message, field):
        return _MISSING
    if not rest:
        if field.type == field.TYPE_BYTES and not field.is_repeated:
            return base64.b64encode(getattr(message, name)).decode()
        return json_codec.to_object(message, name)
    value = getattr(message, name)
    if (entry := map_fields(field)) is not None:
        key, *rest = rest
        if key not in value:
            return _MISSING
        return (
            _below(value[key], rest)
            if entry[1].message_type is not None
            else _leaf(value[key], rest)
        )
    if field.is_repeated:
        step, *rest = rest
        try:
            item = value[_index(step)]
        except (IndexError, ValueError):
            return _MISSING
        return _below(item, rest) if field.message_type is not None else _leaf(item, rest)
    return _MISSING if field.message_type is None else _below(value, rest)


def _is_set(message: Any, field: Any) -> bool:
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(getattr(message, field.name))


def _below(message: Any, steps: Sequence[str]) -> Any:
    if message.DESCRIPTOR.full_name in _JSON_TYPES:
        return _in_json(json_codec.to_object(message), steps)
    return _in_message(message, steps) if steps else json_codec.to_object(message)


def _leaf(value: Any, rest: Sequence[str]) -> Any:
    return _MISSING if rest else value
