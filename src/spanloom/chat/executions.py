"""Executions of tools that tell less than the model that asked for them: the id of the call, its arguments, its result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from spanloom.chat.facts import AGENT, OTHER, TOOL, Facts, scope_of
from spanloom.chat.json_text import parsed, printed, reprinted
from spanloom.chat.tools import Call, calls_in, results_in
from spanloom.chat.tree import start_key

# Calls and results by the call's id.
_Requests = tuple[Mapping[str, Call], Mapping[str, str]]


def completed(facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """The facts with what models' messages tell of tools' executions.

    One that two instrumentations recorded, the one inside the other, is one. An execution without an id is paired with a request of the tool's name that no other carried out: one with the same
    arguments, else the earliest. One that tells neither arguments nor result has those of its request.
    """
    facts = _merged(facts)
    silent = [f for f in facts.values() if f.act == TOOL and _is_silent(f)]
    if not silent:
        return facts
    requests = _requests(facts.values())
    if not requests[0]:
        return facts
    ids = _paired(silent, facts.values(), requests[0])
    changed = {f.span.span_id: _completed(f, ids.get(f.span.span_id, ""), requests) for f in silent}
    return {**facts, **changed}


def _merged(facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """The facts with what the inner of two records of one execution tells told by the outer."""
    merged: dict[str, Facts] = {}
    for span_id, inner in facts.items():
        outer = facts.get(inner.span.parent_id) if inner.act == TOOL else None
        if (
            outer is None
            or outer.act != TOOL
            or outer.tool_name != inner.tool_name
            or scope_of(outer) == scope_of(inner)
        ):
            continue
        failed = inner if inner.status == "ERROR" else outer
        merged[outer.span.span_id] = outer._replace(
            call_id=outer.call_id or inner.call_id,
            tool_arguments=outer.tool_arguments or inner.tool_arguments,
            tool_result=outer.tool_result or inner.tool_result,
            status=failed.status,
            status_message=outer.status_message or failed.status_message,
            error_type=outer.error_type or failed.error_type,
        )
        merged[span_id] = Facts(inner.span, OTHER)
    return {**facts, **merged} if merged else facts


def _is_silent(f: Facts) -> bool:
    return not f.call_id or not (f.tool_arguments or f.tool_result)


def _requests(facts: Iterable[Facts]) -> _Requests:
    calls: dict[str, Call] = {}
    results: dict[str, str] = {}
    for f in sorted((f for f in facts if f.outputs or f.inputs), key=lambda f: start_key(f.span)):
        for call in calls_in(f.outputs):
            if call.call_id:
                calls.setdefault(call.call_id, call)
        for call_id, result in results_in(f.inputs):
            results.setdefault(call_id, result)
    return calls, results


def _paired(
    silent: Iterable[Facts], facts: Iterable[Facts], calls: Mapping[str, Call]
) -> Mapping[str, str]:
    """The ids of calls by the spans of executions that tell none."""
    executed = {f.call_id for f in facts if f.call_id and f.act in (TOOL, AGENT)}
    left = [call for call in calls.values() if call.call_id not in executed]
    waiting = sorted((f for f in silent if not f.call_id), key=lambda f: start_key(f.span))
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for key_of_call, key_of_execution in _KEYS:
        queues: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in reversed(left):
            queues[key_of_call(call)].append(call)
        for f in waiting:
            if f.span.span_id not in ids and (queue := queues[key_of_execution(f)]):
                ids[f.span.span_id] = call_id = queue.pop().call_id
                taken.add(call_id)
        left = [call for call in left if call.call_id not in taken]
    return ids


# By what a request and an execution are taken for the same, the surer first.
_KEYS: tuple[tuple[Callable[[Call], tuple[str, str]], Callable[[Facts], tuple[str, str]]], ...] = (
    (
        lambda call: (call.name, printed(parsed(call.arguments))),
        lambda f: (f.tool_name, printed(parsed(f.tool_arguments))),
    ),
    (lambda call: (call.name, ""), lambda f: (f.tool_name, "")),
)


def _completed(f: Facts, call_id: str, requests: _Requests) -> Facts:
    calls, results = requests
    call = calls.get(call_id or f.call_id)
    if call is None:
        return f
    arguments, result = f.tool_arguments, f.tool_result
    if not arguments and not result:
        arguments, result = reprinted(call.arguments), results.get(call.call_id, "")
    elif call_id and not isinstance(parsed(arguments), dict):
        arguments = reprinted(
            call.arguments
        )  # LangChain's callback tells the only argument without its name
    return f._replace(call_id=call.call_id, tool_arguments=arguments, tool_result=result)
