"""Refusals: every one has a line in the log, under the id that the caller gets back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from tests.clients import until
from tests.server.lab import Bench

MINE = {"x-request-id": "mine-1"}


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"page {request.path_params.get('name', '')}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    files = Mount("/files", routes=[Route("/{name}", page)])
    with Bench(routes=[Route("/page", page), files]) as bench:
        yield bench


@contextmanager
def logged(number: int = 1) -> Iterator[list[Any]]:
    """The lines that the block has logged, of which there must be so many."""
    with capture_logs() as lines:
        yield lines
        until(lambda: len(lines) >= number)
    assert len(lines) == number, lines


def request_info(answer: httpx.Response) -> str:
    [found] = [d["requestId"] for d in answer.json()["details"] if "requestId" in d]
    return str(found)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("POST", "/nowhere", 404, None),
        ("GET", "/lab/wait", 405, "POST"),
        ("DELETE", "/lab/wait/", 404, None),
        ("POST", "/page", 405, "GET, HEAD"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("GET", "/files/a/b", 404, None),
    ],
)
def test_a_request_for_nothing_is_logged_under_the_callers_id(
    lab: Bench, method: str, path: str, status: int, allowed: str | None
) -> None:
    with logged() as lines:
        answer = lab.http.request(method, path, headers=MINE)
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == request_info(answer) == "mine-1"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["errorCode"] == "ERROR_REASON_ROUTE_NOT_FOUND"
    listed = answer.headers.get("allow")
    assert listed and sorted(listed.split(", ")) == allowed.split(", ") if allowed else not listed
    [line] = lines
    assert (line["request_id"], line["method"]) == ("mine-1", f"{method} {path}")
    assert (line["reason"], line["transport"]) == ("ROUTE_NOT_FOUND", "rest")


def test_an_id_that_cannot_be_one_is_replaced(lab: Bench) -> None:
    with logged() as lines:
        answer = lab.http.get("/nowhere", headers={"x-request-id": "not an id"})
    assert answer.headers["x-request-id"] == lines[0]["request_id"] != "not an id"


def test_a_path_cannot_break_the_line_of_the_log(lab: Bench) -> None:
    with logged() as lines:
        lab.http.get("/nowhere%0a%22" + "x" * 500)
    assert lines[0]["method"].isprintable()
    assert len(lines[0]["method"]) < 200


def test_what_is_no_http_is_logged_under_the_id_of_the_answer(lab: Bench) -> None:
    host, _, port = lab.rest_address.partition(":")
    with logged() as lines, socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"\0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert f"x-request-id: {lines[0]['request_id']}\r\n".encode() in answer
    assert lines[0]["reason"] == "MALFORMED_BODY"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"OPTIONS * HTTP/1.1", b"404"),
        (b"GET http://127.0.0.1/healthz HTTP/1.1", b"200"),
        (b"GET //healthz HTTP/1.1", b"404"),
        (b"GET /healthz/ HTTP/1.1", b"404"),
        (b"GET /%68ealthz HTTP/1.1", b"200"),
        (b"CONNECT a.example:80 HTTP/1.1", b"400"),
        (b"GET /healthz?a=b HTTP/1.0", b"200"),
    ],
)
def test_odd_targets_are_answered(lab: Bench, line: bytes, status: bytes) -> None:
    host, _, port = lab.rest_address.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ")[1] == status, answer
    assert b"x-request-id: " in answer


@pytest.mark.parametrize("value", ["0", "2", "3"])
def test_a_rest_stream_answers_with_the_id_that_is_logged(lab: Bench, value: str) -> None:
    with logged() as lines:
        answer = lab.rest("Count", value, headers=MINE)
    assert answer.headers["x-request-id"] == lines[0]["request_id"] == "mine-1"
    with logged() as lines:
        answer = lab.rest("Count", value)
    assert answer.headers["x-request-id"] == lines[0]["request_id"]


@pytest.mark.parametrize(
    ("method", "value", "reason"),
    [
        ("Wait", "0", ""),
        ("Fail", "known", "INVALID_FIELD"),
        ("Count", "0", ""),
        ("Count", "2", ""),
        ("Count", "3", "INVALID_FIELD"),
    ],
)
@pytest.mark.parametrize("sent", [(), (("x-request-id", "mine-1"),)])
def test_a_grpc_call_ends_with_the_id_that_is_logged(
    lab: Bench, method: str, value: str, reason: str, sent: tuple[tuple[str, str], ...]
) -> None:
    with logged() as lines:
        trailers = dict(trailing_metadata(lab, method, value, sent))
    assert trailers["x-request-id"] == lines[0]["request_id"]
    assert not sent or trailers["x-request-id"] == "mine-1"
    assert lines[0].get("reason", "") == reason
    if reason:
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        info = error_details_pb2.RequestInfo()
        assert any(detail.Unpack(info) for detail in status.details)
        assert info.request_id == trailers["x-request-id"]


def trailing_metadata(lab: Bench, method: str, value: str, sent: Any) -> Any:
    message = lab.text(value=value).SerializeToString()
    kind: Any = lab.channel.unary_stream if method == "Count" else lab.channel.unary_unary
    call = kind(f"/{lab.name}/{method}")
    try:
        if method == "Count":
            answers = call(message, metadata=sent, timeout=20)
            list(answers)
            return answers.trailing_metadata()
        return call.with_call(message, metadata=sent, timeout=20)[1].trailing_metadata()
    except grpc.RpcError as error:
        refused: Any = error
        return refused.trailing_metadata()


def test_only_a_wrong_http_method_makes_an_allow_header(lab: Bench) -> None:
    answer = lab.rest("Fail", "allowed")
    assert answer.status_code == 500
    assert {"allowed": "nothing"} in [d.get("metadata") for d in answer.json()["details"]]
    assert "allow" not in answer.headers


def test_pages_and_mounts_stand_beside_the_contract(lab: Bench) -> None:
    assert lab.http.get("/page").text == "page "
    assert lab.http.get("/files/x").text == "page x"
    assert json.loads(lab.http.get("/healthz", headers=MINE).text) == {"status": "ok"}
    assert lab.http.get("/healthz", headers=MINE).headers["x-request-id"] == "mine-1"
    assert lab.rest("Wait", "0").json() == {"value": "waited"}
