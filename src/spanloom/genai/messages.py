"""Messages in the dialects of model APIs and SDKs, as messages of the OpenTelemetry GenAI conventions: {role, parts, finish_reason?, name?}.

Messages that are sent as GenAI messages stay as they were sent, but for the role, which is in lower case. Sources: see
`spanloom.genai.parts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spanloom.genai.parts import (
    ROLES_OF_PARTS,
    Part,
    first,
    openai_call,
    parts_of,
    text_part,
    tool_call,
    tool_response,
)
from spanloom.genai.reading import json_text, parsed
from spanloom.model import Json

Message = dict[str, Any]

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
_SPEAKERS = (USER, ASSISTANT, SYSTEM, "developer")
# How deep an answer or a history may stand inside wrappers.
_MAX_DEPTH = 6

_ROLES = {
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
_LANGCHAIN_TYPES = frozenset(_ROLES) | {SYSTEM, TOOL}


def genai_messages(value: Json, role: str) -> list[Message] | None:
    """The messages of an attribute that holds GenAI messages: a list, one object, or JSON of either in text.

    Texts and what has no role are `role`'s; text that is no JSON is one message.
    """
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value else None
    if isinstance(value, dict):
        if "role" not in value:
            return messages_of(value, role) or [{"role": role, "content": json_text(value)}]
        value = [value]
    if not isinstance(value, list):
        return None
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return [message for item in value if (message := _genai_message(item, role))] or None


def _genai_message(item: Json, role: str) -> Message | None:
    if isinstance(item, str):
        return {"role": role, "content": item} if item else None
    if not isinstance(item, dict):
        return None
    parts = item.get("parts")
    if isinstance(parts, list):
        if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts):
            return message_of(item, role)
        if any(part["type"] == "tool_call_response" and "response" not in part for part in parts):
            item = {**item, "parts": [_with_response(part) for part in parts]}
    elif "content" not in item or "lc" in item or "type" in item:
        return message_of(item, role)
    said = item.get("role")
    if not isinstance(said, str) or not said:
        return {**item, "role": role}
    if said.lower() not in _SPEAKERS:
        said = _speaker_of(parts) or said
    return item if said == item["role"] and said.islower() else {**item, "role": said.lower()}


def _speaker_of(parts: Json) -> str | None:
    """Who says parts of one kind: Koog gives the calls of tools the role of their results, and thoughts one of their own."""
    if not isinstance(parts, list):
        return None
    roles = {ROLES_OF_PARTS.get(part["type"]) for part in parts}
    return roles.pop() if len(roles) == 1 else None


def _with_response(part: Part) -> Part:
    """Some SDKs call the response `result`."""
    if part["type"] == "tool_call_response" and "response" not in part and "result" in part:
        part = {"response" if key == "result" else key: value for key, value in part.items()}
    return part


def messages_of(value: Json, role: str, depth: int = 0) -> list[Message] | None:
    """The messages that a value of any dialect holds, None where it holds none that could be told.

    `role` is who speaks where nothing says it: the user on the way in, the assistant on the way out.
    """
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, str):
        said = parsed(value)
        if said is value:
            return [{"role": role, "parts": [text_part(value)]}] if value else None
        value = said
    if isinstance(value, list):
        if value and all(isinstance(item, list) for item in value) and not _is_pair(value[0]):
            return messages_of(value[0], role, depth + 1)  # LangChain sends a batch of one history
        told = [message_of(item, role) for item in value]
        has_messages = any(told)
        found = []
        for item, message in zip(value, told, strict=True):
            if message:
                found.append(message)
            elif isinstance(item, dict) and (not has_messages or _is_response(item)):
                found += _wrapped(item, ASSISTANT if has_messages else role, depth) or ()
        return found or None
    if not isinstance(value, dict):
        return None
    message = message_of(value, role)
    return [message] if message else _wrapped(value, role, depth)


def answers_of(value: Json) -> list[Message] | None:
    """What a model or an agent answered: of a whole history, what comes after the last question."""
    found = messages_of(value, ASSISTANT)
    if not found:
        return None
    last = max((i for i, m in enumerate(found) if m["role"] in (USER, SYSTEM)), default=-1)
    return found[last + 1 :] or None


def asked_and_answered(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """A history to which the answer was added: what was asked, and the assistant's words at its end."""
    end = len(messages)
    while end and messages[end - 1].get("role") == ASSISTANT:
        end -= 1
    return messages[:end], messages[end:]


