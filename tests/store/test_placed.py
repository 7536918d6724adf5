"""Spans without their contents, and what they share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spanloom.model import Sent, Span
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

SHARED = (b"one", b"two")


def sharing(span_id: str, trace_id: str, start_ns: int, envelope: bytes) -> Span:
    """A span that names what it shares with others; the adapter reads no message here."""
    sent = Sent("otlp", message=b"", envelope=envelope)
    return replace(a_span(span_id, trace_id), start_ns=start_ns, sent=sent)


def test_spans_are_placed_latest_first(store: Store, project: str, run: Run[Any]) -> None:
    made = [
        sharing("a", "t", 1, SHARED[0]),
        sharing("b", "t", 3, SHARED[1]),
        sharing("c", "u", 2, SHARED[0]),
        replace(a_span("d", "u"), start_ns=4),
    ]
    run(store.write_spans(project, made))
    run(store.write_spans(f"{project}-other", [sharing("x", "t", 9, b"foreign")]))
    found = run(store.summaries.placed(project, limit=10))
    assert [span.span_id for span in found.spans] == ["d", "b", "c", "a"]
    told = [found.envelopes.get(span.envelope or b"") for span in found.spans]
    assert told == [None, SHARED[1], SHARED[0], SHARED[0]]
    for conditions, expected in (
        ({"limit": 2}, ["d", "b"]),
        ({"trace_id": "t", "limit": 10}, ["b", "a"]),
        ({"trace_id": "nobody", "limit": 10}, []),
        ({"since_ns": 2, "before_ns": 4, "limit": 10}, ["b", "c"]),
    ):
        placed = run(store.summaries.placed(project, **conditions))
        assert [span.span_id for span in placed.spans] == expected
    assert set(run(store.summaries.shared(project, limit=10))) == set(SHARED)
    assert len(run(store.summaries.shared(project, limit=1))) == 1
