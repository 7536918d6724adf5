"""GenAI messages in the shape of the events contract, which is that of OpenAI.

{role, content, tool_calls?, tool_call_id?, finish_reason?, name?}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spanloom.genai.json_text import printed
from spanloom.genai.media import mark_of
from spanloom.genai.reading import json_text
from spanloom.model.genai import GenAiMessage, MediaPart, TextPart, ToolCallPart, ToolResultPart


def chat_history(messages: Iterable[GenAiMessage]) -> list[dict[str, Any]]:
    """The messages, a JSON object each."""
    return [_object(message) for message in messages]


def _object(message: GenAiMessage) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.role, "content": ""}
    said: list[str] = []
    calls = []
    for part in message.parts:
        match part:
            case TextPart(content):
                said.append(content)
            case ToolCallPart():
                function = {"name": part.name, "arguments": json_text(part.arguments)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case MediaPart() if part.value:
                said.append(mark_of(part))
            case ToolResultPart():
                said.append(printed(part.result))
                out["tool_call_id"] = part.id
    out["content"] = said[0] if len(said) == 1 else "\n".join(filter(None, said))
    if calls:
        out["tool_calls"] = calls
    if message.finish_reason:
        out["finish_reason"] = message.finish_reason
    if message.name:
        out["name"] = message.name
    return out
