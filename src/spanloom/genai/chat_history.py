"""GenAI messages in the shape of the events contract, which is that of OpenAI.

{role, content, tool_calls?, tool_call_id?, finish_reason?, name?}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from spanloom.genai.conventional import Conventional
from spanloom.genai.json_text import printed
from spanloom.genai.media import mark_of
from spanloom.genai.reading import json_text
from spanloom.genai.text import length_of
from spanloom.model.genai import (
    GenAiMessage,
    Json,
    MediaPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

# Messages with more characters than this are not copied to the inputs and outputs of an event.
MOST_COPIED: Final = 65_536


def chat_history(messages: Iterable[GenAiMessage]) -> list[dict[str, Any]]:
    """The messages, a JSON object each."""
    return [_object(message) for message in messages]


def inputs_of(messages: Sequence[GenAiMessage]) -> Json:
    """The inputs of an event that was given the messages; None if they are too long to copy."""
    history = _short_history(messages)
    return None if history is None else {"chat_history": history}


def outputs_of(messages: Sequence[GenAiMessage]) -> Json:
    """The outputs of an event that answered with the messages; None as of `inputs_of`."""
    said = _short_history(messages)
    if said is None:
        return None
    answer = {
        **said[-1],
        "content": "\n".join(m["content"] for m in said if m["content"] and m["role"] != "tool"),
    }
    calls = [call for message in said for call in message.get("tool_calls", ())]
    return {**answer, "role": "assistant", **({"tool_calls": calls} if calls else {})}


def _short_history(messages: Sequence[GenAiMessage]) -> list[dict[str, Any]] | None:
    if type(messages) is Conventional:
        return messages.history if messages.length <= MOST_COPIED else None
    return chat_history(messages) if length_of(messages) <= MOST_COPIED else None


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
