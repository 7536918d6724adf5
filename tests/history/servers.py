"""`spanloom serve` several times on one database, each with a clock of its own, to be killed at any
moment.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.databases import kill_postgresql

CLOCK = Path(__file__).parent / "clock"
PROJECT = "history"
# How many workers each server has.
WORKERS = {"A": 2, "B": 1}
# Seconds after which another process judges what a killed one had taken.
EVALUATION_LEASE = 5
_LONGEST_START = 180.0


def new_key(database: str) -> str:
    """A key for all that is done in the project, in a new database."""
    of_key = ("keys", "create", "--project", PROJECT, "--role", "admin")
    for command in (("migrate",), of_key):
        made = subprocess.run(
            [sys.executable, "-m", "spanloom", *command, "--database", database],
            capture_output=True,
            text=True,
            check=True,
        )
    return made.stdout.strip()


@dataclass
class Server:
    """One `spanloom serve`. While it is down, `http` is "". `clock`: by how many seconds its clock
    is wrong. `metrics`: the address of its page of metrics, "" for none.
    """

    name: str
    database: str
    log: Path
    workers: int
    metrics: str = ""
    clock: float = 0.0
    http: str = ""
    grpc: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it on new addresses, and return when it listens."""
        paths = [str(CLOCK), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "HISTORY_CLOCK_OFFSET": str(self.clock),
            "SPANLOOM_EVALUATION_LEASE": str(EVALUATION_LEASE),
        }
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "spanloom", "serve"),
                    *("--workers", str(self.workers), "--metrics-address", self.metrics),
                    *("--database", self.database, "--log-level", "error"),
                    *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        listens: list[str] = []
        ready = threading.Event()
        reader = threading.Thread(target=_read, args=(self._process, listens, ready), daemon=True)
        reader.start()
        if not ready.wait(_LONGEST_START) or not listens:
            self.kill()
            raise AssertionError(f"the server did not start: {self.log.read_text()[-2000:]}")
        self.grpc = listens[0].partition("gRPC ")[2].partition(",")[0]
        self.http = listens[0].rpartition("HTTP ")[2].strip()

    def kill(self) -> None:
        """kill -9 of the supervisor and all workers at once."""
        self.http = self.grpc = ""
        if self._process is None:
            return
        workers = self.children()
        for process in (self._process, *workers):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(workers, timeout=10)
        self._process = None

    def kill_worker(self, rng: random.Random) -> bool:
        """kill -9 of one worker, which the supervisor starts again; False where the server is one
        process.
        """
        workers = self.children(recursive=False)
        if workers:
            with suppress(psutil.NoSuchProcess):
                rng.choice(workers).kill()
        return bool(workers)

    @property
    def pid(self) -> int | None:
        """The process that was started, None while it is down."""
        return self._process.pid if self._process else None

    def children(self, *, recursive: bool = True) -> list[psutil.Process]:
        """The workers, and what these started."""
        if self._process is None:
            return []
        try:
            return list(psutil.Process(self._process.pid).children(recursive=recursive))
        except psutil.NoSuchProcess:
            return []


def _read(process: subprocess.Popen[str], listens: list[str], ready: threading.Event) -> None:
    """Read all lines, so that the server never waits for a reader."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.startswith("spanloom listens: "):
                listens.append(line)
            if line.startswith("database:"):
                ready.set()
    ready.set()


class Servers:
    """The servers of one database. The clock of one of them is `skew` seconds behind. `workers`:
    how many each has.
    """

    def __init__(
        self,
        database: str,
        directory: Path,
        rng: random.Random,
        skew: float,
        workers: Mapping[str, int] = WORKERS,
    ) -> None:
        self._rng = rng
        self._skew = skew
        self.all = [
            Server(name, database, directory / f"server-{name}.log", count)
            for name, count in sorted(workers.items())
        ]
        # When (monotonic seconds) what was killed.
        self.killed: list[tuple[float, str]] = []

    @property
    def kills(self) -> Counter[str]:
        """How often what was killed."""
        return Counter(kind for _, kind in self.killed)

    def up(self) -> list[Server]:
        """Those that can be called."""
        return [server for server in self.all if server.http]

    def start(self) -> None:
        """Start those that are down. When all are, another one may have the clock that is behind:
        time goes back for it.
        """
        if not self.up():
            clocks = [-self._skew, *[0.0] * (len(self.all) - 1)]
            self._rng.shuffle(clocks)
            for server, clock in zip(self.all, clocks, strict=True):
                server.clock = clock
        down = [server for server in self.all if not server.http]
        with ThreadPoolExecutor(len(self.all)) as pool:
            list(pool.map(Server.start, down))

    def kill(self, kind: str) -> None:
        """Kill one "worker", one "server", "all" servers, or the "database" (PostgreSQL).

        Workers and the database are up again afterwards.
        """
        if kind == "database":
            kill_postgresql()
        elif kind == "worker":
            if not any(server.kill_worker(self._rng) for server in self.up()):
                return
        else:
            killed = self.all if kind == "all" else [self._rng.choice(self.all)]
            threads = [threading.Thread(target=server.kill) for server in killed]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.killed.append((time.monotonic(), kind))
