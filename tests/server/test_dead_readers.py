"""Readers of a tail that never read, on each transport: by hand, because client libraries read
ahead."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

METHOD = "/spanloom.v1.SpanService/TailSpans"
READERS = 12
REQUESTS, SPANS = 60, 10
TEXT = "a text of a span, of which many are sent. " * 500
# gRPC's core waits for its blocked streams until the end of the drain.
DRAIN_SECONDS = {"over_rest": 600, "over_connect": 600, "over_grpc": 2}


class Server:
    """`spanloom serve` as a process of its own, whose memory is its own."""

    def __init__(self, directory: Path, drain_seconds: int) -> None:
        self.log = directory / "log"
        options = ("--no-auth", "--log-level", "error", "--workers", "1")
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "spanloom", "serve", *options),
                    *("--database", f"sqlite:///{directory}/a.db"),
                    *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
                ],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "SPANLOOM_DRAIN_TIMEOUT": str(drain_seconds)},
                text=True,
            )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        self.grpc = words[words.index("gRPC") + 1].rstrip(",")
        self.http = words[words.index("HTTP") + 1]

    @property
    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path, open_tail: Callable[..., object]) -> Iterator[Server]:
    running = Server(tmp_path, DRAIN_SECONDS[open_tail.__name__])
    yield running
    running.end()


def connected(address: str, sent: bytes) -> socket.socket:
    """A connection on which a request was sent and nothing more is read than its first answer."""
    host, _, port = address.partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect((host, int(port)))
    connection.sendall(sent)
    assert connection.recv(1)
    return connection


def over_rest(server: Server) -> socket.socket:
    return connected(server.http, b"GET /v1/spans:tail HTTP/1.1\r\nhost: localhost\r\n\r\n")


def over_connect(server: Server) -> socket.socket:
    head = (
        f"POST {METHOD} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        "content-type: application/connect+proto\r\n\r\n"
    )
    return connected(server.http, head.encode() + bytes(5))


def over_grpc(server: Server) -> socket.socket:
    """HTTP/2 that never opens its windows of 64 KiB."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    # Each header as a literal that is not indexed (RFC 7541, 6.2.2).
    packed = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(text)]) + text.encode()
        for name, text in headers.items()
    )
    call = frame(1, 4, packed, stream=1) + frame(0, 1, bytes(5), stream=1)
    return connected(server.grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"") + call)


def frame(kind: int, flags: int, payload: bytes, *, stream: int = 0) -> bytes:
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


@pytest.mark.parametrize("open_tail", [over_rest, over_connect, over_grpc])
def test_dead_readers_hold_neither_memory_nor_the_drain(server: Server, open_tail) -> None:  # type: ignore[no-untyped-def]
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(open_tail(server))
        client = stack.enter_context(
            httpx.Client(base_url=f"http://{server.http}", trust_env=False, timeout=60)
        )
        lines = stack.enter_context(client.stream("GET", "/v1/spans:tail")).iter_lines()
        next(lines)
        before = server.memory
        for request in range(REQUESTS):
            spans = [
                {"traceId": f"t{request}", "spanId": f"s{number}", "input": f"{number} {TEXT}"}
                for number in range(SPANS)
            ]
            client.post("/v1/spans:write", json={"spans": spans}).raise_for_status()
        last = f'"traceId":"t{REQUESTS - 1}"'
        assert any(last in line for line in lines)  # a reader that reads has it all
        sent = REQUESTS * SPANS * len(TEXT)
        # With what the server needs for the writes; each reader alone has been sent `sent` bytes.
        assert server.memory - before < 4 * sent < READERS * sent
        server.process.terminate()
        # It would wait for ever for the readers; half a minute is for a slow machine.
        assert server.process.wait(30) == 0
    assert "Traceback" not in server.log.read_text()
