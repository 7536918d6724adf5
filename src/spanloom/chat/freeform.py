"""Inputs and outputs that are no GenAI messages (Basalt input/output, HoneyHive inputs/outputs), read as what was asked
and answered, and what a tool was given and gave back.

The names of keys are those that clients of the two contracts use; the first of a list that is filled wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spanloom.chat.json_text import parsed, printed, reprinted
from spanloom.chat.messages import ASSISTANT, TOOL, USER, Message, is_part, read_messages

if TYPE_CHECKING:
    from spanloom.model import Json

_HISTORIES: Final = ("chat_history", "messages")
# Where steps of a workflow pass a history on (LlamaIndex: input).
_PASSED_ON: Final = (*_HISTORIES, "input")
_QUESTIONS: Final = (
    "question",
    "query",
    "prompt",
    "input",
    "user_input",
    "message",
    "text",
    "content",
)
_ANSWERS: Final = (
    "content",
    "choices",
    "message",
    "messages",
    "response",
    "text",
    "output",
    "result",
    "answer",
    "completion",
    "value",
)
_RESULTS: Final = ("result", "output", "response", "value", "content", "text", "answer", "return")
_REASONINGS: Final = ("reasoning_content", "reasoning")
_NOTHING: Final[tuple[Json, ...]] = (None, "", [], {})
# How many keys deep an answer is looked for: choices, message, content, and the client's own wrappers.
_MAX_DEPTH: Final = 6


def asked(inputs: Json, *, any_json: bool = True) -> list[Message]:
    """What a model or an agent was asked: a message history, else the text under a question's key, else the only value;
    any other JSON is shown as it is, if `any_json`. A question beside a history that ends with an answer comes after it."""
    inputs = _without_params(inputs)
    if isinstance(inputs, dict) and not _is_message(inputs):
        key = _filled(inputs, _HISTORIES)
        history = _messages(inputs[key], USER) if key else []
        if history and history[-1].role in (USER, TOOL):
            return history
        question = _filled(inputs, _QUESTIONS)
        if question:
            return [*history, *_messages(inputs[question], USER, any_json=any_json)]
        if history:
            return history
    return _messages(inputs, USER, any_json=any_json)


def asked_before(outputs: Json) -> list[Message]:
    """The questions in a history that a step passed on, where it does not tell what went in."""
    key = _passed_on(outputs)
    return asked({"messages": outputs[key]}) if key and isinstance(outputs, dict) else []


def answered(outputs: Json, *, any_json: bool = True) -> list[Message]:
    """What a model or an agent answered: a message, the text under an answer's key, else the only value; any other JSON
    is shown as it is, if `any_json`. Of a history, what comes after the last question."""
    value = outputs
    for _ in range(_MAX_DEPTH):
        key = (
            _filled(value, _ANSWERS) if isinstance(value, dict) and not _is_message(value) else None
        )
        key = key or _passed_on(value)
        if key is None:
            break
        value = value[key]
        if key == "choices" and isinstance(value, list):
            value = [_choice(choice) for choice in value]
    messages = _messages(value, ASSISTANT, any_json=any_json)
    last = max((i for i, message in enumerate(messages) if message.role == USER), default=-1)
    return messages[last + 1 :]


def arguments_text(inputs: Json) -> str:
    """What a tool was given, as JSON text."""
    return reprinted(_without_params(inputs))


def result_text(outputs: Json) -> str:
    """What a tool gave back: the value of an object that holds nothing but a result, else JSON text."""
    if isinstance(outputs, dict) and len(outputs) == 1:
        [(key, value)] = outputs.items()
        if key in _RESULTS:
            return reprinted(value)
    return reprinted(outputs)


def _messages(value: Json, speaker: str, *, any_json: bool = True) -> list[Message]:
    """The value as a history, as one message or the parts of one, else as its text."""
    if isinstance(value, dict) and len(value) == 1 and not _is_message(value):
        [value] = value.values()
    if value in _NOTHING:
        return []
    items = _items(value)
    if any(map(_is_message, items)):
        return read_messages([_with_text(item) for item in items], speaker)
    if items and all(isinstance(item, dict) and is_part(item) for item in items):
        return read_messages([{"role": speaker, "parts": items}], speaker)
    return [Message(speaker, printed(value))] if any_json or isinstance(value, str) else []


def _passed_on(value: Json) -> str | None:
    """The key of an object under which it holds a history."""
    if not isinstance(value, dict) or _is_message(value):
        return None
    keys = (key for key in _PASSED_ON if isinstance(value.get(key), list))
    return next((key for key in keys if any(map(_is_message, _items(value[key])))), None)


def _items(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, str):
        value = parsed(value)
    if not isinstance(value, list):
        return []
    # LangChain sends a batch of one history.
    return value[0] if len(value) == 1 and isinstance(value[0], list) else value


def _is_message(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _choice(choice: Json) -> Json:
    """One of OpenAI's choices, as a message."""
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
    return {"role": ASSISTANT, **message} if isinstance(message, dict) else message


def _with_text(item: Json) -> Json:
    """A message with its reasoning as a part, and content that is no text or list of parts as JSON text."""
    if not isinstance(item, dict) or isinstance(item.get("parts"), list):
        return item
    reasoning = _filled(item, _REASONINGS)
    content = item.get("content", item.get("blocks"))
    if not isinstance(content, (str, list)):
        content = printed(content)
    elif reasoning is None and "content" in item:
        return item
    if reasoning and isinstance(item[reasoning], str):
        parts = content if isinstance(content, list) else [content]
        return {**item, "parts": [{"type": "reasoning", "content": item[reasoning]}, *parts]}
    return {**item, "content": content}


def _without_params(value: Json) -> Json:
    """HoneyHive's TypeScript client puts the arguments of a traced function under this key."""
    return value["_params_"] if isinstance(value, dict) and list(value) == ["_params_"] else value


def _filled(value: dict[str, Json], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        if key in value and value[key] not in _NOTHING:
            return key
    return None
