"""Ids of traces in capitals, and in the form of a UUID."""

from __future__ import annotations

import pytest

from spanloom.services.trace_ids import other_spellings

DIGITS = "cf39f27376d3b2be5f3654cdc014a42a"
UUID = "cf39f273-76d3-b2be-5f36-54cdc014a42a"


@pytest.mark.parametrize(
    ("asked", "others"),
    [
        (DIGITS, []),
        (UUID, [DIGITS]),
        (DIGITS.upper(), [DIGITS, UUID]),
        (UUID.upper(), [DIGITS, UUID]),
        ("trace-1", []),
        (DIGITS[:-1], []),
        ("c" + UUID.replace("-", "", 1), []),
        ("g" + DIGITS[1:], []),
        ("", []),
    ],
)
def test_other_spellings(asked: str, others: list[str]) -> None:
    assert other_spellings(asked) == others
