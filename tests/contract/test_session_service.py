"""SessionService, by its promises in proto/spanloom/v1/session_service.proto."""

from __future__ import annotations

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    EVENT,
    as_dict,
    create_events,
    documented,
    exported_ids,
    get_event,
    get_session,
    start_session,
    update_event,
)
from tests.contract.conftest import Project


def test_start_session_starts_a_session_that_get_event_gives_back(project: Project) -> None:
    session = {
        "session_id": "s",
        "session_name": "one",
        "source": "test",
        "start_time": 1000,
        "inputs": {"a": 1},
        "metadata": {"k": "v"},
        "user_properties": {"u": 1},
    }
    answer = start_session(project, **session)
    assert (answer.event_id, answer.session_id, answer.event_type) == ("s", "s", "session")
    assert (answer.org_id, answer.workspace_id, answer.project_id) == (
        "spanloom",
        "default",
        project.name,
    )
    back = get_event(project, "s")
    assert back == {
        **{k: session[k] for k in ("session_id", "source", "inputs", "metadata")},
        "user_properties": {"u": 1},
        "event_id": "s",
        "event_type": "session",
        "event_name": "one",
        "start_time": 1000,
        "parent_id": "",
    }


def test_start_session_takes_a_bare_session(project: Project) -> None:
    answer = project.send(
        "SessionService/StartSession",
        session_name="bare",
        source="x",
        metadata={"a": 1},
        session={"metadata": {"b": 2}},
    )
    assert len(answer.session_id) == 36
    assert answer.event_name == "bare"
    assert as_dict(answer.metadata) == {"a": 1, "b": 2}


def test_start_session_again_merges_metadata_and_user_properties_alone(project: Project) -> None:
    first = {"session_id": "s", "session_name": "one", "metadata": {"a": 1, "b": 1}}
    start_session(project, **first)
    again = {
        "session_id": "s",
        "session_name": "two",
        "metadata": {"b": 2},
        "user_properties": {"u": 1},
    }
    for _ in range(2):
        answer = start_session(project, **again)
        assert answer.event_name == "one"
        assert as_dict(answer.metadata) == {"a": 1, "b": 2}
        assert as_dict(answer.user_properties) == {"u": 1}
    assert exported_ids(project) == ["s"]


@pytest.mark.parametrize("field", ["events", "logs"])
def test_add_session_traces_adds_events_to_their_session(project: Project, field: str) -> None:
    events = [
        {"event_id": "a", "event_type": "chain", "session_id": "another"},
        {"event_id": "b", "event_type": "tool", "parent_id": "a"},
    ]
    answer = project.send("SessionService/AddSessionTraces", session_id="s", **{field: events})
    assert (list(answer.event_ids), answer.session_id, answer.success) == (["a", "b"], "s", True)
    assert {get_event(project, e)["session_id"] for e in "ab"} == {"s"}
    assert get_event(project, "a")["parent_id"] == "s"


def test_add_session_traces_takes_events_or_logs(project: Project) -> None:
    event = {"event_type": "tool"}
    for fields, field in (
        ({}, "events"),
        ({"events": [event], "logs": [event]}, "logs"),
        ({"logs": [{"event_type": "x"}]}, "logs[0].event_type"),
    ):
        with pytest.raises(CallError) as refused:
            project.send("SessionService/AddSessionTraces", session_id="s", **fields)
        assert set(refused.value.violations) == {field}


def test_add_session_traces_reads_times_in_microseconds(project: Project) -> None:
    log = {"event_id": "a", "event_type": "tool", "start_time": 1_714_978_764_301_000}
    project.send("SessionService/AddSessionTraces", session_id="s", logs=[log])
    assert get_event(project, "a")["start_time"] == 1_714_978_764_301


def test_get_session_gives_the_tree_of_a_batch(project: Project) -> None:
    batch = documented("create_event_batch")
    project.send("EventService/CreateEventBatch", **batch)
    session = get_session(project, batch["events"][0]["session_id"])
    assert session.event_name == "Playground Session"
    assert [child.event_name for child in session.children] == ["Model Completion"]
    totals = as_dict(session.metadata)
    assert totals["num_events"] == 1
    assert totals["num_model_events"] == 1
    assert totals["total_tokens"] == 58
    assert totals["cost"] == 8e-05
    assert (session.start_time, session.end_time) == (1714978764301, 1714978765301)


def test_get_session_describes_a_session_by_its_events(project: Project) -> None:
    events = [
        {
            "event_id": "root",
            "event_type": "chain",
            "session_id": "s",
            "start_time": 10,
            "end_time": 90,
        },
        {
            "event_id": "leaf",
            "event_type": "tool",
            "session_id": "s",
            "parent_id": "root",
            "start_time": 20,
            "end_time": 30,
        },
    ]
    create_events(project, *events)
    session = get_session(project, "s")
    assert (session.event_id, session.event_type) == ("s", "session")
    assert (session.start_time, session.end_time, session.duration) == (10, 90, 80)
    assert [c.event_id for c in session.children] == ["root"]
    assert [c.event_id for c in session.children[0].children] == ["leaf"]


def test_get_session_does_not_find_an_unknown_session(project: Project) -> None:
    with pytest.raises(CallError, match="SESSION_NOT_FOUND"):
        get_session(project, "?")


def test_get_session_gives_a_started_session_with_its_events(project: Project) -> None:
    start_session(project, session_id="s", session_name="n")
    create_events(
        project,
        {"event_id": "a", "session_id": "s", "start_time": 10, "end_time": 20},
        {"event_id": "b", "session_id": "s", "parent_id": "a", "start_time": 12, "end_time": 40},
    )
    session = get_session(project, "s")
    assert session.event_name == "n"
    assert [c.event_id for c in session.children] == ["a"]
    assert [c.event_id for c in session.children[0].children] == ["b"]
    assert (session.start_time, session.end_time, session.duration) == (10, 40, 30)


def test_delete_session_removes_it_with_its_events(project: Project) -> None:
    create_events(project, EVENT, {"event_id": "other", "session_id": "t"})
    update_event(project, "s", metadata={"u": 1})
    answer = project.send("SessionService/DeleteSession", session_id="s")
    assert (answer.success, answer.deleted) == (True, "s")
    assert exported_ids(project) == ["other"]
    for method in ("GetSession", "DeleteSession"):
        with pytest.raises(CallError, match="SESSION_NOT_FOUND"):
            project.send(f"SessionService/{method}", session_id="s")
    start_session(project, session_id="s")
    assert "metadata" not in get_event(project, "s")
