"""What a server counts and measures about itself.

Of several processes each counts in files of a directory that they share; prometheus-client does so
if `PROMETHEUS_MULTIPROC_DIR` is set before this module is imported.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, multiprocess

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
# Each has a series for each method; more are counted together.
_MOST_PROJECTS: Final = 200
_OTHER_PROJECTS: Final = "(others)"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

CALLS: Final = Counter(
    "spanloom_calls", "Calls that have ended, streams too.", ["method", "code", "project"]
)
CALL_SECONDS: Final = Histogram(
    "spanloom_call_seconds",
    "Duration of calls with one request and one response.",
    ["method"],
    buckets=_SECONDS,
)
REFUSALS: Final = Counter(
    "spanloom_refusals", "Calls and requests that were refused, by reason.", ["reason"]
)
LIMITED: Final = Counter(
    "spanloom_limited",
    "Calls, and messages of streams, that were refused by a limit of a project or of a key.",
    ["limit", "project"],
)
STORED_SPANS: Final = Gauge(
    "spanloom_project_spans",
    "Spans of projects that have a quota and were written to in the last minute.",
    ["project"],
    multiprocess_mode="livemax",
)
SPANS_STORED: Final = Counter(
    "spanloom_spans_stored", "Spans that were stored, replaced ones too, by API.", ["api"]
)
DROPPED: Final = Counter(
    "spanloom_otlp_dropped",
    "Log records that say nothing of GenAI, and metrics, which were accepted and dropped.",
    ["kind"],
)
QUEUE_ROWS: Final = Gauge(
    "spanloom_queue_rows", "Rows that wait to be committed.", multiprocess_mode="livesum"
)
QUEUE_BYTES: Final = Gauge(
    "spanloom_queue_bytes", "Bytes that wait to be committed.", multiprocess_mode="livesum"
)
COMMIT_ROWS: Final = Histogram("spanloom_commit_rows", "Rows of a commit group.", buckets=_ROWS)
COMMIT_SECONDS: Final = Histogram(
    "spanloom_commit_seconds",
    "Duration of a commit group's transaction, with COMMIT.",
    buckets=_SECONDS,
)
FLUSH_SECONDS: Final = Histogram(
    "spanloom_flush_seconds",
    "Duration of COMMIT, most of which is the flush to the disk.",
    buckets=_SECONDS,
)
WRITERS: Final = Gauge(
    "spanloom_writers", "Threads that write to the database.", multiprocess_mode="livesum"
)
FORWARDED_SPANS: Final = Counter(
    "spanloom_forwarded_spans", "Spans that the receiver has taken, or refused.", ["outcome"]
)
FORWARD_REPEATS: Final = Counter(
    "spanloom_forward_repeats", "Requests to the receiver that failed and are repeated."
)
for _outcome in ("taken", "refused"):  # shown from the beginning
    FORWARDED_SPANS.labels(_outcome)
OWN_SPANS: Final = Counter(
    "spanloom_own_spans",
    "Spans of this server about itself that were sent, or dropped.",
    ["outcome"],
)
for _outcome in ("sent", "dropped"):
    OWN_SPANS.labels(_outcome)
WORKER_RESTARTS: Final = Counter(
    "spanloom_worker_restarts", "Worker processes that died and were replaced."
)

_projects: set[str] = set()


def called(method: str, code: str, reason: str, project: str, seconds: float | None) -> None:
    """Count a call that has ended. `seconds` is None for a stream, which may be idle."""
    CALLS.labels(method, code, label(project)).inc()
    if reason:
        REFUSALS.labels(reason).inc()
    if seconds is not None:
        CALL_SECONDS.labels(method).observe(seconds)


def refused(method: str, code: str, reason: str, project: str, number: int) -> None:
    """Count calls that were refused before anything was done for them, which took no time."""
    CALLS.labels(method, code, label(project)).inc(number)
    REFUSALS.labels(reason).inc(number)


def stored(adapters: Iterable[str]) -> None:
    """Count spans that were stored, each given by its adapter."""
    for api, number in collections.Counter(adapters).items():
        SPANS_STORED.labels(api or "none").inc(number)


def dropped(kind: str, number: int) -> None:
    """Count what was accepted and dropped: log_record or metric."""
    DROPPED.labels(kind).inc(number)


def process_died(pid: int) -> None:
    """Forget what the process measured of its present, such as its queue; its counts are kept."""
    if DIRECTORY in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def label(project: str) -> str:
    """The project as a label: of many, the later ones are one."""
    if project in _projects:
        return project
    if len(_projects) >= _MOST_PROJECTS:
        return _OTHER_PROJECTS
    _projects.add(project)
    return project
