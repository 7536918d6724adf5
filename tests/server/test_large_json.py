"""JSON in steps is the JSON that comes at once."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.codec import large_json
from spanloom.codec.json_error import JsonError
from spanloom.codec.json_load import load_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values, st.integers(0, 4), st.booleans())
@settings(max_examples=150)
def test_steps_give_what_one_call_gives(value: Any, levels: int, spaced: bool) -> None:
    text = json.dumps(value, indent=2 if spaced else None)
    assert large_json.loads(text, levels=levels) == orjson.loads(text)


@given(st.text(alphabet='[]{}:,"\\ 1-.eEtrufalsn\n', max_size=12), st.integers(0, 3))
@settings(max_examples=300)
def test_what_is_no_json_is_refused(text: str, levels: int) -> None:
    try:
        expected = orjson.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            large_json.loads(text, levels=levels)
    else:
        assert large_json.loads(text, levels=levels) == expected


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 10**308, 0.5, 1e308],
)
@pytest.mark.parametrize("levels", [0, 1])
def test_numbers_are_what_one_call_gives(number: float, levels: int) -> None:
    text = f"[{number}]"
    (found,), (expected,) = large_json.loads(text, levels=levels), orjson.loads(text)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "NaN",
        "[Infinity]",
        "1e400",
        "-1E+400",
        "9" * 400,
        "9" * 5_000,
        "1 2",
        '{"a" 1}',
        "",
    ],
)
def test_odd_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        large_json.loads(text, levels=2)


def test_a_large_text_that_is_nearly_json_is_read_in_steps() -> None:
    members = ",".join(f'{{"a":{number}}}' for number in range(120_000))
    text = f'{{"events":[{members},NaN]}}'
    assert len(text) > large_json.LARGE
    found = load_json(text.encode())
    assert len(found["events"]) == 120_001
    assert math.isnan(found["events"][-1])
    with pytest.raises(JsonError, match=r"line 1, column 1\d{6}\): a comma is missing"):
        load_json(text.replace("NaN", "1 2").encode())
    with pytest.raises(JsonError, match=r"more than one value"):
        load_json(f"{text}1".encode())
    with pytest.raises(JsonError, match="nested too deeply"):
        load_json(text.replace("NaN", "[" * 2000 + "]" * 2000).encode())
