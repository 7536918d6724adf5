"""The tool calls of a trace, each once: who requested it, what executed it, what it returned.

A model's output has its requests, each later input repeats them with their results, an agent's
output may repeat them all, and tool spans execute them. Ids do not settle which of these are the
same call: some clients count them anew for each answer, or have none. So it also matters how often
the conversation had the request before.

Rules: docs/contracts/agent_chat.md, sections 2.7, 3.13, 3.15 and 3.20.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from spanloom.chat.facts import AGENT, HANDOFF, OTHER, TOOL, WORKFLOW, Facts, FactsById
from spanloom.chat.histories import History, Said, history_of
from spanloom.chat.messages import key_of
from spanloom.chat.pairing import Call, Execution, arguments_key, executed_calls
from spanloom.chat.tools import ToolRequest, ToolResult, requests_in, results_of
from spanloom.chat.tree import SpanTree
from spanloom.genai.json_text import printed
from spanloom.genai.roles import USER
from spanloom.model.genai import GenAiMessage

# An id that a client counts: other conversations of the trace may have the same.
_COUNTED: Final = re.compile(r"\D*\d{0,4}")
# The scope of all spans.
_ANY: Final = ""
_Key = tuple[str, ...]


@dataclass(slots=True)
class Calls:
    """The calls of a trace.

    `requested` has those of each span's output, in the order of its requests, None for one that
    another span told before; `passed_on` has those that only the input of a span tells; `executed`
    has the call that a tool or agent span carries out.
    """

    requested: Mapping[str, Sequence[Call | None]]
    passed_on: Mapping[str, Sequence[Call]]
    executed: Mapping[str, Call]


def calls_of(tree: SpanTree, facts: FactsById, *, with_inputs: bool) -> Calls:
    """The calls of the trace. `with_inputs` reads the inputs too: the results, and the requests
    that no output has. The work is linear in the size of the spans."""
    reading = _Reading(facts.values() if with_inputs else None)
    executions: list[Execution] = []
    for f, scope, has_calls_below in _upwards(tree, facts, reading):
        if f.act in (TOOL, AGENT):
            executions.append(Execution(f, scope))
        if f.act != TOOL:
            inner = f.span.span_id if f.act == AGENT else scope
            if with_inputs and f.inputs:
                reading.read_inputs(f, inner)
            if f.outputs:
                repeats = f.act in (AGENT, WORKFLOW) or has_calls_below
                reading.read_outputs(f, inner, repeats=repeats)
    executed = executed_calls(executions, reading.calls)
    return Calls(reading.requested, reading.passed_on, executed)


def _upwards(
    tree: SpanTree, facts: FactsById, reading: _Reading
) -> Iterator[tuple[Facts, str, bool]]:
    """Each span after those below it, the agent or tool span around it, and whether those below
    told of calls."""
    stack = [("", iter(tree.roots), _ANY, 0)]
    while stack:
        span_id, children, scope, calls_before = stack[-1]
        child = next(children, None)
        if child is not None:
            inner = span_id if span_id and facts[span_id].act in (AGENT, TOOL) else scope
            stack.append((child, iter(tree.children.get(child, ())), inner, len(reading.calls)))
            continue
        stack.pop()
        if span_id:
            yield facts[span_id], scope, len(reading.calls) > calls_before


class _Reading:
    """What the spans that were read tell of calls."""

    def __init__(self, facts: Iterable[Facts] | None) -> None:
        """`facts` are all those whose inputs will be read, None if none will."""
        self.calls: list[Call] = []
        self.requested: dict[str, Sequence[Call | None]] = {}
        self.passed_on: dict[str, Sequence[Call]] = {}
        # The only call of an id that is not counted; None if there are several.
        self._only: dict[str, Call | None] = {}
        # Inputs repeat the same messages, which exist as long as the facts.
        self._said: dict[int, Said] = {}
        # The calls in their order, by what makes them the same.
        self._known: defaultdict[_Key, list[Call]] = defaultdict(list)
        # The calls of the latest answer, by what a result without a request may name them by.
        self._open: dict[_Key, tuple[Facts, deque[Call]]] = {}
        # How many calls there were when a question was first seen.
        self._turns: dict[tuple[str, int], int] = {}
        self._with_inputs = facts is not None
        self._answered = {
            (request.name, request.arguments)
            for f in facts or ()
            for request in self._requests_in(f.outputs)
        }

    def read_outputs(self, f: Facts, scope: str, *, repeats: bool) -> None:
        """Read the requests of an output. `repeats` tells that it may repeat those of any span."""
        requests = [*self._requests_in(f.outputs)]
        if not requests:
            return
        turn = self._turn(f.inputs)
        calls: list[Call | None] = []
        told: Counter[_Key] = Counter()
        before: Counter[_Key] | None = None
        for request in requests:
            keys = _keys(request, scope, repeats=repeats)
            for key in keys:
                told[key] += 1
            is_known = keys != () and all(key in self._known for key in keys)
            if is_known:
                if before is None:
                    before = Counter() if repeats else self._asked_before(f.inputs, scope)
                since = turn if _is_counted(request) and not repeats else 0
                is_known = all(before[key] + told[key] <= self._times(key, since) for key in keys)
            calls.append(None if is_known else self._add(request, f, scope))
        self.requested[f.span.span_id] = calls

    def read_inputs(self, f: Facts, scope: str) -> None:
        """Read the results in an input, and the requests that no output has."""
        if self._has_only_known_ids(f.inputs):
            for message in f.inputs:
                for result in self._said_in(message).results:
                    call = self._only[result.call_id]
                    if call is not None and call.result is None:
                        call.result = printed(result.value)
            return
        history = history_of(f.inputs, self._said_in)
        if not history.asked and not history.results:
            return
        turn = self._turn(f.inputs)
        calls = self._aligned(history, turn, lambda request: _exact(request, scope))
        added: list[Call] = []
        told: Counter[_Key] = Counter()
        for index, asked in enumerate(history.asked):
            request = asked.request
            if asked.is_current and request.call_id:
                [key, *_] = _keys(request, scope)
                told[key] += 1
                if calls[index] is None and self._is_new(request, key, told[key], turn):
                    new = calls[index] = self._add(request, f, scope)
                    added.append(new)
        if added and f.act in (OTHER, HANDOFF):
            self.passed_on[f.span.span_id] = added
        if None in calls:
            found = set(calls)
            near = self._aligned(history, turn, lambda request: _near(request, scope))
            calls = [
                call or (other if other not in found else None)
                for call, other in zip(calls, near, strict=True)
            ]
        for asked, call in zip(history.asked, calls, strict=True):
            if call is not None and call.result is None and asked.result is not None:
                call.result = printed(asked.result.value)
        for result in history.results:
            self._answer(result, scope)

    def _has_only_known_ids(self, inputs: Sequence[GenAiMessage]) -> bool:
        """Whether ids alone tell the calls of an input, which they mostly do."""
        ids: list[str] = []
        for message in inputs:
            said = self._said_in(message)
            for result in said.results:
                if self._only.get(result.call_id) is None:
                    return False
            ids += [request.call_id for request in said.requests]
        return all(self._only.get(i) is not None for i in ids) and len(ids) == len(set(ids))

    def _turn(self, inputs: Sequence[GenAiMessage]) -> int:
        """How many calls there were when the latest question of an input was first seen."""
        users = [message for message in inputs if message.role == USER]
        question = key_of(users[-1]) if users else ""
        return self._turns.setdefault((question, len(users)), len(self.calls))

    def _asked_before(self, inputs: Sequence[GenAiMessage], scope: str) -> Counter[_Key]:
        """How often an input has each request, counted ids since the latest question."""
        asked: Counter[_Key] = Counter()
        is_current = True
        for message in reversed(inputs):
            is_current = is_current and message.role != USER
            for request in self._requests_in([message]):
                if is_current or not _is_counted(request):
                    asked.update(_keys(request, scope))
        return asked

    def _times(self, key: _Key, since: int) -> int:
        """How many calls there are under a key since that place."""
        known = self._known.get(key, ())
        return len(known) - _first(known, since)

    def _is_new(self, request: ToolRequest, key: _Key, times: int, turn: int) -> bool:
        """Whether a request, which an input has that many times since its latest question, is told
        by no other span. Some instrumentations give a request another id in inputs."""
        if (request.name, request.arguments) in self._answered:
            return False
        return times > self._times(key, turn if _is_counted(request) else 0)

    def _aligned(
        self, history: History, turn: int, keys_of: Callable[[ToolRequest], Iterable[_Key]]
    ) -> list[Call | None]:
        """The calls that the requests of an input are.

        Those since its latest question begin with the first calls since then, and those before it
        end with the last calls before it: of the conversation, a trace may lack the beginning.
        """
        found: list[Call | None] = [None] * len(history.asked)
        groups: defaultdict[tuple[_Key, bool], list[int]] = defaultdict(list)
        for index, asked in enumerate(history.asked):
            for key in keys_of(asked.request):
                if key in self._known:
                    groups[key, asked.is_current].append(index)
                    break
        for (key, is_current), indexes in groups.items():
            known = self._known[key]
            split = _first(known, turn)
            low, high = (split, len(known)) if is_current else (0, split)
            if is_current and low == high:
                low = 0
            # An input may lack the beginning as well.
            if not is_current or len(indexes) < high - low:
                both = min(len(indexes), high - low)
                low, indexes = high - both, indexes[len(indexes) - both :]
            for index, call in zip(indexes, known[low : low + len(indexes)], strict=False):
                found[index] = call
        return found

    def _add(self, request: ToolRequest, f: Facts, scope: str) -> Call:
        call = Call(request, f, scope, len(self.calls))
        self.calls.append(call)
        keys = set(_keys(request, scope, repeats=True))
        if _is_counted(request):
            keys.update(_keys(request, scope))
        else:
            is_first = request.call_id not in self._only
            self._only[request.call_id] = call if is_first else None
        if self._with_inputs:
            keys.update(_exact(request, scope), _near(request, scope))
            for key in _names(request, scope):
                told_by, waiting = self._open.get(key, (None, _NO_CALLS))
                if told_by is f:
                    waiting.append(call)
                else:
                    self._open[key] = f, deque([call])
        for key in keys:
            self._known[key].append(call)
        return call

    def _answer(self, result: ToolResult, scope: str) -> None:
        """Give a result, the request of which its input does not have, to a call of the latest
        answer."""
        if result.call_id:
            keys = [("id", _ANY, result.call_id), ("no id", scope, result.name)]
        else:
            keys = [("name", scope, result.name)]
        for key in keys:
            _, waiting = self._open.get(key, (None, _NO_CALLS))
            while waiting:
                call = waiting.popleft()
                if call.result is None:
                    call.result = printed(result.value)
                    return

    def _requests_in(self, messages: Iterable[GenAiMessage]) -> Iterator[ToolRequest]:
        for message in messages:
            yield from self._said_in(message).requests

    def _said_in(self, message: GenAiMessage) -> Said:
        key = id(message)
        said = self._said.get(key)
        if said is None:
            results = [*results_of(message)] if self._with_inputs else ()
            said = Said([*requests_in([message])], results)
            self._said[key] = said
        return said


_NO_CALLS: Final[deque[Call]] = deque()


def _is_counted(request: ToolRequest) -> bool:
    return _COUNTED.fullmatch(request.call_id) is not None


def _keys(request: ToolRequest, scope: str, *, repeats: bool = False) -> Sequence[_Key]:
    """What a request and a call that was told before must have in common to be the same; nothing
    makes them the same where the request has no id and repeats no other."""
    call_id = request.call_id
    if call_id and not _is_counted(request):
        return ((_ANY, call_id),)
    within = _ANY if repeats else scope
    exact = (within, call_id, request.name, arguments_key(request.arguments))
    if call_id:
        return ((within, call_id), exact)
    return (exact,) if repeats else ()


def _exact(request: ToolRequest, scope: str) -> Sequence[_Key]:
    """What a request in an input and its call have in common, the surer key first."""
    said = request.call_id, request.name, arguments_key(request.arguments)
    return (scope, *said), (_ANY, *said)


def _near(request: ToolRequest, scope: str) -> Sequence[_Key]:
    """What they have in common where the client writes the arguments in another way, or where one
    of the two has no id or another one."""
    call_id, name, arguments = request
    words = (_ANY, name, arguments_key(arguments))
    return ((scope, call_id), (_ANY, call_id), words) if call_id else (words,)


def _names(request: ToolRequest, scope: str) -> Iterator[_Key]:
    """What results may name a call by."""
    call_id, name, _ = request
    kinds = ("name",) if call_id else ("name", "no id")
    yield from ((kind, scope, named) for kind in kinds for named in (name, ""))
    if call_id:
        yield "id", _ANY, call_id


def _first(calls: Sequence[Call], place: int) -> int:
    """The index of the first of these calls from that place of the trace on."""
    return bisect_left(calls, place, key=lambda call: call.place)
