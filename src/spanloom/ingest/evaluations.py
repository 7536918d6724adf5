"""What spans ask to be evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.model import Evaluation, Span


def asked_evaluations(spans: Sequence[Span]) -> list[Evaluation]:
    """The evaluations that spans ask for by name, each once; none of a trace that was not sampled.

    The evaluators of a root judge the whole trace, those of another span that span. A span says by `sampled` in its body whether
    its trace was chosen; where it does not, the root among the spans says it.
    """
    sampled = {s.trace_id: s.body.get("sampled", False) for s in spans if not s.parent_id}
    found: dict[Evaluation, None] = {}
    for span in spans:
        evaluators = span.body.get("evaluators")
        if evaluators and span.body.get("sampled", sampled.get(span.trace_id)):
            span_id = span.span_id if span.parent_id else ""
            for evaluator in evaluators:
                job = Evaluation(
                    trace_id=span.trace_id, span_id=span_id, evaluator=evaluator["slug"]
                )
                found[job] = None
    return list(found)
