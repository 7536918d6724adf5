"""Model calls that two instrumentations recorded: the framework's and the API client's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spanloom.chat.facts import OTHER, Facts, FactsById
from spanloom.chat.messages import joined_text
from spanloom.chat.tools import requests_in
from spanloom.chat.tree import SpanTree
from spanloom.model.genai import GenAiMessage, ToolCallPart

# How many calls before one are compared with it: as many as may run at once.
_NEAR = 8


def nest_repeated_calls(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Put each repeated model call inside the call that it repeats.

    Sibling model spans from different instrumentations are the same call if (a) both have an answer
    and answer and model match, or (b) only one has an answer, they overlap in time, and their token
    counts are equal.
    """
    parents: dict[str, str] = {}
    for siblings in tree.families():
        calls = [facts[s] for s in siblings if _is_model(facts[s])] if len(siblings) > 1 else []
        if len({call.scope for call in calls}) < 2:
            continue
        for place, second in enumerate(calls):
            for first in calls[max(0, place - _NEAR) : place]:
                if first.span.span_id not in parents and _is_same(first, second):
                    parents[second.span.span_id] = first.span.span_id
                    break
    return tree.moved(parents), facts


def drop_repeated_requests(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Remove the tool requests of a repeated call, which may give them ids of its own."""
    changed: dict[str, Facts] = {}
    for span_id, inner in tree.children.items():
        outer = facts[span_id]
        if not _is_model(outer) or not (names := [*_requested(outer)]):
            continue
        for f in (facts[child] for child in inner):
            if _is_model(f) and f.scope != outer.scope and [*_requested(f)] == names:
                outputs = [*map(_without_requests, f.outputs)]
                changed[f.span.span_id] = f._replace(outputs=outputs)
    return tree, {**facts, **changed} if changed else facts


def _without_requests(message: GenAiMessage) -> GenAiMessage:
    parts = tuple(part for part in message.parts if not isinstance(part, ToolCallPart))
    return message if len(parts) == len(message.parts) else replace(message, parts=parts, sent=None)


def _is_model(f: Facts) -> bool:
    return f.act == OTHER and f.span.kind == "model"


def _is_same(first: Facts, second: Facts) -> bool:
    if first.scope == second.scope:
        return False
    answers = [(joined_text(f.outputs), *_requested(f)) for f in (first, second)]
    if all(map(any, answers)):
        # A framework's span of a stream may end before the stream begins.
        return answers[0] == answers[1] and _is_same_model(first.answer_model, second.answer_model)
    end_ns = first.span.end_ns
    tokens = [(f.usage.input_tokens, f.usage.output_tokens) for f in (first, second)]
    overlaps = end_ns is None or second.span.start_ns < end_ns
    return overlaps and tokens[0] == tokens[1] and tokens[0] != (None, None)


def _is_same_model(first: str, second: str) -> bool:
    """Whether two names may be of one model: one of them adds a date or a version."""
    return first.startswith(second) or second.startswith(first)


def _requested(f: Facts) -> Iterator[str]:
    return (request.name for request in requests_in(f.outputs))
