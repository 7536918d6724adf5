"""`spanloom serve` as a process, and batches of events that are written to it and counted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

EVENTS = 10  # of a batch


class Served:
    """A server that listens.

    Args:
        log: The file that takes its log.
        key: "" for the first key, which the first server of a database prints.
    """

    def __init__(
        self,
        database: str,
        log: Path,
        *,
        workers: int,
        key: str = "",
        program: str = "spanloom",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.log = log
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", program, "serve", "--metrics-address", ""),
                    *("--database", database, "--workers", str(workers), "--log-level", "error"),
                    *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
                ],
                stdout=subprocess.PIPE,
                stderr=file,
                env=environ,
                text=True,
            )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(3 if key else 4)]
        assert lines[0].startswith("spanloom listens"), log.read_text()
        self.http = lines[0].rpartition("HTTP ")[2].strip()
        self.key = key or re.search(r"(sl_\S+)", lines[3])[1]  # type: ignore[index]
        self._headers = {"authorization": f"Bearer {self.key}"}

    def write(self, number: int) -> httpx.Response:
        """Write a batch on a connection of its own, so that any process may get it."""
        events = [
            {"event_id": f"e{number}.{n}", "event_type": "tool", "session_id": f"s{number}"}
            for n in range(EVENTS)
        ]
        return self._post("/events/batch", {"events": events})

    def stored(self, number: int) -> int:
        """How many events of a batch are there."""
        of_batch = {"field": "session_id", "operator": "is", "value": f"s{number}"}
        answer = self._post("/events/export", {"project": "default", "filters": [of_batch]})
        return len(answer.raise_for_status().json()["events"])

    def stop(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode

    def _post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(
            f"http://{self.http}{path}",
            json=body,
            headers=self._headers,
            trust_env=False,
            timeout=60,
        )


@contextmanager
def stopped(served: Served) -> Iterator[Served]:
    """The server, which is stopped at the end."""
    try:
        yield served
    finally:
        served.stop()
