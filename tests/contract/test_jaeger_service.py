"""JaegerService, by its promises in proto/spanloom/v1/jaeger_service.proto."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from tests.clients import CallError
from tests.contract.calls import create_trace
from tests.contract.conftest import Project
from tests.otlp.requests import START, TRACE_ID, request

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
US = START // 1000
OTHER = "f" * 32


def send(project: Project, *spans: dict[str, Any], **resource: Any) -> None:
    project(EXPORT, request(*spans, **resource))


def fill(project: Project) -> None:
    """A trace of the service `bot`, and one of another API."""
    send(
        project,
        {
            "id": 1,
            "name": "GET /ask",
            "kind": 2,
            "attributes": {"http__method": "GET", "http__status": 200, "list": [1, 2]},
        },
        {"id": 2, "parent": 1, "name": "chat gpt-4o", "kind": 3, "seconds": 0.5},
        host__name="box",
    )
    create_trace(
        project, id="basalt trace", name="answer", logs=[{"id": "g", "type": "span", "name": "say"}]
    )


def find(project: Project, **conditions: Any) -> list[str]:
    asked = {"service": "bot", "start": US - 1, "end": US + 10**7, **conditions}
    return [t.trace_id for t in project.send("JaegerService/FindJaegerTraces", **asked).data]


def tags_of(span: Any) -> dict[str, tuple[str, Any]]:
    shown = json_format.MessageToDict(span)["tags"]
    return {tag["key"]: (tag["type"], tag["value"]) for tag in shown}


def test_list_jaeger_services(project: Project) -> None:
    fill(project)
    found = project.send("JaegerService/ListJaegerServices")
    assert list(found.data) == sorted(["bot", project.name])
    assert found.total == 2


def test_list_jaeger_operation_names(project: Project) -> None:
    fill(project)
    for service, expected in (
        ("bot", ["GET /ask", "chat gpt-4o"]),
        (project.name, ["answer", "say"]),
        ("nobody", []),
    ):
        found = project.send("JaegerService/ListJaegerOperationNames", service=service)
        assert list(found.data) == expected


def test_list_jaeger_operations(project: Project) -> None:
    fill(project)
    found = project.send("JaegerService/ListJaegerOperations", service="bot", spanKind="server")
    assert [operation.name for operation in found.data] == ["GET /ask", "chat gpt-4o"]
    with pytest.raises(CallError) as refused:
        project.send("JaegerService/ListJaegerOperations")
    assert [*refused.value.violations] == ["service"]


def test_get_jaeger_trace(project: Project) -> None:
    send(
        project,
        {"id": 1, "name": "root", "attributes": {"big": 2**60, "many": [1], "no": 7}},
        {
            "id": 2,
            "parent": 1,
            "name": "failed",
            "kind": 3,
            "trace_state": "a=b",
            "status": {"code": 2, "message": "refused"},
            "events": [{"name": "retry", "time_unix_nano": START + 5000}],
            "links": [{"trace_id": b"l" * 16, "span_id": b"s" * 8}],
        },
        host__name="box",
    )
    [trace] = project.send("JaegerService/GetJaegerTrace", traceID=TRACE_ID).data
    root, failed = trace.spans
    assert trace.trace_id == root.trace_id == TRACE_ID
    assert (root.operation_name, root.start_time, root.duration) == ("root", US, 10**6)
    [process] = trace.processes.values()
    assert process.service_name == "bot"
    assert [(tag.key, tag.value.string_value) for tag in process.tags] == [("host.name", "box")]
    assert [*trace.processes] == [root.process_id] == [failed.process_id]
    assert [(r.ref_type, r.trace_id, r.span_id) for r in failed.references] == [
        ("CHILD_OF", TRACE_ID, root.span_id),
        ("FOLLOWS_FROM", (b"l" * 16).hex(), (b"s" * 8).hex()),
    ]
    found = tags_of(failed)
    assert found["error"] == ("bool", True)
    assert found["span.kind"] == ("string", "client")
    assert found["otel.status_code"] == ("string", "ERROR")
    assert found["otel.status_description"] == ("string", "refused")
    assert found["otel.scope.name"] == ("string", "tests")
    assert found["w3c.tracestate"] == ("string", "a=b")
    assert tags_of(root)["big"] == ("int64", str(2**60))
    assert tags_of(root)["no"] == ("int64", 7.0)
    [log] = failed.logs
    assert (log.timestamp, log.fields[0].value.string_value) == (US + 5, "retry")


def test_get_jaeger_trace_of_any_api(project: Project) -> None:
    create_trace(
        project, id="any id ä", name="answer", logs=[{"id": "g", "type": "span", "output": "hi"}]
    )
    [trace] = project.send("JaegerService/GetJaegerTrace", traceID="any id ä").data
    assert trace.trace_id == "any id ä"
    assert [process.service_name for process in trace.processes.values()] == [project.name]
    [log] = [span for span in trace.spans if span.references]
    assert log.span_id == "g"
    assert tags_of(log)["output.value"] == ("string", "hi")
    uuid = "0198f2a0-1111-7222-8333-444455556666"
    create_trace(project, id=uuid, name="answer")
    [trace] = project.send("JaegerService/GetJaegerTrace", traceID=uuid.replace("-", "")).data
    assert trace.trace_id == uuid.replace("-", "")


def test_get_jaeger_trace_does_not_find_an_unknown_trace(project: Project) -> None:
    for unknown in (TRACE_ID, "nobody", "a" * 300):
        with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
            project.send("JaegerService/GetJaegerTrace", traceID=unknown)


def test_find_jaeger_traces_by_service_name_and_duration(project: Project) -> None:
    fill(project)
    assert find(project) == [TRACE_ID]
    assert find(project, service="nobody") == []
    assert find(project, operation="chat gpt-4o") == [TRACE_ID]
    assert find(project, operation="answer") == []
    assert find(project, minDuration="900ms") == [TRACE_ID]
    assert find(project, minDuration="1.1s") == []
    # One span meets all: only the other is so short.
    assert find(project, maxDuration="600ms", operation="GET /ask") == []
    assert find(project, maxDuration="600ms") == [TRACE_ID]
    assert find(project, start=US + 1, end=US + 2) == []
    assert find(project, start=US, end=US + 2) == [TRACE_ID]


def test_find_jaeger_traces_of_other_apis(project: Project) -> None:
    fill(project)
    found = project.send("JaegerService/FindJaegerTraces", service=project.name, lookback="1h")
    assert [trace.trace_id for trace in found.data] == ["basalt trace"]
    asked = {"service": project.name, "lookback": "custom", "operation": "say"}
    assert project.send("JaegerService/FindJaegerTraces", **asked).total == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"http.method": "GET"},
        {"http.status": "200"},
        {"list": "[1, 2]"},
        {"span.kind": "server"},
        {"host.name": "box"},
        {"service.name": "bot"},
        {"otel.scope.name": "tests"},
        {"http.method": "GET", "span.kind": "server"},
    ],
)
def test_find_jaeger_traces_by_tags(project: Project, tags: dict[str, str]) -> None:
    fill(project)
    assert find(project, tags=[json.dumps(tags)]) == [TRACE_ID]
    assert find(project, tag=[f"{key}:{value}" for key, value in tags.items()]) == [TRACE_ID]
    wrong = {**tags, next(iter(tags)): "another"}
    assert find(project, tags=[json.dumps(wrong)]) == []
    # No span has both.
    assert find(project, tags=[json.dumps(tags)], operation="chat gpt-4o", tag=["x:y"]) == []


def test_find_jaeger_traces_finds_the_latest(project: Project) -> None:
    for number in range(1, 5):
        trace_id = f"{number:032x}"
        send(project, {"id": number, "trace_id": trace_id, "start": START + number * 1000})
    assert find(project, limit=2) == [f"{number:032x}" for number in (4, 3)]


def test_find_jaeger_traces_by_id(project: Project) -> None:
    fill(project)
    found = project.send("JaegerService/FindJaegerTraces", traceID=[TRACE_ID, OTHER, "\0"])
    assert [trace.trace_id for trace in found.data] == [TRACE_ID]
    assert [(error.code, error.trace_id) for error in found.errors] == [(404, OTHER), (404, "\0")]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "service"),
        ({"service": "s", "limit": 0}, "limit"),
        ({"service": "s", "minDuration": "soon"}, "minDuration"),
        ({"service": "s", "minDuration": "2s", "maxDuration": "1s"}, "maxDuration"),
        ({"service": "s", "start": 5, "end": 4}, "start"),
        ({"service": "s", "start": 2**63 - 1}, "start"),
        ({"service": "s", "tags": ["[]"]}, "tags[0]"),
        ({"service": "s", "tags": ['{"a":1}']}, "tags[0]"),
        ({"service": "s", "tag": ["a"]}, "tag[0]"),
        ({"service": "s", "tag": [f"{n}:v" for n in range(30)]}, "tags"),
        ({"service": "s" * 2000}, "service"),
    ],
)
def test_find_jaeger_traces_names_what_is_wrong(
    project: Project, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        project.send("JaegerService/FindJaegerTraces", **asked)
    assert [*refused.value.violations] == [field]


def test_find_jaeger_traces_is_not_misled_by_any_text(project: Project) -> None:
    fill(project)
    for text in ("\0", "'; --", "%", "a" * 1000, "\U0010ffff"):
        assert find(project, operation=text) == []
        assert find(project, tags=[json.dumps({"http.method": text})]) == []


def test_get_jaeger_dependencies(project: Project) -> None:
    send(project, {"id": 1, "name": "a"})
    below = request({"id": 2, "parent": 1}, {"id": 3, "parent": 2}, {"id": 4, "parent": 1})
    below.resource_spans[0].resource.attributes[0].value.string_value = "tool"
    project(EXPORT, below)
    range_ms = {"endTs": START // 10**6 + 1000, "lookback": 5000}
    found = project.send("JaegerService/GetJaegerDependencies", **range_ms)
    assert [(d.parent, d.child, d.call_count) for d in found.data] == [("bot", "tool", 2)]
    for service, number in (("tool", 1), ("bot", 1), ("x", 0)):
        asked = {**range_ms, "service": service}
        assert project.send("JaegerService/GetJaegerDependencies", **asked).total == number
    early = {"endTs": START // 10**6 - 1000, "lookback": 5000}
    assert project.send("JaegerService/GetJaegerDependencies", **early).total == 0
    assert project.send("JaegerService/GetJaegerDependencies").total == 0
    for wrong in ({"endTs": -1}, {"lookback": -1}, {"lookback": 2**62}):
        with pytest.raises(CallError) as refused:
            project.send("JaegerService/GetJaegerDependencies", **wrong)
        assert [*refused.value.violations] == [*wrong]
