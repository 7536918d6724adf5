"""EventService: UpdateEvent, by its promises in proto/spanloom/v1/event_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    EVENT,
    as_dict,
    create_events,
    exported_ids,
    get_event,
    get_session,
    start_session,
    update_event,
)
from tests.contract.conftest import Project


def test_update_event_merges_objects_and_sets_the_rest(project: Project) -> None:
    create_events(project, EVENT)
    update_event(
        project,
        "e",
        metadata={"b": {"other": 2}, "c": 3},
        feedback={"rating": None, "thumb": "up"},
        metrics={"m": 2},
        user_properties={"u": "v"},
        outputs={"new": 1},
        error="boom",
        duration=12.5,
        end_time=2000,
        children_ids=["x"],
    )
    back = get_event(project, "e")
    assert back["metadata"] == {"a": 1, "b": {"other": 2}, "c": 3}
    assert back["feedback"] == {"thumb": "up"}
    assert back["metrics"] == {"m": 2}
    assert back["config"] == {"model": "m"}
    assert back["user_properties"] == {"u": "v"}
    assert back["outputs"] == {"new": 1}
    assert back["inputs"] == {"q": "hi"}
    assert (back["error"], back["duration"], back["end_time"]) == ("boom", 12.5, 2000)
    assert back["children_ids"] == ["x"]
    assert (back["event_name"], back["start_time"]) == ("call", 1000)


def test_update_event_keeps_what_it_does_not_name(project: Project) -> None:
    create_events(project, EVENT)
    before = get_event(project, "e")
    update_event(project, "e")
    update_event(project, "e", outputs=None, children_ids=[], metadata={})
    assert get_event(project, "e") == before
    update_event(project, "e", outputs=["a", 1])
    assert get_event(project, "e")["outputs"] == {"value": ["a", 1]}


def test_update_event_computes_the_duration_unless_it_was_sent(project: Project) -> None:
    create_events(
        project, EVENT, {"event_id": "said", "start_time": 0, "end_time": 9, "duration": 5}
    )
    for event_id in ("e", "said"):
        update_event(project, event_id, end_time=1800)
    assert get_event(project, "e")["duration"] == 800
    assert get_event(project, "said")["duration"] == 5


def test_update_event_is_seen_by_filters_and_totals(project: Project) -> None:
    create_events(project, {**EVENT, "event_type": "model"})
    update_event(project, "e", metadata={"cost": 0.5, "prompt_tokens": 3, "completion_tokens": 4})
    update_event(project, "e", metrics={"score": 0.75})
    scored = {
        "field": "metrics.score",
        "operator": "greater than",
        "value": "0.7",
        "type": "number",
    }
    assert exported_ids(project, filters=[scored]) == ["e"]
    totals = as_dict(get_session(project, "s").metadata)
    assert (totals["cost"], totals["total_tokens"]) == (0.5, 7)


def test_update_event_survives_a_repeated_create(project: Project) -> None:
    for n in range(3):
        create_events(project, {**EVENT, "inputs": {"n": n}})
        update_event(project, "e", metadata={f"u{n}": n})
    back = get_event(project, "e")
    assert back["inputs"] == {"n": 2}
    assert back["metadata"] == {"a": 1, "b": {"deep": 1}, "u0": 0, "u1": 1, "u2": 2}
    create_events(project, {"event_id": "e", "session_id": "s"})
    assert get_event(project, "e")["metadata"] == {"u0": 0, "u1": 1, "u2": 2}


def test_update_event_may_come_before_its_event(project: Project) -> None:
    update_event(project, "e", metadata={"a": 9, "late": 1}, feedback={"rating": 1})
    update_event(project, "e", metadata={"late": 2})
    assert exported_ids(project) == []
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        get_event(project, "e")
    create_events(project, {"event_id": "other"}, EVENT)
    back = get_event(project, "e")
    assert back["metadata"] == {"a": 9, "b": {"deep": 1}, "late": 2}
    assert back["feedback"] == {"rating": 1}
    assert sorted(exported_ids(project)) == ["e", "other"]


def test_update_event_many_times_keeps_every_update(project: Project) -> None:
    create_events(project, EVENT)
    for n in range(40):
        update_event(project, "e", metadata={f"k{n}": n, "last": n})
    create_events(project, EVENT)
    metadata = get_event(project, "e")["metadata"]
    assert metadata["last"] == 39
    assert all(metadata[f"k{n}"] == n for n in range(40))


def test_update_event_updates_a_session_by_its_id(project: Project) -> None:
    start_session(project, session_id="s", session_name="n")
    update_event(project, "s", metadata={"sm": 1}, outputs={"final": "x"}, feedback={"thumb": "up"})
    back = get_event(project, "s")
    assert (back["metadata"], back["outputs"], back["event_name"]) == (
        {"sm": 1},
        {"final": "x"},
        "n",
    )
    assert as_dict(get_session(project, "s").metadata)["has_feedback"] is True


def test_update_event_updates_a_session_that_nobody_started(project: Project) -> None:
    update_event(project, "s", metadata={"early": 1})
    create_events(project, {"event_id": "a", "session_id": "s"})
    update_event(project, "s", feedback={"thumb": "up"}, event_name="named")
    session = get_session(project, "s")
    assert session.event_name == "named"
    assert as_dict(session.metadata)["early"] == 1
    assert as_dict(session.feedback) == {"thumb": "up"}
    start_session(project, session_id="s", session_name="n")
    assert get_event(project, "s")["metadata"] == {"early": 1}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": "x" * 257}, "event_id"),
        ({"event_id": "e", "end_time": -1}, "end_time"),
        ({"event_id": "e", "duration": -1}, "duration"),
        ({"event_id": "e", "event_name": "\0"}, "event_name"),
    ],
)
def test_update_event_names_a_bad_field(
    project: Project, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        update_event(project, **fields)
    assert set(refused.value.violations) == {field}


def test_update_event_and_delete_event_do_not_touch_other_projects(project: Project) -> None:
    other = project.neighbour()
    create_events(project, EVENT)
    update_event(other, "e", metadata={"u": 1})
    update_event(other, "s", metadata={"u": 1})
    for method, fields in (
        ("EventService/DeleteEvent", {"event_id": "e"}),
        ("SessionService/DeleteSession", {"session_id": "s"}),
    ):
        with pytest.raises(CallError, match="NOT_FOUND"):
            other.send(method, **fields)
    assert not other.send("EventService/SearchEvents").events
    assert not other.send("EventService/ListEvents").events
    assert not other.send("EventService/StreamEvents")
    assert not other.send("EventService/GetEventsSchema").fields
    assert not other.send("EventService/GetEventsChart").events
    assert get_event(project, "e")["metadata"] == EVENT["metadata"]
