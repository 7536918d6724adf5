"""The one reader of messages, for requests, responses, conversations and free-form values.

    genai_messages    an attribute that holds GenAI messages, which keep every field
    received          the same, for who stores the messages and looks at few of them
    messages_of       the messages that a value holds
    asked, answered   what a model or an agent was asked, and what it answered

The keys are those of model APIs, frameworks and the clients of Spanloom's contracts. Of several
keys the first one that is filled counts. Sources: see `spanloom.genai.blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

import orjson

from spanloom.genai.blocks import first, is_block, parts_of
from spanloom.genai.conventional import conventional
from spanloom.genai.cut_messages import cut_messages
from spanloom.genai.dialects import (
    choice_of,
    choices_in,
    composed,
    is_message,
    is_pair,
    message_of,
    shown,
)
from spanloom.genai.json import message_from_json
from spanloom.genai.json_text import json_in, printed
from spanloom.genai.reading import decoded, parsed
from spanloom.genai.roles import ASSISTANT, SYSTEM, TOOL, USER, speaker
from spanloom.genai.tool_io import without_params
from spanloom.model.genai import (
    GenAiMessage,
    Json,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_Object = dict[str, Any]
_Read = Callable[[Json, str], GenAiMessage | None]

# How many objects deep a question, an answer or a history is looked for.
_MAX_DEPTH: Final = 6
# Keys under which a request has the conversation, and its last question.
_HISTORIES: Final = ("chat_history", "messages", "contents")
_QUESTIONS: Final = (
    *("question", "query", "query_str", "prompt", "prompts", "input", "inputs", "user_input"),
    *("user_msg", "user_message", "new_message", "newMessage", "task", "message", "text"),
    *("content", "parts"),
)
# Keys under which a response has the answer; those of _CHOICES hold several.
_CHOICES: Final = ("choices", "candidates", "generations", "results")
_ANSWERS: Final = (
    *(*_CHOICES, "content", "parts", "message", "delta", "messages", "update", "response"),
    *("outputs", "output", "text", "generated_text", "output_text", "generation", "outputText"),
    *("answer", "completion", "result", "value", "replies", "raw"),
)
# Keys under which a step passes a conversation on.
_PASSED_ON: Final = (*_HISTORIES, "input")
_SYSTEMS: Final = (
    *("system", "system_prompt", "systemInstruction", "system_instruction", "instructions"),
)
# What OpenAI calls a whole response, which may be among messages as the answer to them.
_RESPONSES: Final = ("response", "chat.completion")
_NOTHING: Final[tuple[Json, ...]] = (None, "", [], {})
# Keys of which a GenAI message has one, or an OpenAI message in its place.
_OWN_KEYS: Final = frozenset({"content", "parts", "tool_calls"})
_WELL_KNOWN: Final = frozenset({USER, ASSISTANT, SYSTEM, "developer"})


class Reader:
    """Reads messages of any dialect.

    One that remembers reads each message of a list once, however often it occurs: every model call
    replays the conversation before it. Make one for each trace, as it keeps what it has read.
    """

    __slots__ = ("_known",)

    def __init__(self, *, remember: bool = False) -> None:
        self._known: dict[tuple[_Read, str], dict[bytes, GenAiMessage | None]] | None = (
            {} if remember else None
        )

    def genai_messages(self, value: Json, role: str) -> list[GenAiMessage]:
        """The messages of an attribute that holds GenAI messages: a list, or one object.

        They keep every field that was sent. A text is JSON of either, else one message of `role`;
        so is each item of a list without a role. What is no message is left out.
        """
        if isinstance(value, str):
            inner = _opened(value)
            if isinstance(inner, list | dict):
                return self.genai_messages(inner, role) or _as_text(inner, role, (), any_json=True)
            if (cut := cut_messages(inner, role)) is None:
                return [_text_message(role, inner)] if inner else []
            is_request = isinstance(cut, dict) and "role" not in cut
            return self.messages_of(cut, role) if is_request else self.genai_messages(cut, role)
        if isinstance(value, bool | int | float) and role == ASSISTANT:
            return [_text_message(role, printed(value))]
        if isinstance(value, dict):
            if not isinstance(value.get("role"), str):
                return self.asked(value) if role == USER else self.answered(value)
            value = [value]
        if not isinstance(value, list):
            return []
        value = _items(value, role)
        if len(value) == 1:
            if not isinstance(value[0], list):
                message = _genai_message(value[0], role)
                return self._found(value, role, 0) if message is None else [message]
            value = value[0]
        found = self._each(value, role, _genai_message)
        messages = [message for message in found if message is not None]
        return messages or self._found(value, role, 0)

    def messages_of(self, value: Json, role: str) -> list[GenAiMessage]:
        """The messages in a value of any dialect, [] if none is recognized.

        `role` is the speaker of messages that name none: the user of inputs, the assistant of
        outputs.
        """
        if isinstance(value, str):
            inner = parsed(value)
            if not isinstance(inner, list | dict):
                if (cut := cut_messages(value, role)) is not None:
                    return self._found(cut, role, 0)
                return [GenAiMessage(role, (TextPart(value),))] if value else []
            value = inner
        return self._found(without_params(value), role, 0)

    def asked(self, value: Json, *, any_json: bool = True) -> list[GenAiMessage]:
        """What a model or an agent was asked.

        That is a conversation, else the text under a question's key, else the only value. Any other
        JSON is one message with its text, if `any_json`.
        """
        return self.messages_of(value, USER) or _as_text(value, USER, _QUESTIONS, any_json=any_json)

    def answered(self, value: Json, *, any_json: bool = True) -> list[GenAiMessage]:
        """What a model or an agent answered.

        That is a message, else the text under an answer's key, else the only value. Of a
        conversation, it is what comes after the last question. Any other JSON is one message with
        its text, if `any_json`.
        """
        found = self.messages_of(value, ASSISTANT)
        if not found:
            return _as_text(value, ASSISTANT, _ANSWERS, any_json=any_json)
        return after_last_question(found)

    def asked_before(self, value: Json) -> list[GenAiMessage]:
        """The conversation that a step passed on, where it does not say what it was asked."""
        return self._passed_on(value, USER, 0) if isinstance(value, dict) else []

    def _found(self, value: Json, role: str, depth: int) -> list[GenAiMessage]:
        if depth > _MAX_DEPTH:
            return []
        if isinstance(value, str):
            return _in_text(value, role)
        if isinstance(value, list):
            return self._in_list(value, role, depth)
        if not isinstance(value, dict):
            return []
        message = message_of(value, role)
        if message is not None:
            return [message]
        return (
            self._in_request(value, depth)
            if role == USER
            else self._in_response(value, role, depth)
        )

    def _in_list(self, value: list[Json], role: str, depth: int) -> list[GenAiMessage]:
        if not value:
            return []
        if isinstance(value[0], list) and not is_pair(value[0]):
            if all(isinstance(item, list) for item in value):
                return self._found(
                    value[0], role, depth + 1
                )  # LangChain's batch of one conversation
        elif is_block(value[0]) and all(map(is_block, value)):
            return _of_blocks(value, role)
        messages = self._each(value, role, message_of)
        has_messages = any(messages)
        found: list[GenAiMessage] = []
        for item, message in zip(value, messages, strict=True):
            if message is not None:
                found.append(message)
            elif isinstance(item, dict) and (not has_messages or item.get("object") in _RESPONSES):
                found += self._found(item, ASSISTANT if has_messages else role, depth + 1)
        return found

    def _in_request(self, value: _Object, depth: int) -> list[GenAiMessage]:
        """The conversation of a request, and the question beside one that ends with an answer."""
        history = self._first_found(value, _HISTORIES, USER, depth)
        if not history or speaker(history[-1].role) not in (USER, TOOL):
            history = history + self._first_found(value, _QUESTIONS, USER, depth)
        system = _system(value) if history else None
        return [system, *history] if system else history

    def _in_response(self, value: _Object, role: str, depth: int) -> list[GenAiMessage]:
        if ("finish_reason" in value or "finishReason" in value) and (
            choice := choice_of(value, role)
        ):
            return [choice]
        found = self._first_found(value, _ANSWERS, role, depth) or self._passed_on(
            value, role, depth
        )
        if not found and isinstance(value.get("tool_calls"), list):
            message = composed(role, value)
            return [message] if message else []
        return found

    def _passed_on(self, value: _Object, role: str, depth: int) -> list[GenAiMessage]:
        """The conversation that a step of a workflow passes on."""
        kept = {key: value[key] for key in _PASSED_ON if isinstance(value.get(key), list)}
        return self._first_found(kept, _PASSED_ON, role, depth)

    def _first_found(
        self, value: _Object, keys: Sequence[str], role: str, depth: int
    ) -> list[GenAiMessage]:
        for key in keys:
            inner = value.get(key)
            if inner in _NOTHING:
                continue
            if key in _CHOICES:
                choices = choices_in(key, inner)
                found = [m for choice in choices if (m := choice_of(choice, role))]
            elif key in ("content", "parts") and not isinstance(inner, dict):
                found = [m] if (m := composed(role, value)) else []
            else:
                found = self._found(inner, role, depth + 1)
            if found:
                return found
        return []

    def _each(self, items: list[Json], role: str, read: _Read) -> list[GenAiMessage | None]:
        if self._known is None or len(items) == 1:
            return [read(item, role) for item in items]
        known = self._known.setdefault((read, role), {})
        found: list[GenAiMessage | None] = []
        for item in items:
            try:
                key = orjson.dumps(item)
            except TypeError:  # JSON that cannot be written again
                found.append(read(item, role))
                continue
            if key not in known:
                known[key] = read(item, role)
            found.append(known[key])
        return found


_reader = Reader()
genai_messages = _reader.genai_messages
messages_of = _reader.messages_of
asked = _reader.asked
answered = _reader.answered


def received(value: Json, role: str) -> Sequence[GenAiMessage]:
    """As `genai_messages`; those in the conventions' own words are made when one is looked at."""
    inner = parsed(value) if isinstance(value, str) else value
    if not isinstance(inner, list | dict):
        return genai_messages(value, role)
    found = conventional(inner if isinstance(inner, list) else [inner])
    if found:
        return found
    messages = genai_messages(inner, role)
    if messages or not isinstance(value, str):
        return messages
    return _as_text(inner, role, (), any_json=True)


