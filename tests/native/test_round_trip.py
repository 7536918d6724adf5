"""What is written as a native span is given back as it was written, through a row of the store."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import assume, given

from spanloom.adapters.native.read import read_spans, reread
from spanloom.adapters.native.write import span_message
from spanloom.errors import SpanloomError
from spanloom.model import Span
from spanloom.model.checks import Violations
from spanloom.store.sql import tables
from spanloom.v1 import span_pb2 as pb
from tests.native.spans import FIELDS, spans
from tests.parts import through_a_row

RECEIVED_NS = 1_700_000_000_123_456_789
COLUMNS = [column.name for column in tables.spans.c if hasattr(Span, column.name)]
# What the server sets, and a part of a message whose other parts the client sent.
OUTPUT_ONLY = ("origin", "update_time", "text_cuts")


def read(span: pb.Span) -> Span:
    [found] = read_spans([span], received_ns=RECEIVED_NS, bad=Violations())
    return through_a_row(found)


def given_back(span: pb.Span) -> pb.Span:
    message = span_message(read(span))
    assert message.origin == pb.SPAN_ORIGIN_SPANS
    for name in OUTPUT_ONLY:
        message.ClearField(name)  # type: ignore[arg-type]
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


def test_attributes_set_the_fields_that_they_mean_unless_these_are_set() -> None:
    texts = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Ada",
        "gen_ai.conversation.id": "c",
        "gen_ai.input.messages": '[{"role": "user", "content": "hi"}]',
        "gen_ai.tool.call.arguments": '{"a": 1}',
        "gen_ai.provider.name": "OpenAI",
        "error.type": "timeout",
    }
    span = pb.Span(trace_id="t", span_id="s", model=pb.ModelCall(provider="azure"))
    for name, text in texts.items():
        span.attributes[name].string_value = text
    span.attributes["gen_ai.usage.input_tokens"].int_value = 2**40
    found = given_back(span)
    assert (found.kind, found.operation) == (pb.SPAN_KIND_AGENT, "invoke_agent")
    assert (found.agent.name, found.conversation_id) == ("Ada", "c")
    assert (found.model.provider, found.model.input_tokens) == ("azure", 2**40)
    assert found.status.error_type == "timeout"
    assert found.input.struct_value["a"] == 1
    assert [part.text for part in found.input_messages[0].parts] == ["hi"]
    assert set(found.attributes) == {*texts, "gen_ai.usage.input_tokens"}


def test_attributes_that_nest_too_deep_for_a_field_stay_attributes() -> None:
    span = pb.Span(trace_id="t", span_id="s")
    deep = "[" * 150 + "]" * 150
    span.attributes["gen_ai.tool.definitions"].string_value = deep
    span.attributes["gen_ai.input.messages"].string_value = deep
    found = given_back(span)
    assert found.attributes["gen_ai.tool.definitions"].string_value == deep
    assert not found.HasField("tool_definitions")


@given(spans)
def test_columns_are_the_same_when_a_span_is_read_as_a_whole(span: pb.Span) -> None:
    try:
        [brief] = read_spans([span], received_ns=RECEIVED_NS, bad=Violations())
    except SpanloomError:
        assume(False)
        raise
    whole = reread(brief.sent.message, b"", brief)
    for name in COLUMNS:
        assert getattr(whole, name) == getattr(brief, name), name
    assert whole.trace == brief.trace
    version = brief.genai.agent.version if brief.genai.agent else ""
    assert (whole.genai.agent.version if whole.genai.agent else "") == version
