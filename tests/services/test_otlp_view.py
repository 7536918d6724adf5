"""Spans of the other adapters, returned as OTLP."""

from __future__ import annotations

import json
import uuid
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.honeyhive.read import read_batch
from spanloom.adapters.otlp.read import spans_from
from spanloom.adapters.otlp.write import span_id_bytes, trace_id_bytes, traces_data
from spanloom.genai.stored import messages_json
from spanloom.model import Span
from spanloom.v1 import event_pb2, event_service_pb2, trace_pb2
from tests.ingest.strategies import events, ids

RECEIVED = 1_800_000_000 * 10**9


def attributes(span: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }


def exported(spans: list[Span]) -> list[Any]:
    return [
        s
        for group in traces_data(spans).resource_spans
        for scope in group.scope_spans
        for s in scope.spans
    ]


def test_a_basalt_trace_in_genai_attributes() -> None:
    trace = json_format.ParseDict(
        {
            "name": "qa",
            "featureSlug": "qa-chatbot",
            "input": "Capital of France?",
            "output": "Paris",
            "user": {"id": "u1"},
            "startTime": "2026-11-20T09:00:00Z",
            "endTime": "2026-11-20T09:00:02Z",
            "logs": [
                {
                    "id": "log-1",
                    "type": "generation",
                    "input": "Capital of France?",
                    "output": "Paris",
                    "inputTokens": 4,
                    "prompt": {"slug": "p"},
                    "metadata": {"error": "late"},
                },
                {
                    "id": "log-2",
                    "type": "tool",
                    "name": "search",
                    "parentId": "log-1",
                    "input": {"q": "France"},
                },
            ],
        },
        trace_pb2.Trace(),
    )
    trace_id = uuid.UUID(int=5).hex
    read = read_trace(trace, trace_id=trace_id, received_ns=RECEIVED)
    root, generation, tool = exported(read.spans)
    assert {s.trace_id.hex() for s in (root, generation, tool)} == {trace_id}
    assert root.span_id == generation.parent_span_id
    assert tool.parent_span_id == generation.span_id == span_id_bytes("log-1")
    assert (root.end_time_unix_nano - root.start_time_unix_nano) == 2 * 10**9
    told = attributes(root)
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["spanloom.feature_slug"] == "qa-chatbot"
    assert json.loads(told["spanloom.user"]) == {"id": "u1"}
    told = attributes(generation)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.usage.input_tokens"] == 4
    assert told["spanloom.span_id"] == "log-1"
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Capital of France?"}]}
    ]
    assert generation.status.code == 2
    told = attributes(tool)
    assert told["gen_ai.tool.name"] == "search"
    assert json.loads(told["gen_ai.tool.call.arguments"]) == {"q": "France"}
    # Read again, they are the same turn.
    again = spans_from(traces_data(read.spans), received_ns=RECEIVED).spans
    assert [s.operation for s in again] == ["invoke_agent", "chat", "execute_tool"]
    assert messages_json(again[1].genai.output_messages) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Paris"}]}
    ]


@given(events, ids, ids)
@settings(max_examples=30)
def test_any_event_has_a_rendering(event: event_pb2.Event, event_id: str, session_id: str) -> None:
    event.event_id, event.session_id, event.event_type = event_id, session_id, "model"
    event.ClearField("duration")
    spans = read_batch(
        event_service_pb2.CreateEventBatchRequest(events=[event]), received_ns=RECEIVED
    ).spans
    for span, message in zip(spans, exported(list(spans)), strict=True):
        told = attributes(message)
        assert message.trace_id == trace_id_bytes(span.trace_id)
        assert told.get("spanloom.trace_id", message.trace_id.hex()) == span.trace_id
        assert told.get("spanloom.span_id", message.span_id.hex()) == span.span_id
        assert told["spanloom.kind"] == span.kind
    assert not spans_from(traces_data(spans), received_ns=RECEIVED).rejected


def test_ids_of_other_doors_are_the_same_bytes_each_time() -> None:
    dashed = "01234567-89ab-cdef-0123-456789abcdef"
    assert trace_id_bytes(dashed).hex() == dashed.replace("-", "")
    assert trace_id_bytes("turn-1") == trace_id_bytes("turn-1") != trace_id_bytes("turn-2")
    assert len(trace_id_bytes("x")) == 16
    assert span_id_bytes("00000000000000aa").hex() == "00000000000000aa"
    assert any(span_id_bytes("0" * 16))
    assert len(span_id_bytes(dashed)) == 8
