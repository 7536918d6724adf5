"""The tree of a trace's spans, its order, and its root.

Rules: docs/contracts/agent_chat.md, sections 2.4 and 3.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spanloom.model import Span

SortKey = tuple[bool, int, bool, int, str]


@dataclass(frozen=True, slots=True)
class SpanTree:
    """Every span exactly once: ids of the roots, and of the children of each span, in the order of the chat."""

    roots: Sequence[str]
    children: Mapping[str, Sequence[str]]


def span_tree(spans: Sequence[Span]) -> SpanTree:
    """The tree of spans with unique ids. A span whose parent is unknown is a root; so is the earliest of a cycle."""
    starts = _spoken_starts(spans)
    ordered = sorted(spans, key=lambda span: _sort_key(span, starts))
    known = {span.span_id for span in ordered}
    parents = {s.span_id: s.parent_id for s in ordered if s.parent_id and s.parent_id in known}
    for head in _cycle_heads(parents):
        del parents[head]
    roots: list[str] = []
    children: defaultdict[str, list[str]] = defaultdict(list)
    for span in ordered:
        parent = parents.get(span.span_id)
        (roots if parent is None else children[parent]).append(span.span_id)
    return SpanTree(roots, children)


def start_key(span: Span) -> SortKey:
    """Orders spans by start: a missing start last, then a missing end last, an earlier end first, the span id."""
    return _sort_key(span, {})


def root_of(spans: Sequence[Span]) -> Span:
    """The span that the turn is named after: the only one without a parent, or the only session among those; else the one
    that ends last, ties by the larger id."""
    parentless = [span for span in spans if not span.parent_id]
    if len(parentless) == 1:
        return parentless[0]
    sessions = [span for span in parentless if span.kind == "session"]
    if len(sessions) == 1:
        return sessions[0]
    return max(spans, key=lambda span: (span.end_ns or 0, span.span_id))


def _sort_key(span: Span, starts: Mapping[str, int]) -> SortKey:
    start = starts.get(span.span_id, span.start_ns)
    return not start, start, span.end_ns is None, span.end_ns or 0, span.span_id


def _spoken_starts(spans: Sequence[Span]) -> dict[str, int]:
    """Claude Code: a chat span takes its place when its text came, which a child of its own tells."""
    starts: dict[str, int] = {}
    spoken = [span for span in spans if span.operation == "assistant_text" and span.start_ns]
    if spoken:
        chats = {span.span_id for span in spans if span.operation == "chat"}
        for span in spoken:
            if span.parent_id in chats:
                starts[span.parent_id] = min(
                    span.start_ns, starts.get(span.parent_id, span.start_ns)
                )
    return starts


def _cycle_heads(parents: Mapping[str, str]) -> list[str]:
    """The first span of each cycle, in the order of `parents`."""
    cycle_of: dict[str, int] = {}
    cycles = 0
    seen: set[str] = set()
    for span_id, parent in parents.items():
        if parent in seen or parent not in parents:
            seen.add(span_id)
            continue
        trail: dict[str, None] = {}
        here = span_id
        while here in parents and here not in seen:
            seen.add(here)
            trail[here] = None
            here = parents[here]
        if here in trail:
            path = list(trail)
            cycle_of.update(dict.fromkeys(path[path.index(here) :], cycles))
            cycles += 1
    first_of: dict[int, str] = {}
    for span_id in parents if cycles else ():
        if span_id in cycle_of:
            first_of.setdefault(cycle_of[span_id], span_id)
    return list(first_of.values())
