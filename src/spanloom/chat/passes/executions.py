"""Executions of tools, completed from other spans: their ids, arguments and results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from spanloom.chat.facts import AGENT, OTHER, TOOL, Facts, FactsById
from spanloom.chat.tools import ToolRequest, requests_in, results_in
from spanloom.chat.tree import SpanTree, start_key
from spanloom.genai.json_text import json_in, reprinted


def merge_nested_executions(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """If two instrumentations recorded the same execution (one span inside the other), merge them.

    The outer span is filled from the inner one, which then shows nothing.
    """
    changed: dict[str, Facts] = {}
    for span_id, inner in facts.items():
        outer = facts.get(inner.span.parent_id) if inner.act == TOOL else None
        if (
            outer is None
            or outer.act != TOOL
            or outer.tool_name != inner.tool_name
            or outer.scope == inner.scope
        ):
            continue
        failed = inner if inner.status == "ERROR" else outer
        changed[outer.span.span_id] = outer._replace(
            call_id=outer.call_id or inner.call_id,
            tool_arguments=outer.tool_arguments or inner.tool_arguments,
            tool_result=outer.tool_result or inner.tool_result,
            status=failed.status,
            status_message=outer.status_message or failed.status_message,
            error_type=outer.error_type or failed.error_type,
        )
        changed[span_id] = Facts(inner.span, OTHER)
    return tree, {**facts, **changed} if changed else facts


def complete_executions(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Fill executions from the requests of models, and from the results in their inputs.

    An execution without an id is paired with a request of the tool's name that has no execution:
    one with the same arguments, else the earliest. An execution with neither arguments nor result
    has those of its request.
    """
    incomplete = [f for f in facts.values() if f.act == TOOL and _is_incomplete(f)]
    messages = _messages(facts.values()) if incomplete else _NO_MESSAGES
    if not messages.requests:
        return tree, facts
    ids = _paired(incomplete, facts.values(), messages.requests)
    return tree, {
        **facts,
        **{
            f.span.span_id: _completed(f, ids.get(f.span.span_id, ""), messages) for f in incomplete
        },
    }


def _is_incomplete(f: Facts) -> bool:
    return not f.call_id or not (f.tool_arguments or f.tool_result)


class _Messages(NamedTuple):
    """The requests and the results in models' messages, by the call's id."""

    requests: Mapping[str, ToolRequest]
    results: Mapping[str, str]


_NO_MESSAGES: Final = _Messages({}, {})


def _messages(facts: Iterable[Facts]) -> _Messages:
    requests: dict[str, ToolRequest] = {}
    results: dict[str, str] = {}
    for f in sorted((f for f in facts if f.outputs or f.inputs), key=lambda f: start_key(f.span)):
        for request in requests_in(f.outputs):
            if request.call_id:
                requests.setdefault(request.call_id, request)
        for call_id, result in results_in(f.inputs):
            results.setdefault(call_id, result)
    return _Messages(requests, results)


def _paired(
    incomplete: Iterable[Facts], facts: Iterable[Facts], requests: Mapping[str, ToolRequest]
) -> Mapping[str, str]:
    """The ids of requests by the spans of executions that have none."""
    executed = {f.call_id for f in facts if f.call_id and f.act in (TOOL, AGENT)}
    left = [request for request in requests.values() if request.call_id not in executed]
    waiting = sorted((f for f in incomplete if not f.call_id), key=lambda f: start_key(f.span))
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for key_of_request, key_of_execution in _KEYS:
        queues: defaultdict[tuple[str, str], list[ToolRequest]] = defaultdict(list)
        for request in reversed(left):
            queues[key_of_request(request)].append(request)
        for f in waiting:
            if f.span.span_id not in ids and (queue := queues[key_of_execution(f)]):
                ids[f.span.span_id] = call_id = queue.pop().call_id
                taken.add(call_id)
        left = [request for request in left if request.call_id not in taken]
    return ids


# By what a request and an execution are the same call, the surer key first.
_KEYS: Final[
    tuple[tuple[Callable[[ToolRequest], tuple[str, str]], Callable[[Facts], tuple[str, str]]], ...]
] = (
    (
        lambda request: (request.name, request.arguments),
        lambda f: (f.tool_name, reprinted(f.tool_arguments)),
    ),
    (lambda request: (request.name, ""), lambda f: (f.tool_name, "")),
)


def _completed(f: Facts, call_id: str, messages: _Messages) -> Facts:
    request = messages.requests.get(call_id or f.call_id)
    if request is None:
        return f
    arguments, result = f.tool_arguments, f.tool_result
    if not arguments and not result:
        arguments, result = request.arguments, messages.results.get(request.call_id, "")
    elif call_id and not isinstance(json_in(arguments), dict):
        arguments = request.arguments  # LangChain's callback has the only argument without its name
    return f._replace(call_id=request.call_id, tool_arguments=arguments, tool_result=result)
