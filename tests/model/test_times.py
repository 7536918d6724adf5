"""Times as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.times import EPOCH, written_time


def test_a_distance_from_now() -> None:
    for text, distance in (
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ):
        before = datetime.now(UTC)
        past, future = written_time(text), written_time(text, sign=1)
        after = datetime.now(UTC)
        assert before - distance <= past <= after - distance
        assert before + distance <= future <= after + distance


def test_iso_8601_is_in_utc_without_a_zone() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for text in ("2026-01-31T12:00", "2026-01-31T12:00Z", "2026-01-31T14:00+02:00"):
        assert written_time(text) == noon


def test_a_distance_beyond_all_times() -> None:
    assert written_time("999999w") == EPOCH
    with pytest.raises(ValueError):
        written_time("999999w", sign=1)


@given(st.text(max_size=30), st.sampled_from((-1, 1)))
def test_any_text_is_a_time_or_refused(text: str, sign: int) -> None:
    with suppress(ValueError):
        assert written_time(text, sign=sign).tzinfo is not None
