"""Large traces through the real API and out as a chat, by every transport and both forms of a
body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from spanloom.codec import otlp_json
from spanloom.v1 import agent_chat_service_pb2 as pb
from spanloom.v1.agent_chat_service_pb2_grpc import AgentChatServiceStub
from tests.otlp.requests import START, add_span, request, steps
from tests.server.test_kill import Process

SPANS = 1_500

PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(f"sqlite:///{tmp_path_factory.mktemp('scale')}/spanloom.db")
    yield process
    process.stop()


def post(server: Process, path: str, content: bytes, content_type: str) -> bytes:
    headers = {"authorization": f"Bearer {server.key}", "content-type": content_type}
    answer = httpx.post(
        f"http://{server.http}{path}",
        content=content,
        headers=headers,
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.content[:1000]
    return answer.content


def by_protobuf(server: Process, message: ExportTraceServiceRequest, trace_id: str) -> Any:
    asked = pb.GetTraceChatRequest(project_id="default", trace_id=trace_id)
    assert post(server, "/v1/traces", message.SerializeToString(), PROTOBUF) == b""
    answer = post(server, "/agents/traces/chat", asked.SerializeToString(), PROTOBUF)
    return pb.GetTraceChatResponse.FromString(answer)


def by_json(server: Process, message: ExportTraceServiceRequest, trace_id: str) -> Any:
    asked = orjson.dumps({"project_id": "default", "trace_id": trace_id})
    assert orjson.loads(post(server, "/v1/traces", otlp_json.to_json(message), JSON)) == {}
    answer = post(server, "/agents/traces/chat", asked, JSON)
    return json_format.Parse(answer, pb.GetTraceChatResponse())


def by_grpc(server: Process, message: ExportTraceServiceRequest, trace_id: str) -> Any:
    asked = pb.GetTraceChatRequest(project_id="default", trace_id=trace_id)
    metadata = (("authorization", f"Bearer {server.key}"),)
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options) as channel:
        TraceServiceStub(channel).Export(message, metadata=metadata)
        return AgentChatServiceStub(channel).GetTraceChat(asked, metadata=metadata)


SENDERS = [by_protobuf, by_json, by_grpc]


def chain(length: int, trace_id: str) -> ExportTraceServiceRequest:
    """Each span the parent of the next; the last is a model that answers."""
    message = request()
    scope = message.resource_spans[0].scope_spans[0]
    for n in range(1, length):
        add_span(scope, n, n - 1, trace_id, 1, start=START + n, name=f"step {n}")
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "at the end"}]}]
    given = {"gen_ai__operation__name": "chat", "gen_ai__output__messages": said}
    add_span(scope, length, length - 1, trace_id, 1, start=START + length, attributes=given)
    return message


def fan(width: int, trace_id: str) -> ExportTraceServiceRequest:
    """An agent that calls a tool so many times."""
    message = request()
    scope = message.resource_spans[0].scope_spans[0]
    agent = {"gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "Ada"}
    add_span(scope, 1, 0, trace_id, 9, name="invoke_agent Ada", attributes=agent)
    for n in range(width):
        given = {
            "gen_ai__operation__name": "execute_tool",
            "gen_ai__tool__name": f"tool {n}",
            "gen_ai__tool__call__result": str(n),
        }
        add_span(scope, n + 2, 1, trace_id, 1, start=START + n, attributes=given)
    return message


def chain_chat(found: Any, length: int) -> None:
    assert steps(found) == [("assistant_message", "at the end")]


def fan_chat(found: Any, width: int) -> None:
    assert len(found.messages) == width + 1
    results = [m.tool_call.tool_result for m in found.messages if m.type == "tool_call"]
    assert results == [str(n) for n in range(width)]


@pytest.mark.parametrize("send", SENDERS)
@pytest.mark.parametrize(("make", "check"), [(chain, chain_chat), (fan, fan_chat)])
def test_many_spans(server: Process, make: Any, check: Any, send: Any) -> None:
    trace_id = f"{make.__name__}{send.__name__}".encode().hex().rjust(32, "a")[:32]
    check(send(server, make(SPANS, trace_id), trace_id), SPANS)


@pytest.mark.parametrize(("send", "megabytes"), [(by_protobuf, 20), (by_json, 3), (by_grpc, 3)])
def test_a_large_message(server: Process, send: Any, megabytes: int) -> None:
    text = "Größe " * (megabytes * 2**20 // 8)
    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
    trace_id = send.__name__.encode().hex().rjust(32, "d")
    given = {
        "gen_ai__operation__name": "chat",
        "gen_ai__output__messages": json.dumps(said, ensure_ascii=False),
    }
    message = request({"id": 1, "trace_id": trace_id, "attributes": given})
    assert message.ByteSize() > megabytes * 2**20
    assert steps(send(server, message, trace_id)) == [("assistant_message", text)]
