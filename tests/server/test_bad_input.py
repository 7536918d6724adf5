"""What clients get wrong: a clear error that names the field, and the server serves on."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from tests.clients import GrpcClient, HttpClient
from tests.servers import LiveServer

MIB = 1024 * 1024
_numbers = itertools.count(1)


@pytest.fixture
def http(server: LiveServer) -> Iterator[httpx.Client]:
    client = HttpClient(server.running.http_address).http
    client.headers["Authorization"] = f"Bearer {server.key(f'bad input {next(_numbers)}')}"
    with client:
        yield client
        assert client.get("/readyz").status_code == 200
        events = client.post("/events/export", json={}).json()
        assert events["totalEvents"] == 0, "something of a refused request was stored"


def refused(answer: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """The one REST body of errors, in the shape that every SDK reads."""
    body = answer.json()
    assert answer.status_code == status, body
    assert body["statusCode"] == status
    assert body["errorCode"] == f"ERROR_REASON_{reason}"
    assert body["success"] is False
    assert isinstance(body["code"], int)
    assert isinstance(body["status"], str)
    assert body["error"] == body["message"] != ""
    assert answer.headers["x-request-id"]
    found: dict[str, Any] = body
    return found


def fields(body: dict[str, Any]) -> set[str]:
    return {
        violation["field"]
        for detail in body["details"]
        for violation in detail.get("fieldViolations", [])
    }


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/monitor/trace", {"name": []}, {"name"}),
        ("/monitor/trace", {"logs": [{"id": "1", "type": "spam"}]}, {"logs[0].type"}),
        (
            "/monitor/trace",
            {"logs": [{"id": "1", "type": "span", "inputTokens": "many"}]},
            {"logs[0].inputTokens"},
        ),
        (
            "/monitor/trace",
            {"logs": [{"id": "1", "type": "span", "startTime": "yesterday"}]},
            {"logs[0].startTime"},
        ),
        ("/monitor/trace", {"startTime": True}, {"startTime"}),
        ("/monitor/trace", {"metadata": "text"}, {"metadata"}),
        (
            "/monitor/trace",
            {"evaluationConfig": {"sampleRate": -1}},
            {"evaluationConfig.sampleRate"},
        ),
        ("/monitor/trace", {"logs": {}}, {"logs"}),
        (
            "/events/batch",
            {"events": [{"event_type": "tool"}, {"event_type": "modle"}]},
            {"events[1].event_type"},
        ),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "inputs": [1]}]},
            {"events[0].inputs"},
        ),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "start_time": "soon"}]},
            {"events[0].start_time"},
        ),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "start_time": 1e300}]},
            {"events[0].start_time"},
        ),
        ("/events/batch", {"events": []}, {"events"}),
        ("/events/batch", {"events": ["x", 3]}, {"events[0]", "events[1]"}),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "event_id": "x" * 257}]},
            {"events[0].event_id"},
        ),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "event_id": "a\0"}]},
            {"events[0].event_id"},
        ),
        (
            "/events/batch",
            {"events": [{"event_type": "tool", "session_id": "x" * 257}]},
            {"events[0].session_id"},
        ),
        ("/agents/traces/chat", {"trace_id": "x"}, {"project_id"}),
        ("/events/export", {"limit": -1}, {"limit"}),
        ("/events/export", {"page": -1}, {"page"}),
        ("/events/export", {"limit": "all"}, {"limit"}),
    ],
)
def test_a_bad_field_is_named(http: httpx.Client, path: str, body: Any, named: set[str]) -> None:
    assert fields(refused(http.post(path, json=body), 400, "INVALID_FIELD")) == named


@pytest.mark.parametrize(
    "said", ["Basic \xe9", "Basic !", "Basic /w==", "Basic", "Bearer \xe9", "é"]
)
def test_what_is_no_key_is_refused(http: httpx.Client, said: str) -> None:
    headers = {b"authorization": said.encode("latin-1")}
    refused(http.get("/v1/traces", headers=headers), 401, "INVALID_CREDENTIALS")


def test_an_id_twice_in_one_batch_is_named(http: httpx.Client) -> None:
    events = [{"event_type": "tool", "event_id": "same"}] * 2
    body = refused(http.post("/events/batch", json={"events": events}), 400, "DUPLICATE_ID")
    assert fields(body) == {"events[1].event_id"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"text",
        b'{"input": "\xff"}',
        b"{\"input\": '1'}",
        b"\x00",
        b'{"a":1}x',
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(http: httpx.Client, content: bytes) -> None:
    answer = http.post("/events/batch", content=content)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] in (
        "ERROR_REASON_MALFORMED_BODY",
        "ERROR_REASON_INVALID_FIELD",
    )
    assert fields(answer.json()) <= {"events"}


def test_deep_json_is_refused_not_followed(http: httpx.Client) -> None:
    deep = b'{"input":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    answer = http.post("/monitor/trace", content=deep)
    assert answer.status_code == 400
    assert "input" in answer.text or "nest" in answer.text or "deep" in answer.text


def test_a_lone_surrogate_survives_or_is_named(http: httpx.Client) -> None:
    answer = http.post("/monitor/trace", content=b'{"name": "\\ud800"}')
    assert answer.status_code == 400
    assert fields(answer.json()) == {"name"} or "surrogate" in answer.text


def test_nul_in_values_survives(http: httpx.Client) -> None:
    trace = http.post("/monitor/trace", json={"input": "a\0b", "output": {"k\0": "\0"}}).json()[
        "trace"
    ]
    back = http.get(f"/v1/traces/{trace['id']}").json()["trace"]
    assert (back["input"], back["output"]) == ("a\0b", {"k\0": "\0"})
    http.delete(f"/v1/traces/{trace['id']}").raise_for_status()


def test_numbers_past_their_type_are_named(http: httpx.Client) -> None:
    log = {"id": "1", "type": "generation", "inputTokens": 2**31}
    body = refused(http.post("/monitor/trace", json={"logs": [log]}), 400, "INVALID_FIELD")
    assert fields(body) == {"logs[0].inputTokens"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_packed_bodies_are_read(http: httpx.Client, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    content = pack(json.dumps({"id": "packed", "input": "x" * 1000}).encode())
    answer = http.post("/monitor/trace", content=content, headers={"Content-Encoding": encoding})
    assert answer.json() == {"trace": {"id": "packed"}}
    http.delete("/v1/traces/packed").raise_for_status()


def test_a_gzip_body_of_several_members_is_read_whole(http: httpx.Client) -> None:
    content = gzip.compress(b'{"id": "two') + gzip.compress(b' members"}')
    answer = http.post("/monitor/trace", content=content, headers={"Content-Encoding": "gzip"})
    assert answer.json() == {"trace": {"id": "two members"}}
    http.delete("/v1/traces/two members").raise_for_status()


def test_a_cut_off_gzip_body_is_malformed(http: httpx.Client) -> None:
    content = gzip.compress(json.dumps({"input": "x" * 1000}).encode())
    cuts = (content[:-9], content[:11], b"", b"not gzip", content[:20] + b"\0" * 20)
    for cut in (*cuts, content + b"more", content + content[:20]):
        answer = http.post("/monitor/trace", content=cut, headers={"Content-Encoding": "gzip"})
        refused(answer, 400, "MALFORMED_BODY")


def test_an_unknown_encoding_is_refused(http: httpx.Client) -> None:
    answer = http.post("/monitor/trace", content=b"{}", headers={"Content-Encoding": "br"})
    refused(answer, 415, "UNSUPPORTED_ENCODING")


def test_a_body_past_the_limit_is_refused_packed_or_not(http: httpx.Client) -> None:
    big = b'{"input":"' + b"x" * (65 * MIB) + b'"}'
    refused(http.post("/monitor/trace", content=big), 413, "REQUEST_TOO_LARGE")
    bomb = gzip.compress(b'{"input":"' + b"x" * (300 * MIB) + b'"}', 1)
    assert len(bomb) < 4 * MIB
    answer = http.post("/monitor/trace", content=bomb, headers={"Content-Encoding": "gzip"})
    refused(answer, 413, "REQUEST_TOO_LARGE")


def test_a_large_body_below_the_limit_is_stored(http: httpx.Client) -> None:
    text = "x" * (30 * MIB)
    trace = http.post("/monitor/trace", json={"input": text}).json()["trace"]["id"]
    assert http.get(f"/v1/traces/{trace}").json()["trace"]["input"] == text
    http.delete(f"/v1/traces/{trace}").raise_for_status()


def test_unknown_paths_and_methods_say_what_there_is(http: httpx.Client) -> None:
    refused(http.post("/monitor/trance", json={}), 404, "ROUTE_NOT_FOUND")
    answer = http.get("/monitor/trace")
    refused(answer, 405, "ROUTE_NOT_FOUND")
    assert answer.headers["allow"] == "POST"


def test_unknown_fields_are_ignored_and_listed(http: httpx.Client) -> None:
    body = {
        "id": "u",
        "parent": None,
        "nonsense": {"deep": 1},
        "logs": [{"id": "1", "type": "span", "x": 1}],
    }
    answer = http.post("/monitor/trace", json=body)
    assert answer.status_code == 200
    assert set(answer.headers["x-ignored-fields"].split(", ")) == {"parent", "nonsense", "logs.x"}
    http.delete("/v1/traces/u").raise_for_status()


def exchange(server: LiveServer, *parts: bytes) -> tuple[str, dict[str, Any]]:
    """Send bytes as they are: the status line, and the JSON body of the answer."""
    host, port = server.running.http_address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        for part in parts:
            connection.sendall(part)
        with connection.makefile("rb") as answer:
            line = answer.readline().decode()
            headers = dict(h.decode().split(": ") for h in iter(answer.readline, b"\r\n"))
            return line, json.loads(answer.read(int(headers["content-length"])))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\xff\r\n\r\n",
        b"SPAM /events/batch HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/traces?name=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_one_shape(
    server: LiveServer, http: httpx.Client, garbage: bytes
) -> None:
    line, body = exchange(server, garbage)
    assert line == "HTTP/1.1 400 Bad Request\r\n"
    assert (body["statusCode"], body["success"]) == (400, False)
    assert body["errorCode"] == "ERROR_REASON_MALFORMED_BODY"
    assert body["error"] == "the request is not valid HTTP/1.1"


def test_a_client_that_hangs_up_leaves_no_traceback(
    server: LiveServer, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = server.running.http_address.split(":")
    key = server.key("bad input")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            f"POST /events/batch HTTP/1.1\r\nAuthorization: Bearer {key}\r\n"
            "Content-Length: 10\r\n\r\n{".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_declined_and_the_request_answered(
    server: LiveServer, http: httpx.Client, offer: str
) -> None:
    body = b'{"id": "offered"}'
    head = (
        f"POST /monitor/trace HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: {offer}\r\nHTTP2-Settings: AAEAAEAA\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: {http.headers['Authorization']}\r\n\r\n"
    ).encode()
    for parts in ([head + body], [head, body], [head[:60], head[60:], body[:3], body[3:]]):
        answer = exchange(server, *parts)
        assert answer == ("HTTP/1.1 200 OK\r\n", {"trace": {"id": "offered"}})
    http.delete("/v1/traces/offered").raise_for_status()


def test_many_offers_in_one_packet_are_all_answered(server: LiveServer, http: httpx.Client) -> None:
    host, port = server.running.http_address.split(":")
    offer = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(offer * 1500 + last)
        with connection.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 200 OK") == 1501


def test_bytes_that_are_no_message_are_malformed_over_grpc(
    server: LiveServer, http: httpx.Client
) -> None:
    key = server.key("bad input")
    with grpc.insecure_channel(server.running.grpc_address) as channel:
        send: Any = channel.unary_unary("/spanloom.v1.TraceService/CreateTrace")
        for garbage in (
            b"\xff\xff\xff",
            b"\x0a\x05\x12\x03\x0a\x01\xff",
            b"\x0a\x80\x80\x80\x80\x80\x01",
        ):
            with pytest.raises(grpc.RpcError) as error:
                send(garbage, metadata=[("authorization", f"Bearer {key}")], timeout=10)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            send(b"\0" * (65 * MIB), metadata=[("authorization", f"Bearer {key}")], timeout=30)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    GrpcClient(server.running.grpc_address).close()


@pytest.mark.parametrize(
    "path", ["/monitor/trace", "/v1/events", "/v1/evaluators", "/events/batch"]
)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": 1', "the body is not valid JSON (line 1, column 8)"),
        (b"[]", "the body must be an object, not"),
    ],
)
def test_a_malformed_body_is_named_on_every_path(
    http: httpx.Client, path: str, body: bytes, message: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = refused(http.post(path, content=body, headers=headers), 400, "MALFORMED_BODY")
    assert answer["message"].startswith(message)


def test_http_2_without_asking_is_refused_in_its_own_frames(server: LiveServer) -> None:
    host, port = server.running.http_address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        with connection.makefile("rb") as answer:
            settings, frame = answer.read(9), answer.read(9)
            assert (settings[3], frame[3]) == (4, 7)  # SETTINGS, GOAWAY
            body = answer.read(int.from_bytes(frame[:3], "big"))
    assert int.from_bytes(body[4:8], "big") == 0xD  # HTTP_1_1_REQUIRED
    assert b"use HTTP/1.1, or gRPC" in body
