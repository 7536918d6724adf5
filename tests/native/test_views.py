"""What was written through one API is read through every other: adapter by view by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.basalt.write import trace_message
from spanloom.adapters.honeyhive.read import read_event
from spanloom.adapters.honeyhive.write import event_message
from spanloom.adapters.native.chat import chat_message, chat_messages
from spanloom.adapters.native.read import read_spans
from spanloom.adapters.native.write import span_message
from spanloom.adapters.otlp.read import spans_from
from spanloom.adapters.otlp.write import otel_json, traces_data
from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.model.checks import Violations
from spanloom.v1 import event_pb2, span_pb2, trace_pb2
from tests.parts import through_a_row

RECEIVED_NS = 1_767_225_600_000_000_000
START, END = RECEIVED_NS, RECEIVED_NS + 1_500_000_000
TRACE_ID, SPAN_ID = "01" * 16, "02" * 8
MANY = 5_000_000_000
QUESTION, ANSWER = "What is it?", "It is that."


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = {str: "stringValue", int: "intValue", float: "doubleValue"}[type(value)]
    return {"key": key, "value": {kind: value}}


def by_otlp() -> Iterable[Span]:
    said = [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.agent.name": "Ada",
        "gen_ai.usage.input_tokens": MANY,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cost": 0.25,
        "gen_ai.input.messages": orjson.dumps(said).decode(),
        "gen_ai.output.messages": orjson.dumps(answered).decode(),
        "error.type": "rate_limit",
        "big": 2**53 + 1,
    }
    request = trace_service_pb2.ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes.fromhex(TRACE_ID),
            span_id=bytes.fromhex(SPAN_ID),
            name="say",
            start_time_unix_nano=START,
            end_time_unix_nano=END,
        )
    )
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "slow"
    for key, value in attributes.items():
        ParseDict(attribute(key, value), span.attributes.add())
    return spans_from(request, received_ns=RECEIVED_NS).spans


def by_basalt() -> Iterable[Span]:
    times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:01.500Z"}
    log = {
        **times,
        "id": SPAN_ID,
        "type": "generation",
        "name": "say",
        "input": QUESTION,
        "output": ANSWER,
        "inputTokens": 2**31 - 1,
        "outputTokens": 7,
        "cost": 0.25,
        "metadata": {"error": "slow"},
    }
    trace = ParseDict({**times, "logs": [log]}, trace_pb2.Trace())
    return read_trace(trace, trace_id=TRACE_ID, received_ns=RECEIVED_NS).spans


def by_honeyhive() -> Iterable[Span]:
    event = {
        "event_id": SPAN_ID,
        "session_id": TRACE_ID,
        "event_type": "model",
        "event_name": "say",
        "start_time": START / 1e6,
        "end_time": END / 1e6,
        "inputs": {"chat_history": [{"role": "user", "content": QUESTION}]},
        "outputs": {"role": "assistant", "content": ANSWER},
        "config": {"provider": "openai", "model": "m"},
        "metadata": {"prompt_tokens": MANY, "completion_tokens": 7, "cost": 0.25},
        "error": "slow",
    }
    return [read_event(ParseDict(event, event_pb2.Event()), received_ns=RECEIVED_NS)]


def by_native() -> Iterable[Span]:
    span = {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "name": "say",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:00:01.500Z",
        "status": {"code": "STATUS_CODE_ERROR", "message": "slow", "errorType": "rate_limit"},
        "agent": {"name": "Ada"},
        "model": {
            "provider": "openai",
            "requestModel": "m",
            "inputTokens": str(MANY),
            "outputTokens": "7",
            "costUsd": 0.25,
        },
        "inputMessages": [{"role": "user", "parts": [{"text": QUESTION}]}],
        "outputMessages": [{"role": "assistant", "parts": [{"text": ANSWER}]}],
        "attributes": {"big": {"intValue": str(2**53 + 1)}},
    }
    sent = ParseDict(span, span_pb2.Span())
    return read_spans([sent], received_ns=RECEIVED_NS, bad=Violations())


ADAPTERS: dict[str, Callable[[], Iterable[Span]]] = {
    "otlp": by_otlp,
    "basalt": by_basalt,
    "honeyhive": by_honeyhive,
    "native": by_native,
}

# Each view as one flat object of the fields' own names, None for what it does not have.


def as_span(spans: list[Span]) -> dict[str, Any]:
    [span] = (span for span in spans if span.span_id == SPAN_ID)
    found = MessageToDict(span_message(span))
    model, status = found.get("model", {}), found.get("status", {})
    return {
        "name": found["name"],
        "start": found["startTime"],
        "duration": found["duration"],
        "kind": found["kind"],
        "provider": model.get("provider"),
        "model": model.get("requestModel"),
        "input_tokens": int(model["inputTokens"]),
        "output_tokens": int(model["outputTokens"]),
        "cost": model["costUsd"],
        "agent": found.get("agent", {}).get("name"),
        "status": status["code"],
        "error": status["message"],
        "error_type": status.get("errorType"),
        "question": QUESTION if QUESTION in str(found) else None,
        "answer": ANSWER if ANSWER in str(found) else None,
        "big": found.get("attributes", {}).get("big", {}).get("intValue"),
    }


def as_event(spans: list[Span]) -> dict[str, Any]:
    [span] = (span for span in spans if span.span_id == SPAN_ID)
    found = MessageToDict(event_message(span))
    config, metadata = found.get("config", {}), found["metadata"]
    return {
        "name": found["event_name"],
        "start": found["start_time"],
        "duration": found["duration"],
        "kind": found["event_type"],
        "provider": config.get("provider"),
        "model": config.get("model"),
        "input_tokens": metadata["prompt_tokens"],
        "output_tokens": metadata["completion_tokens"],
        "cost": metadata["cost"],
        "agent": metadata.get("agent_name"),
        "error": found["error"],
        "question": QUESTION if QUESTION in str(found["inputs"]) else None,
        "answer": ANSWER if ANSWER in str(found["outputs"]) else None,
    }


def as_log(spans: list[Span]) -> dict[str, Any]:
    trace = MessageToDict(trace_message(TRACE_ID, spans, otel_json))
    # A span without a parent is the trace itself.
    found = trace["logs"][0] if "logs" in trace else trace
    return {
        "name": found["name"],
        "start": found["startTime"],
        "status": found["status"],
        "error": found["metadata"]["error"],
        "question": QUESTION if QUESTION in str(found["input"]) else None,
        "answer": ANSWER if ANSWER in str(found["output"]) else None,
    }


def as_chat(spans: list[Span]) -> dict[str, Any]:
    turn = trace_chat(TRACE_ID, spans)
    by_id = {span.span_id: span for span in spans}
    made = [
        MessageToDict(chat_message(message, message_id, TRACE_ID, by_id.get(span_id)))
        for message, message_id, span_id in chat_messages(turn, by_id)
    ]
    [response] = (m for m in made if "response" in m and m["spanId"] == SPAN_ID)
    model = response["response"].get("model", {})
    return {
        "question": next(m["user"]["text"] for m in made if "user" in m),
        "answer": response["response"]["text"],
        "start": response["startTime"],
        "duration": response["duration"],
        "status": response["status"]["code"],
        "error": response["status"].get("message"),
        "agent": response.get("agent", {}).get("name"),
        "provider": model.get("provider"),
        "model": model.get("requestModel"),
        "input_tokens": int(model["inputTokens"]),
        "cost": model["costUsd"],
    }


def as_otlp(spans: list[Span]) -> dict[str, Any]:
    data = traces_data(spans)
    [span] = (
        span
        for group in data.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
        if span.name == "say"
    )
    facts = {pair.key: pair.value for pair in span.attributes}
    whole = str(span)
    return {
        "name": span.name,
        "start": span.start_time_unix_nano,
        "duration": span.end_time_unix_nano - span.start_time_unix_nano,
        "provider": facts["gen_ai.provider.name"].string_value
        if "gen_ai.provider.name" in facts
        else None,
        "model": facts["gen_ai.request.model"].string_value
        if "gen_ai.request.model" in facts
        else None,
        "input_tokens": facts["gen_ai.usage.input_tokens"].int_value,
        "output_tokens": facts["gen_ai.usage.output_tokens"].int_value,
        "cost": facts["gen_ai.usage.cost"].double_value,
        "agent": facts["gen_ai.agent.name"].string_value if "gen_ai.agent.name" in facts else None,
        "status": span.status.code,
        "error": span.status.message,
        "question": QUESTION if QUESTION in whole else None,
        "answer": ANSWER if ANSWER in whole else None,
        "big": facts["big"].int_value if "big" in facts else None,
    }


VIEWS = {
    "span": as_span,
    "event": as_event,
    "log": as_log,
    "chat": as_chat,
    "otlp": as_otlp,
}
# What the fields are, in each view's own words.
EXPECTED: dict[str, dict[str, Any]] = {
    "name": dict.fromkeys(VIEWS, "say"),
    "start": {
        "event": START / 1e6,
        "otlp": START,
        **dict.fromkeys(("span", "log", "chat"), "2026-01-01T00:00:00Z"),
    },
    "duration": {"span": "1.500s", "chat": "1.500s", "event": 1500, "otlp": END - START},
    "kind": {"span": "SPAN_KIND_MODEL", "event": "model"},
    "provider": dict.fromkeys(VIEWS, "openai"),
    "model": dict.fromkeys(VIEWS, "m"),
    "input_tokens": dict.fromkeys(VIEWS, MANY),
    "output_tokens": dict.fromkeys(VIEWS, 7),
    "cost": dict.fromkeys(VIEWS, 0.25),
    "agent": dict.fromkeys(VIEWS, "Ada"),
    "status": {
        "span": "STATUS_CODE_ERROR",
        "chat": "STATUS_CODE_ERROR",
        "log": "ERROR",
        "otlp": 2,
    },
    "error": dict.fromkeys(VIEWS, "slow"),
    "error_type": {"span": "rate_limit"},
    "question": dict.fromkeys(VIEWS, QUESTION),
    "answer": dict.fromkeys(VIEWS, ANSWER),
    "big": {"span": str(2**53 + 1), "otlp": 2**53 + 1},
}
# What a message of an adapter cannot say, and what it can say up to a limit only.
UNSAID = {
    "basalt": {"provider", "model", "agent", "error_type", "big"},
    "honeyhive": {"agent", "error_type", "big"},
}
LIMITED = {("basalt", "input_tokens"): 2**31 - 1}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_field_is_in_every_view(adapter: str, view: str) -> None:
    spans = [through_a_row(span) for span in ADAPTERS[adapter]()]
    shown = VIEWS[view](spans)
    for field, found in shown.items():
        if field in UNSAID.get(adapter, ()):
            assert found is None, field
        else:
            assert found == LIMITED.get((adapter, field), EXPECTED[field][view]), field
