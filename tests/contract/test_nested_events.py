"""Events inside events, by every call that creates events (docs/contracts/events.md, 1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.conftest import Project

CREATE, BATCH = "EventService/CreateEvent", "EventService/CreateEventBatch"
ADD = "SessionService/AddSessionTraces"


def an_event(name: str, *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    inside = {"children": list(children)} if children else {}
    return {"event_id": name, "event_name": name, "event_type": "chain", **inside, **fields}


def parents(project: Project) -> dict[str, tuple[str, str]]:
    """Of each event its session and its parent."""
    events = project.send("EventService/ExportEvents").events
    assert not any(event.HasField("children") for event in events)
    return {event.event_id: (event.session_id, event.parent_id) for event in events}


def test_children_are_events_in_the_session_of_their_parent(project: Project) -> None:
    tree = an_event("a", an_event("b", an_event("c")), an_event("d", parent_id="x"), session_id="s")
    assert project.send(CREATE, event=tree).event_id == "a"
    assert parents(project) == {
        "a": ("s", "s"),
        "b": ("s", "a"),
        "c": ("s", "b"),
        "d": ("s", "x"),
    }


def test_children_of_a_batch_follow_its_events(project: Project) -> None:
    events = [an_event("a", an_event("b", an_event("c"))), an_event("d", an_event("e"))]
    answer = project.send(BATCH, events=events)
    assert list(answer.event_ids) == ["a", "d", "b", "e", "c"]
    found = parents(project)
    first, second = found["a"][0], found["d"][0]
    assert first != second
    assert {name: session for name, (session, _) in found.items()} == {
        **dict.fromkeys("abc", first),
        **dict.fromkeys("de", second),
    }
    assert {name: found[name][1] for name in "bce"} == {"b": "a", "c": "b", "e": "d"}


def test_children_of_logs_are_in_the_session_of_the_path(project: Project) -> None:
    """As the handler for LangChain of the JavaScript client sends them, with empty lists too."""
    leaf = {**an_event("b"), "children": [], "start_time": 1_700_000_000_000_000}
    project.send(ADD, session_id="s", logs=[an_event("a", leaf)])
    assert parents(project) == {"a": ("s", "s"), "b": ("s", "a")}


def test_a_parent_without_an_id_gets_one_for_its_children(project: Project) -> None:
    child = {"event_type": "tool", "event_name": "inner"}
    project.send(BATCH, events=[{"event_type": "chain", "children": [child]}])
    events = {e.event_name: e for e in project.send("EventService/ExportEvents").events}
    assert events["inner"].parent_id == events["unknown"].event_id


def test_bad_children_are_named_by_their_places(project: Project) -> None:
    twice = an_event("a", an_event("a"))
    bad = [an_event("a", an_event("b", {"event_id": "c", "event_type": "x"}), {"inputs": 1})]
    for method, events, names in (
        (BATCH, [an_event("a", children="x")], {"events[0].children"}),
        (BATCH, bad, {"events[0].children[1].inputs"}),
        (BATCH, [an_event("a", {"event_type": "x"})], {"events[0].children[0].event_type"}),
        (BATCH, [twice], {"events[0].children[0].event_id"}),
        (ADD, [twice], {"events[0].children[0].event_id"}),
    ):
        with pytest.raises(CallError) as refused:
            project.send(method, events=events, **({"session_id": "s"} if method == ADD else {}))
        assert set(refused.value.violations) == names
    with pytest.raises(CallError) as refused:
        project.send(CREATE, event=an_event("a", {"event_type": "x"}))
    assert set(refused.value.violations) == {"event.children[0].event_type"}
    assert parents(project) == {}


def test_events_are_inside_one_another_up_to_15_levels(project: Project) -> None:
    tree = an_event("e15")
    for level in range(14, -1, -1):
        tree = an_event(f"e{level}", tree)
    project.send(CREATE, event=tree)
    assert len(parents(project)) == 16
    with pytest.raises(CallError) as refused:
        project.send(CREATE, event=an_event("above", tree))
    assert len(refused.value.violations) == 1
