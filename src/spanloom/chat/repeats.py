"""Calls of models that were recorded twice: by a framework, and by what watches the client of the model's API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from spanloom.chat.facts import NO_USAGE, OTHER, Facts, Usage, scope_of
from spanloom.chat.messages import CALL_PARTS, Message, joined_text, part_type
from spanloom.chat.tools import calls_in
from spanloom.chat.tree import SpanTree

# How many calls before one are looked at: as many as may run at once.
_NEAR = 8


def repeats_inside(tree: SpanTree, facts: Mapping[str, Facts]) -> SpanTree:
    """The tree with each repeated call inside the one that it repeats.

    Siblings are the same call if different instrumentations recorded them with the same answer of the same model; where
    only one tells the answer, if the one began before the other ended, and they tell the same number of tokens.
    """
    moved: dict[str, str] = {}
    for siblings in (tree.roots, *tree.children.values()):
        calls = [facts[s] for s in siblings if _is_model(facts[s])] if len(siblings) > 1 else []
        if len(set(map(scope_of, calls))) < 2:
            continue
        for place, second in enumerate(calls):
            for first in calls[max(0, place - _NEAR) : place]:
                if first.span.span_id not in moved and _is_same(first, second):
                    moved[second.span.span_id] = first.span.span_id
                    break
    if not moved:
        return tree
    children = {parent: _without(moved, inner) for parent, inner in tree.children.items()}
    for repeat, original in moved.items():
        children[original] = [*children.get(original, ()), repeat]
    return replace(tree, roots=_without(moved, tree.roots), children=children)


def calls_once(tree: SpanTree, facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """The facts without the tool calls of a repeat inside the call that it repeats, which may give them ids of its own."""
    silenced: dict[str, Facts] = {}
    for span_id, inner in tree.children.items():
        outer = facts[span_id]
        if not _is_model(outer) or not (calls := [*_calls(outer)]):
            continue
        for f in (facts[child] for child in inner):
            if _is_model(f) and scope_of(f) != scope_of(outer) and [*_calls(f)] == calls:
                silenced[f.span.span_id] = f._replace(outputs=[*map(_without_calls, f.outputs)])
    return {**facts, **silenced} if silenced else facts


def _without_calls(message: Message) -> Message:
    if isinstance(message.content, str):
        return message
    return message._replace(content=[p for p in message.content if part_type(p) not in CALL_PARTS])


def counted_usages(tree: SpanTree, facts: Mapping[str, Facts]) -> Iterator[Usage]:
    """The usage of each span, but for a step or a call that only repeats the tokens of those inside it.

    An agent's own figures count beside those of its calls (docs/contracts/agent_chat.md,
    section 1.2); what an agent
    or a tool inside a call used is its own.
    """
    below: dict[str, tuple[int, int]] = {}
    for span_id in reversed(list(_downwards(tree))):
        f = facts[span_id]
        inner = [below[child] for child in tree.children.get(span_id, ())]
        tokens = sum(t[0] for t in inner), sum(t[1] for t in inner)
        own = f.usage.input_tokens or 0, f.usage.output_tokens or 0
        is_repeat = f.act == OTHER and any(own) and own == tokens
        if f.usage is not NO_USAGE and not is_repeat:
            tokens = tokens[0] + own[0], tokens[1] + own[1]
            yield f.usage
        below[span_id] = tokens if f.act == OTHER else (0, 0)


def _downwards(tree: SpanTree) -> Iterator[str]:
    """All spans, each before those below it."""
    level: Sequence[str] = tree.roots
    while level:
        yield from level
        level = [child for span_id in level for child in tree.children.get(span_id, ())]


def _is_model(f: Facts) -> bool:
    return f.act == OTHER and f.span.kind == "model"


def _is_same(first: Facts, second: Facts) -> bool:
    if scope_of(first) == scope_of(second):
        return False
    said = [(joined_text(f.outputs), *_calls(f)) for f in (first, second)]
    if all(map(any, said)):
        # A framework's span of a stream may end before the stream begins.
        return said[0] == said[1] and _is_same_model(first.answer_model, second.answer_model)
    end_ns = first.span.end_ns
    tokens = [(f.usage.input_tokens, f.usage.output_tokens) for f in (first, second)]
    is_inside = end_ns is None or second.span.start_ns < end_ns
    return is_inside and tokens[0] == tokens[1] and tokens[0] != (None, None)


def _is_same_model(first: str, second: str) -> bool:
    """Whether two names may be of one model: the one with a date or a version after the other."""
    return first.startswith(second) or second.startswith(first)


def _calls(f: Facts) -> Iterator[str]:
    return (call.name for call in calls_in(f.outputs))


def _without(moved: Mapping[str, str], siblings: Iterable[str]) -> list[str]:
    return [span_id for span_id in siblings if span_id not in moved]
