"""EventService and SessionService beyond create and export: sessions, updates, deletes, model events, search, stream, charts."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import event_service_pb2, session_service_pb2
from tests.clients import CallError, HttpClient
from tests.contract.conftest import Project

EVENTS, SESSIONS = event_service_pb2, session_service_pb2


def send(project: Project, method: str, **fields: Any) -> Any:
    """Call a method with fields as JSON."""
    service, name = method.split("/")
    module = EVENTS if service == "EventService" else SESSIONS
    request = json_format.ParseDict(fields, getattr(module, f"{name}Request")())
    return project(method, request)


def create(project: Project, *events: dict[str, Any], **fields: Any) -> Any:
    events_with_type = [{"event_type": "tool", **event} for event in events]
    return send(project, "EventService/CreateEventBatch", events=events_with_type, **fields)


def get(project: Project, event_id: str) -> dict[str, Any]:
    answer = send(project, "EventService/GetEvent", event_id=event_id)
    found: dict[str, Any] = json_format.MessageToDict(answer.event)
    return found


def update(project: Project, event_id: str, **fields: Any) -> None:
    assert send(project, "EventService/UpdateEvent", event_id=event_id, **fields).success


def export(project: Project, **fields: Any) -> list[str]:
    answer = send(project, "EventService/ExportEvents", **fields)
    return [event.event_id for event in answer.events]


def test_a_session_starts_and_is_given_back(project: Project) -> None:
    session = {
        "session_id": "s",
        "session_name": "one",
        "source": "test",
        "start_time": 1000,
        "inputs": {"a": 1},
        "metadata": {"k": "v"},
        "user_properties": {"u": 1},
    }
    answer = send(project, "SessionService/StartSession", session=session)
    assert (answer.event_id, answer.session_id, answer.event_type) == ("s", "s", "session")
    assert (answer.org_id, answer.workspace_id, answer.project_id) == (
        "spanloom",
        "default",
        project.name,
    )
    back = get(project, "s")
    assert back == {
        **{k: session[k] for k in ("session_id", "source", "inputs", "metadata")},
        "user_properties": {"u": 1},
        "event_id": "s",
        "event_type": "session",
        "event_name": "one",
        "start_time": 1000,
        "parent_id": "",
    }


def test_a_session_may_be_given_bare(project: Project) -> None:
    answer = send(
        project,
        "SessionService/StartSession",
        session_name="bare",
        source="x",
        metadata={"a": 1},
        session={"metadata": {"b": 2}},
    )
    assert len(answer.session_id) == 36
    assert answer.event_name == "bare"
    assert json_format.MessageToDict(answer.metadata) == {"a": 1, "b": 2}


def test_starting_again_merges_metadata_and_user_properties_alone(project: Project) -> None:
    first = {"session_id": "s", "session_name": "one", "metadata": {"a": 1, "b": 1}}
    send(project, "SessionService/StartSession", session=first)
    again = {
        "session_id": "s",
        "session_name": "two",
        "metadata": {"b": 2},
        "user_properties": {"u": 1},
    }
    for _ in range(2):
        answer = send(project, "SessionService/StartSession", session=again)
        assert answer.event_name == "one"
        assert json_format.MessageToDict(answer.metadata) == {"a": 1, "b": 2}
        assert json_format.MessageToDict(answer.user_properties) == {"u": 1}
    assert export(project) == ["s"]


def test_a_started_session_holds_its_events(project: Project) -> None:
    send(project, "SessionService/StartSession", session={"session_id": "s", "session_name": "n"})
    create(
        project,
        {"event_id": "a", "session_id": "s", "start_time": 10, "end_time": 20},
        {"event_id": "b", "session_id": "s", "parent_id": "a", "start_time": 12, "end_time": 40},
    )
    session = send(project, "SessionService/GetSession", session_id="s")
    assert session.event_name == "n"
    assert [c.event_id for c in session.children] == ["a"]
    assert [c.event_id for c in session.children[0].children] == ["b"]
    assert (session.start_time, session.end_time, session.duration) == (10, 40, 30)


@pytest.mark.parametrize("field", ["events", "logs"])
def test_traces_are_added_to_their_session(project: Project, field: str) -> None:
    events = [
        {"event_id": "a", "event_type": "chain", "session_id": "another"},
        {"event_id": "b", "event_type": "tool", "parent_id": "a"},
    ]
    answer = send(project, "SessionService/AddSessionTraces", session_id="s", **{field: events})
    assert (list(answer.event_ids), answer.session_id, answer.success) == (["a", "b"], "s", True)
    assert {get(project, e)["session_id"] for e in "ab"} == {"s"}
    assert get(project, "a")["parent_id"] == "s"


def test_traces_come_under_one_name(project: Project) -> None:
    event = {"event_type": "tool"}
    for fields, field in (
        ({}, "events"),
        ({"events": [event], "logs": [event]}, "logs"),
        ({"logs": [{"event_type": "x"}]}, "logs[0].event_type"),
    ):
        with pytest.raises(CallError) as refused:
            send(project, "SessionService/AddSessionTraces", session_id="s", **fields)
        assert set(refused.value.violations) == {field}


def test_logs_in_microseconds_are_read_so(project: Project) -> None:
    log = {"event_id": "a", "event_type": "tool", "start_time": 1_714_978_764_301_000}
    send(project, "SessionService/AddSessionTraces", session_id="s", logs=[log])
    assert get(project, "a")["start_time"] == 1_714_978_764_301


EVENT = {
    "event_id": "e",
    "session_id": "s",
    "event_name": "call",
    "start_time": 1000,
    "end_time": 1500,
    "metadata": {"a": 1, "b": {"deep": 1}},
    "feedback": {"rating": 5},
    "config": {"model": "m"},
    "outputs": {"o": 1, "p": 2},
    "inputs": {"q": "hi"},
}


def test_an_update_merges_objects_and_sets_the_rest(project: Project) -> None:
    create(project, EVENT)
    update(
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
    back = get(project, "e")
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


def test_what_an_update_does_not_say_stays(project: Project) -> None:
    create(project, EVENT)
    before = get(project, "e")
    update(project, "e")
    update(project, "e", outputs=None, children_ids=[], metadata={})
    assert get(project, "e") == before
    update(project, "e", outputs=["a", 1])
    assert get(project, "e")["outputs"] == {"value": ["a", 1]}


def test_a_duration_follows_the_end_unless_it_was_said(project: Project) -> None:
    create(project, EVENT, {"event_id": "said", "start_time": 0, "end_time": 9, "duration": 5})
    for event_id in ("e", "said"):
        update(project, event_id, end_time=1800)
    assert get(project, "e")["duration"] == 800
    assert get(project, "said")["duration"] == 5


def test_updates_are_found_by_filters_and_summed_up(project: Project) -> None:
    create(project, {**EVENT, "event_type": "model"})
    update(project, "e", metadata={"cost": 0.5, "prompt_tokens": 3, "completion_tokens": 4})
    update(project, "e", metrics={"score": 0.75})
    scored = {
        "field": "metrics.score",
        "operator": "greater than",
        "value": "0.7",
        "type": "number",
    }
    assert export(project, filters=[scored]) == ["e"]
    session = send(project, "SessionService/GetSession", session_id="s")
    totals = json_format.MessageToDict(session.metadata)
    assert (totals["cost"], totals["total_tokens"]) == (0.5, 7)


def test_updates_survive_a_repeated_create(project: Project) -> None:
    for n in range(3):
        create(project, {**EVENT, "inputs": {"n": n}})
        update(project, "e", metadata={f"u{n}": n})
    back = get(project, "e")
    assert back["inputs"] == {"n": 2}
    assert back["metadata"] == {"a": 1, "b": {"deep": 1}, "u0": 0, "u1": 1, "u2": 2}
    create(project, {"event_id": "e", "session_id": "s"})
    assert get(project, "e")["metadata"] == {"u0": 0, "u1": 1, "u2": 2}


def test_an_update_may_come_before_its_event(project: Project) -> None:
    update(project, "e", metadata={"a": 9, "late": 1}, feedback={"rating": 1})
    update(project, "e", metadata={"late": 2})
    assert export(project) == []
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        get(project, "e")
    create(project, {"event_id": "other"}, EVENT)
    back = get(project, "e")
    assert back["metadata"] == {"a": 9, "b": {"deep": 1}, "late": 2}
    assert back["feedback"] == {"rating": 1}
    assert sorted(export(project)) == ["e", "other"]


def test_many_updates_of_one_event_all_hold(project: Project) -> None:
    create(project, EVENT)
    for n in range(40):
        update(project, "e", metadata={f"k{n}": n, "last": n})
    create(project, EVENT)
    metadata = get(project, "e")["metadata"]
    assert metadata["last"] == 39
    assert all(metadata[f"k{n}"] == n for n in range(40))


def test_an_event_that_is_created_again_in_another_session_has_moved(project: Project) -> None:
    create(project, {"event_id": "e", "session_id": "a"}, {"event_id": "stays", "session_id": "b"})
    update(project, "e", metadata={"x": 1})
    create(project, {"event_id": "e", "session_id": "b", "parent_id": "stays"})
    assert sorted(export(project)) == ["e", "stays"]
    moved = get(project, "e")
    assert (moved["session_id"], moved["parent_id"], moved["metadata"]) == ("b", "stays", {"x": 1})
    with pytest.raises(CallError, match="no session"):
        send(project, "SessionService/GetSession", session_id="a")


def test_a_session_is_updated_by_its_id(project: Project) -> None:
    send(project, "SessionService/StartSession", session={"session_id": "s", "session_name": "n"})
    update(project, "s", metadata={"sm": 1}, outputs={"final": "x"}, feedback={"thumb": "up"})
    back = get(project, "s")
    assert (back["metadata"], back["outputs"], back["event_name"]) == (
        {"sm": 1},
        {"final": "x"},
        "n",
    )
    session = send(project, "SessionService/GetSession", session_id="s")
    assert json_format.MessageToDict(session.metadata)["has_feedback"] is True


def test_a_session_that_nobody_started_shows_its_updates(project: Project) -> None:
    update(project, "s", metadata={"early": 1})
    create(project, {"event_id": "a", "session_id": "s"})
    update(project, "s", feedback={"thumb": "up"}, event_name="named")
    session = send(project, "SessionService/GetSession", session_id="s")
    assert session.event_name == "named"
    assert json_format.MessageToDict(session.metadata)["early"] == 1
    assert json_format.MessageToDict(session.feedback) == {"thumb": "up"}
    send(project, "SessionService/StartSession", session={"session_id": "s", "session_name": "n"})
    assert get(project, "s")["metadata"] == {"early": 1}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": "x" * 257}, "event_id"),
        ({"event_id": "e", "end_time": -1}, "end_time"),
        ({"event_id": "e", "duration": -1}, "duration"),
        ({"event_id": "e", "event_name": "\0"}, "event_name"),
    ],
)
def test_a_bad_update_is_named(project: Project, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(CallError) as refused:
        send(project, "EventService/UpdateEvent", **fields)
    assert set(refused.value.violations) == {field}


def test_a_deleted_event_is_gone_with_its_updates(project: Project) -> None:
    create(project, EVENT, {"event_id": "child", "session_id": "s", "parent_id": "e"})
    update(project, "e", metadata={"u": 1})
    answer = send(project, "EventService/DeleteEvent", event_id="e")
    assert (answer.success, answer.deleted) == (True, "e")
    assert export(project) == ["child"]
    with pytest.raises(CallError, match="EVENT_NOT_FOUND"):
        send(project, "EventService/DeleteEvent", event_id="e")
    create(project, EVENT)
    assert get(project, "e")["metadata"] == EVENT["metadata"]


def test_a_deleted_session_is_gone_with_its_events(project: Project) -> None:
    create(project, EVENT, {"event_id": "other", "session_id": "t"})
    update(project, "s", metadata={"u": 1})
    answer = send(project, "SessionService/DeleteSession", session_id="s")
    assert (answer.success, answer.deleted) == (True, "s")
    assert export(project) == ["other"]
    for method in ("GetSession", "DeleteSession"):
        with pytest.raises(CallError, match="SESSION_NOT_FOUND"):
            send(project, f"SessionService/{method}", session_id="s")
    send(project, "SessionService/StartSession", session={"session_id": "s"})
    assert "metadata" not in get(project, "s")


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


def test_a_model_event_is_an_event(project: Project) -> None:
    answer = send(project, "EventService/CreateModelEvent", model_event=MODEL_EVENT)
    assert (answer.event_id, answer.success) == ("m", True)
    back = get(project, "m")
    assert (back["event_type"], back["event_name"], back["duration"]) == ("model", "gpt", 5)
    assert back["inputs"] == {
        **{k: MODEL_EVENT[k] for k in ("messages", "usage", "cost", "hyperparameters", "provider")}
    }
    assert back["outputs"] == {"response": MODEL_EVENT["response"]}
    assert back["config"] == {"model": "gpt", "provider": "OpenAI"}
    session = send(project, "SessionService/GetSession", session_id=back["session_id"])
    totals = json_format.MessageToDict(session.metadata)
    assert (totals["num_model_events"], totals["total_tokens"], totals["cost"]) == (1, 3, 0.25)


def test_model_events_come_in_batches(project: Project) -> None:
    second = {"event_id": "n", "model_name": "named", "event_name": "mine"}
    answer = send(
        project,
        "EventService/CreateModelEventBatch",
        model_events=[MODEL_EVENT, second],
        single_session=True,
        session_properties={"session_id": "s", "session_name": "both"},
    )
    assert (list(answer.event_ids), answer.session_id) == (["m", "n"], "s")
    assert get(project, "n")["event_name"] == "mine"
    assert get(project, "s")["event_name"] == "both"
    with pytest.raises(CallError) as refused:
        send(project, "EventService/CreateModelEventBatch", model_events=[{"start_time": -1}])
    assert set(refused.value.violations) == {"model_events[0].start_time"}


@pytest.mark.parametrize("names", [("$gte", "$lte"), ("gte", "lte"), ("start_time", "end_time")])
def test_a_range_of_time_may_be_spelled_three_ways(
    project: Project, names: tuple[str, str]
) -> None:
    create(project, *({"event_id": str(n), "start_time": n * 1000} for n in range(5)))
    stretch = dict(zip(names, ("1970-01-01T00:00:01Z", "1970-01-01T00:00:03Z"), strict=True))
    assert export(project, dateRange=stretch) == ["3", "2", "1"]
    found = send(project, "EventService/SearchEvents", dateRange=stretch, limit=2, page=2)
    assert ([e.event_id for e in found.events], found.count) == (["1"], 3)


def test_a_range_of_time_may_be_told_from_now(project: Project) -> None:
    now = time.time() * 1000
    create(project, {"event_id": "new", "start_time": now - 60_000})
    create(project, {"event_id": "old", "start_time": now - 40 * 86_400_000})
    assert export(project, dateRange={"relative": "24h"}) == ["new"]
    assert export(project, dateRange={"relative": "2mo"}) == ["new", "old"]
    assert export(project, dateRange={"relative": "1d", "$gte": "1970-01-01T00:00:00Z"}) == [
        "new",
        "old",
    ]
    with pytest.raises(CallError) as refused:
        export(project, dateRange={"relative": "soon"})
    assert set(refused.value.violations) == {"dateRange.relative"}


def test_a_filter_without_a_type_has_that_of_its_operator_or_value(project: Project) -> None:
    values = ("x", True, 2, "2026-02-01T00:00:00+01:00")
    create(project, *({"event_id": str(n), "metadata": {"v": v}} for n, v in enumerate(values)))
    for operator, value, found in (
        ("is", 2, "2"),
        ("is", True, "1"),
        ("is", "x", "0"),
        ("greater than", "1", "2"),
        ("after", "2026-01-01", "3"),
        ("is not", None, "0123"),
    ):
        asked = {"field": "metadata.v", "operator": operator, "value": value}
        assert "".join(sorted(export(project, filters=[asked]))) == found


def test_projections_leave_the_rest_out(project: Project) -> None:
    create(project, EVENT)
    answer = send(
        project,
        "EventService/ExportEvents",
        projections=["event_name", "metadata.b.deep", "inputs", "nonsense"],
    )
    assert json_format.MessageToDict(answer.events[0]) == {
        "event_id": "e",
        "event_type": "tool",
        "event_name": "call",
        "metadata": {"b": {"deep": 1}},
        "inputs": {"q": "hi"},
    }


def test_events_of_an_evaluation(project: Project) -> None:
    create(project, {"event_id": "in", "metadata": {"run_id": "r"}}, {"event_id": "out"})
    assert export(project, evaluation_id="r") == ["in"]


def test_events_are_listed_by_a_query_string(project: Project) -> None:
    create(project, *({"event_id": str(n), "metadata": {"n": n}} for n in range(4)))
    filters = [{"field": "metadata.n", "operator": "greater than", "value": "1", "type": "number"}]
    for text in (json.dumps(filters), json.dumps(filters[0])):
        answer = send(project, "EventService/ListEvents", filters=text, limit=10)
        assert {e.event_id for e in answer.events} == {"2", "3"}
        assert (answer.count, answer.total_events) == (2, 2)
    for bad in ("nonsense", "[1]", "3"):
        with pytest.raises(CallError) as refused:
            send(project, "EventService/ListEvents", filters=bad)
        assert set(refused.value.violations) == {"filters"}


def test_a_stream_gives_all_that_matches(project: Project) -> None:
    number = 600
    create(
        project,
        *(
            {"event_id": f"{n:03}", "start_time": n // 7, "event_name": "ab"[n % 2]}
            for n in range(number)
        ),
    )
    found = send(project, "EventService/StreamEvents", projections=["start_time"])
    seen = [(-answer.event.start_time, answer.event.event_id) for answer in found]
    assert len(seen) == number
    assert seen == sorted(seen)
    only = {"field": "event_name", "operator": "is", "value": "a"}
    assert len(send(project, "EventService/StreamEvents", filters=[only])) == number // 2
    with pytest.raises(CallError) as refused:
        send(project, "EventService/StreamEvents", filters=[{**only, "operator": "like"}])
    assert set(refused.value.violations) == {"filters[0].operator"}


def test_the_schema_tells_what_fields_events_have(project: Project) -> None:
    create(
        project,
        {**EVENT, "metadata": {"dataset_id": "d", "list": [{"x": 1}]}},
        {"event_id": "m", "event_type": "model", "inputs": {"y": {}}},
    )
    answer = send(project, "EventService/GetEventsSchema")
    fields = {(field.name, field.event_type) for field in answer.fields}
    assert {("metadata.list.0.x", "tool"), ("inputs.y", "model"), ("outputs.o", "tool")} <= fields
    assert ("outputs.o", "model") not in fields
    assert list(answer.datasets) == ["d"]


HOUR = 3_600_000


def chart(project: Project, **fields: Any) -> list[tuple[int, str, float | None, int]]:
    answer = send(project, "EventService/GetEventsChart", **fields)
    assert answer.total_events == sum(point.count for point in answer.events)
    return [
        (
            point.bucket.seconds // 3600,
            point.group,
            point.value if point.HasField("value") else None,
            point.count,
        )
        for point in answer.events
    ]


def test_a_chart_sums_events_up_over_time(project: Project) -> None:
    durations = {0: [1, 2, 3, 10], 2: [5]}
    create(
        project,
        *(
            {
                "event_id": f"{hour}-{n}",
                "start_time": hour * HOUR + n,
                "duration": duration,
                "metadata": {"cost": duration / 2, "group": n % 2 if n else True},
            }
            for hour, all_of_it in durations.items()
            for n, duration in enumerate(all_of_it)
        ),
        {"event_id": "open", "start_time": 2 * HOUR},
    )
    assert chart(project) == [(0, "", 4, 4), (2, "", 5, 2)]
    assert chart(project, aggregation="count") == [(0, "", 4, 4), (2, "", 2, 2)]
    assert chart(project, aggregation="p50") == [(0, "", 2, 4), (2, "", 5, 2)]
    assert chart(project, aggregation="p99") == [(0, "", 10, 4), (2, "", 5, 2)]
    assert chart(project, aggregation="sum", metric="metadata.cost", bucket="day") == [
        (0, "", 10.5, 6)
    ]
    assert chart(project, aggregation="max", bucket="week")[0][0] == -72
    grouped = chart(
        project,
        group_by="event_id",
        filters='{"field": "event_id", "operator": "is", "value": "open"}',
    )
    assert grouped == [(2, "open", None, 1)]
    groups = {point[1] for point in chart(project, group_by="metadata.group")}
    assert {"true", ""} < groups
    assert chart(project, only_experiments=True) == []


@pytest.mark.parametrize("field", ["metric", "group_by", "bucket", "aggregation"])
def test_a_bad_chart_is_named(project: Project, field: str) -> None:
    with pytest.raises(CallError) as refused:
        send(project, "EventService/GetEventsChart", **{field: "nonsense"})
    assert set(refused.value.violations) == {field}


def test_other_projects_are_not_touched(project: Project) -> None:
    walled = f"{project.name} walled"
    other = Project(walled, project.server.key(walled), project.client, project.server)
    create(project, EVENT)
    update(other, "e", metadata={"u": 1})
    update(other, "s", metadata={"u": 1})
    for method, fields in (
        ("EventService/DeleteEvent", {"event_id": "e"}),
        ("SessionService/DeleteSession", {"session_id": "s"}),
    ):
        with pytest.raises(CallError, match="NOT_FOUND"):
            send(other, method, **fields)
    assert not send(other, "EventService/SearchEvents").events
    assert not send(other, "EventService/ListEvents").events
    assert not send(other, "EventService/StreamEvents")
    assert not send(other, "EventService/GetEventsSchema").fields
    assert not send(other, "EventService/GetEventsChart").events
    assert get(project, "e")["metadata"] == EVENT["metadata"]


def test_old_and_new_spellings_of_rest(project: Project) -> None:
    """What a transcoder makes of the bodies that clients really send."""
    http = HttpClient(project.server.running.http_address)
    keyed = {"authorization": f"Bearer {project.key}"}

    def call(verb: str, path: str, body: Any = None) -> Any:
        answer = http.http.request(verb, path, json=body, headers=keyed)
        assert answer.status_code == 200, answer.text
        return answer.json()

    as_text = {"session": json.dumps({"session_id": "s1", "session_name": "text"})}
    assert call("POST", "/session/start", as_text)["event_name"] == "text"
    bare = call("POST", "/session/start", {"session_name": "bare", "source": "x"})
    assert bare["event_name"] == "bare"
    again = call("POST", "/v1/sessions", {"session_id": "s1", "metadata": {"a": 1.0}})
    assert (again["event_name"], again["metadata"]) == ("text", {"a": 1})
    event = {"event_type": "model", "event_id": "e1", "inputs": {}, "start_time": 1.7e12}
    assert call("POST", "/events", {"event": json.dumps(event)})["event_id"] == "e1"
    assert call("PUT", "/events", {"event_id": "e1", "metadata": {"x": 1}}) == {"success": True}
    assert call("PUT", "/v1/events/e1", {"metadata": {"y": 2}}) == {"success": True}
    assert call("GET", "/v1/events/e1")["event"]["metadata"] == {"x": 1, "y": 2}
    filters = json.dumps(
        [{"field": "metadata.x", "operator": "is", "value": "1", "type": "number"}]
    )
    dates = json.dumps({"$gte": "2020-01-01T00:00:00Z"})
    for path in ("/events", "/v1/events"):
        answer = http.http.get(
            path, params={"filters": filters, "dateRange": dates, "limit": 5}, headers=keyed
        ).json()
        assert (answer["totalEvents"], answer["count"]) == (1, 1)
    logs = {"logs": [{"event_type": "tool", "inputs": {}}]}
    assert call("POST", "/session/s1/traces", logs)["session_id"] == "s1"
    assert call("POST", "/v1/sessions/s1/events/batch", {"events": logs["logs"]})["success"]
    assert call("GET", "/v1/events/schema")["mappings"] == {}
    for path in ("/events/chart", "/v1/events/chart"):
        assert call("GET", path)["totalEvents"] == 5
    assert call("DELETE", "/events/e1") == {"success": True, "deleted": "e1"}
    assert call("DELETE", "/session/s1") == {"success": True, "deleted": "s1"}
    http.close()
