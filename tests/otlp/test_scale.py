"""Large traces through the real door and out as a chat: correct, in linear time, and the server answers others meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.v1 import agent_chat_service_pb2 as pb
from tests.otlp.requests import START, TRACE_ID, add_span, attributes, request, steps
from tests.server.test_kill import Process

SPANS = 30_000
# Far past what another call waits while a large one is worked on: a server that is stuck answers never.
MOST_WAIT_SECONDS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server in a process of its own, so that the test's work is not taken for the server's."""
    process = Process(f"sqlite:///{tmp_path_factory.mktemp('scale')}/spanloom.db")
    # What is loaded and compiled at its first use is no matter of size.
    through_the_door(process, chain(10, TRACE_ID), TRACE_ID)
    yield process
    process.stop()


@contextmanager
def responsive(server: Process) -> Iterator[None]:
    """Ask for the server's health all the while; every question must have been answered."""
    answers: list[int] = []
    done = threading.Event()

    def ask() -> None:
        url, timeout = f"http://{server.http}", MOST_WAIT_SECONDS
        with httpx.Client(base_url=url, timeout=timeout, trust_env=False) as http:
            while not done.is_set():
                answers.append(0)
                answers[-1] = http.get("/healthz").status_code
                done.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
    assert set(answers) == {200}


def through_the_door(server: Process, message: ExportTraceServiceRequest, trace_id: str) -> Any:
    """Send the spans and ask for their chat, while the server must answer others, too."""
    body = message.SerializeToString()
    asked = pb.GetTraceChatRequest(project_id="default", trace_id=trace_id).SerializeToString()
    headers = {
        "authorization": f"Bearer {server.key}",
        "content-type": "application/x-protobuf",
    }
    with (
        responsive(server),
        httpx.Client(base_url=f"http://{server.http}", timeout=120, trust_env=False) as http,
    ):
        answer = http.post("/v1/traces", content=body, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        answer = http.post("/agents/traces/chat", content=asked, headers=headers)
    assert answer.status_code == 200, answer.content[:1000]
    return pb.GetTraceChatResponse.FromString(answer.content)


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


@pytest.mark.parametrize(("make", "check"), [(chain, chain_chat), (fan, fan_chat)])
def test_many_spans(
    server: Process,
    make: Callable[[int, str], ExportTraceServiceRequest],
    check: Callable[[Any, int], None],
) -> None:
    trace_id = make.__name__.encode().hex().rjust(32, "a")
    check(through_the_door(server, make(SPANS, trace_id), trace_id), SPANS)


def test_a_message_of_twenty_megabytes(server: Process) -> None:
    text = "Größe " * (20 * 2**20 // 8)
    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
    trace_id = "d" * 32
    given = {"gen_ai__operation__name": "chat"}
    message = request({"id": 1, "trace_id": trace_id, "attributes": given})
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.extend(attributes(gen_ai__output__messages=said))
    assert message.ByteSize() > 20 * 2**20
    found = through_the_door(server, message, trace_id)
    assert steps(found) == [("assistant_message", text)]
