"""EventService: events are created, read and deleted, by its promises in its proto file."""

from __future__ import annotations

import uuid

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    EVENT,
    as_dict,
    create_events,
    documented,
    export_events,
    exported_ids,
    get_event,
    get_session,
    update_event,
)
from tests.contract.conftest import Project

DOCUMENTED = documented("create_event_batch")
MODEL_EVENT = {
    "event_id": "m",
    "model": "gpt",
    "provider": "OpenAI",
    "messages": [{"role": "user", "content": "x"}],
    "response": {"role": "assistant", "content": "y"},
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    "cost": 0.25,
    "duration": 5,
    "hyperparameters": {"temperature": 0.5},
}


def test_create_event_batch_gives_the_documented_batch_back_as_sent(project: Project) -> None:
    answer = project.send("EventService/CreateEventBatch", **DOCUMENTED)
    event = DOCUMENTED["events"][0]
    assert as_dict(answer) == {
        "event_ids": [event["event_id"]],
        "session_id": event["session_id"],
        "success": True,
    }
    sent = {k: v for k, v in event.items() if v is not None and v != []}
    assert get_event(project, event["event_id"]) == sent


def test_create_event_batch_is_atomic_and_names_every_violation(project: Project) -> None:
    good = {"event_id": "good", "event_type": "tool"}
    bad = [
        {"event_type": "modle"},
        {"event_id": "x" * 257, "event_type": "tool"},
        {"event_id": "no type"},
        {**good},
    ]
    with pytest.raises(CallError) as refused:
        project.send("EventService/CreateEventBatch", events=[good, *bad])
    assert refused.value.code == "INVALID_ARGUMENT"
    assert set(refused.value.violations) == {
        "events[1].event_type",
        "events[2].event_id",
        "events[3].event_type",
        "events[4].event_id",
    }
    assert export_events(project).total_events == 0


def test_create_event_batch_refuses_an_empty_batch(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project.send("EventService/CreateEventBatch", events=[])
    assert set(refused.value.violations) == {"events"}


def test_create_event_batch_again_changes_nothing(project: Project) -> None:
    for _ in range(3):
        project.send("EventService/CreateEventBatch", **DOCUMENTED)
    assert export_events(project, ("event_type", "model")).total_events == 1


def test_create_event_batch_again_without_session_id_keeps_the_session(project: Project) -> None:
    sessions = {create_events(project, {"event_id": "e"}).session_id for _ in range(2)}
    assert len(sessions) == 1
    assert export_events(project, ("event_id", "e")).total_events == 1


def test_create_event_batch_makes_a_session_for_each_event_or_for_all(project: Project) -> None:
    apart = create_events(project, {}, {})
    assert len({e.session_id for e in export_events(project).events}) == 2
    together = create_events(project, {}, {}, is_single_session=True)
    found = export_events(project, ("session_id", together.session_id)).events
    assert {e.event_id for e in found} == set(together.event_ids)
    assert get_event(project, apart.event_ids[-1])["session_id"] == apart.session_id


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ({"start_time": 100, "end_time": 350}, (100, 350, 250)),
        ({"start_time": 100, "duration": 50.5}, (100, 151, 50.5)),
        ({"end_time": 100, "duration": 25}, (75, 100, 25)),
        (
            {"start_time": 1714978764301.25, "end_time": 1714978765301, "duration": 999.8056},
            (1714978764301.25, 1714978765301, 999.8056),
        ),
    ],
)
def test_create_event_batch_completes_times(
    project: Project, sent: dict[str, float], back: tuple[float, ...]
) -> None:
    create_events(project, {"event_id": "t", **sent})
    event = project.send("EventService/GetEvent", event_id="t").event
    assert (event.start_time, event.end_time, event.duration) == back


def test_create_event_batch_wraps_outputs_that_are_no_objects(project: Project) -> None:
    events = [
        {"event_id": str(n), "outputs": value}
        for n, value in enumerate(["text", [1, 2], 3.5, {"a": None}])
    ]
    create_events(project, *events)
    back = {e.event_id: as_dict(e.outputs) for e in export_events(project).events}
    assert back == {
        "0": {"value": "text"},
        "1": {"value": [1, 2]},
        "2": {"value": 3.5},
        "3": {"a": None},
    }


def test_create_event_batch_moves_an_event_to_another_session(project: Project) -> None:
    create_events(
        project, {"event_id": "e", "session_id": "a"}, {"event_id": "stays", "session_id": "b"}
    )
    update_event(project, "e", metadata={"x": 1})
    create_events(project, {"event_id": "e", "session_id": "b", "parent_id": "stays"})
    assert sorted(exported_ids(project)) == ["e", "stays"]
    moved = get_event(project, "e")
    assert (moved["session_id"], moved["parent_id"], moved["metadata"]) == ("b", "stays", {"x": 1})
    with pytest.raises(CallError, match="no session"):
        get_session(project, "a")


def test_create_event_gives_missing_fields_their_documented_defaults(project: Project) -> None:
    event_id = project.send("EventService/CreateEvent", event={"event_type": "chain"}).event_id
    event = project.send("EventService/GetEvent", event_id=event_id).event
    assert (event.event_name, event.source) == ("unknown", "unknown")
    assert event.parent_id == event.session_id
    assert event.start_time > 1.6e12
    uuid.UUID(event.event_id), uuid.UUID(event.session_id)


def test_create_model_event_makes_an_event(project: Project) -> None:
    answer = project.send("EventService/CreateModelEvent", model_event=MODEL_EVENT)
    assert (answer.event_id, answer.success) == ("m", True)
    back = get_event(project, "m")
    assert (back["event_type"], back["event_name"], back["duration"]) == ("model", "gpt", 5)
    assert back["inputs"] == {
        **{k: MODEL_EVENT[k] for k in ("messages", "usage", "cost", "hyperparameters", "provider")}
    }
    assert back["outputs"] == {"response": MODEL_EVENT["response"]}
    assert back["config"] == {"model": "gpt", "provider": "OpenAI"}
    totals = as_dict(get_session(project, back["session_id"]).metadata)
    assert (totals["num_model_events"], totals["total_tokens"], totals["cost"]) == (1, 3, 0.25)


def test_create_model_event_batch_makes_events(project: Project) -> None:
    second = {"event_id": "n", "model_name": "named", "event_name": "mine"}
    answer = project.send(
        "EventService/CreateModelEventBatch",
        model_events=[MODEL_EVENT, second],
        single_session=True,
        session_properties={"session_id": "s", "session_name": "both"},
    )
    assert (list(answer.event_ids), answer.session_id) == (["m", "n"], "s")
    assert get_event(project, "n")["event_name"] == "mine"
    assert get_event(project, "s")["event_name"] == "both"
    with pytest.raises(CallError) as refused:
        project.send("EventService/CreateModelEventBatch", model_events=[{"start_time": -1}])
    assert set(refused.value.violations) == {"model_events[0].start_time"}


def test_get_event_does_not_find_what_was_never_created(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project.send("EventService/GetEvent", event_id="never")
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "EVENT_NOT_FOUND")


def test_delete_event_removes_it_with_its_updates(project: Project) -> None:
    create_events(project, EVENT, {"event_id": "child", "session_id": "s", "parent_id": "e"})
    update_event(project, "e", metadata={"u": 1})
    answer = project.send("EventService/DeleteEvent", event_id="e")
    assert (answer.success, answer.deleted) == (True, "e")
    assert exported_ids(project) == ["child"]
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        project.send("EventService/DeleteEvent", event_id="e")
    create_events(project, EVENT)
    assert get_event(project, "e")["metadata"] == EVENT["metadata"]
