"""What rows of lists show of texts and JSON."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spanloom.services.queries.summaries import json_bytes, json_preview, preview, shown
from spanloom.v1 import query_pb2

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_any_json_has_a_preview_that_a_message_can_hold(value: object) -> None:
    summary = query_pb2.TraceSummary(input_preview=json_preview(value))
    assert len(summary.input_preview) <= 200


@given(st.text())
def test_a_text_is_shown_as_far_as_there_is_room(text: str) -> None:
    valid = text.encode(errors="replace").decode()
    assert preview(text) == valid[:200]
    assert shown(text) == valid[:1_000]


def test_the_text_of_json_is_shown_where_it_has_only_one() -> None:
    assert json_preview({"question": "Where?"}) == "Where?"
    assert json_preview("Where?") == "Where?"
    assert (
        json_preview({"b": 1, "a": [10**30]}) == '{"a": [1000000000000000000000000000000], "b": 1}'
    )
    assert json_preview({}) == json_preview(None) == ""
    assert json_bytes({"b": 1, "a": 2}) == b'{"a":2,"b":1}'
