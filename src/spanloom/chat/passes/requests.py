"""The place of executions among their siblings: right after the model call that requested them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from spanloom.chat.facts import AGENT, TOOL, FactsById
from spanloom.chat.tools import requests_in
from spanloom.chat.tree import SpanTree


def order_after_requests(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Move each tool or agent span right behind the only sibling that requested its call id."""
    children = {parent: _ordered(siblings, facts) for parent, siblings in tree.children.items()}
    return SpanTree(_ordered(tree.roots, facts), children), facts


def _ordered(siblings: Sequence[str], facts: FactsById) -> Sequence[str]:
    wanted = {f.call_id for s in siblings if (f := facts[s]).call_id and f.act in (TOOL, AGENT)}
    if not wanted:
        return siblings
    requesters: dict[str, str] = {}
    requests: Counter[str] = Counter()
    for sibling in siblings:
        # What an execution requests is executed below it, not beside it.
        if facts[sibling].act != TOOL and facts[sibling].call_id not in wanted:
            for call_id in {r.call_id for r in requests_in(facts[sibling].outputs)} & wanted:
                requesters[call_id] = sibling
                requests[call_id] += 1
    behind: defaultdict[str, list[str]] = defaultdict(list)
    moved: set[str] = set()
    for sibling in siblings:
        f = facts[sibling]
        if f.act in (TOOL, AGENT) and requests[f.call_id] == 1:
            behind[requesters[f.call_id]].append(sibling)
            moved.add(sibling)
    return [s for first in siblings if first not in moved for s in (first, *behind[first])]
