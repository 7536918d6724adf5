"""What every call goes through, on both transports: deadlines, limits, unknown exceptions, streams, draining.

By a small service of the test's own: the contract has no method that fails or waits on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

from spanloom.errors import SetupError, SpanloomError, invalid_field
from spanloom.model import uuid7
from spanloom.server.auth import NoAuth
from spanloom.server.grpc import GrpcServer
from spanloom.server.http.app import http_app
from spanloom.server.http.router import AnnotationError
from spanloom.server.http.server import HttpServer
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware
from spanloom.services.context import CallContext
from tests.clients import error_from_body, until

LIMIT = 1024 * 1024


def service(
    name: str, *, client_streaming: bool = False, kind: str = "TYPE_STRING", **paths: str
) -> str:
    """The full name of a new service whose methods take and give a message with one value.

    Methods are `Name=path`; one whose path ends in `s` streams.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name.lower()}_{uuid7()}.proto",
        package=f"calls{uuid7()}",
        syntax="proto3",
        dependency=[annotations_pb2.DESCRIPTOR.name],
    )
    text = file.message_type.add(name="Text")
    text.field.add(name="value", number=1, type=kind, label="LABEL_OPTIONAL")
    message = f".{file.package}.Text"
    made = file.service.add(name=name)
    for method, path in paths.items():
        added = made.method.add(name=method, input_type=message, output_type=message)
        added.client_streaming = client_streaming
        added.server_streaming = path.endswith("s")
        rule = added.options.Extensions[annotations_pb2.http]
        rule.post, rule.body = path, "value"
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return f"{file.package}.{name}"


class Lab:
    """Waits, fails and counts, as its request says; answers with the message type that it was asked with."""

    async def wait(self, request: Any, call: CallContext) -> Message:
        await asyncio.sleep(float(request.value))
        return text(request, "waited")

    async def fail(self, request: Any, call: CallContext) -> Message:
        if request.value == "known":
            raise invalid_field("value", "is known to be bad")
        raise ZeroDivisionError("secret cause")

    async def count(self, request: Any, call: CallContext) -> AsyncIterator[Message]:
        for number in range(int(request.value)):
            yield text(request, str(number))
            await asyncio.sleep(0)
        if request.value == "3":
            raise invalid_field("value", "no more than 2")


def text(request: Any, value: str) -> Message:
    answer: Message = type(request)(value=value)
    return answer


class Bench:
    """Both servers on the lab service, in a thread."""

    def __init__(self, timeout: float, max_in_flight: int) -> None:
        self.name = service("Lab", Wait="/lab/wait", Fail="/lab/fail", Count="/lab/counts")
        table = method_table({self.name: Lab()})
        self.text: Any = table[0].request_class
        self.middleware = Middleware(NoAuth(), timeout=timeout, max_in_flight=max_in_flight)
        self._table = table
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Bench:
        self._thread.start()
        assert self._started.wait(20)
        self.http = httpx.Client(
            base_url=f"http://{self.rest_address}", timeout=20, trust_env=False
        )
        self.channel = grpc.insecure_channel(self.grpc_address)
        return self

    def __exit__(self, *failure: object) -> None:
        self.http.close()
        self.channel.close()
        with contextlib.suppress(RuntimeError):  # a test has stopped it, and the loop is closed
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        rpc = GrpcServer(self._table, self.middleware, max_request_bytes=LIMIT)
        rest = HttpServer(
            http_app(self._table, self.middleware, ready=_always, max_request_bytes=LIMIT)
        )
        self.grpc_address = await rpc.start("127.0.0.1:0")
        self.rest_address = await rest.start("127.0.0.1:0")
        self._started.set()
        await self._stop.wait()
        await asyncio.gather(rpc.stop(5), rest.stop(5))

    def grpc(self, method: str, value: str, **options: Any) -> Any:
        message = self.text(value=value).SerializeToString()
        kind = self.channel.unary_stream if method == "Count" else self.channel.unary_unary
        call: Any = kind(f"/{self.name}/{method}")
        return call(message, **{"timeout": 20, **options})

    def rest(self, method: str, value: str, **options: Any) -> httpx.Response:
        path = {"Wait": "/lab/wait", "Fail": "/lab/fail", "Count": "/lab/counts"}[method]
        return self.http.post(path, json=value, **options)


async def _always() -> bool:
    return True


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    with Bench(timeout=0.5, max_in_flight=4) as bench:
        yield bench


