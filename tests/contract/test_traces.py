"""TraceService, by its promises in proto/spanloom/v1/trace_service.proto."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format

from spanloom.v1 import trace_export_service_pb2, trace_pb2, trace_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project

DOCUMENTED = json.loads(Path("tests/data/documented/create_trace.json").read_text())["request"]


def create_request(**fields: object) -> trace_service_pb2.CreateTraceRequest:
    return json_format.ParseDict({"trace": fields}, trace_service_pb2.CreateTraceRequest())


def get(project: Project, trace_id: str) -> trace_pb2.Trace:
    request = trace_service_pb2.GetTraceRequest(trace_id=trace_id)
    trace = project("TraceService/GetTrace", request).trace
    assert isinstance(trace, trace_pb2.Trace)
    return trace


def test_the_documented_trace_is_given_back_as_sent(project: Project) -> None:
    answer = project("TraceService/CreateTrace", create_request(**DOCUMENTED))
    assert len(answer.trace.id) == 32
    assert answer.warning
    back = json_format.MessageToDict(get(project, answer.trace.id))
    assert {name: back[name] for name in DOCUMENTED if name != "logs"} == {
        name: value for name, value in DOCUMENTED.items() if name != "logs"
    }
    for sent, log in zip(DOCUMENTED["logs"], back["logs"], strict=True):
        assert {name: log[name] for name in sent} == sent


def test_a_trace_without_anything_unresolved_has_no_warning(project: Project) -> None:
    answer = project("TraceService/CreateTrace", create_request(featureSlug="f", input="q"))
    assert not answer.HasField("warning")


def test_an_empty_trace_is_a_trace(project: Project) -> None:
    answer = project("TraceService/CreateTrace", create_request())
    assert get(project, answer.trace.id).status == "UNSET"


def test_the_same_id_again_replaces(project: Project) -> None:
    for name in ("first", "second"):
        project("TraceService/CreateTrace", create_request(id="t-1", name=name))
    assert get(project, "t-1").name == "second"
    listed = project("TraceService/ListTraces", trace_service_pb2.ListTracesRequest())
    assert [trace.id for trace in listed.traces] == ["t-1"]


def test_every_bad_field_is_named_and_nothing_is_stored(project: Project) -> None:
    logs = [{"id": "a", "type": "span"}, {"type": "spam"}, {"id": "a", "type": "tool"}]
    request = create_request(id="bad", logs=logs, evaluationConfig={"sampleRate": 2})
    with pytest.raises(CallError) as refused:
        project("TraceService/CreateTrace", request)
    assert refused.value.code == "INVALID_ARGUMENT"
    # REST sends the trace bare, so its paths begin inside it.
    named = {field.removeprefix("trace.") for field in refused.value.violations}
    assert named == {
        "logs[1].id",
        "logs[1].type",
        "logs[2].id",
        "evaluationConfig.sampleRate",
    }
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        get(project, "bad")


def test_nesting_survives_odd_parents(project: Project) -> None:
    logs = [
        {"id": "child", "type": "tool", "parentId": "group"},
        {"id": "group", "type": "span"},
        {"id": "lost", "type": "event", "parentId": "nobody"},
        {"id": "loop-1", "type": "span", "parentId": "loop-2"},
        {"id": "loop-2", "type": "span", "parentId": "loop-1"},
    ]
    project("TraceService/CreateTrace", create_request(id="nest", logs=logs))
    back = {log.id: log.parent_id for log in get(project, "nest").logs}
    assert back == {
        "child": "group",
        "group": "",
        "lost": "nobody",
        "loop-1": "loop-2",
        "loop-2": "loop-1",
    }


def test_a_log_is_stored_as_a_trace_of_its_own(project: Project) -> None:
    request = json_format.ParseDict(
        {"slug": "qa", "output": "Paris", "inputTokens": 3, "variables": [{"label": "x"}]},
        trace_service_pb2.CreateLogRequest(),
    )
    answer = project("TraceService/CreateLog", request)
    assert "No prompt found" in answer.warning
    trace = get(project, answer.trace.id)
    assert [(log.id, log.type, log.input_tokens) for log in trace.logs] == [
        (answer.log.id, "generation", 3)
    ]
    assert trace.logs[0].prompt.slug == "qa"


def test_a_log_needs_slug_and_output(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        project("TraceService/CreateLog", trace_service_pb2.CreateLogRequest())
    assert set(refused.value.violations) == {"slug", "output"}


def test_lists_page_newest_first_without_gap_or_repeat(project: Project) -> None:
    for day in range(1, 8):
        # Two traces share each start, so that ties are paged through too.
        for copy in "ab":
            start = f"2026-01-{(day + 1) // 2:02d}T00:00:00Z"
            project(
                "TraceService/CreateTrace",
                create_request(id=f"{day}{copy}", startTime=start, input="left out"),
            )
    seen, token = [], ""
    while True:
        request = trace_service_pb2.ListTracesRequest(page_size=4, page_token=token)
        page = project("TraceService/ListTraces", request)
        assert len(page.traces) <= 4
        seen += list(page.traces)
        token = page.next_page_token
        if not token:
            break
    starts = [(trace.start_time.seconds, trace.id) for trace in seen]
    assert starts == sorted(starts, reverse=True)
    assert len({trace.id for trace in seen}) == 14
    assert not any(trace.HasField("input") for trace in seen)


def test_a_foreign_page_token_is_refused(project: Project) -> None:
    name = f"{project.name} other"
    other = Project(name, project.server.key(name), project.client, project.server)
    for owner in (project, other):
        for number in range(2):
            owner("TraceService/CreateTrace", create_request(id=f"t{number}"))
    page = other("TraceService/ListTraces", trace_service_pb2.ListTracesRequest(page_size=1))
    for token in (page.next_page_token, "made up", "AAAA"):
        with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
            project(
                "TraceService/ListTraces", trace_service_pb2.ListTracesRequest(page_token=token)
            )


def test_a_deleted_trace_is_gone(project: Project) -> None:
    project(
        "TraceService/CreateTrace", create_request(id="gone", logs=[{"id": "1", "type": "span"}])
    )
    request = trace_service_pb2.DeleteTraceRequest(trace_id="gone")
    project("TraceService/DeleteTrace", request)
    for method in ("TraceService/DeleteTrace", "TraceService/GetTrace"):
        with pytest.raises(CallError) as refused:
            project(method, request)
        assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "TRACE_NOT_FOUND")


def test_a_trace_is_exported_as_otlp_json(project: Project) -> None:
    logs = [{"id": "g", "type": "generation", "name": "say", "output": "a", "inputTokens": 3}]
    project("TraceService/CreateTrace", create_request(id="x", name="bot", logs=logs))
    request = trace_export_service_pb2.ExportTraceRequest(trace_id="x")
    document = project("TraceExportService/ExportTrace", request).document
    assert document.content_type == "application/json"
    (group,) = json.loads(document.data)["resourceSpans"]
    spans = {span["name"]: span for scope in group["scopeSpans"] for span in scope["spans"]}
    assert set(spans) == {"bot", "say"}
    assert {len(span["traceId"]) for span in spans.values()} == {32}
    request.trace_id = "nobody"
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        project("TraceExportService/ExportTrace", request)


@pytest.mark.parametrize(
    "trace_id", ["a/b", "100%", "a|b", "a b+c", "😀", "Ä", "A", "a", "?x=1&y", "#", "..'\""]
)
def test_odd_ids_are_kept_apart(project: Project, trace_id: str) -> None:
    project("TraceService/CreateTrace", create_request(id=trace_id, name=trace_id))
    assert get(project, trace_id).name == trace_id
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        get(project, trace_id.swapcase() + "x")


def test_ids_may_have_256_characters_and_no_nul(project: Project) -> None:
    project("TraceService/CreateTrace", create_request(id="x" * 256))
    for bad in ("x" * 257, "a\0b"):
        with pytest.raises(CallError) as refused:
            project("TraceService/CreateTrace", create_request(id=bad))
        assert {field.removeprefix("trace.") for field in refused.value.violations} == {"id"}


def test_texts_survive_whatever_they_hold(project: Project) -> None:
    text = "NUL \0, emoji 😀, quotes '\"`, \\ \n\t, %s | / \u2028"
    project(
        "TraceService/CreateTrace", create_request(id="odd", input=text, metadata={text: [text]})
    )
    trace = get(project, "odd")
    assert trace.input.string_value == text
    assert json_format.MessageToDict(trace.metadata) == {text: [text]}
