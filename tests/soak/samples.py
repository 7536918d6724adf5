"""What a soak measures: the latency of calls by class, and what the server's processes hold."""

from __future__ import annotations

import re
import threading
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil

from tests.history.client import Answer, Call, Outcome
from tests.history.servers import Server

# The class of a call: the first whose pattern fits its verb and path.
_CLASSES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("delete", r"DELETE "),
        ("chat", r"POST /agents/|GET /session/|GET .*/messages$"),
        ("search", r"POST /v1/events/search|POST .*/export$|GET .*search|GET /v1/events\?"),
        ("write", r"POST /(events|monitor|v1/traces|v1/spans:write|feedback/create)|PUT "),
        ("sum", r"GET /v1/(usage|traceSummaries:count|events/chart)"),
        ("list", r"GET /v1/(spans|traces|traceSummaries|conversations)(\?|$)"),
        ("point read", r""),
    )
)
TAIL = "tail"
CLASSES = (*(name for name, _ in _CLASSES), TAIL)


def class_of(call: Call) -> str:
    """The class of a call, of `CLASSES`."""
    line = f"{call.verb} {call.path}"
    return next(name for name, pattern in _CLASSES if pattern.match(line))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many of the values do not exceed; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Calls:
    """The calls so far: seconds by class, and how often each class had which code. `faults`: valid
    calls that were refused, or had an internal error.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: defaultdict[str, list[float]] = defaultdict(list)
        self.seconds: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self.codes: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []

    def add(self, call: Call, answer: Answer) -> None:
        """Count a call; one without a connection has no time."""
        name = class_of(call)
        if answer.outcome in (Outcome.OK, Outcome.NOT_FOUND):
            self.took(name, (answer.ended - answer.began) / 1e9)
            return
        code = answer.outcome.value
        if answer.outcome is not Outcome.NOT_SENT:
            code = answer.text.split(" ", 1)[0].partition("(")[0]
        with self._lock:
            self.codes[name, code] += 1
            if answer.outcome in (Outcome.FAULT, Outcome.FAILED):
                self.faults.append(f"{call.verb} {call.path}: {answer.text[:500]}")

    def took(self, name: str, seconds: float) -> None:
        """Count a call of a class that succeeded."""
        with self._lock:
            self._since[name].append(seconds)
            self.seconds[name].append(seconds)
            self.codes[name, "ok"] += 1

    def since(self) -> dict[str, list[float]]:
        """The seconds of each class since the last call of this."""
        with self._lock:
            found, self._since = self._since, defaultdict(list)
        return found


@dataclass(frozen=True, slots=True)
class Process:
    """What a process holds. `age`: seconds since it was started."""

    pid: int
    age: float
    rss: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. `seconds`: since the soak began; `latency`: (p50, p99) of each class since the
    sample before, in seconds.
    """

    seconds: float
    processes: tuple[Process, ...]
    wal_bytes: int
    queue_rows: float
    calls: int
    latency: Mapping[str, tuple[float, float]]


@dataclass
class Sampler:
    """Takes a sample each `every` seconds, until it is stopped."""

    server: Server
    calls: Calls
    wal_bytes: Callable[[], int]
    every: float
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """The sampler's thread."""
        with httpx.Client(trust_env=False, timeout=5) as http:
            while not stop.wait(self.every):
                since = self.calls.since()
                self.samples.append(
                    Sample(
                        time.monotonic() - self.began,
                        _processes(self.server),
                        self.wal_bytes(),
                        self._queue_rows(http),
                        sum(map(len, since.values())),
                        {
                            name: (percentile(values, 0.5), percentile(values, 0.99))
                            for name, values in since.items()
                        },
                    )
                )

    def _queue_rows(self, http: httpx.Client) -> float:
        """What the page of metrics says; 0 while there is none."""
        with suppress(httpx.HTTPError):
            page = http.get(f"http://{self.server.metrics}/metrics").text
            if found := re.search(r"^spanloom_queue_rows (\S+)", page, re.MULTILINE):
                return float(found[1])
        return 0.0


def _processes(server: Server) -> tuple[Process, ...]:
    found = []
    with suppress(psutil.NoSuchProcess):
        all_of_it = server.children()
        if server.pid is not None:
            all_of_it.append(psutil.Process(server.pid))
        for process in all_of_it:
            # A process that was killed a moment ago has no descriptors to count.
            with suppress(psutil.Error), process.oneshot():
                age = time.time() - process.create_time()
                rss = process.memory_info().rss
                threads = process.num_threads()
                if rss:  # else it has ended, and nobody has asked yet how
                    found.append(Process(process.pid, age, rss, process.num_fds(), threads))
    return tuple(found)
