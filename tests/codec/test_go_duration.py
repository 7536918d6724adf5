"""Durations in Go's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.go_duration import parse_duration

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
PARTS = st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(list(UNITS))), min_size=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1h30m", 5400 * 10**9),
        ("1.2s", 1_200_000_000),
        ("100ms", 10**8),
        ("500us", 500_000),
        ("500µs", 500_000),
        (".5ms", 500_000),
        ("2d", 172_800 * 10**9),
        ("1.ns", 1),
        ("0.1ns", 0),
        *((text, None) for text in ("", "1", "-1s", "s", "1x", "1s 2s", "1s,", "custom", "٣s")),
        ("1" * 200 + "s", None),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, expected: int | None) -> None:
    assert parse_duration(text) == expected


@given(PARTS)
def test_parts_are_added_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    expected = sum(number * UNITS[unit] for number, unit in parts)
    assert parse_duration(text) == (expected if len(text) <= 100 else None)


@given(st.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = parse_duration(text)
    assert found is None or found >= 0
