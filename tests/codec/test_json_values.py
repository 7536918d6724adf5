"""Counting the values of a JSON text without reading it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.json_values import has_more_values

TEXT = st.text(alphabet='a",[{\\\n\u00e4')
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def marks(value: Any) -> int:
    """A mark for each container, and one for each of its members but the first."""
    if isinstance(value, (list, dict)):
        members = list(value.values()) if isinstance(value, dict) else value
        return 1 + max(0, len(members) - 1) + sum(map(marks, members))
    return 0


@given(VALUES, st.booleans(), st.integers(0, 30))
def test_values_are_counted_and_not_what_texts_have(
    value: Any, ascii_only: bool, most: int
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    # A text of so many bytes cannot have more values.
    assert has_more_values(data, most) == (marks(value) > most and len(data) > most)


@given(st.binary(max_size=200), st.integers(0, 20))
def test_any_bytes_have_a_number(data: bytes, most: int) -> None:
    assert has_more_values(data, most) in (True, False)


@pytest.mark.parametrize("data", [b'"' * 200_001, b'{"a":"' + b"\\" * 200_001, b'",' * 100_000])
def test_what_is_not_json_takes_no_longer(data: bytes) -> None:
    assert not has_more_values(data + b",[{" * 5, 100_100)
