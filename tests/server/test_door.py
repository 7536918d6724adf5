"""Health is answered by a thread of its own, which leaves everything else to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.server import health
from spanloom.server.health import Health
from spanloom.server.http import door
from tests.clients import until
from tests.server.lab import Bench

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n"
CALL = b"POST /lab/wait HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CALL += b'Content-Length: 3\r\n\r\n"0"'


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


@pytest.fixture
def connection(lab: Bench) -> Iterator[socket.socket]:
    with connect(lab) as opened:
        yield opened


def connect(lab: Bench) -> socket.socket:
    host, _, port = lab.rest_address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def ask(connection: socket.socket, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of the answer."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]) and not request.startswith(b"HEAD"):
        body += connection.recv(65_536)
    return int(status.split()[1]), headers, body


@contextlib.contextmanager
def blocked(lab: Bench) -> Iterator[threading.Event]:
    """Nothing runs on the event loop; the event is set when it does again."""
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        end.wait(20)

    lab.loop.call_soon_threadsafe(block)
    lab.loop.call_soon_threadsafe(ended.set)
    assert begun.wait(20)
    try:
        yield ended
    finally:
        end.set()
        assert ended.wait(20)


def test_health_is_answered_while_the_event_loop_is_blocked(lab: Bench) -> None:
    with blocked(lab) as ended, connect(lab) as connection:
        assert ask(connection, HEALTH)[0] == 200
        status, headers, body = ask(connection, READY)
        assert not ended.is_set()
    assert (status, headers["x-request-id"], json.loads(body)) == (200, "mine", {"status": "ok"})


def test_a_process_whose_event_loop_hangs_is_neither_ready_nor_alive(
    lab: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_READY_SECONDS", 0.0)
    with connect(lab) as connection:
        status, _, body = ask(connection, READY)
        assert (status, json.loads(body)) == (503, {"status": "unavailable"})
        assert ask(connection, HEALTH)[0] == 200
        monkeypatch.setattr(health, "_ALIVE_SECONDS", 0.0)
        assert ask(connection, HEALTH)[0] == 503


def test_a_connection_may_ask_for_health_and_then_for_more(connection: socket.socket) -> None:
    assert ask(connection, HEALTH)[0] == 200
    assert ask(connection, CALL)[0] == 200
    assert ask(connection, HEALTH)[0] == 200
    assert ask(connection, b"GET /healthz?a=b HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200


def test_requests_that_come_together_are_answered_in_turn(connection: socket.socket) -> None:
    connection.sendall(HEALTH + CALL)
    received = b""
    while b"waited" not in received:
        received += connection.recv(65_536)
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_a_connection_is_closed_where_the_client_asks_for_it(connection: socket.socket) -> None:
    closing = b"HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    _, headers, body = ask(connection, closing)
    assert (headers["connection"], headers["content-length"], body) == ("close", "15", b"")
    assert connection.recv(1) == b""


def test_a_request_that_comes_late_is_answered(connection: socket.socket) -> None:
    time.sleep(3 * door._FIRST_SECONDS)
    assert ask(connection, HEALTH)[0] == 200
    assert ask(connection, CALL)[0] == 200


def test_kept_connections_do_not_keep_others_from_asking(
    lab: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_MOST_KEPT", 2)
    with contextlib.ExitStack() as stack:
        each = [stack.enter_context(connect(lab)) for _ in range(4)]
        answers = [ask(connection, HEALTH) for connection in each]
    assert [status for status, _, _ in answers] == [200] * 4
    assert answers[-1][1]["connection"] == "close"


def test_a_store_that_does_not_answer_in_time_makes_unready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: now))
    state = Health()

    async def answers() -> bool:
        return True

    assert (state.is_alive, state.is_ready) == (False, False)
    asyncio.run(state.check(answers))
    assert (state.is_alive, state.is_ready) == (True, True)
    now += health._READY_SECONDS
    assert (state.is_alive, state.is_ready) == (True, False)
    asyncio.run(state.check(answers))
    assert state.is_ready
    state.close()
    assert not state.is_ready


def test_new_connections_wait_while_the_loop_takes_none(lab: Bench) -> None:
    with contextlib.ExitStack() as stack:
        with blocked(lab):
            each = [stack.enter_context(connect(lab)) for _ in range(20)]
            for connection in each:
                connection.sendall(CALL)
        for connection in each:
            assert b"200 OK" in connection.recv(65_536)


def test_a_server_that_stops_closes_the_connections_of_health() -> None:
    with Bench() as bench:
        with connect(bench) as connection:
            assert ask(connection, HEALTH)[0] == 200
            bench.stop()
            assert connection.recv(1) == b""

        def refused() -> bool:
            try:
                connect(bench).close()
            except ConnectionError:
                return True
            return False

        until(refused, 20)


@given(st.binary(max_size=200))
def test_only_a_plain_request_is_taken_for_health(noise: bytes) -> None:
    assert door.asked(noise) is None
    found = door.asked(HEALTH + noise)
    assert found is not None
    assert found.size == len(HEALTH)
    for header in (b"Content-Length: 1", b"transfer-encoding: chunked", b"Origin: http://x"):
        assert door.asked(HEALTH.replace(b"Host: a", header) + noise) is None
    assert door.asked(HEALTH[:-2]) is None
