"""A tool's arguments and result, without what SDKs wrap around them."""

from __future__ import annotations

import pytest

from spanloom.genai.tool_io import arguments_of, result_of
from spanloom.model import Json


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ('[{"text": "one"}, {"text": "two", "type": "text"}]', "one\ntwo"),
        ('[{"text": "one", "score": 1}]', [{"text": "one", "score": 1}]),
        ('["one", "two"]', ["one", "two"]),
        ("[]", []),
    ],
)
def test_a_list_of_nothing_but_texts_in_blocks_is_their_text(value: Json, result: Json) -> None:
    assert result_of(value) == result


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ({"args": [], "kwargs": {"city": "Paris"}}, {"city": "Paris"}),
        (
            {"args": [], "sanitize_inputs_outputs": True, "kwargs": {"city": "Paris"}},
            {"city": "Paris"},
        ),
        ({"args": ["Paris"], "kwargs": {}}, {"args": ["Paris"], "kwargs": {}}),
        ({"kwargs": {"a": 1}, "city": "Paris"}, {"kwargs": {"a": 1}, "city": "Paris"}),
    ],
)
def test_the_arguments_of_a_call_in_python_are_those_with_names(
    value: Json, arguments: Json
) -> None:
    assert arguments_of(value) == arguments
