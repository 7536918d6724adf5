"""The span that represents a trace or a session as a whole, and the times of the whole."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.model.span import Span


def trace_root(trace_id: str, spans: Sequence[Span]) -> tuple[Span, list[Span]]:
    """The root of a trace, and the other spans in their order: the span whose id is the trace's,
    else the earliest without a parent, else one made up, beside which all spans are others. `spans`
    are by start, at least one."""
    return _parted(
        trace_id,
        spans,
        next((span for span in spans if span.span_id == trace_id), None)
        or next((span for span in spans if not span.parent_id), None),
    )


def session_root(session_id: str, spans: Sequence[Span]) -> tuple[Span, list[Span]]:
    """The same for a session, where a root is only what a client described as the session."""
    return _parted(
        session_id,
        spans,
        next((span for span in spans if span.span_id == session_id), None)
        or next((span for span in spans if span.kind == "session" and not span.parent_id), None),
    )


def whole_times(root: Span, others: Sequence[Span]) -> tuple[int, int | None]:
    """Start and end in nanoseconds: what the root says, else the earliest start and the latest end
    of the others."""
    start, end = root.start_ns, root.end_ns
    if root.start_unknown:
        start = min((span.start_ns for span in others), default=start)
    if end is None and root.kind == "session":
        end = max((span.end_ns for span in others if span.end_ns is not None), default=None)
    return start, end


def _parted(whole_id: str, spans: Sequence[Span], root: Span | None) -> tuple[Span, list[Span]]:
    if root is not None:
        return root, [span for span in spans if span is not root]
    made_up = Span(
        trace_id=whole_id,
        span_id=whole_id,
        event_id=whole_id,
        session_id=spans[0].session_id,
        name="unknown",
        kind="session",
        start_ns=spans[0].start_ns,
        start_unknown=True,
    )
    return made_up, list(spans)
