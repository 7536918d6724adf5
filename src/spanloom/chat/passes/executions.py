"""Executions of tools, completed from other spans: their ids, arguments and results."""

from __future__ import annotations

from typing import Final

from spanloom.chat.calls import calls_of
from spanloom.chat.facts import OTHER, TOOL, Facts, FactsById
from spanloom.chat.pairing import Call
from spanloom.chat.tree import SpanTree
from spanloom.genai.json_text import json_in

# How many spans may be between the two.
_MOST_CARRIERS: Final = 4


def merge_nested_executions(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """If two instrumentations recorded the same execution (one span inside the other), merge them.

    The outer span is filled from the inner one, which then shows nothing. Between them may be the
    spans of what carried the call, as between a client and a server of MCP.
    """
    changed: dict[str, Facts] = {}
    for span_id, inner in facts.items():
        outer = _outer(inner, facts) if inner.act == TOOL else None
        if outer is None:
            continue
        outer = changed.get(outer.span.span_id, outer)
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


def _outer(inner: Facts, facts: FactsById) -> Facts | None:
    """The execution that this one is a part of: of the same tool, and not by the same library
    alone."""
    scopes = {inner.scope}
    above = facts.get(inner.span.parent_id)
    for _ in range(_MOST_CARRIERS):
        if above is None or above.act != OTHER or not _is_carrier(above):
            break
        scopes.add(above.scope)
        above = facts.get(above.span.parent_id)
    if above is None or above.act != TOOL or above.tool_name != inner.tool_name:
        return None
    return above if scopes != {above.scope} else None


def _is_carrier(f: Facts) -> bool:
    """Whether a span says nothing of its own."""
    return not f.span.operation and not f.inputs and not f.outputs and f.span.io.inputs is None


def complete_executions(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Fill executions from the requests of models, and from the results in their inputs.

    An execution has the id of the call that it carries out. One with neither arguments nor result
    has those of the call.
    """
    incomplete = [f for f in facts.values() if f.act == TOOL and _is_incomplete(f)]
    executed = calls_of(tree, facts, with_inputs=True).executed if incomplete else {}
    completed = {
        f.span.span_id: _completed(f, call)
        for f in incomplete
        if (call := executed.get(f.span.span_id)) is not None
    }
    return tree, {**facts, **completed} if completed else facts


def _is_incomplete(f: Facts) -> bool:
    return not f.call_id or not (f.tool_arguments or f.tool_result)


def _completed(f: Facts, call: Call) -> Facts:
    arguments, result = f.tool_arguments, f.tool_result
    if not arguments and not result:
        arguments, result = call.request.arguments, call.result or ""
    elif not f.call_id and not isinstance(json_in(arguments), dict):
        # LangChain's callback has the only argument without its name.
        arguments = call.request.arguments
    return f._replace(
        call_id=f.call_id or call.request.call_id, tool_arguments=arguments, tool_result=result
    )
