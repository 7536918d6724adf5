"""Connect and gRPC-Web on the HTTP port, as their specifications write them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from spanloom.errors import SpanloomError
from spanloom.server.admission import ByteBudget, Held
from spanloom.server.compression import WORTH_COMPRESSING
from spanloom.server.http.envelope import opened, sealed
from spanloom.server.http.exchange import accepts_gzip
from spanloom.server.http.grpc_web import decoded
from spanloom.v1 import trace_service_pb2
from tests.clients import until
from tests.server.lab import LIMIT, Bench
from tests.server.test_refusals import logged
from tests.servers import LiveServer

CONNECT_KINDS = ["proto", "json"]
GRPC_WEB_KINDS = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web+json",
    "application/grpc-web-text",
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    with Bench(timeout=5) as bench:
        yield bench


def encode(lab: Bench, value: str, kind: str) -> bytes:
    if kind.endswith("json"):
        return json.dumps({"value": value}).encode()
    return bytes(lab.text(value=value).SerializeToString())


def decode(lab: Bench, data: bytes, kind: str) -> str:
    return str(
        json.loads(data)["value"] if kind.endswith("json") else lab.text.FromString(data).value
    )


def unary(
    lab: Bench, method: str, value: str, kind: str = "json", **headers: str
) -> httpx.Response:
    sent = {"content-type": f"application/{kind}", **dashed(headers)}
    body = encode(lab, value, kind)
    return lab.http.post(f"/{lab.name}/{method}", content=body, headers=sent)


def dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): text for name, text in headers.items()}


def streamed(
    lab: Bench, method: str, values: Sequence[str], kind: str, **headers: str
) -> httpx.Response:
    body = b"".join(sealed(0, encode(lab, value, kind)) for value in values)
    if "text" in kind:
        body = base64.b64encode(body)
    sent = {"content-type": kind, **dashed(headers)}
    return lab.http.post(f"/{lab.name}/{method}", content=body, headers=sent)


def envelopes(answer: httpx.Response) -> list[tuple[int, bytes]]:
    body = answer.content
    if "text" in answer.headers["content-type"]:
        body = b"".join(base64.b64decode(part + b"=" * (-len(part) % 4)) for part in split(body))
    found = []
    while body:
        flags, size = struct.unpack_from(">BI", body)
        found.append((flags, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def split(text: bytes) -> list[bytes]:
    """Base64 texts that were put one after another, each with padding of its own."""
    whole = [text[at : at + 4] for at in range(0, len(text), 4)]
    return [part.rstrip(b"=") for part in whole]


def end_of(answer: httpx.Response) -> dict[str, Any]:
    """The last envelope of Connect."""
    flags, data = envelopes(answer)[-1]
    assert flags == 2
    found: dict[str, Any] = json.loads(data)
    return found


def trailers(answer: httpx.Response) -> dict[str, str]:
    """The last envelope of gRPC-Web."""
    flags, data = envelopes(answer)[-1]
    assert flags == 0x80
    return dict(line.split(": ", 1) for line in data.decode().split("\r\n") if line)


def reason_of(error: dict[str, Any]) -> str:
    """The reason in an error of Connect."""
    [info] = [detail for detail in error["details"] if detail["type"] == "google.rpc.ErrorInfo"]
    value = base64.b64decode(info["value"] + "=" * (-len(info["value"]) % 4))
    found = error_details_pb2.ErrorInfo.FromString(value)
    assert info["debug"]["reason"] == found.reason
    return str(found.reason).removeprefix("ERROR_REASON_")


@pytest.mark.parametrize("kind", CONNECT_KINDS)
def test_a_call_is_a_post(lab: Bench, kind: str) -> None:
    with logged() as lines:
        answer = unary(lab, "Wait", "0", kind, x_request_id="mine-1")
    assert (answer.status_code, decode(lab, answer.content, kind)) == (200, "waited")
    assert answer.headers["content-type"] == f"application/{kind}"
    assert answer.headers["x-request-id"] == lines[0]["request_id"] == "mine-1"
    assert (lines[0]["transport"], lines[0]["method"]) == ("connect", f"{lab.name}/Wait")


def test_an_error_has_its_details(lab: Bench) -> None:
    for kind in CONNECT_KINDS:
        answer = unary(lab, "Fail", "known", kind)
        error = answer.json()
        assert (answer.status_code, error["code"]) == (400, "invalid_argument")
        assert answer.headers["content-type"] == "application/json"
        assert reason_of(error) == "INVALID_FIELD"
        types = [detail["type"] for detail in error["details"]]
        assert "google.rpc.BadRequest" in types
        assert "google.rpc.RequestInfo" in types
    error = unary(lab, "Fail", "?").json()
    assert error["code"] == "internal"
    assert "secret cause" not in str(error)


@pytest.mark.parametrize(
    ("headers", "status", "code", "reason"),
    [
        ({"connect_timeout_ms": "50"}, 504, "deadline_exceeded", "DEADLINE_EXCEEDED"),
        ({"connect_timeout_ms": "0"}, 504, "deadline_exceeded", "DEADLINE_EXCEEDED"),
        ({"connect_timeout_ms": "1s"}, 400, "invalid_argument", "INVALID_FIELD"),
        ({"connect_timeout_ms": "12345678901"}, 400, "invalid_argument", "INVALID_FIELD"),
        ({"connect_protocol_version": "2"}, 400, "invalid_argument", "UNSUPPORTED_ENCODING"),
        ({"content_encoding": "br"}, 501, "unimplemented", "UNSUPPORTED_ENCODING"),
        ({"content_encoding": "gzip"}, 400, "invalid_argument", "MALFORMED_BODY"),
    ],
)
def test_a_bad_call_is_refused_in_the_protocols_form(
    lab: Bench, headers: dict[str, str], status: int, code: str, reason: str
) -> None:
    with logged() as lines:
        answer = unary(lab, "Wait", "3", **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert reason_of(answer.json()) == lines[0]["reason"] == reason


def test_bodies_are_compressed_in_both_directions(lab: Bench) -> None:
    value = f"{WORTH_COMPRESSING}xa"
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(encode(lab, value, "json"))
    with lab.http.stream("POST", f"/{lab.name}/Repeat", content=body, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(decode(lab, gzip.decompress(raw), "json")) == WORTH_COMPRESSING
    plain = unary(lab, "Repeat", value, accept_encoding="gzip;q=0")
    assert "content-encoding" not in plain.headers


def test_nothing_past_the_limit_is_unpacked(lab: Bench) -> None:
    headers = {"content-type": "application/proto", "content-encoding": "gzip"}
    bomb = gzip.compress(bytes(100 * LIMIT))
    answer = lab.http.post(f"/{lab.name}/Wait", content=bomb, headers=headers)
    assert (answer.status_code, reason_of(answer.json())) == (429, "REQUEST_TOO_LARGE")
    headers = {"content-type": "application/connect+proto", "connect-content-encoding": "gzip"}
    answer = lab.http.post(f"/{lab.name}/Join", content=sealed(1, bomb), headers=headers)
    assert reason_of(end_of(answer)["error"]) == "REQUEST_TOO_LARGE"
    announced = struct.pack(">BI", 0, LIMIT + 1)
    answer = lab.http.post(
        f"/{lab.name}/Join", content=announced, headers={"content-type": "application/connect+json"}
    )
    assert reason_of(end_of(answer)["error"]) == "REQUEST_TOO_LARGE"


def test_a_method_that_changes_nothing_is_also_a_get(lab: Bench) -> None:
    message = base64.urlsafe_b64encode(encode(lab, "3x√", "proto")).decode().rstrip("=")
    packed = base64.urlsafe_b64encode(gzip.compress(encode(lab, "3x√", "proto"))).decode()
    for query in (
        {"encoding": "proto", "base64": "1", "message": message, "connect": "v1"},
        {"encoding": "proto", "base64": "1", "message": packed, "compression": "gzip"},
        {"encoding": "json", "message": '{"value": "3x√"}'},
    ):
        answer = lab.http.get(f"/{lab.name}/Repeat", params=query)
        assert decode(lab, answer.content, query["encoding"]) == "√√√"
        asked = lab.http.head(f"/{lab.name}/Repeat", params=query)
        assert asked.headers["content-length"] == str(len(answer.content))
    for query, code in (
        ({"encoding": "proto", "base64": "1", "message": "*"}, "invalid_argument"),
        ({"encoding": "json", "message": "{"}, "invalid_argument"),
        ({"encoding": "json", "message": "{}", "connect": "v2"}, "invalid_argument"),
        ({"encoding": "json", "message": "{}", "compression": "br"}, "unimplemented"),
    ):
        assert lab.http.get(f"/{lab.name}/Repeat", params=query).json()["code"] == code


@pytest.mark.parametrize(
    ("request_line", "query", "kind", "status", "header", "expected"),
    [
        ("GET Wait", "encoding=json", "", 405, "allow", "POST"),
        ("GET Count", "encoding=json", "", 405, "allow", "POST"),
        ("PUT Repeat", "", "application/json", 405, "allow", "GET, HEAD, POST"),
        ("GET Repeat", "encoding=xml", "", 415, "accept-post", "application/proto"),
        ("HEAD Repeat", "encoding=", "", 415, "accept-post", "application/proto"),
        ("POST Wait", "", "text/plain", 415, "accept-post", "application/json"),
        ("POST Wait", "", "", 415, "accept-post", "application/json"),
        ("POST Wait", "", "application/connect+json", 415, "accept-post", "application/json"),
        ("POST Count", "", "application/json", 415, "accept-post", "application/connect+json"),
        ("POST Wait", "", "application/grpc", 415, "accept-post", "application/grpc-web"),
    ],
)
def test_what_is_no_call_is_refused_by_http(
    lab: Bench, request_line: str, query: str, kind: str, status: int, header: str, expected: str
) -> None:
    verb, method = request_line.split()
    headers = {"content-type": kind, "x-request-id": "mine-2"}
    with logged() as lines:
        answer = lab.http.request(verb, f"/{lab.name}/{method}?{query}", headers=headers)
    assert answer.status_code == status
    assert expected in answer.headers[header]
    assert answer.headers["x-request-id"] == lines[0]["request_id"] == "mine-2"
    assert lines[0]["transport"] == "connect"


def test_an_unknown_method_is_not_found(lab: Bench) -> None:
    answer = lab.http.post(f"/{lab.name}/Nothing", json={})
    assert answer.status_code == 404


@pytest.mark.parametrize("kind", ["application/connect+proto", "application/connect+json"])
def test_streams_of_connect(lab: Bench, kind: str) -> None:
    answer = streamed(lab, "Count", ["2"], kind)
    assert answer.headers["content-type"] == kind
    *messages, _ = envelopes(answer)
    assert [decode(lab, data, kind) for _, data in messages] == ["0", "1"]
    assert end_of(answer) == {}
    answer = streamed(lab, "Join", ["a", "b", "c"], kind)
    assert decode(lab, envelopes(answer)[0][1], kind) == "a+b+c"
    answer = streamed(lab, "Echo", ["a", "b", "known"], kind)
    *messages, _ = envelopes(answer)
    assert [decode(lab, data, kind) for _, data in messages] == ["a", "b"]
    assert end_of(answer)["error"]["code"] == "invalid_argument"
    assert reason_of(end_of(answer)["error"]) == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("method", "values", "headers", "reason"),
    [
        ("Count", [], {}, "MALFORMED_BODY"),
        ("Count", ["1", "2"], {}, "MALFORMED_BODY"),
        ("Count", ["2"], {"connect_timeout_ms": "x"}, "INVALID_FIELD"),
        ("Count", ["2"], {"connect_protocol_version": "3"}, "UNSUPPORTED_ENCODING"),
        ("Join", ["2"], {"connect_content_encoding": "br"}, "UNSUPPORTED_ENCODING"),
        ("Count", ["3"], {}, "INVALID_FIELD"),
    ],
)
def test_an_error_is_the_end_of_a_stream(
    lab: Bench, method: str, values: list[str], headers: dict[str, str], reason: str
) -> None:
    answer = streamed(lab, method, values, "application/connect+json", **headers)
    assert answer.status_code == 200
    assert reason_of(end_of(answer)["error"]) == reason


@pytest.mark.parametrize(
    "body", [b"\0", b"\0\0\0\0\5abc", sealed(1, b"abc"), sealed(2, b"{}"), sealed(0, b"{")]
)
def test_broken_envelopes_are_refused(lab: Bench, body: bytes) -> None:
    headers = {"content-type": "application/connect+json"}
    answer = lab.http.post(f"/{lab.name}/Join", content=body, headers=headers)
    assert reason_of(end_of(answer)["error"]) == "MALFORMED_BODY"


def test_large_messages_of_a_stream_are_compressed(lab: Bench) -> None:
    values = ["a" * WORTH_COMPRESSING, "b"]
    accepts = {"connect_accept_encoding": "br, gzip"}
    answer = streamed(lab, "Echo", values, "application/connect+proto", **accepts)
    assert answer.headers["connect-content-encoding"] == "gzip"
    [(first, packed), (second, plain), _] = envelopes(answer)
    assert (first, second) == (1, 0)
    assert decode(lab, gzip.decompress(packed), "proto") == values[0]
    assert decode(lab, plain, "proto") == "b"


@pytest.mark.parametrize("kind", GRPC_WEB_KINDS)
def test_grpc_web(lab: Bench, kind: str) -> None:
    with logged() as lines:
        answer = streamed(lab, "Wait", ["0"], kind)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["x-request-id"] == lines[0]["request_id"]
    assert lines[0]["transport"] == "grpc-web"
    assert decode(lab, envelopes(answer)[0][1], kind) == "waited"
    assert trailers(answer) == {"grpc-status": "0"}
    answer = streamed(lab, "Count", ["2"], kind)
    *messages, _ = envelopes(answer)
    assert [decode(lab, data, kind) for _, data in messages] == ["0", "1"]
    answer = streamed(lab, "Fail", ["known"], kind)
    found = trailers(answer)
    assert (found["grpc-status"], found["grpc-message"]) == ("3", "value: is known to be bad")
    details = found["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "ERROR_REASON_INVALID_FIELD"


@pytest.mark.parametrize(
    ("timeout", "status"),
    [("50m", "4"), ("50000u", "4"), ("0n", "4"), ("1", "3"), ("123456789S", "3"), ("-1S", "3")],
)
def test_a_deadline_of_grpc_web(lab: Bench, timeout: str, status: str) -> None:
    answer = streamed(lab, "Wait", ["3"], "application/grpc-web", grpc_timeout=timeout)
    assert trailers(answer)["grpc-status"] == status


def test_text_of_grpc_web_that_is_not_base64_is_refused(lab: Bench) -> None:
    kind = "application/grpc-web-text"
    for body in (b"*", b"AAAA*", b"A"):
        answer = lab.http.post(f"/{lab.name}/Wait", content=body, headers={"content-type": kind})
        assert trailers(answer)["grpc-status"] == "3"


@pytest.mark.parametrize("kind", ["application/connect+json", "application/grpc-web+json"])
def test_a_stream_ends_when_its_client_has_gone(lab: Bench, kind: str) -> None:
    body = sealed(0, encode(lab, str(10**12), kind))
    url, headers = f"/{lab.name}/Count", {"content-type": kind}
    with lab.http.stream("POST", url, content=body, headers=headers) as answer:
        parts = answer.iter_raw()  # kept: an iterator that is dropped closes the connection
        next(parts)
        until(lambda: lab.middleware.has_streams, 10)
    until(lambda: not lab.middleware.has_streams, 10)


def test_an_idle_stream_ends_when_its_client_has_gone(lab: Bench) -> None:
    host, _, port = lab.rest_address.partition(":")
    head = (
        f"POST /{lab.name}/Echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        "content-type: application/connect+json\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode())
        until(lambda: lab.middleware.has_streams, 10)
    until(lambda: not lab.middleware.has_streams, 10)


def test_a_stream_ends_when_the_server_drains() -> None:
    with Bench() as lab:
        body = sealed(0, encode(lab, str(10**12), "json"))
        url, headers = f"/{lab.name}/Count", {"content-type": "application/connect+json"}
        with lab.http.stream("POST", url, content=body, headers=headers) as answer:
            parts = answer.iter_raw()
            next(parts)
            lab.loop.call_soon_threadsafe(lab.middleware.drain)
            began = time.monotonic()
            last = b""
            for part in parts:
                last = (last + part)[-2000:]
            assert time.monotonic() - began < 5
        assert b'"code":"unavailable"' in last


@pytest.mark.parametrize("role", ["read", "none"])
def test_keys_and_roles_are_checked(server: LiveServer, role: str) -> None:
    headers = {"content-type": "application/json"}
    if role != "none":
        headers["authorization"] = f"Bearer {server.key('web-rpc', role)}"
    url = f"http://{server.running.http_address}/spanloom.v1.TraceService/CreateTrace"
    answer = httpx.post(url, content=b"{", headers=headers, trust_env=False)
    expected = {"read": (403, "permission_denied"), "none": (401, "unauthenticated")}
    assert (answer.status_code, answer.json()["code"]) == expected[role]


def test_what_is_written_over_connect_is_read_over_grpc_web(server: LiveServer) -> None:
    with httpx.Client(
        base_url=f"http://{server.running.http_address}",
        headers={"authorization": f"Bearer {server.key('web-rpc-2')}"},
        trust_env=False,
    ) as http:
        written = http.post(
            "/spanloom.v1.TraceService/CreateTrace",
            json={"trace": {"id": "over-connect", "name": "n", "featureSlug": "f"}, "other": 1},
        )
        assert written.status_code == 200, written.text
        assert written.headers["x-ignored-fields"] == "other"
        request = trace_service_pb2.GetTraceRequest(trace_id="over-connect").SerializeToString()
        read = http.post(
            "/spanloom.v1.TraceService/GetTrace",
            content=sealed(0, request),
            headers={"content-type": "application/grpc-web+proto"},
        )
    assert trailers(read)["grpc-status"] == "0"
    answer = trace_service_pb2.GetTraceResponse.FromString(envelopes(read)[0][1])
    assert answer.trace.name == "n"


def test_a_page_of_another_origin_may_call_and_read_the_status(tmp_path: Path) -> None:
    origin = {"origin": "https://app.example"}
    database = f"sqlite:///{tmp_path}/a.db"
    asked = "authorization,connect-protocol-version,connect-timeout-ms,content-type,x-grpc-web"
    preflight = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    with LiveServer(database=database, log_level="error", cors_origins="*") as server:
        url = f"http://{server.running.http_address}/spanloom.v1.TraceService/GetTrace"
        allowed = httpx.options(url, headers=preflight, trust_env=False).headers
        answer = httpx.post(url, json={}, headers=origin, trust_env=False)
    for name in asked.split(","):
        assert name in allowed["access-control-allow-headers"]
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"} <= set(
        exposed
    )


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def gathered(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@given(
    parts=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5),
    size=st.integers(1, 30),
)
def test_envelopes_come_back_from_any_pieces(parts: list[tuple[int, bytes]], size: int) -> None:
    body = b"".join(sealed(flags, data) for flags, data in parts)
    held = Held(ByteBudget(1 << 20))
    assert asyncio.run(gathered(opened(in_pieces(body, size), 40, held))) == parts
    if body:
        with pytest.raises(SpanloomError):
            asyncio.run(gathered(opened(in_pieces(body[:-1], size), 39, held)))


@given(parts=st.lists(st.binary(min_size=1, max_size=20), max_size=5), size=st.integers(1, 30))
def test_base64_in_padded_parts_comes_back_from_any_pieces(parts: list[bytes], size: int) -> None:
    text = b"".join(base64.b64encode(part) for part in parts)
    found = asyncio.run(gathered(decoded(in_pieces(text, size))))
    assert b"".join(found) == b"".join(parts)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_what_accepts_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
