"""kill -9 during a stream of batches loses nothing acknowledged, and stores nothing twice."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.databases import DATABASES, new_url

KILLS = 20
WRITERS = 3
BATCH = 10


class Process:
    """`spanloom serve` as a process, on free ports; the first start prints the first key."""

    def __init__(self, database: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "spanloom",
                "serve",
                "--database",
                database,
                "--grpc-address",
                "127.0.0.1:0",
                "--http-address",
                "127.0.0.1:0",
                "--log-level",
                "error",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.key = ""
        self.http = self.grpc = ""
        for line in self.process.stdout:
            if "HTTP " in line:
                self.http = line.rpartition("HTTP ")[2].strip()
                self.grpc = line.partition("gRPC ")[2].partition(",")[0].strip()
            elif line.startswith("database:") and not first_start(database):
                return
            elif line.startswith("first key"):
                self.key = line.rpartition(" ")[2].strip()
                _started.add(database)
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


_started: set[str] = set()


def first_start(database: str) -> bool:
    return database not in _started


@pytest.mark.parametrize("database", DATABASES)
def test_kill_9_loses_nothing_acknowledged(database: str, tmp_path: Path) -> None:
    url = new_url(database, tmp_path)
    server = Process(url)
    key = server.key
    headers = {"Authorization": f"Bearer {key}", "x-spanloom-project": "kill"}
    acknowledged: set[str] = set()
    numbers = itertools.count()
    running = True
    address = server.http

    def write() -> None:
        with httpx.Client(timeout=10, trust_env=False) as http:
            while running:
                ids = [f"event-{next(numbers)}" for _ in range(BATCH)]
                events = [
                    {
                        "event_id": i,
                        "event_type": "tool",
                        "session_id": "s",
                        "inputs": {"q": "x" * 200},
                    }
                    for i in ids
                ]
                try:
                    answer = http.post(
                        f"http://{address}/events/batch", json={"events": events}, headers=headers
                    )
                    if answer.status_code == 200:
                        acknowledged.update(answer.json()["event_ids"])
                except httpx.HTTPError:
                    time.sleep(0.01)

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(KILLS):
            before = len(acknowledged)
            end = time.monotonic() + 20
            while len(acknowledged) < before + 3 * BATCH:
                assert time.monotonic() < end, "nothing was acknowledged"
                time.sleep(0.005)
            server.kill()
            server = Process(url)
            address = server.http
    finally:
        running = False
        for writer in writers:
            writer.join()
    stored: list[str] = []
    for page in itertools.count(1):
        body = {"project": "kill", "limit": 5000, "page": page}
        events = httpx.post(
            f"http://{address}/events/export",
            json=body,
            headers=headers,
            timeout=60,
            trust_env=False,
        ).json()["events"]
        stored += [event["event_id"] for event in events]
        if not events:
            break
    assert server.stop() == 0
    assert len(acknowledged) >= KILLS * 3 * BATCH
    assert acknowledged - set(stored) == set()
    assert len(stored) == len(set(stored))
    for batch in dict.fromkeys(stored):
        assert batch.startswith("event-")


@pytest.mark.parametrize("database", DATABASES)
def test_a_stop_drains_and_a_restart_has_everything(database: str, tmp_path: Path) -> None:
    url = new_url(database, tmp_path)
    server = Process(url)
    headers = {"Authorization": f"Bearer {server.key}"}
    trace = httpx.post(
        f"http://{server.http}/monitor/trace",
        json={"input": "q", "output": "a"},
        headers=headers,
        trust_env=False,
    ).json()["trace"]["id"]
    assert server.stop() == 0
    server = Process(url)
    body = {"project_id": "default", "trace_id": trace}
    chat = httpx.post(
        f"http://{server.http}/agents/traces/chat", json=body, headers=headers, trust_env=False
    ).json()
    assert [m["type"] for m in chat["messages"] if m["type"] != "agent_start"] == [
        "user_message",
        "assistant_message",
    ]
    assert server.stop() == 0
