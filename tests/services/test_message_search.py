"""The search of messages: its pages, and the memory that a late one takes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.callers import Caller, refusal

MB = 1_000_000
BLOB = 40_000


def texts(answer: Any) -> list[str]:
    return [m.content_preview for result in answer.results for m in result.matched_messages]


@pytest.fixture(scope="module")
def many(store: Any) -> Caller:
    """A project of 60 MB: 1,500 calls of a model, each with a question and 40 kB of
    configuration."""
    caller = Caller(store, "searched")
    for first in range(0, 1500, 300):
        caller.create_batch(
            *(
                {
                    "event_type": "model",
                    "event_id": f"m{number}",
                    "session_id": "s",
                    "start_time": 1_700_000_000_000 + number,
                    "duration": 1,
                    "inputs": {"question": f"question {number}"},
                    "config": {"blob": "x" * BLOB},
                }
                for number in range(first, first + 300)
            )
        )
    return caller


def test_a_late_page_takes_no_more_memory_than_the_first(many: Caller) -> None:
    peaks = []
    many.search(limit=1, offset=1400)  # what is made once is made before
    for offset in (0, 10_000, 1400):
        tracemalloc.start()
        answer = many.search(limit=1, offset=offset, roles=["user"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(texts(answer)) == (offset < 1500)
    first, beyond, late = peaks
    assert beyond < 2 * first + MB
    assert late < 2 * first + MB


def test_an_offset_beyond_the_bound_is_refused(many: Caller) -> None:
    assert refusal(many.search, offset=10_001) == ("INVALID_ARGUMENT", {"offset"})
    assert refusal(many.search, offset=2_000_000_000) == ("INVALID_ARGUMENT", {"offset"})


@settings(max_examples=15)
@given(st.integers(0, 1600), st.integers(1, 300))
def test_a_page_is_a_part_of_the_whole(many: Caller, offset: int, limit: int) -> None:
    expected = [f"question {number}" for number in reversed(range(1500))]
    found = many.search(offset=offset, limit=limit, roles=["user"])
    assert texts(found) == expected[offset : offset + limit]
