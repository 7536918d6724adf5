"""A session's spans as a tree: what hangs where, what is summed up, and how deep it goes."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from spanloom.adapters.honeyhive.session import MOST_LEVELS, session_message
from spanloom.model import Span
from spanloom.v1 import session_pb2, session_service_pb2
from tests.parts import parts

MS = 1_000_000


def span(
    span_id: str,
    parent_id: str = "s",
    *,
    at: int = 0,
    body: dict[str, Any] | None = None,
    **fields: Any,
) -> Span:
    return Span(
        **{
            "trace_id": "s",
            "span_id": span_id,
            "event_id": span_id,
            "session_id": "s",
            "parent_id": parent_id,
            "kind": "tool",
            "start_ns": at * MS,
            "name": span_id,
            **fields,
        },
        **parts(body or {}),
    )


def session(**fields: Any) -> Span:
    return span("s", "", **{"kind": "session", **fields})


def shown(*spans: Span) -> session_service_pb2.GetSessionResponse:
    ordered = sorted(spans, key=lambda s: (s.start_ns, s.span_id))
    message = session_message("s", ordered, project="p")
    # What a peer reads is what counts: runtimes refuse messages that nest too deeply.
    return session_service_pb2.GetSessionResponse.FromString(message.SerializeToString())


def tree(node: Any) -> dict[str, Any]:
    return {child.event_id: tree(child) for child in node.children}


def totals(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message.metadata)


def test_events_hang_under_their_parents_by_start() -> None:
    message = shown(
        session(), span("b", at=2), span("a", at=3), span("b2", "b", at=9), span("b1", "b", at=5)
    )
    assert tree(message) == {"b": {"b1": {}, "b2": {}}, "a": {}}
    assert [c.event_id for c in message.children] == ["b", "a"]
    assert [c.event_id for c in message.children[0].children] == ["b1", "b2"]


def test_a_child_that_starts_before_its_parent_stays_below_it() -> None:
    assert tree(shown(span("late", at=5), span("early", "late", at=1))) == {"late": {"early": {}}}


def test_unknown_parents_and_cycles_hang_under_the_session() -> None:
    message = shown(
        session(),
        span("lost", "nobody", at=1),
        span("x", "y", at=3),
        span("y", "z", at=2),
        span("z", "x", at=4),
        span("self", "self", at=5),
    )
    assert tree(message) == {"lost": {}, "y": {"x": {"z": {}}}, "self": {}}
    assert [c.parent_id for c in message.children] == ["nobody", "z", "self"]


def test_a_session_nobody_described_is_made_of_its_events() -> None:
    message = shown(
        span("a", at=5, end_ns=7 * MS), span("b", at=3), span("c", at=4, end_ns=20 * MS)
    )
    assert (message.event_id, message.event_type, message.event_name) == ("s", "session", "unknown")
    assert (message.session_id, message.parent_id) == ("s", "")
    assert (message.start_time, message.end_time, message.duration) == (3, 20, 17)
    assert not shown(span("open")).HasField("end_time")


def test_a_sessions_own_times_go_before_those_of_its_events() -> None:
    events = (span("a", at=5, end_ns=9 * MS), span("b", at=6, end_ns=8 * MS))
    own = shown(session(at=6, end_ns=7 * MS, duration_ms=40.0), *events)
    assert (own.start_time, own.end_time, own.duration) == (6, 7, 40)
    default = shown(session(at=6, start_unknown=True), *events)
    assert (default.start_time, default.end_time, default.duration) == (5, 9, 4)
    alone = shown(session(at=6, start_unknown=True))
    assert (alone.start_time, alone.HasField("end_time")) == (6, False)


def test_totals_add_up_the_events_and_overwrite_what_a_client_says() -> None:
    message = shown(
        session(cost=100.0, body={"metadata": {"mine": 1, "num_events": 99, "cost": 99}}),
        span("a", kind="model", input_tokens=3, output_tokens=4, cost=0.5),
        span("b", kind="model", input_tokens=1),
        span("c", cost=0.25, body={"feedback": {"rating": 1}}),
    )
    assert totals(message) == {
        "mine": 1,
        "num_events": 3,
        "num_model_events": 2,
        "has_feedback": True,
        "cost": 0.75,
        "prompt_tokens": 4,
        "completion_tokens": 4,
        "total_tokens": 8,
    }
    unpriced = totals(shown(session(), span("a", body={"feedback": {}})))
    assert "cost" not in unpriced
    assert unpriced["has_feedback"] is False


def test_every_node_says_where_it_is_stored() -> None:
    message = shown(session(body={"project": "sent"}), span("a"))
    for node in (message, message.children[0]):
        assert (node.org_id, node.workspace_id, node.project_id) == ("spanloom", "default", "p")
    assert (message.project, message.children[0].project) == ("sent", "")


def test_spans_of_several_traces_hang_by_their_own_trace_then_by_event_id() -> None:
    def of(trace_id: str, span_id: str, parent_id: str, **fields: Any) -> Span:
        return span(span_id, parent_id, trace_id=trace_id, event_id=trace_id + span_id, **fields)

    message = shown(
        of("t", "1", "", at=1),
        of("t", "2", "1", at=2),
        of("u", "1", "", at=3),
        of("u", "2", "1", at=4),
        span("e", "u2", at=5),
    )
    assert tree(message) == {"t1": {"t2": {}}, "u1": {"u2": {"e": {}}}}
    assert message.children[0].parent_id == "s"


def depth_of(message: Any) -> list[int]:
    """The number of nodes on each level."""
    levels, level = [], [message]
    while level:
        levels.append(len(level))
        level = [child for node in level for child in node.children]
    return levels


def chain(count: int, **fields: Any) -> list[Span]:
    return [span(f"{n:06}", f"{n - 1:06}" if n else "s", at=n, **fields) for n in range(count)]


def test_below_40_levels_events_hang_flat_under_their_ancestor() -> None:
    message = shown(session(), *chain(60))
    assert depth_of(message) == [1] * MOST_LEVELS + [60 - MOST_LEVELS + 1]
    node: Any = message
    for _ in range(MOST_LEVELS - 1):
        (node,) = node.children
    assert [c.event_id for c in node.children] == [f"{n:06}" for n in range(MOST_LEVELS - 1, 60)]
    assert [c.parent_id for c in node.children] == [
        f"{n - 1:06}" for n in range(MOST_LEVELS - 1, 60)
    ]


def test_json_that_nests_too_deeply_for_its_level_is_given_as_text() -> None:
    deep: Any = "bottom"
    for _ in range(28):
        deep = {"in": deep}
    message = shown(session(), *chain(45, body={"inputs": deep}))
    assert json_format.MessageToDict(message.children[0].inputs) == deep
    node: session_pb2.SessionNode = message.children[0]
    while node.children:
        node = node.children[-1]
    assert '"bottom"' in str(json_format.MessageToDict(node.inputs))


def test_a_long_chain_is_whole() -> None:
    message = session_message("s", [session(), *chain(16_000)], project="p")
    assert sum(depth_of(message)) == 16_001
