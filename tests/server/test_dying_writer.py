"""A process whose writer has died ends, and another takes its place."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.clients import until
from tests.databases import new_url
from tests.server.dying_writer import EVENTS


class Served:
    """A server of `dying_writer`, with what it logs in a file."""

    def __init__(self, database: str, home: Path, workers: int) -> None:
        self.fault, self.log = home / "fault", home / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.server.dying_writer", "serve"),
                    *("--database", database, "--workers", str(workers), "--log-level", "error"),
                    *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
                    *("--metrics-address", ""),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "DYING_WRITER": str(self.fault)},
                text=True,
            )
        assert self.process.stdout is not None
        printed = "".join(self.process.stdout.readline() for _ in range(4))
        self.http = re.search(r"HTTP (\S+)", printed)[1]  # type: ignore[index]
        key = re.search(r"(sl_\S+)", printed)[1]  # type: ignore[index]
        self.headers = {"authorization": f"Bearer {key}"}

    def write(self, number: int) -> httpx.Response:
        """Write some events on a connection of its own, so that any process may get it."""
        events = [
            {"event_id": f"e{number}.{n}", "event_type": "tool", "session_id": f"s{number}"}
            for n in range(EVENTS)
        ]
        return httpx.post(
            f"http://{self.http}/events/batch",
            json={"events": events},
            headers=self.headers,
            trust_env=False,
            timeout=60,
        )

    def stored(self, number: int) -> int:
        answer = httpx.post(
            f"http://{self.http}/events/export",
            json={
                "project": "default",
                "filters": [{"field": "session_id", "operator": "is", "value": f"s{number}"}],
            },
            headers=self.headers,
            trust_env=False,
            timeout=60,
        )
        return len(answer.raise_for_status().json()["events"])


@contextmanager
def serving(database: str, home: Path, workers: int) -> Iterator[Served]:
    served = Served(database, home, workers)
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.communicate(timeout=60)


def test_a_worker_whose_writer_died_is_replaced(tmp_path: Path) -> None:
    numbers = itertools.count()
    stop, enough = threading.Event(), threading.Semaphore(0)
    written: list[int] = []
    refused: list[httpx.Response] = []

    with serving(new_url("sqlite", tmp_path), tmp_path, workers=2) as served:

        def write() -> None:
            while not stop.is_set():
                number = next(numbers)
                try:
                    answer = served.write(number)
                except httpx.TransportError:  # its process has stopped to listen
                    continue
                if answer.status_code == 200:
                    written.append(number)
                    enough.release()
                else:
                    refused.append(answer)

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        assert enough.acquire(timeout=60)
        served.fault.touch()
        # Another process has taken its place, and writes go on.
        until(lambda: "exited with status 1; a new one starts" in served.log.read_text(), 60)
        before = len(written)
        until(lambda: len(written) >= before + 20, 60)
        stop.set()
        for writer in writers:
            writer.join(60)
        assert {answer.status_code for answer in refused} == {503}
        assert [served.stored(number) for number in written] == [EVENTS] * len(written)
        assert "a fault that nobody expected" in served.log.read_text()


def test_a_server_of_one_process_ends(tmp_path: Path) -> None:
    with serving(new_url("sqlite", tmp_path), tmp_path, workers=1) as served:
        assert served.write(0).status_code == 200
        served.fault.touch()
        answer = served.write(1)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert served.process.wait(60) == 1
