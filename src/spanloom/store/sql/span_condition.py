"""A query of spans as a condition on a whole span, for spans that no statement looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spanloom.model import Span, SpanQuery
from spanloom.model.folding import folded
from spanloom.store.sql.index.terms import holder

Condition = Callable[[Span], bool]


def span_condition(query: SpanQuery) -> Condition:
    """Whether a span meets the query. `query.texts` only narrows a search, so it is left out."""
    conditions = list(_conditions(query))
    return lambda span: all(holds(span) for holds in conditions)


def _conditions(query: SpanQuery) -> Iterator[Condition]:
    for name in ("trace_id", "session_id", "status", "name", "operation", "agent_name", "model"):
        if wanted := getattr(query, name):
            yield lambda span, name=name, wanted=wanted: getattr(span, name) == wanted  # type: ignore[misc]
    if query.provider:
        provider = folded(query.provider)
        yield lambda span: folded(span.provider) == provider
    if query.kinds:
        kinds = frozenset(query.kinds)
        yield lambda span: span.kind in kinds
    if (shortest := query.min_duration_ms) is not None:
        yield (
            lambda span: (
                span.end_ns is not None
                and span.duration_ms is not None
                and span.duration_ms >= shortest
            )
        )
    if (since := query.since_ns) is not None:
        yield lambda span: span.start_ns >= since
    if (before := query.before_ns) is not None:
        yield lambda span: span.start_ns < before
    if query.text:
        yield holder(query.text)
