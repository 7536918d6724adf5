"""Whatever stands in attributes and however spans hang together: every view answers, and nothing
that was sent is lost."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.basalt.write import trace_message
from spanloom.adapters.honeyhive.session import session_message
from spanloom.adapters.honeyhive.write import event_message
from spanloom.adapters.otlp.draft import CONVENTIONS
from spanloom.adapters.otlp.read import spans_from
from spanloom.adapters.otlp.write import traces_data
from spanloom.adapters.weave.chat import chat_message
from spanloom.chat.spoken import spoken
from spanloom.chat.view import trace_chat
from spanloom.codec import json_codec
from spanloom.model import Span
from spanloom.store.sql import rows
from tests.ingest.otlp import requests as r
from tests.parts import as_read

KEYS = [
    *sorted({key for convention in CONVENTIONS for key, _, _ in convention.rules}),
    *("gen_ai.prompt.0.role", "gen_ai.prompt.0.content", "gen_ai.completion.x.content"),
    *("llm.input_messages.0.message.content", "llm.output_messages.0.message.tool_calls.0", "ai.x"),
    *("llm.request.functions.0.name", "honeyhive_inputs.a", "honeyhive_outputs", "basalt.x"),
    *("traceloop.association.properties.session_id", "message", "messaging.operation"),
]
MESSAGES: list[Any] = [
    [{"role": "user", "parts": [{"type": "text", "content": "asked"}]}],
    [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": 1, "name": "f", "arguments": []}],
        }
    ],
    {"role": "assistant", "content": [{"type": "text", "text": "said"}, {"type": "image"}]},
    [{"role": 1, "content": {"a": []}}, None, 0, "bare", [], {"parts": {"type": "text"}}],
    {"messages": [{"type": "human", "content": "q"}], "tool_calls": [{"function": 3}]},
]
texts = st.sampled_from(
    [
        "",
        "x",
        "{",
        "[",
        "[}",
        "null",
        '"',
        "0",
        "\x00",
        "ü😀",
        "[" * 600,
        '{"a":' * 150 + "1" + "}" * 150,
    ]
    + [json.dumps(message) for message in MESSAGES]
)
values = r.nested_values(
    st.builds(common_pb2.AnyValue, string_value=texts)
    | st.builds(common_pb2.AnyValue)
    | st.sampled_from([r.value(v) for v in (True, 0, 2**63 - 1, -1, 0.5, float("nan"), 1e308)])
    | st.builds(common_pb2.AnyValue, bytes_value=st.sampled_from([b"", b"\xff"])),
    st.sampled_from(["role", "content", ""]),
    2,
)
operations = st.sampled_from(
    ["chat", "invoke_agent", "execute_tool", "invoke_workflow", "handoff", "x"]
)
pairs = st.lists(
    st.builds(common_pb2.KeyValue, key=st.sampled_from(KEYS), value=values), max_size=6
)
ids = st.integers(1, 4).map(lambda n: n.to_bytes(8))
spans = st.builds(
    trace_pb2.Span,
    trace_id=st.just(r.TRACE_ID),
    span_id=ids,
    parent_span_id=ids | st.just(b""),
    name=st.sampled_from(["", "chat", "invoke_agent a", "execute_tool t", "a -> b", "\x00"]),
    start_time_unix_nano=st.integers(0, 3),
    end_time_unix_nano=st.integers(0, 3),
    attributes=st.builds(
        lambda operation, given: [*r.pairs({"gen_ai.operation.name": operation}), *given],
        operations,
        pairs,
    )
    | pairs,
    events=st.lists(
        st.builds(
            trace_pb2.Span.Event,
            name=st.sampled_from(["exception", "gen_ai.choice", "gen_ai.user.message", "x"]),
            attributes=pairs,
        ),
        max_size=1,
    ),
    status=st.builds(trace_pb2.Status, code=st.integers(0, 3)),
)


def wire(message: trace_pb2.Span) -> bytes:
    """NaN is not equal to itself."""
    return message.SerializeToString(deterministic=True)


def stored(sent: list[Span]) -> list[Span]:
    """The spans as a store gives them back: of one id the last."""
    read = as_read(rows.span_rows("p", sent))
    return list({span.span_id: span for span in read}.values())


@given(st.lists(spans, min_size=1, max_size=5))
@settings(max_examples=40)
def test_every_view_answers_and_nothing_is_lost(sent: list[trace_pb2.Span]) -> None:
    received = spans_from(r.request_of(*sent), received_ns=r.RECEIVED)
    assert not received.rejected
    read = stored(received.spans)
    for model_calls in (False, True):
        turn = trace_chat("t", read, include_model_tool_calls=model_calls)
        json_codec.to_json(chat_message(turn, "e/p"))
    json_codec.to_json(trace_message("t", read))
    json_codec.to_json(session_message("t", read, project="p"))
    for span in read:
        json_codec.to_json(event_message(span))
        assert all(said.text for said in spoken(span))
    [group] = traces_data(read).resource_spans
    given_back = {s.span_id: wire(s) for scope in group.scope_spans for s in scope.spans}
    assert given_back == {s.span_id: wire(s) for s in sent}


@given(st.lists(spans, max_size=3), st.sampled_from(["chat", "generate_content", "", "other"]))
@settings(max_examples=30)
def test_what_a_model_said_is_in_the_chat_whatever_is_beside_it(
    beside: list[trace_pb2.Span], operation: str
) -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "the very answer"}]}]
    model = r.span_message(
        "model",
        {"gen_ai.operation.name": operation, "gen_ai.output.messages": json.dumps(said)},
        span_id=(99).to_bytes(8),
        parent_span_id=(1).to_bytes(8),
    )
    read = stored(spans_from(r.request_of(*beside, model), received_ns=r.RECEIVED).spans)
    texts = [getattr(m.payload, "text", "") for m in trace_chat("t", read).messages]
    assert sum("the very answer" in text for text in texts) == 1
