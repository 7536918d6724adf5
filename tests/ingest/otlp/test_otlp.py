"""The OTLP adapter and its view: what was sent is returned, and one bad span does not cost the
others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.draft import CONVENTIONS
from spanloom.adapters.otlp.read import spans_from
from spanloom.adapters.otlp.write import traces_data
from spanloom.model import MAX_TIME_NS
from spanloom.store.sql.rows import span_rows
from tests.ingest.otlp import requests as r
from tests.parts import through_a_row


def grouped(request: ExportTraceServiceRequest) -> list[tuple[bytes, bytes, list[bytes]]]:
    """A request's spans by resource and scope: equal ones together, empty ones gone, each in the
    order of their first."""
    groups: dict[tuple[bytes, bytes], list[bytes]] = {}
    resources: dict[bytes, None] = {}
    for group in request.resource_spans:
        bare = trace_pb2.ResourceSpans()
        bare.CopyFrom(group)
        bare.ClearField("scope_spans")
        for scoped in group.scope_spans:
            around = trace_pb2.ScopeSpans()
            around.CopyFrom(scoped)
            around.ClearField("spans")
            for span in scoped.spans:
                key = wire(bare), wire(around)
                resources.setdefault(key[0])
                groups.setdefault(key, []).append(wire(span))
    order = list(resources)
    return sorted(((*key, spans) for key, spans in groups.items()), key=lambda g: order.index(g[0]))


def wire(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


@given(r.requests)
@settings(max_examples=35)
def test_any_request_comes_back_as_it_was_sent(request: ExportTraceServiceRequest) -> None:
    received = spans_from(request, received_ns=r.RECEIVED)
    assert not received.rejected
    back = traces_data([through_a_row(span) for span in received.spans])
    assert grouped(ExportTraceServiceRequest.FromString(wire(back))) == grouped(request)


def test_numbers_without_json_keep_their_type() -> None:
    sent = r.request_of(
        r.span_message(
            attributes={"nan": float("nan"), "inf": float("-inf"), "one": 1.0, "int": 2**63 - 1}
        )
    )
    [span] = spans_from(sent, received_ns=r.RECEIVED).spans
    assert wire(traces_data([through_a_row(span)])) == wire(sent)


def test_a_key_that_stands_twice_is_kept_twice() -> None:
    message = r.span_message()
    message.attributes.extend([*r.pairs({"a": 1}), *r.pairs({"a": "two"})])
    sent = r.request_of(message)
    [span] = spans_from(sent, received_ns=r.RECEIVED).spans
    assert span.sent.fields["attributes"] == [["a", 1], ["a", "two"]]
    assert wire(traces_data([through_a_row(span)])) == wire(sent)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "trace_id is missing"),
        ({"trace_id": bytes(16)}, "trace_id must not be all zeros"),
        ({"trace_id": b"x" * 15}, "trace_id must be 16 bytes, is 15"),
        ({"span_id": b""}, "span_id is missing"),
        ({"span_id": bytes(8)}, "span_id must not be all zeros"),
        ({"span_id": b"x" * 16}, "span_id must be 8 bytes, is 16"),
        ({"start_time_unix_nano": MAX_TIME_NS + 1}, "start_time_unix_nano is past the year 2262"),
        ({"end_time_unix_nano": 2**64 - 1}, "end_time_unix_nano is past the year 2262"),
    ],
)
def test_a_bad_span_is_rejected_alone(fields: dict[str, Any], reason: str) -> None:
    received = r.read(r.span_message("good"), r.span_message("bad", **fields))
    assert [span.name for span in received.spans] == ["good"]
    assert received.rejected == [("resource_spans[0].scope_spans[0].spans[1]", reason)]


def test_ids_are_hex_and_a_parent_of_zeros_is_none() -> None:
    [span] = r.read(r.span_message(parent_span_id=bytes(8))).spans
    assert (span.trace_id, span.span_id) == (r.TRACE_ID.hex(), r.SPAN_ID.hex())
    assert (span.event_id, span.session_id, span.parent_id) == (span.span_id, span.trace_id, "")


def test_a_span_without_an_end_is_open() -> None:
    [span] = r.read(r.span_message(end_time_unix_nano=0)).spans
    assert (span.end_ns, span.duration_ms) == (None, None)
    [done] = r.read(r.span_message()).spans
    assert (done.end_ns, done.duration_ms) == (r.END, 1500.0)


def test_a_span_without_a_start_stands_at_its_receipt() -> None:
    [span] = r.read(r.span_message(start_time_unix_nano=0, end_time_unix_nano=0)).spans
    assert span.start_ns == r.RECEIVED
    assert traces_data([span]).resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano == 0


def test_text_that_no_column_holds_is_kept_for_the_way_back() -> None:
    sent = r.request_of(r.span_message("a\0b", {"gen_ai.agent.name": "x\0y"}))
    [span] = spans_from(sent, received_ns=r.RECEIVED).spans
    assert (span.name, span.agent_name) == ("a�b", "x�y")
    assert wire(traces_data([span])) == wire(sent)


# Every key that any convention reads, and some below each prefix.
KEYS = sorted(
    {key for convention in CONVENTIONS for key, _, _ in convention.rules}
    | {
        prefix + end
        for convention in CONVENTIONS
        for prefix in convention.prefixes
        for end in (
            "",
            "0",
            "0.role",
            "0.content",
            "0.message.role",
            "1.message.content",
            "0.tool_calls.0.id",
        )
    }
)
SCOPES = sorted({scope for convention in CONVENTIONS for scope in convention.scopes})
ODD = [
    "",
    "{}",
    "[]",
    "[[]]",
    "null",
    '"text"',
    "[1, null, {}]",
    '[{"role": 1}]',
    '{"messages": {"a": 1}}',
    '{"messages": [["user"], ["user", "hi"]]}',
    '[{"role": "user", "parts": [null, 1, {"type": 1}]}]',
    '{"choices": [{"message": null}, 1]}',
    '{"generations": [[{"message": {"lc": 1, "kwargs": {"content": 1}}}]]}',
    '{"content": {"parts": [{"functionCall": 1}, {"text": null}]}}',
    '{"contents": 1, "config": {"system_instruction": {"parts": [1]}}}',
    '{"lc": 1, "id": [], "kwargs": {}}',
    '[{"type": "tool_use"}, {"type": "tool_result", "content": [1]}]',
    '[{"role": "tool", "content": {"a": NaN}}]',
    "[" * 900 + "]" * 900,
    '{"a":' * 300 + "1" + "}" * 300,
    "\0",
]


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.sampled_from([*ODD, 1, -1, 2**62, 0.5, True, ["a", ""], []]),
        max_size=8,
    ),
    st.sampled_from(["", "chat x", "invoke_agent ", "handoff to y", *SCOPES]),
    st.sampled_from(["", *SCOPES]),
    st.booleans(),
)
@settings(max_examples=300)
def test_no_attributes_make_the_door_raise(
    attributes: dict[str, Any], name: str, scope: str, failed: bool
) -> None:
    message = r.span_message(
        name,
        attributes,
        [
            (event, dict.fromkeys(("content", "message", "body", "gen_ai.prompt"), odd))
            for event, odd in zip(
                ("gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt", "exception"),
                ODD[3:],
                strict=False,
            )
        ],
    )
    message.status.code = 2 if failed else 1  # type: ignore[assignment]
    [span] = r.read(message, scope=scope).spans
    if "\0" in attributes.values() and span_rows("p", [span], partial=True).refused:
        return  # no column of a trace holds NUL: the span alone is refused
    assert through_a_row(span) == span
    assert span.kind in ("model", "tool", "chain", "session")


def lines_run(call: Callable[[], Any]) -> int:
    """The lines of Python that a call runs: its work, whatever the machine."""
    lines = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    "key", ["llm.input_messages", "gen_ai.prompt", "honeyhive_inputs", "gen_ai.completion"]
)
def test_many_and_deep_keys_cost_no_more_than_their_number(key: str) -> None:
    def keys(number: int) -> dict[str, str]:
        flat = {f"{key}.{index}.message.content": "x" for index in range(number)}
        return flat | {key + ".a" * number: "x", f"{key}.{2**70}.role": "user"}

    some, twice_as_many = keys(1_500), keys(3_000)
    assert len(r.read_one(twice_as_many).sent.fields["attributes"]) == len(twice_as_many)
    assert lines_run(lambda: r.read_one(twice_as_many)) < 3 * lines_run(lambda: r.read_one(some))
