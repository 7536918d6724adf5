"""Requests of models to call tools: whether they were executed, their results, their place.

Rules: docs/contracts/agent_chat.md, sections 2.7 and 3.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from spanloom.chat.facts import AGENT, TOOL, Facts
from spanloom.chat.messages import joined_text
from spanloom.genai.json_text import printed, reprinted
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import reasoning_of, text_of
from spanloom.model.genai import GenAiMessage, Part, ToolCallPart, ToolResultPart


class ToolRequest(NamedTuple):
    """A model's request to call a tool; `call_id` "" if it has none, `arguments` as JSON text."""

    call_id: str
    name: str
    arguments: str


class Piece(NamedTuple):
    """What a model said before, between or after its requests."""

    messages: Sequence[GenAiMessage]
    text: str
    reasoning: str


NOTHING_SAID = Piece((), "", "")


class OpenRequests:
    """The requests that have no execution of their own. Each with an id is taken at most once.

    `results` are the results that later inputs hold, by the call's id.
    """

    def __init__(self, facts: Iterable[Facts], *, with_results: bool) -> None:
        facts = list(facts)
        self._executed = {f.call_id for f in facts if f.call_id and f.act in (TOOL, AGENT)}
        self._taken: set[str] = set()
        self.results: dict[str, str] = {}
        self._answered: set[tuple[str, str]] = set()
        for f in facts if with_results else ():
            self._answered.update((r.name, r.arguments) for r in requests_in(f.outputs))
            for call_id, result in results_in(f.inputs):
                self.results.setdefault(call_id, result)

    def is_executed(self, request: ToolRequest) -> bool:
        """Whether a tool or agent span has the request's id."""
        return request.call_id in self._executed

    def take_repeated(self, request: ToolRequest) -> bool:
        """As `take`, for a request that an input repeats.

        It is not taken if an answer has the same request: some instrumentations give it another id
        in inputs.
        """
        return (request.name, request.arguments) not in self._answered and self.take(request)

    def take(self, request: ToolRequest) -> bool:
        """Whether the request has no span of its own and was not taken before."""
        if request.call_id in self._executed or request.call_id in self._taken:
            return False
        if request.call_id:
            self._taken.add(request.call_id)
        return True


def requests_in(messages: Iterable[GenAiMessage]) -> Iterator[ToolRequest]:
    """The requests of assistants, in order."""
    for message in messages:
        if message.role == ASSISTANT:
            for part in message.parts:
                if (request := _request(part)) is not None:
                    yield request


def requests_after_last_user(messages: Sequence[GenAiMessage]) -> Iterator[ToolRequest]:
    """The requests in a model's input that belong to the current turn.

    Only those with an id: every input repeats them.
    """
    last = max((i for i, m in enumerate(messages) if m.role == USER), default=-1)
    return (request for request in requests_in(messages[last + 1 :]) if request.call_id)


def results_in(messages: Iterable[GenAiMessage]) -> Iterator[tuple[str, str]]:
    """The results of tools in messages: (id of the call, text)."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolResultPart) and part.id and part.result is not None:
                yield part.id, printed(part.result)


def piece_of(messages: Sequence[GenAiMessage]) -> Piece:
    """All that messages say, in one piece."""
    if not messages:
        return NOTHING_SAID
    text = text_of(messages[0]) if len(messages) == 1 else joined_text(messages)
    return Piece(messages, text, reasoning_of(messages))


def pieces_of(
    outputs: Sequence[GenAiMessage], take: Callable[[ToolRequest], bool]
) -> list[Piece | ToolRequest]:
    """An output in the order of its parts, cut where a request is taken. It starts with a piece."""
    steps: list[Piece | ToolRequest] = []
    piece: list[GenAiMessage] = []
    for message in outputs:
        parts: list[Part] = []
        for part in message.parts:
            request = _request(part) if message.role == ASSISTANT else None
            if request is None or not take(request):
                parts.append(part)
                continue
            piece.append(replace(message, parts=tuple(parts), sent=None))
            steps += [piece_of(piece), request]
            piece, parts = [], []
        is_whole = len(parts) == len(message.parts)
        piece.append(message if is_whole else replace(message, parts=tuple(parts), sent=None))
    return [*steps, piece_of(piece)]


def _request(part: Part) -> ToolRequest | None:
    if not isinstance(part, ToolCallPart) or not part.name:
        return None
    return ToolRequest(part.id, part.name, reprinted(part.arguments))
