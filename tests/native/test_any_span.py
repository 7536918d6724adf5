"""A span of any adapter, whatever it holds, is given as a native span that can be read again."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import assume, example, given

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.honeyhive.read import read_event
from spanloom.adapters.native.read import read_spans
from spanloom.adapters.native.texts import shown_span, whole_text
from spanloom.adapters.native.write import span_message
from spanloom.adapters.otlp.read import spans_from
from spanloom.codec import json_codec
from spanloom.errors import SpanloomError
from spanloom.model import Span
from spanloom.model.checks import Violations
from spanloom.v1 import event_pb2, span_pb2, trace_pb2
from tests.ingest.otlp.requests import requests
from tests.ingest.strategies import events, traces
from tests.parts import through_a_row

RECEIVED_NS = 1_700_000_000_000_000_000


def check(span: Span) -> None:
    message = span_message(span)
    assert span_pb2.Span.FromString(message.SerializeToString()) == message
    assert json_codec.parse(json_codec.to_json(message), span_pb2.Span) == (message, [])
    assert message.trace_id == span.trace_id
    assert message.origin != span_pb2.SPAN_ORIGIN_UNSPECIFIED
    for cut in shown_span(span, limit=2).text_cuts:
        assert whole_text(span, cut.path) is not None, cut.path
    for name in ("origin", "text_cuts", "update_time"):
        message.ClearField(name)
    # What a tool, an agent or an event of another API has no name for is no native span.
    bad = Violations()
    try:
        [again] = read_spans([message], received_ns=RECEIVED_NS, bad=bad)
    except SpanloomError as refused:
        said = {violation.field.rpartition(".")[2] for violation in refused.violations}
        assert said <= {"name", "time", "traceId", "spanId", "trace_id", "span_id", "role", "slug"}
        return
    _same(span_message(through_a_row(again)), message)


def _same(found: Message, sent: Message) -> None:
    for field, value in sent.ListFields():
        if field.name in ("evaluation", "model", "input", "output"):
            continue  # the server decides some of it, or reads messages
        shown: Any = getattr(found, field.name)
        assert shown == value, field.name


@given(events)
def test_an_event(event: event_pb2.Event) -> None:
    event.event_type = event.event_type or "tool"
    try:
        span = read_event(event, received_ns=RECEIVED_NS)
    except SpanloomError:
        assume(False)
        raise
    check(through_a_row(span))


@given(traces())
@example(
    json_format.ParseDict(
        {
            "id": "1",
            "startTime": "1970-01-01T00:00:00Z",
            "endTime": "2262-04-11T23:47:16.854774273Z",
            "logs": [{"id": "0", "type": "span"}],
        },
        trace_pb2.Trace(),
    )
)
def test_a_trace(trace: trace_pb2.Trace) -> None:
    try:
        read = read_trace(trace, trace_id="t", received_ns=RECEIVED_NS)
    except SpanloomError:
        assume(False)
        raise
    for span in read.spans:
        check(through_a_row(span))


@given(requests)
def test_an_otlp_span(request: Any) -> None:
    for span in spans_from(request, received_ns=RECEIVED_NS).spans:
        check(through_a_row(span))
