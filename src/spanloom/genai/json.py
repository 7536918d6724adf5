"""GenAI messages as the JSON of the OpenTelemetry GenAI conventions, and back without loss.

    {"role", "parts" | "content", "name"?, "finish_reason"?}
    {"type": "text", "content"}    {"type": "reasoning", "content"}
    {"type": "tool_call", "id"?, "name", "arguments"?}
    {"type": "tool_call_response", "id"?, "name"?, "response"}
    {"type": "uri", "uri", "modality"?, "mime_type"?}
    {"type": "blob", "content", "modality"?, "mime_type"?}
    {"type": "file", "file_id", "modality"?, "mime_type"?}

A message that was sent with other keys, or in other words, is written as it was sent.

Source: open-telemetry/semantic-conventions, docs/gen-ai, the JSON schemas of gen_ai.input.messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from spanloom.genai.blocks import (
    openai_call,
    part_of,
    parts_of,
    reasoning_beside,
    tool_call,
    tool_result,
)
from spanloom.genai.cut_json import cut_json
from spanloom.genai.reading import parsed
from spanloom.model.genai import (
    GenAiMessage,
    Json,
    MediaPart,
    OtherPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_MEDIA_VALUE: Final = {"uri": "uri", "blob": "content", "file": "file_id"}


def messages_to_json(messages: Iterable[GenAiMessage]) -> list[Json]:
    """The messages as a list of JSON objects."""
    return [message_to_json(message) for message in messages]


def message_to_json(message: GenAiMessage) -> Json:
    """One message as a JSON object."""
    if message.sent is not None:
        return message.sent
    out: dict[str, Json] = {"role": message.role}
    if message.as_content:
        out["content"] = _content(message.parts)
    else:
        # Most parts are texts: written here, without a call.
        out["parts"] = [
            {"type": "text", "content": part.content}
            if type(part) is TextPart
            else part_to_json(part)
            for part in message.parts
        ]
    if message.name:
        out["name"] = message.name
    if message.finish_reason:
        out["finish_reason"] = message.finish_reason
    return out


def _content(parts: tuple[Part, ...]) -> Json:
    """One text is a text, all else a list; so is a text that would be read as a list."""
    if not parts:
        return ""
    first = parts[0]
    if len(parts) == 1 and isinstance(first, TextPart) and first.content[:1] not in ("", "["):
        return first.content
    return [part_to_json(part) for part in parts]


def part_to_json(part: Part) -> Json:
    """One part as JSON."""
    match part:
        case TextPart(content):
            return {"type": "text", "content": content}
        case ReasoningPart(content):
            return {"type": "reasoning", "content": content}
        case ToolCallPart():
            out: dict[str, Json] = {"type": "tool_call"}
            if part.id:
                out["id"] = part.id
            out["name"] = part.name
            if part.arguments is not None:
                out["arguments"] = part.arguments
            return out
        case ToolResultPart():
            out = {"type": "tool_call_response"}
            if part.id:
                out["id"] = part.id
            if part.name:
                out["name"] = part.name
            return {**out, "response": part.result}
        case MediaPart():
            out = {"type": part.kind, _MEDIA_VALUE[part.kind]: part.value}
            if part.modality:
                out["modality"] = part.modality
            if part.mime_type:
                out["mime_type"] = part.mime_type
            return out
        case OtherPart(value):
            return value


def messages_from_json(value: Json) -> tuple[GenAiMessage, ...]:
    """The messages that `messages_to_json` wrote. Never raises; what is no message is left out."""
    if not isinstance(value, list):
        return ()
    return tuple(
        message_from_json(item)
        for item in value
        if isinstance(item, dict) and isinstance(item.get("role"), str)
    )


def message_from_json(item: dict[str, Json]) -> GenAiMessage:
    """One message: an object with a role, and `parts` or `content`."""
    role, content = item["role"], item.get("content")
    if len(item) == 2 and isinstance(content, str) and content[:1] not in ("", "["):
        return GenAiMessage(role, (TextPart(content),), "", "", True)
    parts = item.get("parts")
    as_content = not isinstance(parts, list)
    name, reason = item.get("name", ""), item.get("finish_reason", "")
    # Most messages are in the words of the conventions, and need no comparison with what was sent.
    own = _own_parts(parts) if isinstance(parts, list) else _own_text(content)
    if (
        own is not None
        and isinstance(name, str)
        and isinstance(reason, str)
        and len(item) == 2 + bool(name) + bool(reason)
    ):
        return GenAiMessage(role, own, name, reason, as_content)
    message = GenAiMessage(
        role,
        message_parts(item, parts_in_text(content) if as_content else parts),
        text(name),
        text(reason),
        as_content,
    )
    return message if message_to_json(message) == item else replace(message, sent=item)


def _own_text(content: Json) -> tuple[Part, ...] | None:
    """The part of a content that `message_to_json` wrote as a text."""
    is_text = isinstance(content, str) and content[:1] not in ("", "[")
    return (TextPart(content),) if is_text else None


def _own_parts(blocks: list[Json]) -> tuple[Part, ...] | None:
    """The parts that `part_to_json` wrote, of the common kinds; None if it may not have."""
    parts: list[Part] = []
    for block in blocks:
        if not isinstance(block, dict):
            return None
        kind, size = block.get("type"), len(block)
        content, call_id, name = block.get("content"), block.get("id"), block.get("name")
        if kind == "text" and size == 2 and isinstance(content, str):
            parts.append(TextPart(content))
        elif kind == "reasoning" and size == 2 and isinstance(content, str):
            parts.append(ReasoningPart(content))
        elif not (call_id and isinstance(call_id, str)):
            return None
        elif kind == "tool_call" and size == 4 and isinstance(name, str):
            if (arguments := block.get("arguments")) is None:
                return None
            parts.append(ToolCallPart(call_id, name, arguments))
        elif kind == "tool_call_response" and size == 3:
            if not isinstance(response := block.get("response"), str):
                return None
            parts.append(ToolResultPart(call_id, "", response))
        else:
            return None
    return tuple(parts)


def message_parts(item: Mapping[str, Json], content: Json) -> tuple[Part, ...]:
    """The parts of a message's content, and the calls and the result beside it (OpenAI)."""
    call_id = item.get("tool_call_id")
    if isinstance(call_id, str) and item["role"] == "tool":
        return (tool_result(call_id, content, item.get("name")),)
    # Content that is neither a text nor a list says nothing (docs/contracts/agent_chat.md, section
    # 2.3).
    parts = parts_of(content) if not isinstance(content, dict) else (OtherPart(content),)
    if (reasoning := reasoning_beside(item)) is not None and not any(
        isinstance(part, ReasoningPart) for part in parts
    ):
        parts = (reasoning, *parts)
    if isinstance(refusal := item.get("refusal"), str) and refusal:
        parts += (TextPart(refusal),)
    if isinstance(calls := item.get("tool_calls"), list):
        parts += tuple(part for call in calls if (part := openai_call(call)) is not None)
    if isinstance(call := item.get("function_call"), dict):
        parts += (tool_call("", call.get("name"), call.get("arguments")),)
    return parts


def parts_in_text(content: Json) -> Json:
    """The parts that a text holds as JSON; a text that holds any other list is just that text."""
    if not isinstance(content, str) or content[:1] != "[":
        return content
    parts = parsed(content)
    if isinstance(parts, str) and ('"type"' in content or '"text"' in content):
        parts = cut_json(content)
    if isinstance(parts, list) and any(not isinstance(part_of(part), OtherPart) for part in parts):
        return parts
    return content


def text(value: Json) -> str:
    return value if isinstance(value, str) else ""
