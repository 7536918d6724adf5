"""GenAI messages in any JSON shape, read into (role, content), and the text that a chat shows of them.

Rules: docs/contracts/agent_chat.md, sections 2.3, 2.6 and 3.8;
shapes: the OpenTelemetry GenAI semantic conventions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spanloom.chat.json_text import parsed, printed

if TYPE_CHECKING:
    from spanloom.model import Json

USER: Final = "user"
ASSISTANT: Final = "assistant"
SYSTEM: Final = "system"
TOOL: Final = "tool"

# Any other role is a user's too. Compared in lower case, without `_` and `-`.
_ROLES = {
    "user": USER,
    "assistant": ASSISTANT,
    "ai": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
    "developer": SYSTEM,
    "tool": TOOL,
    "toolcall": TOOL,
    "toolresult": TOOL,
    "function": TOOL,
}
MEDIA_PARTS = frozenset({"uri", "blob", "file"})
CALL_PARTS = frozenset({"tool_call", "tool_use", "function_call"})
RESULT_PARTS = frozenset(
    {"tool_call_response", "tool_result", "tool_response", "function_call_output", "toolresult"}
)
_SILENT_PARTS = MEDIA_PARTS | {"reasoning"}
_KNOWN_PARTS = _SILENT_PARTS | CALL_PARTS | RESULT_PARTS | {"text", "thinking"}
# Keys of a message that is more than a role and a text.
_RICH = frozenset({"parts", "tool_calls", "tool_call_id"})
# Roles of items that are a part rather than a message (the OpenAI Responses API's input).
_ROLES_OF_PARTS = {
    "reasoning": ASSISTANT,
    **dict.fromkeys(CALL_PARTS, ASSISTANT),
    **dict.fromkeys(RESULT_PARTS, TOOL),
}


class Message(NamedTuple):
    """One message: a role of the four above, and a text or a list of parts.

    `from_parts` tells parts that were sent as `parts` from those sent as a list-valued `content`.
    """

    role: str
    content: str | list[Json]
    from_parts: bool = False


def read_messages(raw: Json, speaker: str) -> list[Message]:
    """The messages of a list, of one object with a role, or of a text (JSON, else one message of `speaker`).

    Bare texts and items without a role are the speaker's. What is no message is left out.
    """
    if isinstance(raw, str):
        raw = parsed(raw)
    if isinstance(raw, str):
        return [Message(speaker, raw)] if raw else []
    if isinstance(raw, dict):
        raw = [raw] if raw.get("role") else []
    if not isinstance(raw, list):
        return []
    return [message for item in raw if (message := _read(item, speaker)) is not None]


def _read(item: Json, speaker: str) -> Message | None:
    if isinstance(item, str):
        return Message(speaker, _parts_or_text(item))
    if not isinstance(item, dict):
        return None
    role, text = item.get("role"), item.get("content")
    if (
        isinstance(role, str)
        and isinstance(text, str)
        and (plain := _ROLES.get(role))
        and not text.startswith("[")
        and _RICH.isdisjoint(item)
    ):
        return Message(plain, text)  # most messages
    if not role and (part_role := _ROLES_OF_PARTS.get(part_type(item))):
        return Message(part_role, [item])
    parts = item.get("parts")
    content = parts if isinstance(parts, list) else item.get("content")
    if isinstance(content, str):
        content = _parts_or_text(content)
    elif not isinstance(content, list):
        content = ""
    role = _role(role, content, speaker)
    if role == TOOL and isinstance(item.get("tool_call_id"), str):
        part = {"type": "tool_call_response", "id": item["tool_call_id"], "content": content}
        return Message(role, [part])
    if isinstance(calls := item.get("tool_calls"), list):
        content = [*(content if isinstance(content, list) else [content]), *map(_call_part, calls)]
    return Message(role, content, from_parts=isinstance(parts, list))


def _role(name: Json, content: str | list[Json], speaker: str) -> str:
    if not name or not isinstance(name, str):
        return speaker
    role = _ROLES.get(name) or _ROLES.get(name.lower().replace("_", "").replace("-", ""), USER)
    if role == USER and isinstance(content, list) and content and all(map(is_result, content)):
        return TOOL
    return role


def _call_part(call: Json) -> Json:
    """An OpenAI message-level tool call, as the part that it means."""
    function = call.get("function") if isinstance(call, dict) else None
    return (
        {"id": call.get("id"), **function, "type": "tool_call"}
        if isinstance(function, dict)
        else None
    )


def _parts_or_text(text: str) -> str | list[Json]:
    """The parts that a text holds as JSON; a text that holds another array is just that text."""
    if not text.startswith("["):
        return text
    parts = parsed(text)
    if isinstance(parts, list) and any(map(is_part, parts)):
        return parts
    return text


def is_part(value: Json) -> bool:
    """Whether a value can be read as a part of a message: a text, or an object of a known type or with a text."""
    return isinstance(value, str) or (
        isinstance(value, dict)
        and (part_type(value) in _KNOWN_PARTS or part_text(value) is not None)
    )


def part_type(part: Any) -> str:
    """The type of a part in lower case, "" where it has none."""
    kind = part.get("type") if isinstance(part, dict) else None
    return kind.lower() if isinstance(kind, str) else ""


def part_text(part: Json) -> str | None:
    """The text that a part says, None where it says none."""
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        for key in ("content", "text"):
            if isinstance(text := part.get(key), str):
                return text
    return None


def is_result(part: Json) -> bool:
    """Whether a part is a tool's result."""
    return part_type(part) in RESULT_PARTS


def text_of(message: Message) -> str:
    """What is shown of a message: the texts of its parts, a line each."""
    content = message.content
    if isinstance(content, str):
        return content
    hidden = _SILENT_PARTS | RESULT_PARTS if message.role == USER else _SILENT_PARTS
    texts = (
        part if isinstance(part, str) else part_text(part)
        for part in content
        if isinstance(part, str) or part_type(part) not in hidden
    )
    return "\n".join(text for text in texts if text is not None)


def joined_text(messages: Iterable[Message]) -> str:
    """What is shown of several messages: a blank line between."""
    return "\n\n".join(filter(None, map(text_of, messages)))


def reasoning_of(messages: Iterable[Message]) -> str:
    """The reasoning parts, a line each."""
    return "\n".join(
        part["content"]
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
        if isinstance(part, dict)
        and part_type(part) == "reasoning"
        and isinstance(part.get("content"), str)
    )


def media_of(message: Message) -> list[dict[str, Json]]:
    """The parts that are media."""
    if isinstance(message.content, str):
        return []
    return [
        part
        for part in message.content
        if isinstance(part, dict) and part_type(part) in MEDIA_PARTS
    ]


def key_of(message: Message) -> str:
    """A text that is equal for messages that show the same, "" for one that shows nothing."""
    if isinstance(message.content, str):
        return message.content
    media = media_of(message)
    return f"{text_of(message)}\0{printed(media)}" if media else text_of(message)


def system_text(messages: Iterable[Message]) -> str:
    """The system prompts among messages, a line each."""
    return "\n".join(text for m in messages if m.role == SYSTEM and (text := text_of(m)))


def is_task_notification(message: Message) -> bool:
    """Whether Claude Code told the model, in the user's place, that a task ended."""
    if not isinstance(message.content, str):
        return False
    text = message.content.strip()
    return text.startswith(("<task-notification>", "<task-notification ")) and text.endswith(
        "</task-notification>"
    )