def test_an_unknown_exception_tells_only_a_request_id(
    lab: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_from_body(lab.rest("Fail", "?", headers={"x-request-id": "mine-1"}))
    assert (error.code, error.reason) == ("INTERNAL", "INTERNAL")
    assert "mine-1" in error.message
    assert "secret cause" not in error.message
    with pytest.raises(grpc.RpcError) as refused:
        lab.grpc("Fail", "?", metadata=(("x-request-id", "mine-2"),))
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert "mine-2" in str(refused.value.details())
    assert "secret cause" not in str(refused.value)
    assert "secret cause" in "".join(capsys.readouterr())


def test_a_known_error_names_its_field(lab: Bench) -> None:
    error = error_from_body(lab.rest("Fail", "known"))
    assert error.violations == {"value": "is known to be bad"}


def test_a_call_past_its_time_is_told_so(lab: Bench) -> None:
    error = error_from_body(lab.rest("Wait", "5"))
    assert (error.code, error.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    for options in ({}, {"timeout": 0.2}):
        with pytest.raises(grpc.RpcError) as refused:
            lab.grpc("Wait", "5", **options)
        assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_too_many_calls_at_once_are_refused_at_once(lab: Bench) -> None:
    answers: list[httpx.Response] = []

    def call() -> None:
        answers.append(lab.rest("Wait", "0.4"))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 4
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    error = error_from_body(refused[0])
    assert (error.code, error.reason, error.retry_seconds) == (
        "RESOURCE_EXHAUSTED",
        "QUEUE_FULL",
        1,
    )
    assert lab.rest("Wait", "0").status_code == 200


def test_streams_are_messages_or_lines(lab: Bench) -> None:
    texts = [lab.text.FromString(data).value for data in lab.grpc("Count", "2")]
    assert texts == ["0", "1"]
    answer = lab.rest("Count", "2")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["value"] for line in answer.text.splitlines()] == ["0", "1"]
    assert lab.rest("Count", "0").text == ""


def test_an_error_inside_a_stream_is_its_last_line(lab: Bench) -> None:
    lines = [json.loads(line) for line in lab.rest("Count", "3").text.splitlines()]
    assert lines[:3] == [{"value": "0"}, {"value": "1"}, {"value": "2"}]
    assert lines[3]["error"]["status"] == "INVALID_ARGUMENT"
    stream = lab.grpc("Count", "3")
    with pytest.raises(grpc.RpcError) as refused:
        list(stream)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_ends_when_its_client_has_gone(lab: Bench) -> None:
    with lab.http.stream("POST", "/lab/counts", json=str(10**12)) as answer:
        assert json.loads(next(answer.iter_lines())) == {"value": "0"}
        assert lab.middleware.is_busy
    until(lambda: not lab.middleware.is_busy, 10)
    stream = lab.grpc("Count", str(10**12))
    next(stream)
    stream.cancel()
    until(lambda: not lab.middleware.is_busy, 10)


def test_an_error_before_the_stream_begins_is_a_status(lab: Bench) -> None:
    answer = lab.rest("Count", "many")
    assert answer.status_code == 500


def test_calls_under_way_end_before_the_server_does() -> None:
    with Bench(timeout=10, max_in_flight=4) as bench:
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(bench.rest("Wait", "0.8")))
        waiting.start()
        pending: Any = bench.channel.unary_unary(f"/{bench.name}/Wait").future(
            bench.text(value="0.8").SerializeToString()
        )
        time.sleep(0.3)
        bench.loop.call_soon_threadsafe(bench._stop.set)
        waiting.join(10)
        assert answers[0].json() == {"value": "waited"}
        assert bench.text.FromString(pending.result(10)).value == "waited"


def test_a_draining_server_sends_callers_elsewhere(lab: Bench) -> None:
    lab.middleware.draining = True
    try:
        error = error_from_body(lab.rest("Wait", "0"))
    finally:
        lab.middleware.draining = False
    assert (error.code, error.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
    assert error.retry_seconds == 1


def test_a_service_without_an_answer_stops_the_start() -> None:
    with pytest.raises(SetupError, match="Missing: Lab has no method 'missing'"):
        method_table({service("Lab", Missing="/missing"): Lab()})


def test_a_client_stream_stops_the_start() -> None:
    name = service("Lab", Wait="/lab/wait", client_streaming=True)
    with pytest.raises(SetupError, match=r"lab_\w+\.proto: rpc .*\.Wait: client streams"):
        method_table({name: Lab()})


def test_a_type_without_json_stops_the_start() -> None:
    name = service("Lab", Wait="/lab/wait", kind="TYPE_BYTES")
    table = method_table({name: Lab()})
    with pytest.raises(AnnotationError, match=r"lab_\w+\.proto: rpc .*\.Text\.value: .* bytes"):
        http_app(table, Middleware(NoAuth()), ready=_always, max_request_bytes=1)


def test_a_wrong_annotation_stops_the_start() -> None:
    name = service("Lab", Wait="/lab/{nothing}")
    with pytest.raises(AnnotationError, match=r"lab_\w+\.proto.*Wait.*column 7"):
        http_app(
            method_table({name: Lab()}), Middleware(NoAuth()), ready=_always, max_request_bytes=1
        )


def test_details_stay_below_what_grpc_carries(lab: Bench) -> None:
    from spanloom.errors import Violation, invalid
    from spanloom.server.status import rpc_status

    error = invalid([Violation(f"events[{n}].event_type", "x" * 500) for n in range(100)])
    assert len(rpc_status(error, "id").SerializeToString()) < 6000
    assert isinstance(error, SpanloomError)
