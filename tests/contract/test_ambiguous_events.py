"""EventService: an event id that several traces have."""

from __future__ import annotations

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    as_dict,
    create_events,
    create_trace,
    get_event,
    get_trace,
    model_call,
    update_event,
    write_spans,
)
from tests.contract.conftest import Project

SPAN_ID = "00f067aa0ba902b7"


def ask(project: Project, trace_id: str) -> None:
    log = {"id": "ask", "type": "generation", "input": trace_id}
    create_trace(project, id=trace_id, featureSlug="f", logs=[log])


def test_update_event_and_delete_event_refuse_a_log_id_of_two_traces(project: Project) -> None:
    ask(project, "one")
    ask(project, "two")
    before = {trace_id: as_dict(get_trace(project, trace_id)) for trace_id in ("one", "two")}
    for method in ("UpdateEvent", "DeleteEvent"):
        fields = {"metadata": {"k": "v"}} if method == "UpdateEvent" else {}
        with pytest.raises(CallError) as refused:
            project.send(f"EventService/{method}", event_id="ask", **fields)
        assert (refused.value.code, refused.value.reason) == (
            "FAILED_PRECONDITION",
            "AMBIGUOUS_EVENT",
        )
        assert "trace_id" in str(refused.value)
    assert {trace_id: as_dict(get_trace(project, trace_id)) for trace_id in before} == before
    update_event(project, "ask", trace_id="one", metadata={"k": "v"})
    for trace_id, metadata in (("one", {"k": "v"}), ("two", None)):
        found = project.send("EventService/GetEvent", event_id="ask", trace_id=trace_id).event
        assert as_dict(found).get("metadata") == metadata
    project.send("EventService/DeleteEvent", event_id="ask", trace_id="one")
    assert [len(get_trace(project, trace_id).logs) for trace_id in ("one", "two")] == [0, 1]
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        project.send("EventService/DeleteEvent", event_id="ask", trace_id="one")


def test_update_event_is_of_the_one_trace_that_has_the_event(project: Project) -> None:
    ask(project, "one")
    update_event(project, "ask", metadata={"k": "v"})
    ask(project, "two")
    ask(project, "one")  # the updates of a trace that is written again are kept
    for trace_id, metadata in (("one", {"k": "v"}), ("two", None)):
        found = project.send("EventService/GetEvent", event_id="ask", trace_id=trace_id).event
        assert as_dict(found).get("metadata") == metadata


def test_update_event_waits_for_the_first_trace_that_gets_the_event(project: Project) -> None:
    update_event(project, SPAN_ID, metadata={"k": "v"})
    write_spans(project, model_call("one", SPAN_ID, 1, "q", "a"))
    write_spans(project, model_call("two", SPAN_ID, 1, "q", "a"))
    write_spans(project, model_call("one", SPAN_ID, 1, "q", "again"))
    for trace_id, value in (("one", "v"), ("two", None)):
        found = project.send("EventService/GetEvent", event_id=SPAN_ID, trace_id=trace_id).event
        assert as_dict(found).get("metadata", {}).get("k") == value


def test_create_event_leaves_spans_of_other_apis_alone(project: Project) -> None:
    ask(project, "one")
    create_events(project, {"event_id": "ask", "session_id": "s"})
    assert len(get_trace(project, "one").logs) == 1
    create_events(project, {"event_id": "ask", "session_id": "moved"})
    assert len(get_trace(project, "one").logs) == 1
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        project.send("EventService/GetEvent", event_id="ask", trace_id="s")


def test_updates_move_with_their_event(project: Project) -> None:
    create_events(project, {"event_id": "e", "session_id": "s"})
    update_event(project, "e", metadata={"k": "v"})
    create_events(project, {"event_id": "e", "session_id": "moved"})
    assert get_event(project, "e")["metadata"] == {"k": "v"}
    update_event(project, "e", metadata={"l": 1})
    create_events(project, {"event_id": "e", "session_id": "moved", "event_name": "again"})
    assert get_event(project, "e")["metadata"] == {"k": "v", "l": 1}
