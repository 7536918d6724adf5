"""Rows: their order, their bodies (of megabytes, in steps), and what no row can hold."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from spanloom.codec.large_json import LARGE
from spanloom.errors import SpanloomError
from spanloom.model import Io
from spanloom.store.spans import RefusedSpan
from spanloom.store.sql import rows, tables
from spanloom.store.sql.bodies import body_of
from spanloom.store.sql.compression import decompressed
from tests.parts import through_a_row
from tests.store.samples import FULL, a_span


def test_rows_follow_the_order_of_the_table() -> None:
    made = rows.span_rows("p", [FULL])
    [row], [body] = made.spans, made.bodies
    for column, value in zip(tables.spans.c, row, strict=True):
        expected = {
            "project": "p",
            "version": rows.NUMBERED_LATER,
            "agent_version": "",
            "reader": rows.READER,
            "apart": 0,
            "sequence": rows.NUMBERED_LATER,
        }
        assert value == expected.get(column.name, getattr(FULL, column.name, None)), column.name
    assert decompressed(body[2]) == orjson.dumps(body_of(FULL))


def test_a_trace_is_told_by_its_best_span_that_can_be_stored() -> None:
    """The first choice is refused for a user's id that no column can hold, and so is the second."""
    bad = {"user": {"id": "a\0b"}}
    spans = [
        a_span("late root", start_ns=3),
        a_span("root", start_ns=1, body=bad),
        a_span("child", parent_id="root", body=bad),
        a_span("second root", start_ns=2, body=bad),
        a_span("other", trace_id="u", body=bad),
        a_span("nul\0"),
        a_span("below", trace_id="v", parent_id="x"),
    ]
    made = rows.span_rows("p", spans, partial=True)
    user = "user.id"
    assert [(r.index, r.field) for r in made.refused] == [
        (1, user),
        (3, user),
        (4, user),
        (5, "span_id"),
    ]
    assert made.refused[3] == RefusedSpan(5, "span_id", "holds a NUL character")
    assert [row[2] for row in made.spans] == ["late root", "child", "below"]
    assert [(row[1], row[2], row[5]) for row in made.traces] == [("t", 1, 3), ("v", 0, 1)]
    for span in spans:
        alone = replace(span, trace_id="alone")
        made = rows.span_rows("p", [alone], partial=True)
        assert len(made.spans) + len(made.refused) == 1
        assert len(made.traces) == len(made.spans)


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: 2}])
def test_what_cannot_be_stored_is_refused(value: object) -> None:
    with pytest.raises(SpanloomError) as refused:
        rows.json_text({"a": 1, "b": value})
    assert refused.value.violations[0].field == "b"


def test_a_large_body_is_read_back() -> None:
    inputs = {"text": "ä\n" * LARGE, "list": [1, {"b": 1e300}], "none": None}
    assert through_a_row(a_span(body={"inputs": inputs})).io == Io(inputs=inputs)
