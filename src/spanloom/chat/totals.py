"""The figures of a whole turn: its times and its usage (docs/contracts/agent_chat.md, section
1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spanloom.chat.facts import Facts, FactsById
from spanloom.chat.payloads import duration_ms
from spanloom.chat.tree import SpanTree
from spanloom.model.own_use import Reported, dollars, own_uses, picodollars

if TYPE_CHECKING:
    from spanloom.model import Span


class TurnUse(NamedTuple):
    """What a turn used: tokens, and US dollars; None where no span is priced."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_creation_tokens: int
    cache_read_tokens: int
    cost: float | None


def turn_use(tree: SpanTree, facts: FactsById) -> TurnUse:
    """The sum of what each span used itself (`spanloom.model.own_use`)."""
    parents = {child: above for above, inner in tree.children.items() for child in inner}
    reported = [
        Reported(
            span_id,
            parents.get(span_id, ""),
            f.span.kind,
            f.span.operation,
            (
                *(f.usage.input_tokens, f.usage.output_tokens, f.usage.reasoning_tokens),
                *(f.cache_tokens if f.span.genai.usage else (None, None)),
                picodollars(f.usage.total_cost),
            ),
        )
        for span_id, f in facts.items()
    ]
    owns = own_uses(reported)
    uses = [owns[of.span_id].use if of.span_id in owns else of.use for of in reported]
    *tokens, _ = (sum(number or 0 for number in numbers) for numbers in zip(*uses, strict=True))
    costs = [use[-1] for use in uses if use[-1] is not None]
    return TurnUse._make([*tokens, dollars(sum(costs)) if costs else None])


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
