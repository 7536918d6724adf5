"""What an HTTP client may send, and how long it may wait, is bounded, with a key or without."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanloom.server.http.connections import Connections, HttpLimits
from tests.clients import until
from tests.servers import LiveServer

# Any time-out is longer than a loaded machine takes for a small request.
LIMITS = {
    "max_header_bytes": 4096,
    "max_url_bytes": 1024,
    "header_timeout": 2.0,
    "body_timeout": 2.0,
    "max_connections_per_address": 8,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    path: Path = tmp_path_factory.mktemp("limits")
    with LiveServer(database=f"sqlite:///{path}/x.db", log_level="error", **LIMITS) as server:
        yield server


def connect(server: LiveServer) -> socket.socket:
    host, _, port = server.running.http_address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the body of an answer after which the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def status_of(server: LiveServer, connection: socket.socket) -> int:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize(
    ("start", "piece", "status", "limit"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ", b"a" * 512, 431, "limit_header_bytes"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"a: bcd\r\n" * 64, 431, "limit_header_bytes"),
        (b"GET /", b"a" * 512, 414, "limit_url_bytes"),
    ],
)
def test_a_head_without_an_end_is_refused(
    server: LiveServer, start: bytes, piece: bytes, status: int, limit: str
) -> None:
    with connect(server) as connection:
        connection.sendall(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(piece)
        try:
            code, body = answer(connection)
        except (ConnectionError, IndexError):  # the answer was lost with what was not read
            return
    assert code == status
    assert limit in json.dumps(body)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz?" + b"a" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 4096 + b"\r\n\r\n", 431),
    ],
)
def test_a_whole_head_that_is_too_large_is_refused(
    server: LiveServer, head: bytes, status: int
) -> None:
    with connect(server) as connection:
        connection.sendall(head)
        code, body = answer(connection)
    assert (code, body["statusCode"]) == (status, status)
    assert body["errorCode"] == "ERROR_REASON_REQUEST_TOO_LARGE"


def test_a_body_larger_than_a_head_may_be_follows_a_small_head(server: LiveServer) -> None:
    connection = http.client.HTTPConnection(server.running.http_address, timeout=30)
    for method, path, status in (("POST", "/v1/spans:write", 401), ("GET", "/healthz", 200)):
        connection.request(method, path, b"x" * 20_000 if method == "POST" else None)
        answered = connection.getresponse()
        answered.read()
        assert answered.status == status
    connection.close()


@pytest.mark.parametrize(
    ("part", "start"),
    [
        ("headers", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"),
        ("body", b"POST /v1/spans:write HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n%s\r\n123"),
    ],
)
def test_what_never_comes_is_not_waited_for(server: LiveServer, part: str, start: bytes) -> None:
    with connect(server) as connection:
        key = f"Authorization: Bearer {server.key('p')}\r\n".encode()
        connection.sendall(start % key if b"%s" in start else start)
        code, body = answer(connection)
    assert code == 408
    assert f"limit_{part}_seconds" in json.dumps(body)


def test_a_connection_without_a_request_is_closed(server: LiveServer) -> None:
    with connect(server) as connection:
        assert connection.recv(1) == b""


def test_idle_connections_make_room_for_new_ones(server: LiveServer) -> None:
    most = LIMITS["max_connections_per_address"]
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(3 * int(most))]
        assert status_of(server, stack.enter_context(connect(server))) == 200
        assert idle[0].recv(1) == b""


class _Fake:
    def __init__(self, address: str, connections: Connections) -> None:
        self.address = address
        self.connections = connections
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def check_time(self, now: float, limits: HttpLimits) -> None:
        raise NotImplementedError


def test_the_connection_that_is_idle_longest_is_closed() -> None:
    connections = Connections(HttpLimits(connections=3, address_connections=2))
    a, b, c, d, e = (_Fake(address, connections) for address in "aabba")
    assert all(map(connections.open, (a, b, c)))
    connections.work(a)
    connections.rest(a)  # b is idle longest, now
    assert connections.open(d)
    assert (a.is_closed, b.is_closed, c.is_closed) == (False, True, False)
    for busy in (a, c, d):
        connections.work(busy)
    assert not connections.open(e)
    connections.closed(c)
    assert connections.open(e)


def test_an_address_closes_its_own_connections_first() -> None:
    connections = Connections(HttpLimits(connections=10, address_connections=1))
    a, b, c = (_Fake(address, connections) for address in "abb")
    assert connections.open(a)
    assert connections.open(b)
    assert connections.open(c)
    assert (a.is_closed, b.is_closed) == (False, True)
    connections.work(c)
    assert not connections.open(_Fake("b", connections))
    assert connections.open(_Fake("c", connections))


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    settings = {"write_timeout": 1.0, "log_level": "error"}
    database = f"sqlite:///{tmp_path}/x.db"
    with LiveServer(database=database, **settings) as server, connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)

        def dropped() -> bool:
            try:
                connection.send(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            return False

        until(dropped, 30)
