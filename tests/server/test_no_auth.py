"""`--no-auth` answers what this machine sends, and not what web pages of other sites send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from spanloom.v1 import event_pb2, event_service_pb2
from tests.clients import GrpcClient
from tests.servers import LiveServer

EVENT = {"events": [{"event_type": "tool", "event_id": "sent"}]}
JSON = {"content-type": "application/json"}
TOOL = event_pb2.Event(event_type="tool")


@pytest.fixture(params=[""])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server without authentication, with the marked CORS origins."""
    with (
        LiveServer(
            database=f"sqlite:///{tmp_path}/spanloom.db",
            log_level="error",
            no_auth=True,
            cors_origins=request.param,
        ) as server,
        httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client,
    ):
        yield client


def stored(client: httpx.Client) -> int:
    """How many events there are; they are deleted."""
    ids = [e["event_id"] for e in client.post("/events/export", json={}).json()["events"]]
    for event_id in ids:
        client.delete(f"/v1/events/{event_id}").raise_for_status()
    return len(ids)


def refused(answer: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["errorCode"]) == (status, f"ERROR_REASON_{reason}")
    return body


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:4318"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "10.0.0.1"},
        {"host": "[2001:db8::1]:4318"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": "http://localhost@evil.example"},
        {"origin": "http://localhost:1@evil.example"},
        {"origin": "localhost"},
        {"host": "localhost:x"},
    ],
    ids=str,
)
def test_a_foreign_host_or_origin_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    for answer in (
        client.post("/events/batch", json=EVENT, headers=headers),
        client.get("/v1/traces", headers=headers),
        client.post("/v1/events/stream", json={}, headers=headers),
        client.post("/v1/traces", content=b"{}", headers={**JSON, **headers}),
    ):
        body = refused(answer, 403, "FOREIGN_SITE")
        assert next(iter(headers)) in body["message"]
    assert not stored(client)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost"},
        {"host": "LOCALHOST:4318"},
        {"host": "127.0.0.1"},
        {"host": "127.8.8.8:1"},
        {"host": "[::1]:4318"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://[::1]:3000"},
        {"origin": "http://127.0.0.1"},
    ],
    ids=str,
)
def test_this_machine_is_answered(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.post("/events/batch", json=EVENT, headers=headers).status_code == 200
    assert stored(client) == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain; charset=application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "a/json",
        "x",
    ],
)
@pytest.mark.parametrize("path", ["/events/batch", "/v1/events/batch"])
def test_json_under_another_type_is_refused(
    client: httpx.Client, content_type: str, path: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post(path, content=b'{"events": [{"event_type": "tool"}]}', headers=headers)
    assert "application/json" in refused(answer, 415, "UNSUPPORTED_ENCODING")["message"]
    assert not stored(client)


@pytest.mark.parametrize(
    "content_type", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/a+json"]
)
def test_json_under_its_own_types_is_read(client: httpx.Client, content_type: str) -> None:
    body = b'{"events": [{"event_type": "tool"}]}'
    headers = {"content-type": content_type}
    assert client.post("/events/batch", content=body, headers=headers).status_code == 200
    assert stored(client) == 1


def test_protobuf_and_requests_without_a_body_need_no_json_type(client: httpx.Client) -> None:
    request = event_service_pb2.CreateEventBatchRequest(events=[TOOL])
    headers = {"content-type": "application/x-protobuf"}
    body = request.SerializeToString()
    assert client.post("/events/batch", content=body, headers=headers).status_code == 200
    assert client.post("/v1/traces", content=b"", headers=headers).status_code == 200
    assert client.post("/v1/traces", content=b"{}", headers=JSON).status_code == 200
    assert client.post("/events/export").status_code == 200
    assert client.request("GET", "/v1/traces", content=b"{}").status_code == 200
    assert stored(client) == 1


@pytest.mark.parametrize("client", ["https://app.example", "*"], indirect=True)
def test_pages_of_the_cors_origins_may_call(client: httpx.Client) -> None:
    headers = {"origin": "https://app.example"}
    answer = client.post("/events/batch", json=EVENT, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")


@pytest.mark.parametrize("client", ["https://app.example"], indirect=True)
def test_other_pages_may_not(client: httpx.Client) -> None:
    answer = client.post("/events/batch", json=EVENT, headers={"origin": "https://b.example"})
    refused(answer, 403, "FOREIGN_SITE")


def test_with_keys_none_of_this_is_asked(server: LiveServer) -> None:
    key = server.key("with keys")
    with httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client:
        answer = client.post(
            "/events/batch",
            content=b'{"events": [{"event_type": "tool"}]}',
            headers={
                "authorization": f"Bearer {key}",
                "content-type": "text/plain",
                "origin": "https://evil.example",
                "host": "spanloom.example",
            },
        )
    assert answer.status_code == 200


def test_grpc_needs_none_of_it(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/spanloom.db"
    with LiveServer(database=database, log_level="error", no_auth=True) as server:
        client = GrpcClient(server.running.grpc_address)
        request = event_service_pb2.CreateEventBatchRequest(events=[TOOL])
        assert client.call("EventService/CreateEventBatch", request).event_ids
        client.close()


@pytest.mark.parametrize("value", ["café".encode(), "café".encode("latin-1")])
def test_a_header_is_read_as_utf8_else_latin1(server: LiveServer, value: bytes) -> None:
    with httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client:
        headers = {b"authorization": f"Bearer {server.key()}".encode()}
        event = {"events": [{"event_type": "tool", "event_id": f"by {value!r}"}]}
        client.post(
            "/events/batch", json=event, headers={**headers, b"x-spanloom-project": value}
        ).raise_for_status()
        own = {"authorization": f"Bearer {server.key('café')}"}
        events = client.post("/events/export", json={}, headers=own).json()["events"]
        assert f"by {value!r}" in [e["event_id"] for e in events]


def test_a_project_that_is_no_ascii_comes_as_bytes_over_grpc(server: LiveServer) -> None:
    with grpc.insecure_channel(server.running.grpc_address) as channel:
        call: Any = channel.unary_unary("/spanloom.v1.EventService/CreateEventBatch")
        request = event_service_pb2.CreateEventBatchRequest(
            events=[event_pb2.Event(event_type="tool", event_id="by gRPC")]
        )
        call(
            request.SerializeToString(),
            metadata=[
                ("authorization", f"Bearer {server.key()}"),
                ("x-spanloom-project-bin", "naïve".encode()),
            ],
        )
    with httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client:
        own = {"authorization": f"Bearer {server.key('naïve')}"}
        events = client.post("/events/export", json={}, headers=own).json()["events"]
        assert [e["event_id"] for e in events] == ["by gRPC"]
