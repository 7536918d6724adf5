"""What is written as a native span is given back as it was written, through a row of the store."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import assume, given

from spanloom.adapters.native.read import read_spans
from spanloom.adapters.native.write import span_message
from spanloom.errors import SpanloomError
from spanloom.model import Span
from spanloom.model.checks import Violations
from spanloom.v1 import span_pb2 as pb
from tests.native.spans import FIELDS, spans
from tests.parts import through_a_row

RECEIVED_NS = 1_700_000_000_123_456_789
# What the server sets, and a part of a message whose other parts the client sent.
OUTPUT_ONLY = ("origin", "update_time", "text_cuts")


def read(span: pb.Span) -> Span:
    [found] = read_spans([span], received_ns=RECEIVED_NS, bad=Violations())
    return through_a_row(found)


def given_back(span: pb.Span) -> pb.Span:
    message = span_message(read(span))
    assert message.origin == pb.SPAN_ORIGIN_SPANS
    for name in OUTPUT_ONLY:
        message.ClearField(name)
    message.model.ClearField("cost_source")
    message.evaluation.ClearField("sampled")
    return message


def test_every_field_that_can_be_written_is_generated() -> None:
    written = {field.name for field in pb.Span.DESCRIPTOR.fields} - {"trace_id", "span_id"}
    assert set(FIELDS) == written - set(OUTPUT_ONLY)


@given(spans)
def test_a_field_that_was_set_is_given_back(span: pb.Span) -> None:
    try:
        found = given_back(span)
    except SpanloomError:
        assume(False)  # a duration that leads out of the range of times
        raise
    for field, value in span.ListFields():
        shown: Any = getattr(found, field.name)
        if field.name == "model":
            # The server may have computed the cost.
            for name in ("cost_usd", "input_cost_usd", "output_cost_usd"):
                if not value.HasField(name):
                    shown.ClearField(name)
        assert MessageToDict(pb.Span(**{field.name: shown})) == MessageToDict(
            pb.Span(**{field.name: value})
        )


@given(spans)
def test_what_is_given_back_can_be_written_again(span: pb.Span) -> None:
    try:
        found = given_back(span)
    except SpanloomError:
        assume(False)
        raise
    assert given_back(found) == found
