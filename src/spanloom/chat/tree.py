"""The tree of a trace's spans, its order, and its root.

Rules: docs/contracts/agent_chat.md, sections 2.4 and 3.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spanloom.model.parents import cycle_heads

if TYPE_CHECKING:
    from spanloom.model import Span

SortKey = tuple[bool, int, int, bool, int, str]


@dataclass(frozen=True, slots=True)
class SpanTree:
    """Every span exactly once: the roots and each span's children, by id, in the chat's order."""

    roots: Sequence[str]
    children: Mapping[str, Sequence[str]]

    def families(self) -> Iterator[Sequence[str]]:
        """The roots, and the children of each span."""
        yield self.roots
        yield from self.children.values()

    def downwards(self) -> Iterator[str]:
        """All spans, each before those below it."""
        level: Sequence[str] = self.roots
        while level:
            yield from level
            level = [child for span_id in level for child in self.children.get(span_id, ())]

    def moved(self, parents: Mapping[str, str]) -> SpanTree:
        """The tree with each of these spans as the last child of its new parent."""
        if not parents:
            return self
        children: dict[str, Sequence[str]] = {
            parent: _without(parents, siblings) for parent, siblings in self.children.items()
        }
        for span_id, parent in parents.items():
            children[parent] = [*children.get(parent, ()), span_id]
        return SpanTree(_without(parents, self.roots), children)


def _without(span_ids: Collection[str], siblings: Sequence[str]) -> Sequence[str]:
    return [span_id for span_id in siblings if span_id not in span_ids]


def span_tree(spans: Sequence[Span]) -> SpanTree:
    """The tree of spans with unique ids.

    A span whose parent is unknown is a root; so is the earliest of a cycle.
    """
    starts = _spoken_starts(spans)
    ordered = sorted(spans, key=lambda span: _sort_key(span, starts))
    places = {span.span_id: place for place, span in enumerate(ordered)}
    parents = [places.get(span.parent_id) if span.parent_id else None for span in ordered]
    for head in cycle_heads(parents, lambda place: place):
        parents[head] = None
    roots: list[str] = []
    children: defaultdict[str, list[str]] = defaultdict(list)
    for span, parent in zip(ordered, parents, strict=True):
        (roots if parent is None else children[ordered[parent].span_id]).append(span.span_id)
    return SpanTree(roots, children)


def start_key(span: Span) -> SortKey:
    """Orders spans by start.

    A missing start comes last, then what was sent later; of spans that no store has ordered, a
    missing end, then the later end, then the larger span id.
    """
    return _sort_key(span, {})


def root_of(spans: Sequence[Span]) -> Span:
    """The span that the turn is named after.

    It is the only span without a parent, or the only session among those; else the span that ends
    last, of several that with the largest id.
    """
    parentless = [span for span in spans if not span.parent_id]
    if len(parentless) == 1:
        return parentless[0]
    sessions = [span for span in parentless if span.kind == "session"]
    if len(sessions) == 1:
        return sessions[0]
    return max(spans, key=lambda span: (span.end_ns or 0, span.span_id))


def _sort_key(span: Span, starts: Mapping[str, int]) -> SortKey:
    start = starts.get(span.span_id, span.start_ns)
    is_open = span.end_ns is None
    return not start, start, span.sequence, is_open, span.end_ns or 0, span.span_id


def _spoken_starts(spans: Sequence[Span]) -> dict[str, int]:
    """When the text of a chat span came, where a child of its own has it (Claude Code)."""
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