def _opened(value: str) -> Any:
    """What an attribute holds as text: JSON, also that of a text, else the text."""
    if value[:1] == '"':
        value = text if isinstance(text := decoded(value), str) else value
    return parsed(value)


def _items(value: list[Json], role: str) -> list[Json]:
    """The items of a list; of JSON in a text those that are messages."""
    if not any(isinstance(item, str) and item[:1] in ("{", "[") for item in value):
        return value
    items: list[Json] = []
    for item in value:
        inner = _opened(item) if isinstance(item, str) else item
        found = inner if isinstance(inner, list) else [inner]
        items += found if isinstance(item, str) and all(map(is_message, found)) else [item]
    return items


def _text_message(role: str, text: str) -> GenAiMessage:
    return message_from_json({"role": role, "content": text})


def _genai_message(item: Json, role: str) -> GenAiMessage | None:
    if isinstance(item, str):
        return _text_message(role, item) if item else None
    if not isinstance(item, dict):
        return None
    said = item.get("role")
    if isinstance(said, str) and said in _WELL_KNOWN and ("content" in item or "parts" in item):
        return message_from_json(item)  # most messages
    if not isinstance(said, str) or not said:
        if isinstance(item.get("message") or item.get("content"), dict) and (
            choice := choice_of(item, role)
        ):
            return choice
        if "lc" in item or "type" in item or _OWN_KEYS.isdisjoint(item):
            return message_of(item, role)
        return message_from_json({**item, "role": role})
    if _OWN_KEYS.isdisjoint(item) and (read := message_of(item, role)) is not None:
        return read
    message = message_from_json(item)
    known = said.lower()
    if known not in _WELL_KNOWN:
        known = _role_of_parts(message) or known
    if known == said:
        return message
    return replace(message, role=known, sent=message.sent and {**item, "role": known})


