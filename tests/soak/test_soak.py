"""A short soak on SQLite, and what a soak uses to judge and to draw."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.databases import new_url
from tests.history.client import Call
from tests.soak import plot
from tests.soak.ledger import SPANS, Compared, compared, span_ids, trace_id
from tests.soak.report import growth, markdown, panels
from tests.soak.run import phases, rounds, run
from tests.soak.samples import CLASSES, TAIL, Process, Sample, class_of, percentile


def test_a_short_soak_keeps_every_promise(tmp_path: Path) -> None:
    result = run(
        new_url("sqlite", tmp_path), tmp_path, seed=1, seconds=12, rate=100, every=1, calm_share=0.4
    )
    report = markdown(result)
    assert result.is_clean, report
    assert len(result.kills) >= 2
    assert result.verdict.acknowledged >= 10 * SPANS
    assert result.history.operations >= 20
    assert len(result.calls.seconds[TAIL]) >= 10
    assert any(sample.processes and sample.wal_bytes for sample in result.samples)
    assert "every promise was kept" in report
    drawn = plot.svg(panels(result), [moment for moment, _ in result.kills], "<a soak>")
    lines = ElementTree.fromstring(drawn).findall(".//{*}polyline")
    assert len(lines) == sum(len(panel.lines) for panel in panels(result))


def listed(*numbers: int) -> list[dict[str, str]]:
    return [
        {"traceId": trace_id(number), "spanId": span_id}
        for number in numbers
        for span_id in span_ids(number)
    ]


def test_what_is_lost_doubled_or_returned_is_found() -> None:
    others = [{"traceId": "another", "spanId": "s"}]
    assert compared([1, 2], [3], [*listed(1, 2), *others]) == Compared(0, 0, 0)
    assert compared([1, 2], [3], listed(1)[:-1]) == Compared(SPANS + 1, 0, 0)
    assert compared([1], [], [*listed(1), *listed(1)[:2]]) == Compared(0, 2, 0)
    assert compared([1], [3], [*listed(1), listed(3)[0]]) == Compared(0, 0, 1)


@pytest.mark.parametrize(
    ("verb", "path", "name"),
    [
        ("POST", "/v1/spans:write", "write"),
        ("PUT", "/v1/events/e", "write"),
        ("DELETE", "/v1/traces/t/spans", "delete"),
        ("GET", "/v1/traces/t/messages", "chat"),
        ("GET", "/v1/messages:search?text=a", "search"),
        ("GET", "/v1/traceSummaries:count", "sum"),
        ("GET", "/v1/traceSummaries?page_size=5", "list"),
        ("GET", "/v1/traces/t", "point read"),
        ("POST", "/feedback/query", "point read"),
    ],
)
def test_calls_have_classes(verb: str, path: str, name: str) -> None:
    assert class_of(Call(verb, path)) == name
    assert name in CLASSES


def test_percentiles_and_phases() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([], 0.5) == 0.0
    hour = phases(3600, 0.7)
    assert [phase.end for phase in hour] == pytest.approx([840, 1200, 2040, 2400, 3240, 3600])
    assert [phase.has_kills for phase in hour] == [False, True] * 3
    assert sum(phase.length for phase in hour) == pytest.approx(3600)
    assert list(rounds(phases(4, 0.5))) == [(2, False), (2, True)]


def test_growth_is_that_of_warm_processes() -> None:
    def sample(minutes: float) -> Sample:
        leaking = Process(1, 60 * minutes, int((100 + minutes) * 1e6), 1, 1)
        return Sample(60 * minutes, (leaking, Process(2, 30.0, 10**9, 1, 1)), 0, 0.0, 0, {})

    ((minutes, megabytes, slope),) = growth([sample(n) for n in range(11)])
    assert (minutes, megabytes) == (6.0, 110.0)
    assert slope == pytest.approx(60)
