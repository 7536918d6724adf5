"""JaegerV3Service, by its promises in proto/spanloom/v1/jaeger_v3_service.proto."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import create_trace
from tests.contract.conftest import Project
from tests.contract.test_jaeger_service import EXPORT, fill, send
from tests.otlp.requests import START, TRACE_ID, request

AT = datetime.fromtimestamp(START // 10**9, UTC)
RANGE = {
    "startTimeMin": (AT - timedelta(seconds=1)).isoformat(),
    "startTimeMax": (AT + timedelta(seconds=9)).isoformat(),
}


def ask(method: str, project: Project, **conditions: Any) -> Any:
    return project.send(f"JaegerV3Service/{method}", query={**RANGE, **conditions})


def spans_in(document: Any) -> list[tuple[str, str]]:
    """The services and names of the spans of a document."""
    found = []
    for group in json.loads(document.data)["result"]["resourceSpans"]:
        attributes = {a["key"]: a["value"] for a in group["resource"]["attributes"]}
        service = attributes["service.name"]["stringValue"]
        found += [(service, s["name"]) for scope in group["scopeSpans"] for s in scope["spans"]]
    return found


def test_list_jaeger_v3_services(project: Project) -> None:
    fill(project)
    found = project.send("JaegerV3Service/ListJaegerV3Services").services
    assert list(found) == sorted(["bot", project.name])


def test_list_jaeger_v3_operations(project: Project) -> None:
    fill(project)
    found = project.send("JaegerV3Service/ListJaegerV3Operations", service="bot").operations
    assert [(o.name, o.span_kind) for o in found] == [
        ("GET /ask", "internal"),
        ("chat gpt-4o", "internal"),
    ]
    with pytest.raises(CallError, match="INVALID_FIELD"):
        project.send("JaegerV3Service/ListJaegerV3Operations")


def test_get_jaeger_v3_trace(project: Project) -> None:
    fill(project)
    document = project.send("JaegerV3Service/GetJaegerV3Trace", traceId=TRACE_ID).document
    assert document.content_type == "application/json"
    assert spans_in(document) == [("bot", "GET /ask"), ("bot", "chat gpt-4o")]
    document = project.send("JaegerV3Service/GetJaegerV3Trace", traceId="basalt trace").document
    assert spans_in(document) == [(project.name, "answer"), (project.name, "say")]
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        project.send("JaegerV3Service/GetJaegerV3Trace", traceId="f" * 32)


def test_find_jaeger_v3_traces(project: Project) -> None:
    fill(project)
    found = ask("FindJaegerV3Traces", project, serviceName="bot", durationMin="900ms")
    assert spans_in(found.document) == [("bot", "GET /ask"), ("bot", "chat gpt-4o")]
    attributes = json.dumps({"http.method": "GET"})
    assert ask("FindJaegerV3Traces", project, attributes=attributes).document.data
    for nothing in ({"serviceName": "x"}, {"operationName": "x"}, {"durationMin": "1h"}):
        with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
            ask("FindJaegerV3Traces", project, **nothing)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"durationMax": "soon"}, "query.durationMax"),
        ({"searchDepth": -1}, "query.searchDepth"),
        ({"attributes": "a=b"}, "query.attributes"),
        ({"filter": '{"op":"and"}'}, "query.filter"),
    ],
)
def test_find_jaeger_v3_traces_names_what_is_wrong(
    project: Project, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        ask("FindJaegerV3Traces", project, **asked)
    assert [*refused.value.violations] == [field]


def test_find_jaeger_v3_trace_summaries(project: Project) -> None:
    send(project, {"id": 1, "name": "root", "seconds": 2})
    below = request(
        {"id": 2, "parent": 1, "seconds": 0, "status": {"code": 2}},
        {"id": 3, "parent": 9, "seconds": 3},
    )
    below.resource_spans[0].resource.attributes[0].value.string_value = "tool"
    project(EXPORT, below)
    [found] = ask("FindJaegerV3TraceSummaries", project, serviceName="tool").summaries
    assert found.trace_id == TRACE_ID
    assert (found.root_service_name, found.root_operation_name) == ("bot", "root")
    assert found.min_start_time_unix_nano == START
    assert found.max_end_time_unix_nano == START + 3 * 10**9
    assert (found.span_count, found.error_span_count, found.orphan_span_count) == (3, 1, 1)
    assert [(s.name, s.span_count, s.error_span_count) for s in found.services] == [
        ("bot", 1, 0),
        ("tool", 2, 1),
    ]


def test_find_jaeger_v3_trace_summaries_has_ids_that_are_found(project: Project) -> None:
    ids = ["0198f2a0-1111-7222-8333-444455556666", "any id"]
    for trace_id in ids:
        create_trace(project, id=trace_id, name="answer")
    now = datetime.now(UTC)
    times = {
        "startTimeMin": (now - timedelta(hours=1)).isoformat(),
        "startTimeMax": (now + timedelta(hours=1)).isoformat(),
    }
    found = ask("FindJaegerV3TraceSummaries", project, **times, searchDepth=9).summaries
    shown = {summary.trace_id for summary in found}
    assert shown == {ids[0].replace("-", ""), ids[1]}
    for trace_id in shown:
        project.send("JaegerV3Service/GetJaegerV3Trace", traceId=trace_id)
    [one] = ask("FindJaegerV3TraceSummaries", project, **times, numTraces=1).summaries
    assert one.span_count == 1


def test_get_jaeger_v3_dependencies(project: Project) -> None:
    send(project, {"id": 1})
    below = request({"id": 2, "parent": 1})
    below.resource_spans[0].resource.attributes[0].value.string_value = "tool"
    project(EXPORT, below)
    asked = {"startTime": RANGE["startTimeMin"], "endTime": RANGE["startTimeMax"]}
    [found] = project.send("JaegerV3Service/GetJaegerV3Dependencies", **asked).dependencies
    assert (found.parent, found.child, found.call_count) == ("bot", "tool", 1)
    with pytest.raises(CallError) as refused:
        project.send("JaegerV3Service/GetJaegerV3Dependencies")
    assert sorted(refused.value.violations) == ["endTime", "startTime"]
