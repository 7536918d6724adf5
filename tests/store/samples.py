"""What the tests store."""

from __future__ import annotations

from typing import Any

from spanloom.model import Span
from tests.parts import parts


def a_span(
    span_id: str = "a", trace_id: str = "t", body: dict[str, Any] | None = None, **fields: Any
) -> Span:
    """A root span whose event id is its span id and which has no session of its own, unless told
    otherwise. `body` are fields of its parts."""
    given = {"event_id": span_id, "session_id": trace_id, "start_ns": 1, **fields}
    return Span(trace_id=trace_id, span_id=span_id, **parts(body or {}), **given)


BODY = {
    "inputs": {"chat_history": [{"role": "user", "content": "What?\n\0"}]},
    "outputs": ["a", 1, 2.5, None, True, {"deep": [[]]}],
    "metadata": {"πéè 🙂": "🙂", "": "", 'a"b\\c': "\x01"},
    "feature_slug": "search",
    "user": {"id": "user-1", "name": "Ada"},
    "organization": {"id": "org-1"},
    "experiment_id": "exp-1",
}
# Every column filled, with what differs from the defaults.
FULL = Span(
    trace_id="trace",
    span_id="span",
    event_id="event",
    session_id="session",
    parent_id="",
    name="Model Completion",
    kind="model",
    operation="chat",
    start_ns=1_714_978_764_301_000_001,
    end_ns=1_714_978_765_301_000_002,
    duration_ms=999.8056,
    status="ERROR",
    agent_name="helper",
    provider="openai",
    model="gpt-4o",
    input_tokens=35,
    output_tokens=23,
    cost=8e-05,
    **parts(BODY),
)
