"""Records of other products: whatever strangers write, it is a span, a review or a reason."""

from __future__ import annotations

import contextlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.errors import SpanloomError
from spanloom.operations.imports.langfuse import made_of
from spanloom.operations.imports.phoenix import span_of
from spanloom.operations.imports.records import BadRecord, records_of, time_ns
from spanloom.v1 import span_pb2

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(), of, max_size=3)
)
LANGFUSE_NAMES = (
    *("id", "trace_id", "traceId", "type", "start_time", "startTime", "end_time", "timestamp"),
    *("name", "value", "data_type", "string_value", "input", "output", "metadata", "usage"),
    *("usage_details", "cost_details", "model_parameters", "tags", "observations", "scores"),
    *("latency", "prompt_name", "prompt_version", "completion_start_time", "tool_definitions"),
)
TIMES = st.sampled_from(["2024-05-29 13:46:19.963000", 1717000000000])
KINDS = st.sampled_from(["SPAN", "GENERATION", "EVENT", "EMBEDDING", "TOOL"])
ROWS = st.dictionaries(st.sampled_from(LANGFUSE_NAMES), JSON) | st.fixed_dictionaries(
    {"id": st.text(), "trace_id": st.text(), "type": KINDS, "start_time": TIMES},
    optional=dict.fromkeys(LANGFUSE_NAMES[5:], JSON),
)
SPANS = st.fixed_dictionaries(
    {
        "context": st.just({"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1"}) | JSON,
        "start_time": TIMES | JSON,
    },
    optional=dict.fromkeys(
        ("name", "parent_id", "end_time", "attributes", "events", "attributes.metadata"), JSON
    ),
)


def lines_of(values: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, values)).encode()


@given(ROWS)
def test_any_row_of_langfuse_is_made_or_refused(row: dict[str, Any]) -> None:
    try:
        made = list(made_of(row))
    except (ValueError, OverflowError):
        return
    for one in made:
        one.SerializeToString()


@given(SPANS)
def test_any_row_of_phoenix_is_made_or_refused(row: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError, OverflowError):
        span_of(row).SerializeToString()


@given(st.binary(max_size=200) | st.lists(JSON).map(lines_of))
def test_any_bytes_have_records_or_a_reason(data: bytes) -> None:
    with contextlib.suppress(SpanloomError):
        for place, record in records_of(io.BytesIO(data)):
            assert place
            assert isinstance(record, dict | BadRecord)


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2024-05-29 13:46:19.963000", 1_716_990_379_963_000_000),
        ("2024-05-29T13:46:19.963Z", 1_716_990_379_963_000_000),
        ("2024-05-29T15:46:19.963+02:00", 1_716_990_379_963_000_000),
        ("2024-05-29T13:46:19.123456789Z", 1_716_990_379_123_456_789),
        ("2024-05-29T13:46:19", 1_716_990_379_000_000_000),
        (1_716_990_379, 1_716_990_379_000_000_000),
        (1_716_990_379_963, 1_716_990_379_963_000_000),
        (1_716_990_379_963_000, 1_716_990_379_963_000_000),
        (1_716_990_379_963_000_000, 1_716_990_379_963_000_000),
        (datetime(2024, 5, 29, 13, 46, 19, tzinfo=UTC), 1_716_990_379_000_000_000),
        (None, None),
        ("", None),
        (float("nan"), None),
    ],
)
def test_times_of_every_spelling(given_time: object, expected: int | None) -> None:
    assert time_ns(given_time) == expected


@pytest.mark.parametrize("wrong", ["soon", "2024-13-01 00:00:00", True, [], {}])
def test_what_is_no_time_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is no time|month must be"):
        time_ns(wrong)


def test_only_tokens_of_langfuse_are_tokens() -> None:
    row = {"id": "a", "trace_id": "t", "type": "GENERATION", "start_time": 1_717_000_000}
    for unit, expected in (("TOKENS", 7), (None, 7), ("CHARACTERS", None)):
        [span] = made_of({**row, "usage": {"unit": unit, "input": 7, "output": 0}})
        assert isinstance(span, span_pb2.Span)
        has = span.model.HasField("input_tokens")
        assert (span.model.input_tokens if has else None) == expected


def test_a_document_over_several_lines_is_one_record() -> None:
    text = json.dumps({"id": 1, "timestamp": "x"}, indent=1).encode()
    [place] = records_of(io.BytesIO(b"\n" + text))
    assert place == ("record 1", {"id": 1, "timestamp": "x"})