def message_of(item: Json, role: str) -> Message | None:
    """One message of any dialect; None for what is none."""
    if isinstance(item, list):
        # LangChain's ("user", "text").
        return _message(item[0], {"content": item[1]}) if _is_pair(item) else None
    if not isinstance(item, dict):
        return None
    kwargs = item.get("kwargs")
    if "lc" in item and isinstance(kwargs, dict):
        path = item.get("id")
        return _langchain(path[-1] if isinstance(path, list) and path else "", kwargs, role)
    kind = item.get("type")
    data = item.get("data")
    if isinstance(data, dict) and isinstance(kind, str) and kind.lower() in _LANGCHAIN_TYPES:
        return _langchain(kind, data, role)
    if isinstance(item.get("role"), str) and any(key in item for key in _CONTENTS):
        return _message(item["role"], item)
    if isinstance(kind, str):
        if kind.lower() in _LANGCHAIN_TYPES and "content" in item:
            return _langchain(kind, item, role)
        if kind in ROLES_OF_PARTS:
            parts = parts_of(item)
            return {"role": ROLES_OF_PARTS[kind], "parts": parts} if parts else None
        if kind in ("message", "text", "output_text") and ("content" in item or "text" in item):
            return _message(role, item)
    return None


_CONTENTS = (
    "content",
    "parts",
    "tool_calls",
    "blocks",
    "function_call",
    "contents",
    "reasoning_content",
)


def _is_pair(item: list[Json]) -> bool:
    return (
        len(item) == 2
        and isinstance(item[0], str)
        and item[0].lower() in (USER, ASSISTANT, *_LANGCHAIN_TYPES)
    )


def _langchain(kind: Json, fields: Message, role: str) -> Message | None:
    kind = kind if isinstance(kind, str) else role
    more = fields.get("additional_kwargs")
    extra = more if isinstance(more, dict) else {}
    calls = fields.get("tool_calls") or extra.get("tool_calls")
    metadata = fields.get("response_metadata")
    reason = first(metadata, "finish_reason", "stop_reason")
    told = fields.get("role") if kind.lower() in ("chat", "chatmessage") else kind
    return _message(
        told if isinstance(told, str) else role,
        {
            **fields,
            "tool_calls": calls,
            "finish_reason": reason,
            "reasoning_content": extra.get("reasoning_content"),
        },
    )


def _message(said: Json, item: Message) -> Message | None:
    """A message from a role, and an object that has its content and calls beside one another."""
    role = said.lower() if isinstance(said, str) else USER
    role = _ROLES.get(role, role)
    content = first(item, "parts", "content", "blocks", "contents", "text")
    call_id = first(item, "tool_call_id", "toolCallId")
    if (
        role == TOOL
        and call_id is None
        and isinstance(item.get("id"), str)
        and not isinstance(content, list)
    ):
        call_id = item["id"]  # the older GenAI events
    if role == TOOL and call_id is not None and not _has_responses(content):
        parts = [tool_response(call_id, content, item.get("name"))]
    else:
        parts = parts_of(content)
    for key in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(item.get(key), str) and item[key]:
            parts.insert(0, {"type": "reasoning", "content": item[key]})
            break
    if isinstance(refusal := item.get("refusal"), str) and refusal:
        parts.append(text_part(refusal))
    calls = item.get("tool_calls") or item.get("toolCalls")
    if isinstance(calls, list):
        known = {part.get("id") for part in parts if part["type"] == "tool_call"} - {None}
        parts += [p for call in calls if (p := openai_call(call)) and p.get("id") not in known]
    if isinstance(function := item.get("function_call"), dict):
        parts.append(tool_call(None, function.get("name"), function.get("arguments")))
    if not parts:
        return None
    message: Message = {"role": role, "parts": parts}
    for key, names in (
        ("finish_reason", ("finish_reason", "finishReason", "stop_reason")),
        ("name", ("name",)),
    ):
        value = first(item, *names)
        if isinstance(value, str) and value and role != TOOL:
            message[key] = value
    return message


def _has_responses(content: Json) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and ROLES_OF_PARTS.get(str(part.get("type"))) == TOOL
        for part in content
    )


def _wrapped(value: Message, role: str, depth: int) -> list[Message] | None:
    """The messages inside a request or a response: the first of its keys that holds some."""
    depth += 1
    for key in _HISTORIES if role == USER else (*_ANSWERS, *_HISTORIES):
        inner = value.get(key)
        if inner is None or inner == "":
            continue
        if key == "choices" or key == "candidates" or key == "generations":
            found = [m for choice in _choices(inner) if (m := _choice(choice, role))]
        else:
            found = messages_of(inner, role, depth) or []
        if not found:
            continue
        system = _system(value)
        return [system, *found] if system and role == USER else found
    return None


