"""How long small calls wait while a large one is served: GET /healthz, asked all the while by
another process."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import grpc

from bench import otlp
from bench.figure import Figure
from bench.ingest import workspace
from bench.server import Server
from spanloom.v1 import agent_chat_service_pb2

_CHAT = "/spanloom.v1.AgentChatService/GetTraceChat"
_PAUSE_SECONDS = 0.005
_WANTED_SECONDS = 0.2


def longest_waits(spans: int, megabytes: int) -> Iterator[Figure]:
    """For a trace of many spans, and one of a single large message: written and read by every
    transport."""
    for what, message in (
        (f"{spans:,} spans", otlp.fan(spans)),
        (f"a message of {megabytes} MB", otlp.large(megabytes * 2**20)),
    ):
        for name, (send, read) in _DOORS.items():
            with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
                small = otlp.fan(3)
                body = send(server, small)
                body()
                read(server, small)()
                for verb, run in (
                    ("written", send(server, message)),
                    ("read as a chat", read(server, message)),
                ):
                    waited, took = _longest_wait(server.http_address, run)
                    yield Figure(
                        f"{what} {verb}, {name}: longest /healthz",
                        waited * 1000,
                        "wanted",
                        _WANTED_SECONDS * 1000,
                        1,
                        unit="ms",
                        less_is_better=True,
                        note=f"the call took {took:.1f} s",
                    )


def _longest_wait(address: str, run: Callable[[], None]) -> tuple[float, float]:
    """The longest that a small call took meanwhile, and the large one; seconds."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_ask, args=(address, theirs), daemon=True)
    process.start()
    ours.recv()
    started = time.perf_counter()
    run()
    took = time.perf_counter() - started
    ours.send("stop")
    longest: float = ours.recv()
    process.join()
    return longest, took


def _ask(address: str, say: Any) -> None:
    connection = http.client.HTTPConnection(address)
    longest, asked = 0.0, 0
    while not say.poll(_PAUSE_SECONDS):
        started = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        longest = max(longest, time.perf_counter() - started)
        if asked == 20:
            longest = 0.0  # the first ones are not what is measured
            say.send("ready")
        asked += 1
    say.recv()
    say.send(longest)


def _http(content_type: str) -> Any:
    protobuf = content_type.endswith("protobuf")

    def post(server: Server, path: str, body: bytes) -> Callable[[], None]:
        def run() -> None:
            connection = http.client.HTTPConnection(server.http_address)
            connection.request("POST", path, body, {"content-type": content_type})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == 200, data[:500]

        return run

    def send(server: Server, message: Any) -> Callable[[], None]:
        body = message.SerializeToString() if protobuf else otlp.document(message)
        return post(server, "/v1/traces", body)

    def read(server: Server, message: Any) -> Callable[[], None]:
        asked = _asked(message)
        document = b'{"project_id":"default","trace_id":"%s"}' % asked.trace_id.encode()
        body = asked.SerializeToString() if protobuf else document
        return post(server, "/agents/traces/chat", body)

    return send, read


def _grpc() -> Any:
    def call(server: Server, method: str, body: bytes) -> Callable[[], None]:
        def run() -> None:
            options = [("grpc.max_receive_message_length", -1)]
            with grpc.insecure_channel(server.grpc_address, options) as channel:
                ask: Any = channel.unary_unary(method)
                ask(body)

        return run

    def send(server: Server, message: Any) -> Callable[[], None]:
        return call(server, otlp.EXPORT, message.SerializeToString())

    def read(server: Server, message: Any) -> Callable[[], None]:
        return call(server, _CHAT, _asked(message).SerializeToString())

    return send, read


def _asked(message: Any) -> agent_chat_service_pb2.GetTraceChatRequest:
    span = message.resource_spans[0].scope_spans[0].spans[0]
    return agent_chat_service_pb2.GetTraceChatRequest(
        project_id="default", trace_id=span.trace_id.hex()
    )


_DOORS = {
    "gRPC": _grpc(),
    "HTTP protobuf": _http("application/x-protobuf"),
    "HTTP JSON": _http("application/json"),
}
