"""The page of metrics: what one process and several count, and the dashboard that shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spanloom import metrics
from spanloom.client import CallError, Client
from spanloom.v1.span_pb2 import Span
from tests.databases import new_url
from tests.test_cli import ENVIRON

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "spanloom.json"
Labels = frozenset[tuple[str, str]]


class Served:
    """`spanloom serve` with so many workers."""

    def __init__(self, workers: int, database: str, home: Path) -> None:
        addresses = (f"--{name}-address" for name in ("grpc", "http", "metrics"))
        self.log = home / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "spanloom", "serve", "--workers", str(workers)),
                    *("--database", database, "--log-format", "json"),
                    *(part for name in addresses for part in (name, "127.0.0.1:0")),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env=ENVIRON,
                text=True,
            )
        assert self.process.stdout is not None
        printed = "".join(self.process.stdout.readline() for _ in range(4))
        self.url = re.search(r"gRPC (\S+),", printed)[1]  # type: ignore[index]
        self.http = re.search(r"HTTP (\S+)", printed)[1]  # type: ignore[index]
        self.key = re.search(r"(sl_\S+)", printed)[1]  # type: ignore[index]
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        [self.page] = [line["address"] for line in lines if line["event"] == "metrics"]

    def samples(self) -> dict[tuple[str, Labels], float]:
        with urllib.request.urlopen(f"http://{self.page}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for (found, has), value in self.samples().items()
            if found == name and wanted <= set(has)
        )


@contextmanager
def serving(workers: int, database: str, home: Path) -> Iterator[Served]:
    served = Served(workers, database, home)
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.communicate(timeout=60)


def until(check: Any) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("workers", "kind"), [(1, "sqlite"), (2, "postgresql")])
def test_the_page_counts_what_all_processes_did(workers: int, kind: str, tmp_path: Path) -> None:
    with serving(workers, new_url(kind, tmp_path), tmp_path) as served:
        write = "spanloom.v1.SpanService/WriteSpans"
        for number in range(6):  # a connection each, so that they go to different workers
            with Client(served.url, key=served.key) as client:
                client.write_spans([Span(trace_id="t", span_id=f"{number}.{n}") for n in range(5)])
        with Client(served.url, key=served.key) as client, pytest.raises(CallError):
            client.get_span("t", "none")
        plain: Any = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}]}]}
        metric = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "cpu"}]}]}]}
        for signal, sent in (("logs", plain), ("metrics", metric)):
            answer = httpx.post(
                f"http://{served.http}/v1/{signal}",
                json=sent,
                headers={"authorization": f"Bearer {served.key}"},
            )
            assert answer.status_code == 200
        assert served.sum("spanloom_calls_total", method=write, code="OK", project="*") == 6
        assert served.sum("spanloom_call_seconds_count", method=write) == 6
        assert served.sum("spanloom_refusals_total", reason="SPAN_NOT_FOUND") == 1
        assert served.sum("spanloom_spans_stored_total", api="native") == 30
        assert served.sum("spanloom_otlp_dropped_total", kind="log_record") == 2
        assert served.sum("spanloom_otlp_dropped_total", kind="metric") == 1
        assert served.sum("spanloom_commit_rows_sum") >= 30
        assert served.sum("spanloom_commit_seconds_count") >= 1
        assert served.sum("spanloom_flush_seconds_count") >= 1
        # Of several workers, the process beside them writes as well.
        assert served.sum("spanloom_writers") == (1 if workers == 1 else workers + 1)
        assert served.sum("spanloom_queue_rows") == 0
        assert served.sum("spanloom_database_bytes") > 0
        assert served.sum("spanloom_evaluations_waiting") == 0
        assert served.sum("spanloom_build_info") == 1
        if workers > 1:
            supervisor = psutil.Process(served.process.pid)
            first = min(p.pid for p in supervisor.children() if p.nice() == supervisor.nice())
            psutil.Process(first).kill()
            until(lambda: served.sum("spanloom_worker_restarts_total") == 1)
            # What the dead one counted stays.
            assert served.sum("spanloom_spans_stored_total") == 30
        shown = {name for name, _ in served.samples()}
        # Nor where no project has a limit.
        unlimited = {"spanloom_limited_total", "spanloom_project_spans"}
        of_sqlite = {"spanloom_wal_bytes", "spanloom_checkpoint_timestamp_seconds"}
        missing = of_sqlite | unlimited if kind == "postgresql" else unlimited
        assert dashboard_names() - shown <= missing


def dashboard_names() -> set[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    return set(re.findall(r"\bspanloom_\w+", asked))


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    declared = (Path(metrics.__file__)).read_text()
    page = (Path(metrics.__file__).parent / "server" / "metrics_page.py").read_text()
    known = set(re.findall(r'"(spanloom_\w+)"', declared + page))
    known |= {f"spanloom_{name}" for name in re.findall(r'^    "(\w+)": "', page, re.MULTILINE)}
    suffix = re.compile(r"_(total|bucket|sum|count)$")
    assert {suffix.sub("", name) for name in dashboard_names()} == known


def test_a_page_that_cannot_be_shown_stops_nothing(tmp_path: Path) -> None:
    url = new_url("sqlite", tmp_path)
    with serving(1, url, tmp_path) as served:
        done = subprocess.Popen(
            [
                *(sys.executable, "-m", "spanloom", "serve", "--database", f"{url}2"),
                *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
                *("--metrics-address", served.page, "--workers", "1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRON,
            text=True,
        )
        try:
            assert done.stdout is not None
            assert done.stdout.readline().startswith("spanloom listens")
        finally:
            done.terminate()
            _, log = done.communicate(timeout=60)
        assert "there is no page of metrics" in log


def test_projects_are_counted_together_beyond_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MOST_PROJECTS", 2)
    monkeypatch.setattr(metrics, "_projects", set())
    for project in ("a", "b", "c", "d", "a"):
        metrics.called("tests/Method", "OK", "", project, None)
    counted = {p: metrics.CALLS.labels("tests/Method", "OK", p) for p in ("a", "b", "(others)")}
    assert {p: child._value.get() for p, child in counted.items()} == {
        "a": 2,
        "b": 1,
        "(others)": 2,
    }