# What a request calls its messages, and what a response calls its answer. Kept to names whose values are what was said.
_HISTORIES = (
    "messages",
    "chat_history",
    "contents",
    "prompt",
    "prompts",
    "input",
    "inputs",
    "new_message",
    "newMessage",
    "user_msg",
    "user_message",
    "user_input",
    "question",
    "query",
    "query_str",
    "task",
    "message",
)
_ANSWERS = (
    "choices",
    "candidates",
    "generations",
    "content",
    "message",
    "update",
    "response",
    "outputs",
    "output",
    "text",
    "answer",
    "result",
)


def _is_response(item: Message) -> bool:
    """A whole response among messages, as the answer to them: OpenAI's, of the one or of the other API."""
    return item.get("object") in ("response", "chat.completion")


def _choices(inner: Json) -> list[Json]:
    items = inner if isinstance(inner, list) else [inner]
    return [choice for item in items for choice in (item if isinstance(item, list) else [item])]


def _choice(choice: Json, role: str) -> Message | None:
    """One of OpenAI's choices, Google's candidates or LangChain's generations."""
    if not isinstance(choice, dict):
        return None
    said = first(choice, "message", "delta", "content")
    message = message_of(said, role)
    if message is None:
        text = first(choice, "text") or (said if isinstance(said, str) else None)
        message = (
            {"role": role, "parts": [text_part(text)]} if isinstance(text, str) and text else None
        )
    info = choice.get("generation_info")
    reason = first(choice, "finish_reason", "finishReason") or first(info, "finish_reason")
    if message and isinstance(reason, str):
        message.setdefault("finish_reason", reason.lower())
    return message


def _system(value: Message) -> Message | None:
    config = value.get("config")
    said = first(
        value, "system", "system_prompt", "systemInstruction", "system_instruction", "instructions"
    ) or first(config, "system_instruction", "systemInstruction")
    if isinstance(said, dict) and "parts" in said:
        said = said["parts"]
    parts = parts_of(said)
    return {"role": SYSTEM, "parts": parts} if parts else None


def system_of(messages: Iterable[Message]) -> str | None:
    """What the system and developer messages say, a line each."""
    texts = (text_of(m) for m in messages if m.get("role") in (SYSTEM, "developer"))
    return "\n".join(filter(None, texts)) or None


def text_of(message: Message) -> str:
    """The texts of a message, a line each: not its calls, its reasoning or its media."""
    parts = message.get("parts")
    content = parts if isinstance(parts, list) else message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else json_text(content)
    texts = (
        part if isinstance(part, str) else first(part, "content", "text")
        for part in content
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in _TEXTS)
    )
    return "\n".join(text for text in texts if isinstance(text, str))


_TEXTS = ("text", "input_text", "output_text")


def reasoning_of(messages: Iterable[Message]) -> str | None:
    """The reasoning parts of messages, a line each."""
    said = (
        part["content"]
        for message in messages
        if isinstance(message.get("parts"), list)
        for part in message["parts"]
        if isinstance(part, dict)
        and part.get("type") == "reasoning"
        and isinstance(part.get("content"), str)
    )
    return "\n".join(filter(None, said)) or None


def chat_history(messages: Iterable[Message]) -> list[Message]:
    """Messages in the shape of the events contract (OpenAI's): {role, content, tool_calls?, tool_call_id?}."""
    return [_openai_message(message) for message in messages]


def _openai_message(message: Message) -> Message:
    parts = message.get("parts")
    if not isinstance(parts, list):
        out: Message = {"role": message.get("role"), "content": text_of(message)}
        calls = message.get("tool_calls")
    else:
        out, calls = {"role": message.get("role"), "content": ""}, []
        said = []
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text" and isinstance(text := part.get("content"), str):
                said.append(text)
            elif kind == "tool_call":
                function = {"name": part.get("name"), "arguments": json_text(part.get("arguments"))}
                calls.append({"id": part.get("id"), "type": "function", "function": function})
            elif kind == "tool_call_response":
                said.append(json_text(part.get("response")))
                out["tool_call_id"] = part.get("id")
            elif kind != "reasoning":
                said.append(text_of({"parts": [part]}))
        out["content"] = "\n".join(filter(None, said)) if len(said) > 1 else said[0] if said else ""
    if calls:
        out["tool_calls"] = calls
    for key in ("tool_call_id", "finish_reason", "name"):
        if key in message and key not in out and isinstance(message[key], str):
            out[key] = message[key]
    return out
