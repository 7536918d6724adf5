"""What messages say of tools: the requests of models, their place, and the results.

Rules: docs/contracts/agent_chat.md, sections 2.7 and 3.13.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from spanloom.chat.messages import joined_text
from spanloom.genai.json_text import reprinted
from spanloom.genai.roles import ASSISTANT, TOOL
from spanloom.genai.text import reasoning_of, text_of
from spanloom.model.genai import GenAiMessage, Json, Part, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from spanloom.chat.pairing import Call


class ToolRequest(NamedTuple):
    """A model's request to call a tool; `call_id` "" if it has none, `arguments` as JSON text."""

    call_id: str
    name: str
    arguments: str


class ToolResult(NamedTuple):
    """What a tool returned; `call_id` and `name` are "" where it does not say them."""

    call_id: str
    name: str
    value: Json


class Piece(NamedTuple):
    """What a model said before, between or after its requests."""

    messages: Sequence[GenAiMessage]
    text: str
    reasoning: str


NOTHING_SAID = Piece((), "", "")


def requests_in(messages: Iterable[GenAiMessage]) -> Iterator[ToolRequest]:
    """The requests of assistants, in order."""
    for message in messages:
        if message.role == ASSISTANT:
            for part in message.parts:
                if (request := request_of(part)) is not None:
                    yield request


def results_in(messages: Iterable[GenAiMessage]) -> Iterator[ToolResult]:
    """The results of tools, in order."""
    for message in messages:
        yield from results_of(message)


def results_of(message: GenAiMessage) -> Iterator[ToolResult]:
    """The results in one message; of a tool's message that holds none, its text."""
    has_result = False
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            has_result = True
            if part.result is not None:
                yield ToolResult(part.id, part.name or message.name, part.result)
    if message.role == TOOL and not has_result and (text := text_of(message)):
        yield ToolResult("", message.name, text)


def piece_of(messages: Sequence[GenAiMessage]) -> Piece:
    """All that messages say, in one piece."""
    if not messages:
        return NOTHING_SAID
    text = text_of(messages[0]) if len(messages) == 1 else joined_text(messages)
    return Piece(messages, text, reasoning_of(messages))


def pieces_of(outputs: Sequence[GenAiMessage], calls: Iterable[Call | None]) -> list[Piece | Call]:
    """An output in the order of its parts, cut at each call. It starts with a piece.

    `calls` has one for each request of the output, None where none is shown.
    """
    steps: list[Piece | Call] = []
    piece: list[GenAiMessage] = []
    coming = iter(calls)
    for message in outputs:
        parts: list[Part] = []
        for part in message.parts:
            is_request = isinstance(part, ToolCallPart) and part.name != ""
            call = next(coming, None) if is_request and message.role == ASSISTANT else None
            if call is None:
                parts.append(part)
                continue
            piece.append(replace(message, parts=tuple(parts), sent=None))
            steps += [piece_of(piece), call]
            piece, parts = [], []
        is_whole = len(parts) == len(message.parts)
        piece.append(message if is_whole else replace(message, parts=tuple(parts), sent=None))
    return [*steps, piece_of(piece)]


def request_of(part: Part) -> ToolRequest | None:
    """The request that a part is: a call that has a name."""
    if not isinstance(part, ToolCallPart) or not part.name:
        return None
    return ToolRequest(part.id, part.name, reprinted(part.arguments))
