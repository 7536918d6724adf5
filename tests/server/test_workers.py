"""`--workers`: several processes serve one pair of ports as if they were one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.databases import DATABASES, new_url

SOON = 20.0


class Served:
    """A `spanloom serve` that has printed its start lines."""

    def __init__(self, database: str, grpc_address: str, http_address: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "spanloom", "serve", "--workers", "2"),
                *("--database", database, "--log-level", "error"),
                *("--grpc-address", grpc_address, "--http-address", http_address),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline()]
        assert self.lines[0].startswith("spanloom listens: "), self.lines
        self.grpc = self.lines[0].partition("gRPC ")[2].partition(",")[0]
        self.http = self.lines[0].rpartition("HTTP ")[2].strip()

    def key(self) -> str:
        """The first key, from the lines after the first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("first key"):
                return line.rpartition(" ")[2].strip()
        raise AssertionError("no first key")

    def workers(self) -> list[Any]:
        # The process that indexes stays behind them.
        supervisor = psutil.Process(self.process.pid)
        return [p for p in supervisor.children() if p.nice() == supervisor.nice()]

    def ready(self) -> bool:
        return httpx.get(f"http://{self.http}/readyz", trust_env=False).status_code == 200


@contextmanager
def serving(
    database: str, grpc_address: str = "127.0.0.1:0", http_address: str = "127.0.0.1:0"
) -> Iterator[Served]:
    served = Served(database, grpc_address, http_address)
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.wait(SOON)
        assert served.process.stdout is not None
        served.process.stdout.close()


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("database", DATABASES)
def test_writes_through_every_worker_are_one_store(database: str, tmp_path: Path) -> None:
    with serving(new_url(database, tmp_path)) as served:
        headers = {"Authorization": f"Bearer {served.key()}"}

        def write(number: int) -> str:
            # A connection each, so that they go to different workers.
            answer = httpx.post(
                f"http://{served.http}/events",
                json={"event": {"event_type": "tool", "event_id": f"e{number}", "session_id": "s"}},
                headers=headers,
                trust_env=False,
                timeout=SOON,
            )
            assert answer.status_code == 200, answer.text
            return str(answer.json()["event_id"])

        with ThreadPoolExecutor(8) as pool:
            written = set(pool.map(write, range(100)))
        export = httpx.post(
            f"http://{served.http}/events/export",
            json={"project": "default", "limit": 1000},
            headers=headers,
            trust_env=False,
            timeout=SOON,
        ).json()
        assert {event["event_id"] for event in export["events"]} == written
        assert len(served.workers()) == 2
        served.process.terminate()
        assert served.process.wait(SOON) == 0


def test_workers_share_http_connections(tmp_path: Path) -> None:
    """Connections that are opened at once do not all stay with one worker."""
    with serving(new_url("sqlite", tmp_path)) as served, ExitStack() as stack:
        host, _, port = served.http.rpartition(":")
        for _ in range(64):
            opened = stack.enter_context(socket.create_connection((host, int(port))))
            opened.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert opened.recv(15) == b"HTTP/1.1 200 OK"
        counts = [
            sum(
                connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == int(port)
                for connection in worker.net_connections("tcp")
            )
            for worker in served.workers()
        ]
        assert sum(counts) == 64
        assert min(counts) >= 8


def test_a_dead_worker_is_started_again(tmp_path: Path) -> None:
    with serving(new_url("sqlite", tmp_path)) as served:
        first, second = served.workers()
        first.kill()
        eventually(lambda: len(served.workers()) == 2 and first not in served.workers())
        assert second in served.workers()
        eventually(served.ready)
        with grpc.insecure_channel(served.grpc) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(
                health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=SOON
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    url = new_url("sqlite", tmp_path)
    with serving(url) as served:
        workers = served.workers()
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
        with serving(url, served.grpc, served.http) as again:
            assert (again.grpc, again.http) == (served.grpc, served.http)
            assert again.ready()
        # Who died may stand in the table of processes until their new parent looks.
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def test_two_servers_do_not_share_a_port(tmp_path: Path) -> None:
    with serving(new_url("sqlite", tmp_path)) as served:
        second = subprocess.run(
            [
                *(sys.executable, "-m", "spanloom", "serve", "--workers", "2"),
                *("--database", new_url("sqlite", tmp_path)),
                *("--grpc-address", served.grpc, "--http-address", "127.0.0.1:0"),
            ],
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
        assert second.returncode == 1
        assert "in use" in second.stderr
        assert "Traceback" not in second.stderr