def _role_of_parts(message: GenAiMessage) -> str | None:
    """The role of parts of one kind.

    Koog gives calls of tools the role of their results, and reasoning a role of its own.
    """
    roles = {_ROLE_OF.get(type(part)) for part in message.parts}
    return roles.pop() if len(roles) == 1 else None


_ROLE_OF: Final = {ToolCallPart: ASSISTANT, ReasoningPart: ASSISTANT, ToolResultPart: TOOL}


def after_last_question(messages: Sequence[GenAiMessage]) -> list[GenAiMessage]:
    """The messages that answer: those after the last one of a user or of the system."""
    asked = (i for i, message in enumerate(messages) if speaker(message.role) in (USER, SYSTEM))
    return [*messages[max(asked, default=-1) + 1 :]]


def asked_and_answered(
    messages: Sequence[GenAiMessage],
) -> tuple[Sequence[GenAiMessage], Sequence[GenAiMessage]]:
    """A conversation that ends with the answer, cut before the assistant's last messages."""
    end = len(messages)
    while end and messages[end - 1].role == ASSISTANT:
        end -= 1
    return messages[:end], messages[end:]


def _in_text(value: str, role: str) -> list[GenAiMessage]:
    """A text inside a request or a response: JSON of messages, else what was said."""
    inner = parsed(value)
    items = inner if isinstance(inner, list) else [inner]
    if items and all(isinstance(item, list | dict) for item in items):
        found = [message for item in items if (message := message_of(item, role)) is not None]
        if found:
            return found
    return [GenAiMessage(role, (TextPart(value),))] if value else []


def _of_blocks(blocks: list[Json], role: str) -> list[GenAiMessage]:
    """Blocks outside any message: one message for each run of blocks of one speaker."""
    parts = shown(parts_of(blocks))
    speakers = groupby(parts, key=lambda part: _ROLE_OF.get(type(part), role))
    return [GenAiMessage(speaks, tuple(said)) for speaks, said in speakers]


def _system(value: _Object) -> GenAiMessage | None:
    said = first(value, *_SYSTEMS) or first(value.get("config"), *_SYSTEMS)
    if isinstance(said, dict) and "parts" in said:
        said = said["parts"]
    parts = shown(parts_of(said))
    return GenAiMessage(SYSTEM, parts) if parts else None


def _as_text(value: Json, role: str, keys: Sequence[str], *, any_json: bool) -> list[GenAiMessage]:
    """The value under the first filled one of these keys, level by level, else the only value."""
    value = without_params(json_in(value) if isinstance(value, str) else value)
    for _ in range(_MAX_DEPTH):
        if not isinstance(value, dict):
            break
        filled = [key for key in keys if value.get(key) not in _NOTHING]
        if not filled and len(value) != 1:
            break
        value = value[filled[0]] if filled else next(iter(value.values()))
    if value in _NOTHING or not (any_json or isinstance(value, str)):
        return []
    return [GenAiMessage(role, (TextPart(printed(value)),))]
