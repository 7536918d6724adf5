"""Sketches of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.model import sketch

NUMBERS = st.lists(st.floats(1e-6, 1e14) | st.just(0.0), min_size=1, max_size=50)
SKETCHES = st.dictionaries(st.integers(0, 2500), st.integers(1, 2**32 - 1), max_size=30)


def of(numbers: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for number in numbers:
        bucket = sketch.bucket_of(number)
        found[bucket] = found.get(bucket, 0) + 1
    return found


@given(NUMBERS, st.sampled_from([1, 50, 75, 90, 95, 99, 100]))
def test_a_percentile_is_within_the_error(numbers: list[float], rank: int) -> None:
    place = max(1, -(-len(numbers) * rank // 100))
    exact = sorted(numbers)[place - 1]
    found = sketch.percentile(of(numbers), rank)
    assert found == pytest.approx(exact, rel=sketch.ERROR * 1.0001, abs=1e-12)


@given(SKETCHES)
def test_a_sketch_is_read_as_it_was_written(found: dict[int, int]) -> None:
    content = sketch.packed(found)
    assert sketch.unpacked(content) == found
    assert len(content) == 6 * len(found)


@given(NUMBERS, NUMBERS)
def test_sketches_are_added(first: list[float], second: list[float]) -> None:
    both = sketch.added([sketch.packed(of(first)), sketch.packed(of(second))])
    assert both == of(first + second)
    assert sketch.subtracted(both, of(second)) == of(first)


@given(NUMBERS)
def test_percentiles_are_those_of_each_rank(numbers: list[float]) -> None:
    ranks = (1, 50, 95, 95, 100)
    each = {rank: sketch.percentile(of(numbers), rank) for rank in ranks}
    assert sketch.percentiles(of(numbers), ranks) == each
    assert sketch.percentiles({}, ranks) == dict.fromkeys(ranks)


def test_nothing_has_no_percentile_and_all_numbers_have_a_bucket() -> None:
    assert sketch.percentile({}, 50) is None
    assert sketch.bucket_of(-5.0) == sketch.bucket_of(0.0) == 0
    assert sketch.bucket_of(1e300) == sketch.bucket_of(1e15) < 2**16
    assert sketch.packed({3: 0, 4: -0}) == b""
