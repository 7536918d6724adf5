"""What a trace asks to be evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.model import Evaluation, Span


def asked_evaluations(spans: Sequence[Span]) -> list[Evaluation]:
    """The evaluations that the spans of one trace ask for, each once; none of a trace that was not sampled.

    A span's evaluators judge that span; those of the root judge the trace, and each generation in it. A span says by `sampled`
    in its body whether its trace was chosen; where it does not, the root says it.
    """
    root = next((span for span in spans if not span.parent_id), None)
    of_root = _slugs(root) if root else []
    of_trace = bool(root and root.body.get("sampled"))
    found: dict[Evaluation, None] = {}
    for span in spans:
        if not span.body.get("sampled", of_trace):
            continue
        inherited = of_root if span.body.get("log_type") == "generation" else []
        for slug in [*_slugs(span), *inherited]:
            span_id = "" if span is root else span.span_id
            found[Evaluation(trace_id=span.trace_id, span_id=span_id, evaluator=slug)] = None
    return list(found)


def _slugs(span: Span) -> list[str]:
    return [evaluator["slug"] for evaluator in span.body.get("evaluators", ())]
