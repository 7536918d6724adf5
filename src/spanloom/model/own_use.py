"""What each span of a trace used itself: the one definition behind every sum of tokens and costs.

The own use of a span is what it reports less what the spans inside it account for. An agent that
repeats the sum of its models has none, and so has the outer one of two spans that two libraries
recorded of one call. A model's call accounts for the models inside it alone: what an agent or a
tool inside it used, it does not report.

Costs are whole picodollars here, so that sums and differences are exact: prices have no more
digits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from spanloom.model.span import Span

PICODOLLARS: Final = 1_000_000_000_000
# A cost past this is taken for this, so that a sum stays finite: a span of a million dollars.
_MOST_COST: Final = 1e6
_AGENTS_AND_TOOLS: Final = ("invoke_agent", "create_agent", "execute_tool")
_KINDS_BESIDE: Final = ("tool", "session")

# Numbers that a span reports; None is what it does not report.
Use = Sequence[int | None]


class Reported(NamedTuple):
    """A span as it takes part: its place, what it does, and the numbers that it reports."""

    span_id: str
    parent_id: str
    kind: str
    operation: str
    use: Use


class Own(NamedTuple):
    """The own use of a span, and whether it is a model's call that spans inside it repeat."""

    use: Use
    is_repeated: bool = False


class Used(NamedTuple):
    """What spans used together: tokens, picodollars (None where no span has a cost), and their
    models' calls, each once, of which some have a cost."""

    input_tokens: int
    output_tokens: int
    cost: int | None
    model_calls: int
    priced_calls: int


@dataclass(slots=True)
class _Below:
    """What the spans below a span used: all of them, and those that a model's call accounts for;
    and whether a model is among the latter."""

    of_all: list[int]
    of_models: list[int]
    has_model: bool = False


def picodollars(cost: float | None) -> int | None:
    """A cost in US dollars as a whole number."""
    if cost is None:
        return None
    return round(max(-_MOST_COST, min(cost, _MOST_COST)) * PICODOLLARS)


def dollars(cost: int | None) -> float | None:
    """The same back."""
    return None if cost is None else cost / PICODOLLARS


def is_inside_apart(span: Reported) -> bool:
    """Whether a model's call above does not account for the span: an agent, a tool, a session."""
    return span.operation in _AGENTS_AND_TOOLS or span.kind in _KINDS_BESIDE


def own_uses(spans: Sequence[Reported]) -> dict[str, Own]:
    """The spans of one trace whose own use is not all that they report, by id.

    Span ids are unique, and all spans have the same numbers. A cycle of parents accounts for
    nothing. The order of the spans does not matter; the work is linear in their number.
    """
    by_id = {span.span_id: span for span in spans}
    waiting: dict[str, int] = {}  # of each span, its children that are not looked at yet
    for span in spans:
        if span.parent_id in by_id:
            waiting[span.parent_id] = waiting.get(span.parent_id, 0) + 1
    if not any(
        any(by_id[parent].use) or by_id[parent].kind == "model" for parent in waiting
    ):  # as of most traces
        return {}
    found: dict[str, Own] = {}
    numbers = len(spans[0].use)
    below: dict[str, _Below] = {}
    ready = [span for span in spans if span.span_id not in waiting]
    while ready:
        span = ready.pop()
        apart = is_inside_apart(span)
        is_model = span.kind == "model" and not apart
        used = span.use
        inside = below.pop(span.span_id, None)
        if inside is not None:
            used = _less(span.use, inside.of_models if is_model else inside.of_all)
            repeated = is_model and inside.has_model and not any(used)
            if used != tuple(span.use) or repeated:
                found[span.span_id] = Own(used, repeated)
        parent = by_id.get(span.parent_id)
        if parent is None:
            continue
        sums = below.get(parent.span_id)
        if sums is None:
            sums = below[parent.span_id] = _Below([0] * numbers, [0] * numbers)
        _add(used, sums.of_all)
        if inside is not None:
            _add(inside.of_all, sums.of_all)
        if not apart:
            _add(used, sums.of_models)
            sums.has_model = sums.has_model or is_model
            if inside is not None:
                _add(inside.of_models, sums.of_models)
                sums.has_model = sums.has_model or inside.has_model
        waiting[parent.span_id] -= 1
        if not waiting[parent.span_id]:
            ready.append(parent)
    return found


def owns_of(spans: Sequence[Span]) -> list[Own]:
    """What each span of any traces used itself: input tokens, output tokens, picodollars.

    No two spans have the same trace and span id.
    """
    of_traces: defaultdict[str, list[Reported]] = defaultdict(list)
    all_reported = []
    for span in spans:
        use = (span.input_tokens, span.output_tokens, picodollars(span.cost))
        reported = Reported(span.span_id, span.parent_id, span.kind, span.operation, use)
        of_traces[span.trace_id].append(reported)
        all_reported.append(reported)
    found = {trace_id: own_uses(of_trace) for trace_id, of_trace in of_traces.items()}
    return [
        found[span.trace_id].get(span.span_id) or Own(reported.use)
        for span, reported in zip(spans, all_reported, strict=True)
    ]


def used_by(spans: Sequence[Span]) -> Used:
    """The sum of what spans of any traces used themselves."""
    owns = owns_of(spans)
    costs = [own.use[2] for own in owns if own.use[2] is not None]
    calls = [
        span
        for span, own in zip(spans, owns, strict=True)
        if span.kind == "model" and not own.is_repeated
    ]
    return Used(
        sum(own.use[0] or 0 for own in owns),
        sum(own.use[1] or 0 for own in owns),
        sum(cost or 0 for cost in costs) if costs else None,
        len(calls),
        sum(span.cost is not None for span in calls),
    )


def _less(reported: Use, accounted: Use) -> tuple[int | None, ...]:
    return tuple(
        n if n is None or m is None or m <= 0 else max(0, n - m)
        for n, m in zip(reported, accounted, strict=True)
    )


def _add(use: Use, sums: list[int]) -> None:
    for index, number in enumerate(use):
        if number:
            sums[index] += number
