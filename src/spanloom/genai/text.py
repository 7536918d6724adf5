"""What GenAI messages say, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spanloom.genai.roles import SYSTEM, speaker
from spanloom.model.genai import (
    GenAiMessage,
    MediaPart,
    ReasoningPart,
    TextPart,
    ToolResultPart,
)

# What a part without a text counts in `length_of`.
LENGTH_OF_OTHERS: Final = 256


def text_of(message: GenAiMessage) -> str:
    """The texts of a message, a line each: not its calls, results, reasoning or media."""
    parts = message.parts
    if len(parts) == 1 and isinstance(part := parts[0], TextPart):
        return part.content
    return "\n".join(part.content for part in parts if isinstance(part, TextPart) and part.content)


def reasoning_of(messages: Iterable[GenAiMessage]) -> str:
    """The reasoning of messages, a line each."""
    found = [
        part.content
        for message in messages
        for part in message.parts
        if isinstance(part, ReasoningPart) and part.content
    ]
    return "\n".join(found) if found else ""


def system_of(messages: Iterable[GenAiMessage]) -> str:
    """The system prompts among messages, a line each."""
    texts = (text_of(message) for message in messages if speaker(message.role) == SYSTEM)
    return "\n".join(filter(None, texts))


def length_of(messages: Iterable[GenAiMessage]) -> int:
    """The characters of the texts of messages, roughly: their parts are counted, not read."""
    length = 0
    for message in messages:
        for part in message.parts:
            match part:
                case TextPart(text) | ReasoningPart(text):
                    length += len(text)
                case MediaPart(value=text) | ToolResultPart(result=str(text)):
                    length += len(text)
                case _:
                    length += LENGTH_OF_OTHERS
    return length
