"""What every call passes on both transports: deadlines, limits, exceptions, streams, draining."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from spanloom.errors import SetupError, SpanloomError
from spanloom.server.auth import NoAuth
from spanloom.server.health import Health
from spanloom.server.http.app import http_app
from spanloom.server.http.router import AnnotationError
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware
from tests.clients import error_from_body, until
from tests.server.lab import LIMIT, Bench, Lab, service


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


def test_a_client_stream_is_lines_of_json(lab: Bench) -> None:
    lines = b'{"value": "a"}\n\n  \n{"value": "b", "other": 1}\r\n{"value": "c", "other": 2}'
    kind = {"content-type": "application/x-ndjson"}
    answer = lab.http.post("/lab/join", content=lines, headers=kind)
    assert (answer.json(), answer.headers["x-ignored-fields"]) == ({"value": "a+b+c"}, "other")
    packed = gzip.compress(lines)
    answer = lab.http.post(
        "/lab/join", content=packed, headers={**kind, "content-encoding": "gzip"}
    )
    assert answer.json() == {"value": "a+b+c"}
    answer = lab.http.post("/lab/echos", content=lines, headers=kind)
    assert [json.loads(line)["value"] for line in answer.text.splitlines()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b'{"value": "a"}\n{"value": "known"}\n', "INVALID_FIELD"),
        (b'{"value": "a"}\n{"value": ', "MALFORMED_BODY"),
        (b'{"value": "a"}\n{"value": "' + b"x" * LIMIT + b'"}\n', "REQUEST_TOO_LARGE"),
        # Without a time, which would be in the names of the tests.
        (gzip.compress(b'{"value": "a"}\n', mtime=0)[:-3], "MALFORMED_BODY"),
        (gzip.compress(b" " * 50 * LIMIT, mtime=0), "REQUEST_TOO_LARGE"),
    ],
)
def test_a_bad_line_ends_a_client_stream(lab: Bench, lines: bytes, reason: str) -> None:
    kind = {"content-type": "application/x-ndjson"}
    if lines.startswith(b"\x1f\x8b"):
        kind["content-encoding"] = "gzip"
    assert error_from_body(lab.http.post("/lab/join", content=lines, headers=kind)).reason == reason


def test_a_client_stream_in_protobuf_is_refused_over_rest(lab: Bench) -> None:
    kind = {"content-type": "application/x-protobuf"}
    answer = lab.http.post("/lab/join", content=b"", headers=kind)
    assert answer.status_code == 415


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
        lines = answer.iter_lines()  # kept: an iterator that is dropped closes the connection
        assert json.loads(next(lines)) == {"value": "0"}
        until(lambda: lab.middleware.has_streams, 10)
    until(lambda: not lab.middleware.has_streams, 10)
    stream = lab.grpc("Count", str(10**12))
    next(stream)
    stream.cancel()
    until(lambda: not lab.middleware.has_streams, 10)


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
        bench.stop()
        waiting.join(10)
        assert answers[0].json() == {"value": "waited"}
        assert bench.text.FromString(pending.result(10)).value == "waited"


def test_a_draining_server_sends_callers_elsewhere(lab: Bench) -> None:
    lab.middleware.draining = True
    try:
        answer = lab.rest("Wait", "0")
    finally:
        lab.middleware.draining = False
    error = error_from_body(answer)
    assert (error.code, error.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
    assert error.retry_seconds == 1
    assert answer.headers["connection"] == "close"


def test_a_service_without_an_answer_stops_the_start() -> None:
    with pytest.raises(SetupError, match="Missing: Lab has no method 'missing'"):
        method_table({service({"Missing": "/missing"}): Lab()})


def test_a_type_without_json_stops_the_start() -> None:
    name = service({"Wait": "/lab/wait"}, kind="TYPE_FLOAT")
    table = method_table({name: Lab()})
    with pytest.raises(AnnotationError, match=r"lab_\w+\.proto: rpc .*\.Text\.value: .* float"):
        http_app(table, Middleware(NoAuth()), health=Health(), max_request_bytes=1)


def test_a_wrong_annotation_stops_the_start() -> None:
    name = service({"Wait": "/lab/{nothing}"})
    with pytest.raises(AnnotationError, match=r"lab_\w+\.proto.*Wait.*column 7"):
        http_app(
            method_table({name: Lab()}), Middleware(NoAuth()), health=Health(), max_request_bytes=1
        )


def test_details_stay_below_what_grpc_carries(lab: Bench) -> None:
    from spanloom.errors import Violation, invalid
    from spanloom.server.status import rpc_status

    error = invalid([Violation(f"events[{n}].event_type", "x" * 500) for n in range(100)])
    assert len(rpc_status(error, "id").SerializeToString()) < 6000
    assert isinstance(error, SpanloomError)
