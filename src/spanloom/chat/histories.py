"""The requests in one input of a model, each with the result that the same input has for it.

Rules: docs/contracts/agent_chat.md, sections 3.13 and 3.20.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spanloom.chat.tools import ToolRequest, ToolResult, results_of
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model.genai import GenAiMessage, Part

# What a result may know its call by: its id; its tool's name ("" for any), among all calls or among
# those without an id.
_ID, _NAME, _NAME_WITHOUT_ID = range(3)
_Key = tuple[int, str]


@dataclass(slots=True, eq=False)
class Asked:
    """A request in an input. `is_current` tells that no message of a user comes after it."""

    request: ToolRequest
    is_current: bool
    result: ToolResult | None = None


class History(NamedTuple):
    """The requests of an input in order, and the results of calls that it does not have."""

    asked: Sequence[Asked]
    results: Sequence[ToolResult]


def history_of(
    messages: Sequence[GenAiMessage], request_of: Callable[[Part], ToolRequest | None]
) -> History:
    """The requests and the results of an input, in linear time.

    A result belongs to a call of its id. Where one of the two has no id, it belongs to a call of
    its tool's name, and without a name to any call. Of several such calls it is that of the latest
    round, and there the first one without a result. A round is what is requested between results.
    """
    last_user = max((i for i, m in enumerate(messages) if m.role == USER), default=-1)
    asked: list[Asked] = []
    left: list[ToolResult] = []
    rounds = _Rounds(asked)
    for index, message in enumerate(messages):
        if message.role == ASSISTANT:
            for part in message.parts:
                if (request := request_of(part)) is not None:
                    rounds.ask(Asked(request, index > last_user))
        for result in results_of(message):
            if not rounds.answer(result):
                left.append(result)
    ids = {a.request.call_id for a in asked}
    return History(asked, [r for r in left if not r.call_id or r.call_id not in ids])


class _Rounds:
    """The requests that have no result so far, by round."""

    def __init__(self, asked: list[Asked]) -> None:
        self._asked = asked
        self._numbers: list[int] = []
        self._number = 0
        self._is_answered = False
        self._open: defaultdict[_Key, list[tuple[int, deque[Asked]]]] = defaultdict(list)
        self._has_names = False  # most results have an id, and need no names

    def ask(self, asked: Asked) -> None:
        if self._is_answered:
            self._number += 1
            self._is_answered = False
        self._asked.append(asked)
        self._numbers.append(self._number)
        self._put((_ID, asked.request.call_id), self._number, asked)
        if self._has_names:
            self._put_names(self._number, asked)

    def answer(self, result: ToolResult) -> bool:
        """Give the result to its call, if that is here."""
        self._is_answered = True
        if result.call_id and self._take((_ID, result.call_id), result):
            return True
        if not self._has_names:
            self._has_names = True
            for number, asked in zip(self._numbers, self._asked, strict=True):
                self._put_names(number, asked)
        return self._take((_NAME_WITHOUT_ID if result.call_id else _NAME, result.name), result)

    def _put_names(self, number: int, asked: Asked) -> None:
        request = asked.request
        for name in (request.name, ""):
            self._put((_NAME, name), number, asked)
            if not request.call_id:
                self._put((_NAME_WITHOUT_ID, name), number, asked)

    def _put(self, key: _Key, number: int, asked: Asked) -> None:
        rounds = self._open[key]
        if not rounds or rounds[-1][0] != number:
            rounds.append((number, deque()))
        rounds[-1][1].append(asked)

    def _take(self, key: _Key, result: ToolResult) -> bool:
        rounds = self._open[key]
        while rounds:
            waiting = rounds[-1][1]
            while waiting:
                asked = waiting.popleft()
                if asked.result is None:
                    asked.result = result
                    return True
            rounds.pop()
        return False
