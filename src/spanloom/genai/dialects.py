"""One message in the dialect of a model API or an SDK, as a GenAI message.

Messages of OpenAI, Anthropic, Google, Amazon Bedrock and the Vercel AI SDK are objects with a role
and a content. LangChain's name a class. A block outside any message is a message of its own.
Sources: see `spanloom.genai.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from spanloom.genai.blocks import (
    ROLES_OF_BLOCKS,
    first,
    openai_call,
    parts_of,
    reasoning_beside,
    tool_call,
    tool_result,
)
from spanloom.genai.json_text import printed
from spanloom.genai.roles import ASSISTANT, SYSTEM, TOOL, USER
from spanloom.model.genai import (
    GenAiMessage,
    Json,
    OtherPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

# Roles and LangChain's classes of messages, in lower case.
_ROLES: Final = {
    "human": USER,
    "humanmessage": USER,
    "humanmessagechunk": USER,
    "ai": ASSISTANT,
    "aimessage": ASSISTANT,
    "aimessagechunk": ASSISTANT,
    "model": ASSISTANT,
    "systemmessage": SYSTEM,
    "toolmessage": TOOL,
    "function": TOOL,
    "functionmessage": TOOL,
    "chat": USER,
    # smolagents
    "tool-call": ASSISTANT,
    "tool-response": TOOL,
}
_LANGCHAIN_TYPES: Final = frozenset(_ROLES) | {SYSTEM, TOOL}
_CONTENTS: Final = ("parts", "content", "blocks", "contents", "text")
# Keys of which a message has at least one beside its role.
_SPOKEN: Final = frozenset(
    {
        *("content", "parts", "blocks", "contents"),
        *("tool_calls", "toolCalls", "function_call", "reasoning_content", "refusal"),
    }
)
_PLAIN: Final = {"role", "content"}


def message_of(item: Json, role: str) -> GenAiMessage | None:
    """One message of any dialect, None for what is none. `role` is the speaker if it names none."""
    if isinstance(item, list):
        return composed(item[0], {"content": item[1]}) if is_pair(item) else None
    if not isinstance(item, dict):
        return None
    said, content = item.get("role"), item.get("content")
    if len(item) == 2 and isinstance(said, str) and isinstance(content, str):
        return GenAiMessage(_role(said), (TextPart(content),)) if content else None  # most messages
    kwargs = item.get("kwargs")
    if "lc" in item and isinstance(kwargs, dict):
        path = item.get("id")
        return _langchain(path[-1] if isinstance(path, list) and path else "", kwargs, role)
    kind = item.get("type")
    kind = kind if isinstance(kind, str) else ""
    data = item.get("data")
    if isinstance(data, dict) and kind.lower() in _LANGCHAIN_TYPES:
        return _langchain(kind, data, role)
    if isinstance(said, str) and not _SPOKEN.isdisjoint(item):
        return composed(said, item)
    if isinstance(said, str) and (inner := item.get("message")):
        inside = inner if isinstance(inner, dict) else {"content": inner}
        return message_of({**inside, "role": said}, role)
    if kind.lower() in _LANGCHAIN_TYPES and "content" in item:
        return _langchain(kind, item, role)
    if (speaks := ROLES_OF_BLOCKS.get(kind.lower())) is not None:
        parts = shown(parts_of(item))
        return GenAiMessage(speaks, parts) if parts else None
    if kind in ("message", "text", "output_text") and ("content" in item or "text" in item):
        return composed(role, item)
    return None


def is_message(item: Json) -> bool:
    """Whether an item is a message for sure, or a choice of one."""
    if not isinstance(item, dict):
        return False
    return (
        isinstance(item.get("role"), str) or "lc" in item or isinstance(item.get("message"), dict)
    )


def is_pair(item: list[Json]) -> bool:
    """Whether this is LangChain's ("user", "text")."""
    return (
        len(item) == 2
        and isinstance(item[0], str)
        and item[0].lower() in (USER, ASSISTANT, *_LANGCHAIN_TYPES)
    )


