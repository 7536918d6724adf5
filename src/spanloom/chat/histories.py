"""The requests in one input of a model, each with the result that the same input has for it.

Rules: docs/contracts/agent_chat.md, sections 3.13 and 3.20.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spanloom.chat.tools import ToolRequest, ToolResult
from spanloom.genai.roles import USER
from spanloom.model.genai import GenAiMessage

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


class Said(NamedTuple):
    """What one message says of tools."""

    requests: Sequence[ToolRequest]
    results: Sequence[ToolResult]


class History(NamedTuple):
    """The requests of an input in order, and the results of calls that it does not have."""

    asked: Sequence[Asked]
    results: Sequence[ToolResult]


def history_of(
    messages: Sequence[GenAiMessage], said_in: Callable[[GenAiMessage], Said]
) -> History:
    """The requests and the results of an input, in linear time.

    A result belongs to a call of its id. Where one of the two has no id, it belongs to a call of
    its tool's name, and without a name to any call. Of several such calls it is that of the latest
    round, and there the first one without a result. Each result and each user's message ends a
    round of requests.
    """
    last_user = max((i for i, m in enumerate(messages) if m.role == USER), default=-1)
    rounds = _Rounds()
    left: list[ToolResult] = []
    for index, message in enumerate(messages):
        if message.role == USER:
            rounds.end()
        said = said_in(message)
        for request in said.requests:
            rounds.ask(Asked(request, index > last_user))
        left += [result for result in said.results if not rounds.answer(result)]
    ids = {asked.request.call_id for asked in rounds.asked} if left else ()
    return History(rounds.asked, [r for r in left if not r.call_id or r.call_id not in ids])


class _Rounds:
    """The requests that have no result so far, by round."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._numbers: list[int] = []
        self._number = 0
        self._is_ended = False
        self._open: defaultdict[_Key, list[tuple[int, deque[Asked]]]] = defaultdict(list)
        self._has_names = False  # most results have an id, and need no names

    def end(self) -> None:
        """What is asked from here on is another round."""
        self._is_ended = True

    def ask(self, asked: Asked) -> None:
        if self._is_ended:
            self._number += 1
            self._is_ended = False
        self.asked.append(asked)
        self._numbers.append(self._number)
        self._put((_ID, asked.request.call_id), self._number, asked)
        if self._has_names:
            self._put_names(self._number, asked)

    def answer(self, result: ToolResult) -> bool:
        """Give the result to its call, if that is here."""
        self.end()
        if result.call_id and self._take((_ID, result.call_id), result):
            return True
        if not self._has_names:
            self._has_names = True
            for number, asked in zip(self._numbers, self.asked, strict=True):
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
