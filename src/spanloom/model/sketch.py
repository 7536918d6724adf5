"""Counts of numbers in buckets whose width grows with the number: sketches that can be added and
subtracted, from which percentiles follow with a bounded relative error.

A bucket holds the numbers in (GROWTH^(n-1), GROWTH^n]; its middle is at most ERROR away from each
of them, relative to the number. Numbers from 1e-6 to 1e15 have a bucket of their own, smaller ones
are 0, and larger ones are in the last.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

ERROR: Final = 0.01
GROWTH: Final = (1 + ERROR) / (1 - ERROR)
_LOG: Final = math.log(GROWTH)
_LEAST, _MOST = 1e-6, 1e15
# The bucket of zeros is 0; that of the least number is 1.
_SHIFT: Final = 1 - math.ceil(math.log(_LEAST) / _LOG)

Sketch = Mapping[int, int]


def bucket_of(number: float) -> int:
    """The bucket of a number."""
    if number < _LEAST:
        return 0
    return math.ceil(math.log(min(number, _MOST)) / _LOG) + _SHIFT


def middle(bucket: int) -> float:
    """The number that a bucket stands for."""
    if bucket == 0:
        return 0.0
    return float(2 * GROWTH ** (bucket - _SHIFT) / (1 + GROWTH))


def packed(sketch: Sketch) -> bytes:
    """A sketch in 6 bytes a bucket: all buckets, then all counts; counts of 0 are left out."""
    kept = sorted((bucket, count) for bucket, count in sketch.items() if count)
    buckets, counts = ([pair[n] for pair in kept] for n in (0, 1))
    return struct.pack(f"<{len(kept)}H{len(kept)}I", *buckets, *counts)


def unpacked(content: bytes) -> dict[int, int]:
    """The same back."""
    number = len(content) // 6
    found = struct.unpack(f"<{number}H{number}I", content)
    return dict(zip(found[:number], found[number:], strict=True))


def added(sketches: Iterable[bytes]) -> dict[int, int]:
    """The sum of packed sketches."""
    # One loop over the buckets of all of them: there may be hundreds of thousands.
    buckets, counts = array("H"), array("I")
    for content in sketches:
        split = len(content) // 3
        buckets.frombytes(content[:split])
        counts.frombytes(content[split:])
    if sys.byteorder == "big":
        buckets.byteswap()
        counts.byteswap()
    total = dict.fromkeys(buckets, 0)
    for bucket, count in zip(buckets, counts, strict=True):
        total[bucket] += count
    return total


def subtracted(sketch: Sketch, other: Sketch) -> dict[int, int]:
    """What is left of a sketch without another that was added to it."""
    left = {bucket: count - other.get(bucket, 0) for bucket, count in sketch.items()}
    return {bucket: count for bucket, count in left.items() if count}


def percentiles(sketch: Sketch, ranks: Sequence[int]) -> dict[int, float | None]:
    """Nearest ranks: of each rank the least number that so many percent of the numbers do not pass,
    within ERROR of it; None of no numbers."""
    buckets = sorted(sketch)
    passed = list(accumulate(map(sketch.__getitem__, buckets)))
    if not passed or passed[-1] <= 0:
        return dict.fromkeys(ranks)
    places = ((rank, max(1, -(-passed[-1] * rank // 100))) for rank in ranks)
    return {rank: middle(buckets[bisect_left(passed, place)]) for rank, place in places}


def percentile(sketch: Sketch, rank: int) -> float | None:
    """One of `percentiles`."""
    return percentiles(sketch, (rank,))[rank]