def composed(said: str, item: Mapping[str, Any]) -> GenAiMessage | None:
    """The message of an object that has its content and its calls side by side; None if empty."""
    role = _role(said)
    parts = _parts(role, item)
    if not parts:
        return None
    if role == TOOL or item.keys() == _PLAIN:
        return GenAiMessage(role, parts)
    name, reason = item.get("name"), first(item, "finish_reason", "finishReason", "stop_reason")
    return GenAiMessage(
        role,
        parts,
        name if isinstance(name, str) else "",
        reason if isinstance(reason, str) else "",
    )


def _role(said: str) -> str:
    role = said.lower()
    return _ROLES.get(role, role)


def _parts(role: str, item: Mapping[str, Any]) -> tuple[Part, ...]:
    content = item.get("content")
    if content is None or "parts" in item:
        content = first(item, *_CONTENTS)
    read = parts_of(content)
    if role == TOOL and not any(isinstance(part, ToolResultPart) for part in read):
        call_id = first(item, "tool_call_id", "toolCallId")
        if call_id is None and not isinstance(content, list):
            call_id = item.get("id")  # the older GenAI events
        if isinstance(call_id, str):
            read = (tool_result(call_id, content, item.get("name")),)
    parts = shown(read)
    if item.keys() == _PLAIN:
        return parts
    if (reasoning := reasoning_beside(item)) is not None and not any(
        isinstance(part, ReasoningPart) for part in parts
    ):
        parts = (reasoning, *parts)
    if isinstance(refusal := item.get("refusal"), str) and refusal:
        parts += (TextPart(refusal),)
    calls = item.get("tool_calls") or item.get("toolCalls")
    if isinstance(calls, list):
        known = {part.id for part in parts if isinstance(part, ToolCallPart)} - {""}
        parts += tuple(call for c in calls if (call := openai_call(c)) and call.id not in known)
    if isinstance(call := item.get("function_call"), dict):
        parts += (tool_call("", call.get("name"), call.get("arguments")),)
    return parts


def shown(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts that say something; JSON that is no block is a text."""
    return tuple(said for part in parts if (said := _shown(part)) is not None)


def _shown(part: Part) -> Part | None:
    if isinstance(part, OtherPart) and not first(part.value, "type", "block_type"):
        part = TextPart(printed(part.value))
    if isinstance(part, TextPart | ReasoningPart) and not part.content:
        return None
    return part


def _langchain(kind: Json, fields: Mapping[str, Any], role: str) -> GenAiMessage | None:
    kind = kind if isinstance(kind, str) else role
    more = fields.get("additional_kwargs")
    extra = more if isinstance(more, dict) else {}
    said = fields.get("role") if kind.lower() in ("chat", "chatmessage") else kind
    return composed(
        said if isinstance(said, str) else role,
        {
            **fields,
            "tool_calls": fields.get("tool_calls") or extra.get("tool_calls"),
            "finish_reason": first(fields.get("response_metadata"), "finish_reason", "stop_reason"),
            "reasoning_content": extra.get("reasoning_content"),
        },
    )


def choices_in(key: str, inner: Json) -> Iterator[Json]:
    """The choices under a key of a response; of results those of Amazon Titan alone."""
    for item in inner if isinstance(inner, list) else [inner]:
        for choice in item if isinstance(item, list) else [item]:
            if key != "results" or first(choice, "outputText") is not None:
                yield choice


def choice_of(choice: Json, role: str) -> GenAiMessage | None:
    """One of OpenAI's choices, Google's candidates or LangChain's generations."""
    if not isinstance(choice, dict):
        return None
    said = first(choice, "message", "delta", "content")
    message = message_of(said, role)
    if message is None and isinstance(said, dict):
        message = composed(role, said)
    if message is None:
        text = first(choice, "text", "outputText") or said
        message = GenAiMessage(role, (TextPart(text),)) if text and isinstance(text, str) else None
    reason = first(choice, "finish_reason", "finishReason") or first(
        choice.get("generation_info"), "finish_reason"
    )
    if message and not message.finish_reason and isinstance(reason, str):
        message = replace(message, finish_reason=reason.lower())
    return message
