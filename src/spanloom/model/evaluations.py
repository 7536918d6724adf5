"""The evaluations that spans request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spanloom.model.catalog import Evaluation
from spanloom.model.checks import possible_id
from spanloom.model.sampling import DEFAULT_SAMPLE_RATE, is_sampled
from spanloom.model.span import Span


def requested_evaluations(spans: Sequence[Span]) -> list[Evaluation]:
    """The evaluations that one trace asks for, as far as its spans are here, each once; none when
    it was not sampled.

    The evaluators of a root judge the whole trace and each generation in it; those of an agent's
    span (the root of a Basalt trace inside another one) that span and each generation below it;
    those of another span that span. `sampled` of a span decides for it; if it is unset, that
    of the root, else of any other span, else the default rate.
    """
    trace_id = spans[0].trace_id
    chosen = _is_chosen(trace_id, spans)
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id, []).append(span)
    found: dict[Evaluation, None] = {}
    for span in spans:
        sampled = span.trace.sampled
        if not span.trace.evaluators or not (chosen if sampled is None else sampled):
            continue
        targets = [span.span_id if span.parent_id else "", *_inheriting(span, spans, children)]
        for slug in span.trace.evaluators:
            if not possible_id(slug):
                continue  # no evaluator can be registered under it
            for target in targets:
                job = Evaluation(trace_id=trace_id, span_id=target, evaluator=slug)
                found[job] = None
    return list(found)


def traces_requesting_evaluation(spans: Sequence[Span]) -> tuple[set[str], set[str]]:
    """The traces that need a scan for evaluations, from spans that may be a part of their traces.

    Returns:
        The traces whose spans here request evaluations, and those whose root, which is not here,
        may request them.
    """
    roots = {span.trace_id for span in spans if not span.parent_id}
    certain, possible = set(), set()
    for span in spans:
        sampled = span.trace.sampled
        if sampled is False:
            continue
        # A generation is judged itself, and what was retrieved is what others are judged by.
        matters = span.kind == "model" or span.log_type == "retrieval"
        if span.trace.evaluators or (sampled and (matters or not span.parent_id)):
            certain.add(span.trace_id)
        elif matters and span.trace_id not in roots:
            possible.add(span.trace_id)
    return certain, possible - certain


def _is_chosen(trace_id: str, spans: Sequence[Span]) -> bool:
    decisions = [(bool(s.parent_id), s.trace.sampled) for s in spans if s.trace.sampled is not None]
    if decisions:
        return bool(min(decisions, key=lambda one: one[0])[1])
    return is_sampled(trace_id, DEFAULT_SAMPLE_RATE)


def _inheriting(
    span: Span, spans: Sequence[Span], children: Mapping[str, Sequence[Span]]
) -> Iterator[str]:
    """The ids of the generations that are judged by the evaluators of a span, too."""
    if not span.parent_id:
        yield from (s.span_id for s in spans if s.kind == "model" and s.parent_id)
    elif span.operation == "invoke_agent" and not span.log_type:
        below, seen = [span.span_id], {span.span_id}
        while below:
            for child in children.get(below.pop(), ()):
                if child.span_id not in seen:
                    seen.add(child.span_id)
                    below.append(child.span_id)
                    if child.kind == "model":
                        yield child.span_id
