"""The figures of a whole turn: its times and its usage (docs/contracts/agent_chat.md, section
1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spanloom.chat.facts import OTHER, Facts, FactsById
from spanloom.chat.payloads import duration_ms
from spanloom.chat.tree import SpanTree
from spanloom.chat.usage import NO_USAGE, Usage

if TYPE_CHECKING:
    from spanloom.model import Span


def counted_usages(tree: SpanTree, facts: FactsById) -> Iterator[Usage]:
    """The usage of each span, except of a step or call that repeats the tokens of those inside it.

    An agent's own figures count beside those of its calls; what an agent or a tool inside a call
    used is its own.
    """
    below: dict[str, tuple[int, int]] = {}
    for span_id in reversed(list(tree.downwards())):
        f = facts[span_id]
        inner = [below[child] for child in tree.children.get(span_id, ())]
        tokens = sum(t[0] for t in inner), sum(t[1] for t in inner)
        own = f.usage.input_tokens or 0, f.usage.output_tokens or 0
        is_repeat = f.act == OTHER and any(own) and own == tokens
        if f.usage is not NO_USAGE and not is_repeat:
            tokens = tokens[0] + own[0], tokens[1] + own[1]
            yield f.usage
        below[span_id] = tokens if f.act == OTHER else (0, 0)


def turn_times(root: Facts, spans: Sequence[Span]) -> tuple[int, int, int]:
    """Start and end in nanoseconds, and whole milliseconds, of the root; the end is 0 while open.

    A session has the times that the client did not send from its events.
    """
    span = root.span
    start, end = span.start_ns, span.end_ns
    if span.kind == "session" and not span.operation:
        if not root.has_start:
            start = min((s.start_ns for s in spans if s.start_ns), default=0)
        if end is None:
            end = max((s.end_ns for s in spans if s.end_ns is not None), default=None)
            if end is not None and span.duration_ms is None:
                return start, end, max(0, (end - start) // 1_000_000)
    return start, end or 0, duration_ms(span)
