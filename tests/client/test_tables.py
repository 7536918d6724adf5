"""Messages as tables of pyarrow and pandas."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from spanloom.client.tables import to_arrow, to_pandas
from spanloom.v1 import query_pb2, span_pb2
from tests.native.spans import spans

AT = datetime(2026, 1, 1, tzinfo=UTC)
SUMMARIES = [
    json_format.ParseDict(
        {
            "traceId": "a",
            "startTime": "2026-01-01T00:00:00Z",
            "duration": "1.5s",
            "status": {"code": "STATUS_CODE_ERROR"},
            "figures": {"spanCount": "3", "costUsd": 0.25},
            "models": ["m", "n"],
        },
        query_pb2.TraceSummary(),
    ),
    query_pb2.TraceSummary(trace_id="b"),
]


def test_a_field_is_a_column_of_its_type() -> None:
    table = to_arrow(SUMMARIES)
    assert str(table.schema.field("start_time").type) == "timestamp[ns, tz=UTC]"
    first, second = table.drop_columns(["start_time"]).to_pylist()
    expected = {
        "trace_id": "a",
        "duration": 1.5,
        "status.code": "error",
        "figures.span_count": 3,
        "figures.cost_usd": 0.25,
        "models": ["m", "n"],
    }
    assert {name: first[name] for name in expected} == expected
    assert second["figures.span_count"] is None
    assert second["models"] == []


def test_a_data_frame_has_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    frame = to_pandas(SUMMARIES)
    assert frame["start_time"][0] == pandas.Timestamp(AT)
    assert pandas.isna(frame["start_time"][1])
    assert frame["figures.span_count"].sum() == 3
    assert frame.loc[frame["status.code"] == "error", "trace_id"].tolist() == ["a"]


def test_json_stays_json() -> None:
    span = span_pb2.Span(trace_id="t", span_id="s")
    span.attributes["a"].int_value = 5
    span.events.add(name="e")
    span.input.struct_value["x"] = "ä"
    [row] = to_arrow([span]).to_pylist()
    assert json.loads(row["attributes"]) == {"a": {"intValue": "5"}}
    assert json.loads(row["events"]) == [{"name": "e"}]
    assert json.loads(row["input"]) == {"x": "ä"}
    assert row["output"] is None


@given(st.lists(spans, min_size=1, max_size=3))
def test_every_span_is_a_row(made: Any) -> None:
    table = to_arrow(made)
    assert isinstance(table, pyarrow.Table)
    assert table["trace_id"].to_pylist() == [span.trace_id for span in made]


def test_of_nothing_there_is_no_table() -> None:
    with pytest.raises(ValueError, match="no message"):
        to_arrow([])
