"""What spans ask to be evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spanloom.model.catalog import Evaluation
from spanloom.model.checks import possible_id
from spanloom.model.sampling import DEFAULT_SAMPLE_RATE, is_sampled
from spanloom.model.span import Span


def asked_evaluations(spans: Sequence[Span]) -> list[Evaluation]:
    """The evaluations that one trace asks for, as far as its spans are here, each once; none when
    it was not sampled.

    The evaluators of a root judge the whole trace and each generation in it; those of an agent's
    span (the root of a Basalt trace inside another one) that span and each generation below it;
    those of another span that span. A span says by `sampled` whether its trace was chosen; where it
    does not, the root says it, else any other span, else the default rate.
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


def asking_traces(spans: Sequence[Span]) -> tuple[set[str], set[str]]:
    """Of spans that came together, perhaps not all of their traces: the traces that ask for
    evaluations by what is here, and those that may do so by a root which is not."""
    roots = {span.trace_id for span in spans if not span.parent_id}
    asking, perhaps = set(), set()
    for span in spans:
        sampled = span.trace.sampled
        if sampled is False:
            continue
        # A generation is judged itself, and what was retrieved is what others are judged by.
        matters = span.kind == "model" or span.log_type == "retrieval"
        if span.trace.evaluators or (sampled and (matters or not span.parent_id)):
            asking.add(span.trace_id)
        elif matters and span.trace_id not in roots:
            perhaps.add(span.trace_id)
    return asking, perhaps - asking


def _is_chosen(trace_id: str, spans: Sequence[Span]) -> bool:
    said = [(bool(s.parent_id), s.trace.sampled) for s in spans if s.trace.sampled is not None]
    if said:
        return bool(min(said, key=lambda one: one[0])[1])
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
