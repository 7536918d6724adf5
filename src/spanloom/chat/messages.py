"""GenAI messages as the chat uses them: who speaks, what is shown, which messages are equal.

Rules: docs/contracts/agent_chat.md, sections 2.3, 2.6 and 3.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from spanloom.genai.json import part_to_json
from spanloom.genai.json_text import printed
from spanloom.genai.roles import ASSISTANT, TOOL, USER, speaker
from spanloom.genai.text import text_of
from spanloom.model.genai import GenAiMessage, Json, MediaPart, Part, TextPart, ToolResultPart

_NOTE: Final = "task-notification"


def by_speaker(messages: Iterable[GenAiMessage]) -> list[GenAiMessage]:
    """The messages with user, assistant, system or tool as role; results are the tool's."""
    return [m if m.role == ASSISTANT else _by_speaker(m) for m in messages]


def _by_speaker(message: GenAiMessage) -> GenAiMessage:
    role = speaker(message.role)
    if role == USER and message.parts and all(map(_is_result, message.parts)):
        role = TOOL
    if role == message.role:
        return message
    sent = message.sent if message.sent is None else {**message.sent, "role": role}
    return replace(message, role=role, sent=sent)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResultPart)


def joined_text(messages: Iterable[GenAiMessage]) -> str:
    """The text of several messages: a blank line between two."""
    return "\n\n".join(filter(None, map(text_of, messages)))


def media_of(message: GenAiMessage) -> list[MediaPart]:
    """The parts that are media."""
    return [part for part in message.parts if isinstance(part, MediaPart)]


def key_of(message: GenAiMessage) -> str:
    """A text that is equal for messages that show the same, "" for one that shows nothing."""
    parts = message.parts
    if len(parts) == 1 and isinstance(part := parts[0], TextPart):
        return part.content
    text, media = text_of(message), [part_to_json(part) for part in media_of(message)]
    return f"{text}\0{printed(media)}" if media else text


def content_of(message: GenAiMessage) -> Json:
    """The JSON that the message was sent with as its content, else that of its parts."""
    if message.sent is not None:
        parts = message.sent.get("parts")
        return parts if isinstance(parts, list) else message.sent.get("content")
    if len(message.parts) == 1 and isinstance(part := message.parts[0], TextPart):
        return part.content
    return [part_to_json(part) for part in message.parts]


def is_task_notification(message: GenAiMessage) -> bool:
    """Whether Claude Code reports to the model, in the user's place, that a task ended."""
    if not message.as_content or len(message.parts) != 1:
        return False
    text = text_of(message).strip()
    return text.startswith((f"<{_NOTE}>", f"<{_NOTE} ")) and text.endswith(f"</{_NOTE}>")
