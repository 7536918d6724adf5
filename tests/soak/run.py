"""A soak: mixed load for hours at a steady rate, with phases of kills between calm ones, and a
verdict on every write that was acknowledged.
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.databases import postgresql_wal_bytes
from tests.history.objects import Object
from tests.history.report import Report
from tests.history.run import (
    Last,
    Load,
    Round,
    create_evaluator,
    kills_at_random,
    kinds_of_kills,
    read_again,
)
from tests.history.servers import Servers, new_key
from tests.soak.ledger import SPANS, Ledger, Verdict
from tests.soak.reads import all_spans, read
from tests.soak.samples import Calls, Sample, Sampler

ROUND_SECONDS = 60.0
_LEAST_SECONDS = 5.0
# A run has phases: calm, so that a leak shows, and with kills.
_CYCLE_SECONDS = 1200.0
CALM_SHARE = 0.7
BETWEEN_KILLS = (1.0, 8.0)
_READ_AGAIN_OF_A_ROUND = 5
WRITERS = READERS = 2
# Clients that work on objects of the history checker, and how many calls they and the readers make
# for each batch of the ledger.
OBJECT_CLIENTS = 4
OBJECT_CALLS = 3
READS = 1
_LONGEST_TAIL = 60.0

# What a thread does until the event.
Work = Callable[[threading.Event], None]


@dataclass
class Result:
    """What a soak saw. `kills`: when what was killed, in seconds since the beginning."""

    database: str
    history: Report
    calls: Calls
    samples: list[Sample]
    verdict: Verdict
    kills: list[tuple[float, str]]

    @property
    def is_clean(self) -> bool:
        """Whether all promises were kept."""
        return self.history.is_clean and self.verdict.is_clean and not self.calls.faults


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a soak, in seconds: how long it is, and when it ends."""

    length: float
    end: float
    has_kills: bool


def phases(seconds: float, calm_share: float) -> list[Phase]:
    """The phases of a soak of this length."""
    count = max(1, round(seconds / _CYCLE_SECONDS))
    cycle = seconds / count
    calm = cycle * calm_share
    return [
        phase
        for begin in (number * cycle for number in range(count))
        for phase in (
            Phase(calm, begin + calm, has_kills=False),
            Phase(cycle - calm, begin + cycle, has_kills=True),
        )
    ]


def rounds(planned: Iterable[Phase]) -> Iterator[tuple[float, bool]]:
    """The seconds of each round from now on, and whether it has kills: at least one a phase, and as
    many as there is time for.
    """
    began = time.monotonic()
    for phase in planned:
        left = phase.length
        while True:
            yield min(ROUND_SECONDS, left), phase.has_kills
            left = began + phase.end - time.monotonic()
            if left < _LEAST_SECONDS:
                break


def run(
    database: str,
    directory: Path,
    *,
    seed: int,
    seconds: float,
    rate: float,
    every: float,
    calm_share: float = CALM_SHARE,
    progress: Callable[[str], None] = lambda line: None,
) -> Result:
    """Work on a new database; `directory` takes the server's log.

    Args:
        rate: Spans a second, of all writers.
        every: Seconds between two samples.
        calm_share: How much of the time is without kills.
    """
    rng = random.Random(seed)
    servers = Servers(database, directory, rng, 0.0, {"A": 2})
    (server,) = servers.all
    server.metrics = f"127.0.0.1:{_free_port()}"
    key = new_key(database)
    calls = Calls()
    batches = rate / SPANS
    ledger = Ledger(servers, key, calls, WRITERS / batches)
    sampler = Sampler(server, calls, partial(_wal_bytes, database), every)
    load = Load(
        OBJECT_CLIENTS,
        OBJECT_CALLS * batches,
        lambda step, answer: calls.add(step.call, answer),
    )
    history = Report(seed)
    pace = READERS / (READS * batches)
    reading: list[Work] = [sampler.run, ledger.follow]
    reading += [partial(read, servers, key, ledger, calls, pace, n) for n in range(READERS)]
    try:
        servers.start()
        create_evaluator(server, key)
        with _threads(reading):
            assert ledger.follows.wait(_LONGEST_TAIL), "the tail did not begin"
            with _threads([partial(ledger.write, n) for n in range(WRITERS)]):
                _work(servers, key, phases(seconds, calm_share), load, history, progress)
            ledger.await_tail(_LONGEST_TAIL)
        verdict = ledger.verdict(all_spans(server, key))
    finally:
        servers.kill("all")
    history.kills = servers.kills
    kills = [(moment - sampler.began, kind) for moment, kind in servers.killed[:-1]]
    return Result(database, history, calls, sampler.samples, verdict, kills)


def _work(
    servers: Servers,
    key: str,
    planned: Iterable[Phase],
    load: Load,
    report: Report,
    progress: Callable[[str], None],
) -> None:
    """Work on objects of the history checker, kill servers in the phases for it, and check."""
    names = itertools.count(1)
    rng = random.Random(report.seed)
    read_last: list[tuple[Object, Last]] = []
    for number, (length, has_kills) in enumerate(rounds(planned), 1):
        one = Round(servers, key, f"{report.seed}-{number}", names, report, load)
        kinds = kinds_of_kills(servers.all[0].database)
        one.work(length, kills_at_random(rng, kinds, BETWEEN_KILLS) if has_kills else ())
        if has_kills:
            servers.kill("all")
            servers.start()
        found = one.read_all()
        read_last += rng.sample(found, min(len(found), _READ_AGAIN_OF_A_ROUND))
        one.check()
        progress(
            f"round {number}: {report.operations} operations, {servers.kills.total()} kills, "
            f"{report.violations.total()} violations"
        )
    read_again(servers, key, read_last, report)


@contextmanager
def _threads(works: Sequence[Work]) -> Iterator[None]:
    """Run each in a thread of its own until the block ends; what one raises is raised then."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
        for one in running:
            one.result()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wal_bytes(database: str) -> int:
    if database.startswith("postgresql"):
        return postgresql_wal_bytes()
    log = Path(database.removeprefix("sqlite:///") + "-wal")
    return log.stat().st_size if log.exists() else 0
