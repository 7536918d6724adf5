"""The report of a soak: a table for people, and the panels of its plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from tests.soak.plot import Panel
from tests.soak.run import Result
from tests.soak.samples import CLASSES, Process, Sample, percentile

_MB = 1e6
# A process takes what it needs in its first minutes; growth is counted after them.
WARM_SECONDS = 180.0
_FAULTS_SHOWN = 10


def markdown(result: Result) -> str:
    """The whole report."""
    return "\n".join(
        [
            "# Soak",
            "",
            *_head(result),
            "",
            *_verdicts(result),
            "",
            *_latencies(result),
            "",
            *_held(result.samples),
            "",
            *_codes(result),
            "",
        ]
    )


def growth(samples: Sequence[Sample]) -> list[tuple[float, float, float]]:
    """How the memory of the processes that lived longest grew once they were warm: minutes, the
    megabytes at their end, and megabytes an hour (least squares).
    """
    lives: defaultdict[int, list[Process]] = defaultdict(list)
    for sample in samples:
        for process in sample.processes:
            if process.age > WARM_SECONDS:
                lives[process.pid].append(process)
    found = []
    for life in lives.values():
        minutes = (life[-1].age - life[0].age) / 60
        if minutes >= 1 and len(life) > 2:
            points = [(process.age / 3600, process.rss / _MB) for process in life]
            found.append((minutes, life[-1].rss / _MB, _slope(points)))
    return sorted(found, reverse=True)


def panels(result: Result) -> list[Panel]:
    """What the plot shows."""
    samples = result.samples

    def over_time(value: Callable[[Sample], float]) -> list[tuple[float, float]]:
        return [(sample.seconds, value(sample)) for sample in samples]

    def latency(name: str, place: int) -> list[tuple[float, float]]:
        return [
            (sample.seconds, sample.latency[name][place] * 1000)
            for sample in samples
            if name in sample.latency
        ]

    return [
        Panel(
            "Memory (RSS)",
            "MB",
            {
                "all processes": over_time(lambda s: _sum(s, "rss") / _MB),
                "largest process": over_time(lambda s: _most(s, "rss") / _MB),
            },
        ),
        Panel(
            "Descriptors and threads, all processes",
            "",
            {
                "descriptors": over_time(lambda s: _sum(s, "descriptors")),
                "threads": over_time(lambda s: _sum(s, "threads")),
            },
        ),
        Panel("Latency, p50", "ms", {name: latency(name, 0) for name in CLASSES}),
        Panel("Latency, p99", "ms", {name: latency(name, 1) for name in CLASSES}),
        Panel("Write-ahead log", "MB", {"size": over_time(lambda s: s.wal_bytes / _MB)}),
        Panel("Queue of the writers", "rows", {"rows": over_time(lambda s: s.queue_rows)}),
        Panel("Calls that succeeded", "", {"between samples": over_time(lambda s: s.calls)}),
    ]


def _head(result: Result) -> Iterator[str]:
    database = result.database.partition(":")[0].partition("+")[0]
    minutes = result.samples[-1].seconds / 60 if result.samples else 0
    kills = ", ".join(f"{count} of {kind}" for kind, count in sorted(result.history.kills.items()))
    verdict = "every promise was kept" if result.is_clean else "A PROMISE WAS BROKEN"
    yield f"{minutes:.1f} minutes on {database}, seed {result.history.seed}: {verdict}."
    yield f"Kills: {len(result.kills)} ({kills}; the last one of all ends the run)."


def _verdicts(result: Result) -> Iterator[str]:
    yield "## Acknowledged writes"
    yield ""
    verdict, history = result.verdict, result.history
    rows = (
        ("spans that were acknowledged", verdict.acknowledged),
        ("of them deleted later", verdict.deleted),
        ("calls that were sent again", verdict.repeated_calls),
        ("lost", verdict.found.lost),
        ("doubled", verdict.found.doubled),
        ("deleted, and there again", verdict.found.returned),
        ("missing in the tail", verdict.missing_in_tail),
        ("operations in checked histories", history.operations),
        ("of them reads", history.reads),
        ("of them acknowledged writes", history.acknowledged),
        ("violations", history.violations.total()),
        ("histories too hard to decide", history.undecided),
        ("valid calls refused", len(history.faults) + len(result.calls.faults)),
    )
    yield from _table(("What", "Number"), [(name, f"{number:,}") for name, number in rows])
    for text in (*history.examples, *(history.faults + result.calls.faults)[:_FAULTS_SHOWN]):
        yield ""
        yield f"```text\n{text}\n```"


def _latencies(result: Result) -> Iterator[str]:
    yield "## Latency"
    yield ""
    rows = []
    for name in CLASSES:
        seconds = result.calls.seconds[name]
        figures = (percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds, default=0))
        rows.append((name, f"{len(seconds):,}", *(f"{1000 * each:,.1f}" for each in figures)))
    yield from _table(("Class", "Calls", "p50, ms", "p99, ms", "longest, ms"), rows)


def _held(samples: Sequence[Sample]) -> Iterator[str]:
    yield "## What the processes hold"
    yield ""
    # In some moments the server is down.
    samples = [sample for sample in samples if sample.processes]
    rows = [
        (name, f"{min(values, default=0):,.0f}", f"{max(values, default=0):,.0f}")
        for name, values in (
            ("memory of the largest process, MB", [_most(s, "rss") / _MB for s in samples]),
            ("memory of all processes, MB", [_sum(s, "rss") / _MB for s in samples]),
            ("descriptors of all processes", [_sum(s, "descriptors") for s in samples]),
            ("threads of all processes", [_sum(s, "threads") for s in samples]),
            ("write-ahead log, MB", [s.wal_bytes / _MB for s in samples]),
            ("rows in the queue", [s.queue_rows for s in samples]),
        )
    ]
    yield from _table(("What", "Least", "Most"), rows)
    grown = growth(samples)
    if grown:
        yield ""
        yield f"Growth of the processes that lived longest, after {WARM_SECONDS:.0f} seconds:"
        yield ""
        yield from _table(
            ("Minutes", "Memory, MB", "Growth, MB an hour"),
            [(f"{minutes:.1f}", f"{mb:.0f}", f"{slope:+.1f}") for minutes, mb, slope in grown[:8]],
        )


def _codes(result: Result) -> Iterator[str]:
    yield "## Answers by class and code"
    yield ""
    yield from _table(
        ("Class", "Code", "Calls"),
        [(name, code, f"{count:,}") for (name, code), count in sorted(result.calls.codes.items())],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def _most(sample: Sample, name: str) -> float:
    return max((float(getattr(process, name)) for process in sample.processes), default=0.0)


def _sum(sample: Sample, name: str) -> float:
    return sum(float(getattr(process, name)) for process in sample.processes)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
