"""A server as its own processes, as users run it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Self

import psutil


class Server:
    """`with Server(database_url) as server:`; listens on free ports, without authentication.
    Options as of `spanloom serve`."""

    def __init__(self, database: str, *options: str) -> None:
        self._command = [
            *(sys.executable, "-m", "spanloom", "serve", "--no-auth", "--database", database),
            *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
            *("--log-level", "warning", *options),
        ]

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        self.start_seconds = time.perf_counter() - started
        self.grpc_address = words[words.index("gRPC") + 1].rstrip(",")
        self.http_address = words[words.index("HTTP") + 1]
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def processes(self) -> list[psutil.Process]:
        supervisor = psutil.Process(self._process.pid)
        return [supervisor, *supervisor.children()]

    def cpu_seconds(self) -> float:
        """What all its processes have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def memory(self) -> int:
        """Bytes that the largest of its processes has resident."""
        return int(max(process.memory_info().rss for process in self.processes()))
