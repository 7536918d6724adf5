"""EventService and SessionService, by their promises in the proto files."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import event_service_pb2, session_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project

DOCUMENTED = json.loads(Path("tests/data/documented/create_event_batch.json").read_text())[
    "request"
]


def batch(events: list[dict[str, Any]], **fields: Any) -> event_service_pb2.CreateEventBatchRequest:
    return json_format.ParseDict(
        {"events": events, **fields}, event_service_pb2.CreateEventBatchRequest()
    )


def export(project: Project, *filters: tuple[str, str], **fields: Any) -> Any:
    request = json_format.ParseDict(
        {
            "filters": [
                {"field": field, "operator": "is", "value": value, "type": "string"}
                for field, value in filters
            ],
            **fields,
        },
        event_service_pb2.ExportEventsRequest(),
    )
    return project("EventService/ExportEvents", request)


def as_dict(message: Any) -> Any:
    return json_format.MessageToDict(message)


def test_the_documented_batch_is_given_back_as_sent(project: Project) -> None:
    answer = project("EventService/CreateEventBatch", batch(**DOCUMENTED))
    event = DOCUMENTED["events"][0]
    assert as_dict(answer) == {
        "event_ids": [event["event_id"]],
        "session_id": event["session_id"],
        "success": True,
    }
    request = event_service_pb2.GetEventRequest(event_id=event["event_id"])
    back = as_dict(project("EventService/GetEvent", request).event)
    sent = {k: v for k, v in event.items() if v is not None and v != []}
    assert back == sent


def test_the_session_of_a_batch_is_a_tree(project: Project) -> None:
    project("EventService/CreateEventBatch", batch(**DOCUMENTED))
    request = session_service_pb2.GetSessionRequest(
        session_id=DOCUMENTED["events"][0]["session_id"]
    )
    session = project("SessionService/GetSession", request)
    assert session.event_name == "Playground Session"
    assert [child.event_name for child in session.children] == ["Model Completion"]
    totals = as_dict(session.metadata)
    assert totals["num_events"] == 1
    assert totals["num_model_events"] == 1
    assert totals["total_tokens"] == 58
    assert totals["cost"] == 8e-05
    assert (session.start_time, session.end_time) == (1714978764301, 1714978765301)


def test_a_session_that_nobody_described_is_made_of_its_events(project: Project) -> None:
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
    project("EventService/CreateEventBatch", batch(events))
    session = project(
        "SessionService/GetSession", session_service_pb2.GetSessionRequest(session_id="s")
    )
    assert (session.event_id, session.event_type) == ("s", "session")
    assert (session.start_time, session.end_time, session.duration) == (10, 90, 80)
    assert [c.event_id for c in session.children] == ["root"]
    assert [c.event_id for c in session.children[0].children] == ["leaf"]


def test_an_unknown_session_is_not_found(project: Project) -> None:
    with pytest.raises(CallError, match="SESSION_NOT_FOUND"):
        project("SessionService/GetSession", session_service_pb2.GetSessionRequest(session_id="?"))


def test_a_batch_is_atomic_and_names_every_violation(project: Project) -> None:
    good = {"event_id": "good", "event_type": "tool"}
    bad = [
        {"event_type": "modle"},
        {"event_id": "x" * 257, "event_type": "tool"},
        {"event_id": "no type"},
        {**good},
    ]
    with pytest.raises(CallError) as refused:
        project("EventService/CreateEventBatch", batch([good, *bad]))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert set(refused.value.violations) == {
        "events[1].event_type",
        "events[2].event_id",
        "events[3].event_type",
        "events[4].event_id",
    }
    assert export(project).total_events == 0


def test_an_empty_batch_is_refused(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project("EventService/CreateEventBatch", batch([]))
    assert set(refused.value.violations) == {"events"}


def test_the_same_batch_again_changes_nothing(project: Project) -> None:
    for _ in range(3):
        project("EventService/CreateEventBatch", batch(**DOCUMENTED))
    assert export(project, ("event_type", "model")).total_events == 1


def test_a_retry_without_session_id_stays_in_its_session(project: Project) -> None:
    event = {"event_id": "e", "event_type": "tool"}
    sessions = {
        project("EventService/CreateEventBatch", batch([event])).session_id for _ in range(2)
    }
    assert len(sessions) == 1
    assert export(project, ("event_id", "e")).total_events == 1


def test_events_without_session_get_one_each_or_share_one(project: Project) -> None:
    events = [{"event_type": "tool"}, {"event_type": "tool"}]
    apart = project("EventService/CreateEventBatch", batch(events))
    assert len({e.session_id for e in export(project).events}) == 2
    together = project("EventService/CreateEventBatch", batch(events, is_single_session=True))
    found = export(project, ("session_id", together.session_id)).events
    assert {e.event_id for e in found} == set(together.event_ids)
    last = event_service_pb2.GetEventRequest(event_id=apart.event_ids[-1])
    assert project("EventService/GetEvent", last).event.session_id == apart.session_id


def test_missing_fields_get_their_documented_defaults(project: Project) -> None:
    request = event_service_pb2.CreateEventRequest()
    request.event.event_type = "chain"
    event_id = project("EventService/CreateEvent", request).event_id
    event = project(
        "EventService/GetEvent", event_service_pb2.GetEventRequest(event_id=event_id)
    ).event
    assert (event.event_name, event.source) == ("unknown", "unknown")
    assert event.parent_id == event.session_id
    assert event.start_time > 1.6e12
    uuid.UUID(event.event_id), uuid.UUID(event.session_id)


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ({"start_time": 100, "end_time": 350}, (100, 350, 250)),
        ({"start_time": 100, "duration": 50.5}, (100, 150.5, 50.5)),
        ({"end_time": 100, "duration": 25}, (75, 100, 25)),
        (
            {"start_time": 1714978764301.25, "end_time": 1714978765301, "duration": 999.8056},
            (1714978764301.25, 1714978765301, 999.8056),
        ),
    ],
)
def test_times_complete_each_other(
    project: Project, sent: dict[str, float], back: tuple[float, ...]
) -> None:
    project(
        "EventService/CreateEventBatch", batch([{"event_id": "t", "event_type": "tool", **sent}])
    )
    event = project("EventService/GetEvent", event_service_pb2.GetEventRequest(event_id="t")).event
    assert (event.start_time, event.end_time, event.duration) == back


def test_other_outputs_than_objects_are_wrapped(project: Project) -> None:
    events = [
        {"event_id": str(n), "event_type": "tool", "outputs": value}
        for n, value in enumerate(["text", [1, 2], 3.5, {"a": None}])
    ]
    project("EventService/CreateEventBatch", batch(events))
    back = {e.event_id: as_dict(e.outputs) for e in export(project).events}
    assert back == {
        "0": {"value": "text"},
        "1": {"value": [1, 2]},
        "2": {"value": 3.5},
        "3": {"a": None},
    }


def test_an_event_that_was_never_created_is_not_found(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project("EventService/GetEvent", event_service_pb2.GetEventRequest(event_id="never"))
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "EVENT_NOT_FOUND")


def test_export_filters_by_what_string_fields_are(project: Project) -> None:
    events = [
        {
            "event_id": f"e{n}",
            "event_type": t,
            "event_name": name,
            "session_id": s,
            "source": "x",
            "metadata": {"deep": {"list": ["a", name]}},
        }
        for n, (t, name, s) in enumerate(
            [
                ("model", "one", "s1"),
                ("tool", "two", "s1"),
                ("model", "o'ne\"%", "s2"),
                ("chain", "ONE", "s2"),
            ]
        )
    ]
    project("EventService/CreateEventBatch", batch(events))

    def ids(*filters: tuple[str, str]) -> set[str]:
        return {event.event_id for event in export(project, *filters).events}

    assert ids() == {"e0", "e1", "e2", "e3"}
    assert ids(("event_type", "model")) == {"e0", "e2"}
    assert ids(("session_id", "s1"), ("event_type", "model")) == {"e0"}
    assert ids(("event_name", "o'ne\"%")) == {"e2"}
    assert ids(("event_id", "e3")) == {"e3"}
    assert ids(("metadata.deep.list.1", "ONE")) == {"e3"}
    assert ids(("source", "x"), ("parent_id", "s2")) == {"e2", "e3"}
    assert ids(("metadata.nothing", "x")) == set()


def test_export_pages_newest_first_with_the_grand_total(project: Project) -> None:
    events = [
        {"event_id": f"{n:02}", "event_type": "tool", "start_time": 1000 + n // 2}
        for n in range(11)
    ]
    project("EventService/CreateEventBatch", batch(events))
    seen = []
    for page in range(1, 5):
        answer = export(project, limit=3, page=page)
        assert (answer.total_events, answer.count) == (11, 11)
        seen += [(-event.start_time, event.event_id) for event in answer.events]
    assert len(seen) == 11
    assert seen == sorted(seen)
    assert not export(project, limit=3, page=5).events


def test_export_takes_a_stretch_of_time(project: Project) -> None:
    events = [{"event_id": str(n), "event_type": "tool", "start_time": n * 1000} for n in range(5)]
    project("EventService/CreateEventBatch", batch(events))
    stretch = {"$gte": "1970-01-01T00:00:01Z", "$lte": "1970-01-01T00:00:03Z"}
    assert [e.event_id for e in export(project, dateRange=stretch).events] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"operator": "is", "value": "x"}, "filters[0].field"),
        ({"field": "event_name", "operator": "resembles", "value": "x"}, "filters[0].operator"),
        ({"field": "event_name", "operator": "is", "value": "x", "type": "id"}, "filters[0].type"),
    ],
)
def test_a_bad_filter_is_named(project: Project, bad: dict[str, str], field: str) -> None:
    request = json_format.ParseDict({"filters": [bad]}, event_service_pb2.ExportEventsRequest())
    with pytest.raises(CallError) as refused:
        project("EventService/ExportEvents", request)
    assert set(refused.value.violations) == {field}


def test_a_session_is_seen_as_a_trace_and_a_trace_as_events(project: Project) -> None:
    from spanloom.v1 import trace_service_pb2

    project("EventService/CreateEventBatch", batch(**copy.deepcopy(DOCUMENTED)))
    session_id = DOCUMENTED["events"][0]["session_id"]
    trace = project(
        "TraceService/GetTrace", trace_service_pb2.GetTraceRequest(trace_id=session_id)
    ).trace
    assert trace.name == "Playground Session"
    assert [(log.type, log.name) for log in trace.logs] == [("generation", "Model Completion")]
    sent = json_format.ParseDict(
        {
            "trace": {
                "id": "b",
                "input": "q",
                "logs": [{"id": "g", "type": "generation", "output": "a"}],
            }
        },
        trace_service_pb2.CreateTraceRequest(),
    )
    project("TraceService/CreateTrace", sent)
    events = {e.event_id: e for e in export(project, ("session_id", "b")).events}
    assert {(e.event_id, e.event_type) for e in events.values()} == {
        ("b", "session"),
        ("g", "model"),
    }
    assert as_dict(events["g"].outputs) == {"output": "a"}
