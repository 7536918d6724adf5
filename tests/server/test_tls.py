"""TLS on both ports."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from spanloom.server import certificates
from spanloom.server.http import door
from spanloom.v1.key_service_pb2 import ListKeysRequest
from spanloom.v1.key_service_pb2_grpc import KeyServiceStub
from tests.servers import LiveServer
from tests.tls_files import Authority


@contextlib.contextmanager
def serving(directory: Path, authority: Authority, **settings: Any) -> Iterator[LiveServer]:
    certificate, key = authority.issue()
    files = {"tls_certificate": certificate, "tls_key": key}
    database = f"sqlite:///{directory}/x.db"
    with LiveServer(database=database, log_level="error", **files, **settings) as live:
        yield live


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("tls"), authority) as live:
        yield live


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    return server.key("tls")


@pytest.fixture
def http(server: LiveServer, authority: Authority, key: str) -> Iterator[httpx.Client]:
    with client(server, authority.context(), key) as made:
        yield made


def client(server: LiveServer, context: ssl.SSLContext, key: str = "") -> httpx.Client:
    return httpx.Client(
        base_url=f"https://{server.running.http_address}",
        verify=context,
        headers={"authorization": f"Bearer {key}"} if key else {},
        trust_env=False,
        timeout=20,
    )


def keys_by_grpc(server: LiveServer, credentials: grpc.ChannelCredentials, key: str) -> list[Any]:
    with grpc.secure_channel(server.running.grpc_address, credentials) as channel:
        metadata = (("authorization", f"Bearer {key}"),)
        listed = KeyServiceStub(channel).ListKeys(ListKeysRequest(), metadata=metadata, timeout=20)
        return list(listed.keys)


def raw(server: LiveServer) -> socket.socket:
    host, _, port = server.running.http_address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_every_protocol_is_served(
    server: LiveServer, http: httpx.Client, authority: Authority, key: str
) -> None:
    [listed] = keys_by_grpc(server, authority.credentials(), key)
    assert http.get("/v1/keys").json()["keys"][0]["keyId"] == listed.key_id
    connect = http.post("/spanloom.v1.KeyService/ListKeys", json={})
    assert connect.json()["keys"][0]["keyId"] == listed.key_id
    web = http.post(
        "/spanloom.v1.KeyService/ListKeys",
        content=bytes(5),
        headers={"content-type": "application/grpc-web+proto"},
    )
    assert listed.key_id.encode() in web.content
    assert b"grpc-status: 0" in web.content
    asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    mcp = http.post("/mcp", json=asked, headers={"accept": "application/json, text/event-stream"})
    assert mcp.json()["id"] == 1


def test_large_requests_and_answers_arrive_whole(http: httpx.Client) -> None:
    text = "0123456789abcdef" * 200_000
    event = {"project": "tls", "event_type": "tool", "event_name": "x", "inputs": {"text": text}}
    made = http.post("/events", json={"event": {**event, "source": "x", "event_id": "large"}})
    assert made.status_code == 200, made.text
    found = http.post("/events/export", json={"project": "tls", "filters": []})
    assert found.json()["events"][0]["inputs"]["text"] == text


def test_uploads_and_cookies_know_the_scheme(http: httpx.Client, key: str) -> None:
    signed_in = http.post("/ui/sign-in", json={"key": key}, headers={"sec-fetch-site": "none"})
    assert signed_in.status_code == 403
    signed_in = http.post(
        "/ui/sign-in", json={"key": key}, headers={"sec-fetch-site": "same-origin"}
    )
    assert "; Secure" in signed_in.headers["set-cookie"]
    upload = {"fileName": "a.txt", "contentType": "text/plain"}
    url = http.post("/files/generate-upload-url", json=upload).json()["uploadUrl"]
    assert url.startswith(str(http.base_url))


def test_a_certificate_of_nobody_is_refused_by_clients(server: LiveServer) -> None:
    with pytest.raises(httpx.ConnectError), client(server, ssl.create_default_context()) as made:
        made.get("/healthz")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_1_is_chosen_in_both_versions(
    server: LiveServer, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(raw(server), server_hostname="localhost") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        connection.sendall(b"GET /v1/keys HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_a_client_without_tls_reads_why(server: LiveServer) -> None:
    with raw(server) as connection:
        connection.sendall(b"GET /v1/keys HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = b""
        while data := connection.recv(1000):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"use https://" in answer


def test_health_is_answered_while_the_event_loop_is_blocked(
    server: LiveServer, http: httpx.Client
) -> None:
    end, ended = threading.Event(), threading.Event()
    server.loop.call_soon_threadsafe(end.wait, 20)
    server.loop.call_soon_threadsafe(ended.set)
    try:
        for _ in range(3):  # on one connection
            assert http.get("/healthz").json() == {"status": "ok"}
        assert not ended.is_set()
    finally:
        end.set()
    assert ended.wait(20)
    assert http.get("/v1/keys").status_code == 200  # the door keeps nothing of the event loop's


def test_half_handshakes_keep_nobody_out(tmp_path: Path, authority: Authority) -> None:
    limits = {"max_connections": 40, "header_timeout": 2.0}
    hello = ssl.MemoryBIO()
    begun = authority.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    first = hello.read()
    with serving(tmp_path, authority, **limits) as server, contextlib.ExitStack() as stack:
        key = server.key("tls")
        idle = [stack.enter_context(raw(server)) for _ in range(100)]
        for number, each in enumerate(idle):
            # A connection that is closed already makes room for another.
            with contextlib.suppress(OSError):
                each.sendall((b"", first[:50], first)[number % 3])
        with client(server, authority.context(), key) as made:
            assert made.get("/v1/keys").status_code == 200
            assert made.get("/healthz").status_code == 200
        host, _, port = server.running.grpc_address.rpartition(":")
        held = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            for _ in range(100)
        ]
        assert len(keys_by_grpc(server, authority.credentials(), key)) == 1
        for each in (*idle, *held):  # all of them end
            with contextlib.suppress(ConnectionError):
                while each.recv(10_000):
                    pass


def test_new_files_are_used_and_connections_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.0)  # each handshake looks
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    with serving(tmp_path, old) as server, client(server, old.context()) as kept:
        assert kept.get("/v1/keys").status_code == 401
        key = server.key("tls")
        with grpc.secure_channel(server.running.grpc_address, old.credentials()) as channel:
            metadata = (("authorization", f"Bearer {key}"),)
            call = KeyServiceStub(channel).ListKeys
            assert call(ListKeysRequest(), metadata=metadata, timeout=20).keys
            certificate, path = old.directory / "server.crt", old.directory / "server.key"
            made = [Path(file).read_bytes() for file in new.issue()]
            for broken in (b"nonsense", b"", made[0]):  # the last one is not that of the key
                certificate.write_bytes(broken)
                assert _trusts(server, old)
                assert len(keys_by_grpc(server, old.credentials(), key)) == 1
            certificate.unlink()
            assert _trusts(server, old)
            certificate.write_bytes(made[0])
            path.write_bytes(made[1])
            assert _trusts(server, new)
            assert len(keys_by_grpc(server, new.credentials(), key)) == 1
            # Both connections are older than the new files.
            assert kept.get("/v1/keys").status_code == 401
            assert call(ListKeysRequest(), metadata=metadata, timeout=20).keys
            assert not _trusts(server, old)


def _trusts(server: LiveServer, authority: Authority) -> bool:
    try:
        with client(server, authority.context()) as made:
            return made.get("/v1/keys").status_code == 401
    except httpx.ConnectError:
        return False


@pytest.mark.parametrize("seconds", [20.0, 0.0], ids=["by the door", "by the event loop"])
def test_a_client_without_a_certificate_gets_health_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(door, "_FIRST_TLS_SECONDS", seconds)  # in which it waits for a handshake
    authority, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    with serving(tmp_path, authority, tls_client_ca=authority.ca) as server:
        key = server.key("tls")
        own = authority.issue("client", "someone@example.org")
        with client(server, authority.context(own), key) as made:
            assert made.get("/v1/keys").status_code == 200
        assert len(keys_by_grpc(server, authority.credentials(own), key)) == 1

        with client(server, authority.context(), key) as made:
            assert not seconds or made.get("/readyz").status_code == 200
            refused = made.get("/v1/keys")
            assert refused.status_code == 401
            assert "certificate" in json.dumps(refused.json())
        foreign = others.issue("client", "someone@example.org")
        with (
            client(server, authority.context(foreign), key) as made,
            pytest.raises(httpx.TransportError),
        ):
            made.get("/healthz")
        for certificate in (None, foreign):
            with pytest.raises(grpc.RpcError) as failure:
                keys_by_grpc(server, authority.credentials(certificate), key)
            assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_new_authorities_of_clients_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.0)
    authority, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    clients = tmp_path / "clients.pem"
    clients.write_text(Path(authority.ca).read_text())
    with serving(tmp_path, authority, tls_client_ca=str(clients)) as server:
        key = server.key("tls")
        own, foreign = (a.issue("client", "someone@example.org") for a in (authority, others))
        for accepted, refused in ((own, foreign), (foreign, own)):
            with client(server, authority.context(accepted), key) as made:
                assert made.get("/v1/keys").status_code == 200
            assert len(keys_by_grpc(server, authority.credentials(accepted), key)) == 1
            with (
                client(server, authority.context(refused), key) as made,
                pytest.raises(httpx.TransportError),
            ):
                made.get("/v1/keys")
            with pytest.raises(grpc.RpcError):
                keys_by_grpc(server, authority.credentials(refused), key)
            clients.write_text(Path(others.ca).read_text())
