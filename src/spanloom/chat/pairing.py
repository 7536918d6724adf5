"""Which call of a model each tool or agent span executes.

Rules: docs/contracts/agent_chat.md, sections 2.7, 3.15 and 3.20.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from spanloom.chat.facts import Facts
from spanloom.chat.tools import ToolRequest
from spanloom.chat.tree import start_key
from spanloom.genai.json_text import reprinted


@dataclass(slots=True, eq=False)
class Call:
    """A call that a model requested, told by the span `told_by` first. `scope` is the agent or tool
    span around that, "" for none; `place` is that among the calls of the trace. `result` is None
    while no message has it."""

    request: ToolRequest
    told_by: Facts
    scope: str
    place: int
    is_executed: bool = False
    result: str | None = None


class Execution(NamedTuple):
    """A tool or agent span, and the agent or tool span around it."""

    facts: Facts
    scope: str


_Key = tuple[str, ...]
_Keys = tuple[Callable[[Call], _Key], Callable[[Execution], _Key]]
_Pairs = Iterator[tuple[Execution, Call]]


def arguments_key(arguments: str) -> str:
    """Arguments to compare: none are the same as an empty object."""
    return "" if arguments == "{}" else arguments


def _said(call: Call) -> _Key:
    return call.request.name, arguments_key(call.request.arguments)


def _done(execution: Execution) -> _Key:
    facts = execution.facts
    return facts.tool_name, arguments_key(reprinted(facts.tool_arguments))


# By what a call and an execution are the same, the surer key first.
_SAME_ID: Final[Sequence[_Keys]] = (
    (lambda c: (c.scope, *_said(c)), lambda e: (e.scope, *_done(e))),
    (_said, _done),
    (lambda c: (c.scope, c.request.name), lambda e: (e.scope, e.facts.tool_name)),
    (lambda c: (c.request.name,), lambda e: (e.facts.tool_name,)),
    (lambda c: (), lambda e: ()),
)
_SAME_NAME: Final[Sequence[_Keys]] = (
    (_said, _done),
    (lambda c: (c.request.name,), lambda e: (e.facts.tool_name,)),
)


def executed_calls(executions: Sequence[Execution], calls: Sequence[Call]) -> dict[str, Call]:
    """The call that each execution carries out, by the id of the execution's span.

    It is a call of the same id, or of the
    same name where one of the two has no id. Of several it is one of the same arguments, and of the
    latest answer before the execution. Each call is carried out once, but all executions with an id
    that only one call has are that call. The work is linear.
    """
    found: dict[str, Call] = {}
    by_id: defaultdict[str, tuple[list[Execution], list[Call]]] = defaultdict(lambda: ([], []))
    for execution in executions:
        if call_id := execution.facts.call_id:
            by_id[call_id][0].append(execution)
    for call in calls:
        if call.request.call_id in by_id:
            by_id[call.request.call_id][1].append(call)
    for done, asked in by_id.values():
        if len(asked) == 1:
            _keep(found, ((execution, asked[0]) for execution in done))
        elif asked:
            _match(found, done, asked, _SAME_ID)
    with_id = [e for e in executions if e.facts.call_id and e.facts.span.span_id not in found]
    if with_id:
        _match(found, with_id, [c for c in calls if not c.request.call_id], _SAME_NAME)
    _match(found, [e for e in executions if not e.facts.call_id], calls, _SAME_NAME)
    return found


def _match(
    found: dict[str, Call],
    executions: Sequence[Execution],
    calls: Sequence[Call],
    keys: Sequence[_Keys],
) -> None:
    if not executions or not calls:
        return
    executions = sorted(executions, key=lambda e: start_key(e.facts.span))
    calls = sorted(calls, key=lambda c: start_key(c.told_by.span))
    for key_of_call, key_of_execution in keys:
        executions = [e for e in executions if e.facts.span.span_id not in found]
        calls = [c for c in calls if not c.is_executed] if executions else ()
        if not calls:
            return
        groups: dict[_Key, tuple[list[Execution], list[Call]]] = {}
        for execution in executions:
            groups.setdefault(key_of_execution(execution), ([], []))[0].append(execution)
        for call in calls:
            if (group := groups.get(key_of_call(call))) is not None:
                group[1].append(call)
        for done, asked in groups.values():
            _keep(found, _by_round(done, asked))


def _keep(found: dict[str, Call], pairs: _Pairs) -> None:
    for execution, call in pairs:
        found[execution.facts.span.span_id] = call
        call.is_executed = True


def _by_round(executions: Sequence[Execution], calls: Sequence[Call]) -> _Pairs:
    """Each execution with the first call of the latest round before it; executions before all of
    their calls come last."""
    rounds: list[deque[Call]] = []
    coming = deque(calls)
    early: list[Execution] = []
    for execution in executions:
        while coming and coming[0].told_by.span.start_ns <= execution.facts.span.start_ns:
            call = coming.popleft()
            if not rounds or rounds[-1][0].told_by is not call.told_by:
                rounds.append(deque())
            rounds[-1].append(call)
        if not rounds:
            early.append(execution)
            continue
        yield execution, rounds[-1].popleft()
        if not rounds[-1]:
            rounds.pop()
    yield from zip(
        early, [call for waiting in rounds for call in waiting] + [*coming], strict=False
    )
