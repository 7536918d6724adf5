"""One message in the dialect of a model API or an SDK, as a GenAI message.

Messages of OpenAI's chat completions and responses, Anthropic, Google, Amazon Bedrock and the Vercel AI SDK are objects
with a role and a content, LangChain's name a class, and a block that stands alone is a message too. Sources: see
`spanloom.genai.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from spanloom.genai.blocks import (
    ROLES_OF_BLOCKS,
    first,
    openai_call,
    parts_of,
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
}
_LANGCHAIN_TYPES: Final = frozenset(_ROLES) | {SYSTEM, TOOL}
_CONTENTS: Final = ("parts", "content", "blocks", "contents", "text")
# Keys of which a message has at least one beside its role.
_SPOKEN: Final = (
    *("content", "parts", "blocks", "contents"),
    *("tool_calls", "function_call", "reasoning_content"),
)
_REASONINGS: Final = ("reasoning_content", "reasoning", "thinking")


def message_of(item: Json, role: str) -> GenAiMessage | None:
    """One message of any dialect; None for what is none. `role` is who speaks where nothing says it."""
    if isinstance(item, list):
        return composed(item[0], {"content": item[1]}) if is_pair(item) else None
    if not isinstance(item, dict):
        return None
    kwargs = item.get("kwargs")
    if "lc" in item and isinstance(kwargs, dict):
        path = item.get("id")
        return _langchain(path[-1] if isinstance(path, list) and path else "", kwargs, role)
    kind = item.get("type")
    kind = kind if isinstance(kind, str) else ""
    data = item.get("data")
    if isinstance(data, dict) and kind.lower() in _LANGCHAIN_TYPES:
        return _langchain(kind, data, role)
    if isinstance(item.get("role"), str) and any(key in item for key in _SPOKEN):
        return composed(item["role"], item)
    if kind.lower() in _LANGCHAIN_TYPES and "content" in item:
        return _langchain(kind, item, role)
    if (speaks := ROLES_OF_BLOCKS.get(kind.lower())) is not None:
        parts = shown(parts_of(item))
        return GenAiMessage(speaks, parts) if parts else None
    if kind in ("message", "text", "output_text") and ("content" in item or "text" in item):
        return composed(role, item)
    return None


def is_pair(item: list[Json]) -> bool:
    """Whether this is LangChain's ("user", "text")."""
    return (
        len(item) == 2
        and isinstance(item[0], str)
        and item[0].lower() in (USER, ASSISTANT, *_LANGCHAIN_TYPES)
    )


def composed(said: str, item: Mapping[str, Any]) -> GenAiMessage | None:
    """The message of a role and an object that has its content and its calls beside one another; None for an empty one."""
    role = said.lower()
    role = _ROLES.get(role, role)
    parts = _parts(role, item)
    if not parts:
        return None
    name, reason = item.get("name"), first(item, "finish_reason", "finishReason", "stop_reason")
    return GenAiMessage(
        role,
        parts,
        name if isinstance(name, str) and role != TOOL else "",
        reason if isinstance(reason, str) and role != TOOL else "",
    )


def _parts(role: str, item: Mapping[str, Any]) -> tuple[Part, ...]:
    content = first(item, *_CONTENTS)
    call_id = first(item, "tool_call_id", "toolCallId")
    if role == TOOL and call_id is None and not isinstance(content, list):
        call_id = item.get("id")  # the older GenAI events
    read = parts_of(content)
    is_result = any(isinstance(part, ToolResultPart) for part in read)
    if role == TOOL and isinstance(call_id, str) and not is_result:
        parts: list[Part] = [tool_result(call_id, content, item.get("name"))]
    else:
        parts = [*shown(read)]
    for key in _REASONINGS:
        if isinstance(item.get(key), str) and item[key]:
            parts.insert(0, ReasoningPart(item[key]))
            break
    if isinstance(refusal := item.get("refusal"), str) and refusal:
        parts.append(TextPart(refusal))
    calls = item.get("tool_calls") or item.get("toolCalls")
    if isinstance(calls, list):
        known = {part.id for part in parts if isinstance(part, ToolCallPart)} - {""}
        parts += [call for c in calls if (call := openai_call(c)) and call.id not in known]
    if isinstance(call := item.get("function_call"), dict):
        parts.append(tool_call("", call.get("name"), call.get("arguments")))
    return tuple(parts)


def shown(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts that say something; JSON that is no block is a text."""
    said = (
        TextPart(printed(part.value))
        if isinstance(part, OtherPart) and not first(part.value, "type", "block_type")
        else part
        for part in parts
    )
    return tuple(
        part for part in said if not isinstance(part, TextPart | ReasoningPart) or part.content
    )


def _langchain(kind: Json, fields: Mapping[str, Any], role: str) -> GenAiMessage | None:
    kind = kind if isinstance(kind, str) else role
    more = fields.get("additional_kwargs")
    extra = more if isinstance(more, dict) else {}
    told = fields.get("role") if kind.lower() in ("chat", "chatmessage") else kind
    return composed(
        told if isinstance(told, str) else role,
        {
            **fields,
            "tool_calls": fields.get("tool_calls") or extra.get("tool_calls"),
            "finish_reason": first(fields.get("response_metadata"), "finish_reason", "stop_reason"),
            "reasoning_content": extra.get("reasoning_content"),
        },
    )
