"""Messages that a client sent in the conventions' own words, which most are.

Their JSON is kept as it came, and no message is made of it until one is looked at. What the spans
of a request need of their messages is found in one look at that JSON: `spanloom.genai.json` would
make the same messages of it, and `chat_history` and `reasoning_of` say the same of those.
"""

from __future__ import annotations

from typing import Any, Final

from spanloom.genai.reading import json_text
from spanloom.genai.roles import ASSISTANT, SYSTEM, TOOL, USER
from spanloom.genai.stored import StoredMessages
from spanloom.genai.text import LENGTH_OF_OTHERS
from spanloom.model.genai import Json

_ROLES: Final = frozenset({USER, ASSISTANT, SYSTEM, "developer", TOOL})
_RESULT: Final = "tool_call_response"


class Conventional(StoredMessages):
    """Messages in the conventions' words, and what `chat_history`, `reasoning_of` and `length_of`
    make of them."""

    __slots__ = ("history", "length", "reasoning")

    def __init__(
        self, json: Json, history: list[dict[str, Any]], reasoning: str, length: int
    ) -> None:
        super().__init__(json)
        self.history = history
        self.reasoning = reasoning
        self.length = length


def conventional(items: list[Json]) -> Conventional | None:
    """The messages that these objects are; None if one has any other key, value or kind of part."""
    history: list[dict[str, Any]] = []
    thoughts: list[str] = []
    length = 0
    for item in items:
        if type(item) is not dict:
            return None
        role, parts = item.get("role"), item.get("parts")
        if type(role) is not str or role not in _ROLES:
            return None
        out: dict[str, Any] = {"role": role, "content": ""}
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        if type(parts) is not list:
            text = item.get("content")
            # A text may be a list of parts as well, or a tool's result.
            if type(text) is not str or text[:1] in ("", "[") or role == TOOL:
                return None
            texts.append(text)
            length += len(text)
            parts = ()
        for part in parts:
            if type(part) is not dict:
                return None
            kind = part.get("type")
            if role == TOOL and kind != _RESULT:
                return None  # the role is that of the parts
            if kind == "tool_call":
                call = _call(part)
                if call is None:
                    return None
                calls.append(call)
                length += LENGTH_OF_OTHERS
                continue
            text = part.get("response" if kind == _RESULT else "content")
            if type(text) is not str or len(part) != (3 if kind == _RESULT else 2):
                return None
            if kind == "text":
                texts.append(text)
            elif kind == "reasoning":
                thoughts.append(text)
            elif kind == _RESULT and (call_id := part.get("id")) and type(call_id) is str:
                out["tool_call_id"] = call_id
                texts.append(text)
            else:
                return None
            length += len(text)
        out["content"] = texts[0] if len(texts) == 1 else "\n".join(filter(None, texts))
        if calls:
            out["tool_calls"] = calls
        size = 2
        for key in ("finish_reason", "name"):
            if (word := item.get(key)) is not None:
                if type(word) is not str or not word:
                    return None
                out[key] = word
                size += 1
        if len(item) != size:
            return None
        history.append(out)
    return Conventional(items, history, "\n".join(filter(None, thoughts)), length)


def _call(part: dict[str, Json]) -> dict[str, Any] | None:
    """A call in the shape of the events contract."""
    call_id, name, arguments = part.get("id"), part.get("name"), part.get("arguments")
    if len(part) != 4 or type(name) is not str or arguments is None:
        return None
    if type(call_id) is not str or not call_id:
        return None
    function = {"name": name, "arguments": json_text(arguments)}
    return {"id": call_id, "type": "function", "function": function}
