"""OTLP over HTTP: paths, bodies, answers, refusals, and the project that the spans are stored
in."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from spanloom.codec import otlp_json
from spanloom.v1 import (
    trace_service_pb2,
)
from tests.clients import CallError
from tests.contract.conftest import Project
from tests.otlp.requests import AGENT, MODEL, START, TOOL, TRACE_ID, request, trace
from tests.servers import LiveServer

PROTOBUF, JSON = "application/x-protobuf", "application/json"
PATHS = ("/v1/traces", "/opentelemetry/v1/traces", "/agents/otel/v1/traces", "/otel/v1/traces")


def post(
    project: Project,
    body: bytes,
    content_type: str = PROTOBUF,
    path: str = PATHS[0],
    **headers: str,
) -> Any:
    http = project.client.http  # type: ignore[attr-defined]
    given = {"authorization": f"Bearer {project.key}", "content-type": content_type}
    return http.post(path, content=body, headers={**given, **headers})


def send(project: Project, message: ExportTraceServiceRequest, **headers: str) -> Any:
    answer = post(project, message.SerializeToString(), **headers)
    assert answer.status_code == 200, answer.content
    return ExportTraceServiceResponse.FromString(answer.content)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON, f"{JSON}; charset=utf-8"])
def test_every_path_takes_both_forms_and_answers_in_the_same(
    project: Project, path: str, content_type: str
) -> None:
    message = request(AGENT, MODEL, TOOL)
    is_json = content_type != PROTOBUF
    body = otlp_json.to_json(message) if is_json else message.SerializeToString()
    answer = post(project, body, content_type, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (JSON if is_json else PROTOBUF)
    assert answer.content == (b"{}" if is_json else b"")
    assert len(trace(project).logs) == 2


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_bodies_may_be_packed(project: Project, encoding: str, pack: Any) -> None:
    body = pack(request(AGENT).SerializeToString())
    assert post(project, body, **{"content-encoding": encoding}).status_code == 200
    assert trace(project).name == "invoke_agent Ada"


def test_ids_are_hex_and_enums_numbers_or_names_in_json(project: Project) -> None:
    span = {
        "traceId": TRACE_ID.upper(),
        "spanId": "00000000000000ab",
        "name": "n",
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": str(START),
        "status": {"code": 2},
        "somethingNew": {"a": [1]},
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    answer = post(project, json.dumps(body).encode(), JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    found = trace(project)
    assert (found.id, found.status) == (TRACE_ID, "ERROR")
    assert found.otel["span_kind"] == "SPAN_KIND_CLIENT"


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_refusals_are_told_in_the_form_of_the_request(project: Project, content_type: str) -> None:
    def status(answer: Any) -> Any:
        assert answer.headers["content-type"] == content_type
        if content_type == PROTOBUF:
            return status_pb2.Status.FromString(answer.content)
        known = {k: v for k, v in answer.json().items() if k in ("code", "message", "details")}
        return json_format.ParseDict(known, status_pb2.Status())

    broken = post(project, b"\xff{", content_type)
    assert (broken.status_code, status(broken).code) == (400, 3)
    stranger = post(project, b"", content_type, authorization="Bearer nonsense")
    assert (stranger.status_code, status(stranger).code) == (401, 16)
    reader = f"Bearer {project.server.key(project.name, 'read')}"
    assert post(project, b"", content_type, authorization=reader).status_code == 403
    assert post(project, b"", content_type, path="/v1/nothing").status_code == 404


def test_a_full_queue_says_when_to_try_again(server: LiveServer, project: Project) -> None:
    import spanloom.errors as errors

    async def full(*_: Any, **__: Any) -> None:
        raise errors.queue_full()

    store = server.running.store
    body = request(AGENT).SerializeToString()
    store.write_spans, real = full, store.write_spans  # type: ignore[method-assign, assignment]
    try:
        answer = post(project, body)
        with grpc.insecure_channel(server.running.grpc_address) as channel:
            key = (("authorization", f"Bearer {project.key}"),)
            with pytest.raises(grpc.RpcError) as refused:
                TraceServiceStub(channel).Export(request(AGENT), metadata=key)
    finally:
        store.write_spans = real  # type: ignore[method-assign]
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    call: Any = refused.value
    assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(call.trailing_metadata())["grpc-status-details-bin"]
    retry = error_details_pb2.RetryInfo()
    assert any(d.Unpack(retry) for d in status_pb2.Status.FromString(details).details)
    assert retry.retry_delay.seconds == 1


def test_what_is_too_large_after_unpacking_is_refused(project: Project) -> None:
    body = gzip.compress(b"\0" * (65 << 20), compresslevel=1)
    answer = post(project, body, **{"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("resource", "headers", "goes_to"),
    [
        ({}, {}, "default"),
        ({}, {"x-spanloom-project": "%s"}, "%s"),
        ({}, {"project_id": "entity/%s"}, "%s"),
        ({"wandb__entity": "entity", "wandb__project": "%s"}, {"project_id": "e/other"}, "%s"),
        ({"honeyhive__project": "%s"}, {}, "%s"),
        ({"wandb__project": "other"}, {"x-spanloom-project": "%s"}, "%s"),
    ],
)
def test_an_instance_key_names_the_project(
    project: Project, resource: dict[str, str], headers: dict[str, str], goes_to: str
) -> None:
    def named(texts: dict[str, str]) -> dict[str, str]:
        return {key: text.replace("%s", project.name) for key, text in texts.items()}

    key = project.server.key()
    trace_id = project.name.encode().hex().rjust(32, "a")
    message = request({**AGENT, "trace_id": trace_id}, **named(resource))
    send(project, message, authorization=f"Bearer {key}", **named(headers))
    get = trace_service_pb2.GetTraceRequest(trace_id=trace_id)
    there = goes_to.replace("%s", project.name)
    assert project("TraceService/GetTrace", get, key=key, project=there).trace.id == trace_id
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        project("TraceService/GetTrace", get, key=key, project="elsewhere")


def test_a_project_key_decides_whatever_the_resource_says(project: Project) -> None:
    send(project, request(AGENT, wandb__project="another"), **{"wandb-api-key": project.key})
    assert trace(project).name == "invoke_agent Ada"


def test_any_method_takes_and_answers_protobuf(project: Project) -> None:
    create = trace_service_pb2.CreateTraceRequest()
    create.trace.id, create.trace.name = "p", "by protobuf"
    # The rule says that the field `trace` is the body.
    answer = post(project, create.trace.SerializeToString(), path="/monitor/trace")
    assert answer.status_code == 200
    stored = trace_service_pb2.CreateTraceResponse.FromString(answer.content)
    assert stored.trace.id == "p"
    assert trace(project, "p").name == "by protobuf"
    create.trace.logs.add(id="1", type="spam")
    refused = post(project, create.trace.SerializeToString(), path="/monitor/trace")
    assert refused.status_code == 400
    status = status_pb2.Status.FromString(refused.content)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [v.field for v in bad.field_violations] == ["logs[0].type"]
