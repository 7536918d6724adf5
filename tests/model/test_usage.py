"""The edges of buckets of usage."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.usage import HOUR_NS, Bucket, bucket_edges

BERLIN = ZoneInfo("Europe/Berlin")
TIMES = st.integers(0, 4 * 10**18)
LENGTHS = st.integers(1, 400 * 24 * HOUR_NS)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
BUCKETS: tuple[Bucket, ...] = ("", "hour", "day", "week", "month")


def ns(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 10**9


@given(TIMES, LENGTHS, st.sampled_from(BUCKETS), ZONES)
def test_edges_are_full_hours_that_cover_the_range(
    since: int, length: int, bucket: Bucket, zone: str
) -> None:
    edges = bucket_edges(since, since + length, bucket, ZoneInfo(zone))
    assert edges == sorted(set(edges))
    assert all(edge % HOUR_NS == 0 for edge in edges)
    assert edges[0] <= since < edges[0] + HOUR_NS
    assert edges[-1] - HOUR_NS < since + length <= edges[-1]


@pytest.mark.parametrize(
    ("bucket", "edges"),
    [
        # The days before and after a change of the clocks.
        ("day", ["2026-03-28 12:00", "2026-03-29 00:00", "2026-03-30 00:00", "2026-04-02 06:00"]),
        ("week", ["2026-03-28 12:00", "2026-03-30 00:00", "2026-04-02 06:00"]),
        ("month", ["2026-03-28 12:00", "2026-04-01 00:00", "2026-04-02 06:00"]),
        ("", ["2026-03-28 12:00", "2026-04-02 06:00"]),
    ],
)
def test_days_weeks_and_months_begin_at_midnight(bucket: Bucket, edges: list[str]) -> None:
    found = bucket_edges(ns("2026-03-28 12:30"), ns("2026-04-02 05:10"), bucket, BERLIN)
    assert set(map(ns, edges)) <= set(found)
    assert len(found) == (len(edges) if bucket != "day" else 7)


def test_a_range_of_nothing_has_one_empty_bucket() -> None:
    assert bucket_edges(5 * HOUR_NS, 5 * HOUR_NS, "day") == [5 * HOUR_NS, 5 * HOUR_NS]
