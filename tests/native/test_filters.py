"""Filters of spans: what the index may narrow them by."""

from __future__ import annotations

import pytest

from spanloom.adapters.native.filters import span_query
from spanloom.model.checks import Violations
from spanloom.v1 import span_pb2


@pytest.mark.parametrize("value", ["12", "1.5", "-1e9", "true", "null", "[1]", "NaN", ""])
def test_a_value_that_may_be_no_text_is_not_looked_for_among_words(value: str) -> None:
    asked = span_pb2.SpanFilter(attributes=[f"a={value}", "b=kumquat"])
    query, _ = span_query(asked, "", Violations())
    assert query.texts == ("kumquat",)
