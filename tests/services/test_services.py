"""The services over a real store: what each call promises beyond adapters and views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.adapters.basalt.references import PROMPT_NOT_FOUND
from spanloom.errors import SpanloomError
from spanloom.model.projects import INSTANCE
from spanloom.store.store import Store
from spanloom.v1 import session_service_pb2
from tests.databases import select
from tests.services.callers import Caller, refusal

DATA = Path("tests/data")


# Traces


def test_the_documented_trace_is_warned_of_its_references(caller: Caller) -> None:
    sent = json.loads((DATA / "documented/create_trace.json").read_text())["request"]
    answer = caller.create_trace(**sent)
    assert answer.warning.split("\n") == [
        'No experiment found with the id "123"',
        'No evaluator found with the slug "hallucination"',
    ]
    assert len(answer.trace.id) == 32
    assert caller.get_trace(answer.trace.id).user.name == "John Doe"


def test_each_thing_is_warned_of_once_and_in_order(caller: Caller) -> None:
    times = {"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}
    generation = {
        "type": "generation",
        "prompt": {"slug": "p"},
        "evaluators": [{"slug": "a"}, {"slug": "b"}],
    }
    answer = caller.create_trace(
        evaluators=[{"slug": "a"}],
        logs=[{"id": "1", **generation}, {"id": "2", **generation, **times}],
    )
    assert answer.warning.split("\n") == [
        PROMPT_NOT_FOUND,
        'No evaluator found with the slug "a"',
        'No evaluator found with the slug "b"',
        "the endTime of log '2' is before its startTime; its duration is stored as 0",
    ]
    assert not caller.create_trace(logs=[{"id": "1", "type": "generation"}]).HasField("warning")


def test_many_warnings_are_cut(caller: Caller) -> None:
    evaluators = [{"slug": str(n)} for n in range(150)]
    lines = caller.create_trace(evaluators=evaluators).warning.split("\n")
    assert (len(lines), lines[-1]) == (101, "and 50 more")


def test_a_logged_call_is_a_trace(caller: Caller) -> None:
    answer = caller.create_log(slug="p", output="o")
    assert answer.warning == PROMPT_NOT_FOUND
    trace = caller.get_trace(answer.trace.id)
    assert [log.id for log in trace.logs] == [answer.log.id]


def test_a_refused_trace_leaves_nothing(caller: Caller) -> None:
    bad = {"id": "t", "logs": [{"id": "ok", "type": "span"}, {"id": "bad", "type": "?"}]}
    assert refusal(caller.create_trace, **bad) == ("INVALID_ARGUMENT", {"trace.logs[1].type"})
    assert refusal(caller.get_trace, "t") == ("TRACE_NOT_FOUND", set())


@pytest.mark.parametrize("unknown", ["nobody", "x" * 300, "a\0b"])
def test_what_is_not_there_is_not_found(caller: Caller, unknown: str) -> None:
    assert refusal(caller.get_trace, unknown) == ("TRACE_NOT_FOUND", set())
    assert refusal(caller.delete_trace, unknown) == ("TRACE_NOT_FOUND", set())
    assert refusal(caller.get_event, unknown) == ("EVENT_NOT_FOUND", set())
    assert refusal(caller.get_session, unknown) == ("SESSION_NOT_FOUND", set())
    chat = caller.get_chat(unknown, include_feedback=True)
    assert (chat.trace_id, len(chat.messages)) == (unknown, 0)


def test_ids_are_required(caller: Caller) -> None:
    assert refusal(caller.get_trace, "") == ("INVALID_ARGUMENT", {"traceId"})
    assert refusal(caller.delete_trace, "") == ("INVALID_ARGUMENT", {"traceId"})
    assert refusal(caller.get_event, "") == ("INVALID_ARGUMENT", {"event_id"})
    assert refusal(caller.get_session, "") == ("INVALID_ARGUMENT", {"session_id"})
    assert refusal(caller.get_chat, "") == ("INVALID_ARGUMENT", {"trace_id"})
    assert refusal(caller.create_event) == ("INVALID_ARGUMENT", {"event"})


def test_lists_give_pages_of_the_documented_sizes(caller: Caller) -> None:
    for number in range(52):
        caller.create_trace(id=f"{number:02}", startTime=f"2026-01-01T00:00:{number // 2:02}Z")
    first = caller.list_traces()
    assert [t.id for t in first.traces] == [f"{n:02}" for n in range(51, 1, -1)]
    last = caller.list_traces(pageToken=first.next_page_token)
    assert ([t.id for t in last.traces], last.next_page_token) == (["01", "00"], "")
    everything = caller.list_traces(pageSize=5000)
    assert (len(everything.traces), everything.next_page_token) == (52, "")
    assert caller.list_traces(pageSize=52).next_page_token == ""
    assert refusal(caller.list_traces, pageSize=-1) == ("INVALID_ARGUMENT", {"pageSize"})
    other = Caller(caller.store, "page-token-of-another")
    token = {"pageToken": first.next_page_token}
    assert refusal(other.list_traces, **token) == ("INVALID_ARGUMENT", {"pageToken"})


# Events and sessions


def test_the_documented_batch_answers_as_documented(caller: Caller) -> None:
    documented = json.loads((DATA / "documented/create_event_batch.json").read_text())
    request = documented["request"]
    answer = caller.create_batch(*request.pop("events"), **request)
    assert json_format.MessageToDict(answer) == {
        **documented["response"],
        "event_ids": documented["response"]["event_ids"][:1],
    }
    session = caller.get_session(answer.session_id)
    assert session.event_name == "Playground Session"
    assert session.children[0].event_id == answer.event_ids[0]
    assert json_format.MessageToDict(session.metadata)["total_tokens"] == 58


def test_an_event_again_replaces_what_was_created(caller: Caller) -> None:
    for name in ("first", "second"):
        answer = caller.create_event(
            event={"event_type": "tool", "event_id": "e", "event_name": name}
        )
        assert (answer.event_id, answer.success) == ("e", True)
    assert caller.get_event("e").event_name == "second"
    assert caller.export().count == 1


def test_a_large_batch_and_its_export_are_whole(caller: Caller) -> None:
    events = [
        {"event_type": "tool", "event_id": f"{n:04}", "session_id": "s", "start_time": n}
        for n in range(1200)
    ]
    assert caller.create_batch(*events).event_ids[-1] == "1199"
    page = caller.export()
    assert (len(page.events), page.total_events, page.count) == (1000, 1200, 1200)
    assert page.events[0].event_id == "1199"
    assert len(caller.export(limit=9999).events) == 1200
    assert len(caller.export(limit=1000, page=2).events) == 200
    assert len(caller.get_session("s").children) == 1200


def test_export_takes_filters_and_dates(caller: Caller) -> None:
    caller.create_batch(
        *(
            {"event_type": kind, "event_id": kind, "start_time": n * 1000}
            for n, kind in enumerate(("model", "tool", "chain"))
        )
    )

    def ids(**fields: Any) -> list[str]:
        return [event.event_id for event in caller.export(**fields).events]

    assert ids(filters=[{"field": "event_type", "operator": "is", "value": "tool"}]) == ["tool"]
    assert ids(dateRange={"$gte": "1970-01-01T00:00:01Z"}) == ["chain", "tool"]
    assert ids(dateRange={"$lte": "1970-01-01T00:00:01Z"}) == ["tool", "model"]
    assert ids(dateRange={"$gte": "0001-01-01T00:00:00Z", "$lte": "9999-01-01T00:00:00Z"}) == [
        "chain",
        "tool",
        "model",
    ]
    assert ids(dateRange={"$lte": "0001-01-01T00:00:00Z"}) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"filters": [{}]}, {"filters[0].field", "filters[0].operator"}),
        (
            {
                "filters": [
                    {"field": "event_id", "operator": "is", "value": "x"},
                    {"field": "event_id"},
                ]
            },
            {"filters[1].operator"},
        ),
        (
            {"filters": [{"field": "event_id", "operator": "resembles", "value": "x"}]},
            {"filters[0].operator"},
        ),
        (
            {"filters": [{"field": "event_id", "operator": "is", "value": "x", "type": "id"}]},
            {"filters[0].type"},
        ),
        (
            {"filters": [{"field": "nothing.there", "operator": "is", "value": "x"}]},
            {"filters[0].field"},
        ),
        ({"filters": [{"field": "event_id", "operator": "is", "value": {}}]}, {"filters[0].value"}),
        ({"limit": -1}, {"limit"}),
        ({"page": -1}, {"page"}),
    ],
)
def test_bad_exports_are_named(caller: Caller, fields: dict[str, Any], named: set[str]) -> None:
    assert refusal(caller.export, **fields) == ("INVALID_ARGUMENT", named)


def test_a_trace_is_a_session_and_a_session_a_trace(caller: Caller) -> None:
    caller.create_trace(
        id="t",
        name="n",
        input="q",
        logs=[{"id": "g", "type": "generation", "output": "a", "inputTokens": 2}],
    )
    session = caller.get_session("t")
    assert (session.event_name, session.event_type) == ("n", "session")
    assert [c.event_id for c in session.children] == ["g"]
    assert json_format.MessageToDict(session.metadata)["prompt_tokens"] == 2
    caller.create_batch(
        {"event_type": "model", "event_id": "e", "session_id": "s"},
        session={"session_id": "s", "session_name": "sn"},
    )
    trace = caller.get_trace("s")
    assert (trace.name, [log.id for log in trace.logs]) == ("sn", ["e"])


# Projects


def test_an_instance_key_works_in_the_project_that_events_name(instance: Caller) -> None:
    batch = [{"event_type": "tool", "project": "p1", "event_id": "in-p1"}, {"event_type": "tool"}]
    instance.create_batch(*batch)
    assert instance.export(project="p1").count == 2
    assert Caller(instance.store, "p1").get_event("in-p1").project == "p1"
    instance.create_event(event={"event_type": "tool", "project": "p2"})
    assert instance.export(project="p2").count == 1
    instance.create_batch({"event_type": "tool"}, session={"project": "p3"})
    assert instance.export(project="p3").count == 2


def test_a_batch_of_several_projects_is_refused_where_they_decide(instance: Caller) -> None:
    batch = [{"event_type": "tool", "project": p} for p in ("p4", "", "p5", "p4", "p6")]
    fields = {"session_properties": {"project": "p7"}}
    assert refusal(instance.create_batch, *batch, **fields) == (
        "INVALID_ARGUMENT",
        {"events[2].project", "events[4].project", "session_properties.project"},
    )
    assert instance.export(project="p4").count == 0
    for caller in (Caller(instance.store, "own"), Caller(instance.store, INSTANCE, "own")):
        caller.create_batch(*batch)
    assert Caller(instance.store, "own").export().count == 10


def test_an_instance_key_adds_session_traces_to_the_project_that_events_name(
    instance: Caller,
) -> None:
    def add(field: str, *projects: str) -> Any:
        events = [{"event_type": "tool", "event_id": f"e-{p}", "project": p} for p in projects]
        request = session_service_pb2.AddSessionTracesRequest()
        fields = {"session_id": "s", field: events}
        return instance.send(instance.sessions.add_session_traces, request, fields)

    add("events", "named-by-events")
    add("logs", "named-by-logs", "")
    for project in ("named-by-events", "named-by-logs"):
        assert Caller(instance.store, project).get_event(f"e-{project}").session_id == "s"
    assert refusal(add, "events", "first", "second") == (
        "INVALID_ARGUMENT",
        {"events[1].project"},
    )
    assert refusal(add, "logs", "", "first", "second") == (
        "INVALID_ARGUMENT",
        {"logs[2].project"},
    )


@pytest.mark.parametrize(
    ("key_project", "header", "project_id", "message"),
    [
        (INSTANCE, "one", "two", "project_id and the header x-spanloom-project name different"),
        ("one", "", "two", "a project that the key does not belong to"),
        ("one", "two", "one", "a project that the key does not belong to"),
    ],
)
def test_a_mismatch_says_what_differs(
    store: Store, key_project: str, header: str, project_id: str, message: str
) -> None:
    with pytest.raises(SpanloomError, match=message) as refused:
        Caller(store, key_project, header).feedback_of(project_id=project_id)
    assert refused.value.reason == "PROJECT_MISMATCH"


def test_the_default_project_is_where_an_instance_key_names_none(instance: Caller) -> None:
    instance.create_event(event={"event_type": "tool", "event_id": "nowhere said"})
    assert Caller(instance.store, "default").get_event("nowhere said").event_id


def test_a_projects_first_write_makes_it(caller: Caller, url: str) -> None:
    def projects() -> set[str]:
        return {name for (name,) in select(url, "SELECT name FROM projects")}

    assert caller.key_project not in projects()
    caller.create_trace()
    assert caller.key_project in projects()


# Chats


def test_a_chat_shows_the_trace_of_any_door(caller: Caller) -> None:
    caller.create_trace(id="t", input="hello", output="hi")
    texts = [m.user_message.text or m.assistant_message.text for m in caller.get_chat("t").messages]
    assert [text for text in texts if text] == ["hello", "hi"]
    project = caller.key_project
    assert caller.get_chat("t", project_id=f"entity/{project}").messages
    assert refusal(caller.get_chat, "t", project_id="other")[0] == "PERMISSION_DENIED"
    assert refusal(caller.get_chat, "t", project_id="") == ("INVALID_ARGUMENT", {"project_id"})
