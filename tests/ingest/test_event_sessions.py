"""Which session an event belongs to, and what becomes of what a client says of it."""

from __future__ import annotations

import uuid

import pytest

from spanloom.model import Span
from tests.ingest.test_read_events import read, read_one


def in_session(session_id: str, spans: list[Span]) -> set[str]:
    return {span.event_id for span in spans if span.session_id == session_id}


def test_ids_that_are_not_sent_are_made() -> None:
    event = read_one()
    for text in (event.event_id, event.session_id):
        assert str(uuid.UUID(text)) == text
    assert event.event_id != event.session_id
    assert event.parent_id == event.session_id == event.trace_id


def test_the_session_of_a_lone_event_follows_from_its_id() -> None:
    first, again, other = (read_one(event_id=i).session_id for i in ("e", "e", "f"))
    assert first == again != other
    assert read({"event_type": "tool", "event_id": "e"}).session_id == first
    assert read({"event_type": "tool", "event_id": "e"}, is_single_session=True).session_id == first


def test_events_apart_have_the_sessions_they_name_or_one_each() -> None:
    result = read(
        {"event_type": "tool", "session_id": "s"},
        {"event_type": "tool"},
        {"event_type": "tool", "session_id": "s"},
        {"event_type": "chain"},
    )
    sessions = [span.session_id for span in result.spans]
    assert sessions[0] == sessions[2] == "s"
    assert len(set(sessions)) == 3
    assert result.session_id == sessions[3]
    assert result.event_ids == [span.event_id for span in result.spans]


@pytest.mark.parametrize("flag", ["is_single_session", "single_session"])
@pytest.mark.parametrize("name", ["session_properties", "session"])
def test_one_session_is_that_of_the_properties(flag: str, name: str) -> None:
    result = read(
        {"event_type": "tool", "event_id": "a", "session_id": "other", "parent_id": "other"},
        {"event_type": "tool", "event_id": "b", "parent_id": "a"},
        **{flag: True, name: {"session_id": "s", "session_name": "n"}},
    )
    assert result.session_id == "s"
    assert {s.span_id: s.parent_id for s in result.spans} == {"a": "s", "b": "a", "s": ""}
    assert {s.session_id for s in result.spans} == {s.trace_id for s in result.spans} == {"s"}
    assert result.spans[-1].name == "n"


def test_one_session_without_properties_is_the_first_named_else_a_new_one() -> None:
    named = read(
        {"event_type": "tool"},
        {"event_type": "tool", "session_id": "s"},
        {"event_type": "tool", "session_id": "t"},
        single_session=True,
    )
    assert {span.session_id for span in named.spans} == {"s"}
    assert len(named.spans) == 3
    session = read(
        {"event_type": "tool"}, {"event_type": "session", "event_id": "s"}, single_session=True
    )
    assert {span.session_id for span in session.spans} == {"s"}
    nameless = read({"event_type": "tool"}, {"event_type": "tool"}, single_session=True)
    assert len({span.session_id for span in nameless.spans}) == 1
    assert len(nameless.spans) == 2


def test_properties_without_an_id_describe_each_new_session() -> None:
    result = read(
        {"event_type": "tool", "event_id": "a", "start_time": 50},
        {"event_type": "tool", "event_id": "b", "start_time": 70},
        {"event_type": "tool", "event_id": "c", "session_id": "named"},
        session={"session_name": "n", "metadata": {"m": 1}},
    )
    events, sessions = result.spans[:3], result.spans[3:]
    assert {s.span_id for s in sessions} == {e.session_id for e in events[:2]}
    assert {(s.name, s.kind, s.parent_id) for s in sessions} == {("n", "session", "")}
    assert {(s.session_id, s.start_ns) for s in sessions} == {
        (e.session_id, e.start_ns) for e in events[:2]
    }
    assert result.session_id == "named"


def test_properties_with_an_id_take_in_the_events_that_name_none() -> None:
    result = read(
        {"event_type": "tool", "event_id": "a"},
        {"event_type": "tool", "event_id": "b", "session_id": "own"},
        session_properties={"session_id": "s"},
    )
    assert in_session("s", result.spans) == {"a", "s"}
    assert in_session("own", result.spans) == {"b"}


def test_session_properties_win_over_session_and_the_session_name_over_the_event_name() -> None:
    result = read(
        {"event_type": "tool"},
        session_properties={"session_id": "s", "session_name": "n", "event_name": "e"},
        session={"session_id": "t", "session_name": "o"},
    )
    assert [(s.span_id, s.name) for s in result.spans[1:]] == [("s", "n")]
    assert read({"event_type": "tool"}, session={"event_name": "e"}).spans[1].name == "e"
    assert read({"event_type": "tool"}, session={}).spans[1].name == "unknown"


def test_an_event_of_type_session_is_the_root_of_its_session() -> None:
    for fields in (
        {"event_id": "s"},
        {"session_id": "s"},
        {"event_id": "s", "session_id": "s", "parent_id": "p"},
    ):
        span = read_one(event_type="session", **fields)
        assert (span.trace_id, span.span_id, span.session_id, span.parent_id) == ("s", "s", "s", "")


def test_a_session_event_and_the_properties_of_its_session_are_one_span() -> None:
    result = read(
        {"event_type": "session", "event_id": "s", "metadata": {"a": 1}, "inputs": {}},
        {"event_type": "tool", "event_id": "t", "session_id": "s"},
        session_properties={
            "session_id": "s",
            "session_name": "n",
            "source": "src",
            "start_time": 5,
            "metadata": {"a": 2, "b": 3},
        },
    )
    assert result.event_ids == ["s", "t"]
    session, _ = result.spans
    assert (session.name, session.start_ns) == ("n", 5_000_000)
    assert session.io.metadata == {"a": 1, "b": 3}
    assert session.io.source == "src"


def test_a_session_says_which_of_its_times_are_its_own() -> None:
    own, other = (
        read({"event_type": "tool", "start_time": 7}, session={"session_id": "s", **times}).spans[1]
        for times in ({"start_time": 3}, {})
    )
    assert (own.start_ns, own.start_unknown) == (3_000_000, False)
    assert (other.start_ns, other.start_unknown) == (7_000_000, True)
    assert (other.end_ns, other.duration_ms) == (None, None)
