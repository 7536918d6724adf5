"""Which spans repeat the tokens of others, told by columns alone."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.model.span import Span

Tokens = tuple[int | None, int | None]


def repeated_spans(spans: Sequence[Span]) -> set[int]:
    """The places of the spans whose tokens are those of the spans inside them, as `repeats`."""
    places = {(span.trace_id, span.span_id): place for place, span in enumerate(spans)}
    parents = [places.get((span.trace_id, span.parent_id)) for span in spans]
    return repeats(parents, [(span.input_tokens, span.output_tokens) for span in spans])


def repeats(parents: Sequence[int | None], tokens: Sequence[Tokens]) -> set[int]:
    """The spans whose tokens are those of the spans inside them: a call that two libraries
    recorded, one inside the other, or a step or an agent that sums up its calls.

    Sums leave these spans out. Siblings that are the same call cannot be told by columns.

    Args:
        parents: The place of each span's parent, None for none.
        tokens: The input and output tokens of each span.
    """
    sums = [(0, 0)] * len(parents)
    found: set[int] = set()
    for place in _upwards(parents):
        inner = sums[place]
        own = tokens[place][0] or 0, tokens[place][1] or 0
        if any(own) and own == inner:
            found.add(place)
        else:
            inner = inner[0] + own[0], inner[1] + own[1]
        parent = parents[place]
        if parent is not None:
            sums[parent] = sums[parent][0] + inner[0], sums[parent][1] + inner[1]
    return found


def _upwards(parents: Sequence[int | None]) -> list[int]:
    """Every span after all spans inside it; the spans of a cycle of parents last."""
    waiting = [0] * len(parents)
    for parent in parents:
        if parent is not None:
            waiting[parent] += 1
    ready = [place for place, number in enumerate(waiting) if not number]
    for place in ready:
        parent = parents[place]
        if parent is not None:
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return ready + [place for place, number in enumerate(waiting) if number]
