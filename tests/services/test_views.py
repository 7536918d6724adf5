"""Spans of any adapter as traces and events; feedback and chats as messages."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.adapters.basalt.write import listed_trace, trace_message
from spanloom.adapters.honeyhive.write import event_message
from spanloom.adapters.weave.chat import MAX_UINT32, chat_message
from spanloom.adapters.weave.feedback import feedback_message
from spanloom.model import Feedback, Io, Span, Trace
from spanloom.model.span import EVENT_COLUMNS, EVENT_FIELDS, EVENT_OBJECTS, EVENT_VALUES
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ContextCompacted,
    ToolCall,
    TurnChat,
    UserMessage,
)
from spanloom.v1 import event_pb2
from tests.parts import parts

MS = 1_000_000


def span(
    span_id: str, parent_id: str = "", body: dict[str, Any] | None = None, **fields: Any
) -> Span:
    return Span(
        **{
            "trace_id": "t",
            "span_id": span_id,
            "event_id": span_id,
            "session_id": "t",
            "parent_id": parent_id,
            **fields,
        },
        **parts(body or {}),
    )


def as_dict(message: Any) -> Any:
    return json_format.MessageToDict(message)


def test_a_trace_of_another_door_has_its_earliest_root_as_the_trace() -> None:
    trace = trace_message(
        "t",
        [
            span(
                "r1", name="agent", start_ns=1, end_ns=9, body={"inputs": {"q": 1}, "outputs": "o"}
            ),
            span("m", "r1", kind="model", name="llm", start_ns=2, input_tokens=5, cost=0.5),
            span("x", "m", kind="tool", status="ERROR", start_ns=3),
            span("r2", start_ns=4),
            span("y", "unknown", start_ns=5),
        ],
    )
    assert (trace.name, as_dict(trace.input), as_dict(trace.output)) == ("agent", {"q": 1}, "o")
    assert (trace.start_time.nanos, trace.end_time.nanos, trace.session_id) == (1, 9, "t")
    assert not trace.HasField("sampled")
    assert [(log.id, log.type, log.parent_id) for log in trace.logs] == [
        ("m", "generation", ""),
        ("x", "tool", "m"),
        ("r2", "span", ""),
        ("y", "span", "unknown"),
    ]
    assert (trace.logs[0].input_tokens, trace.logs[0].cost, trace.logs[1].status) == (
        5,
        0.5,
        "ERROR",
    )


def test_events_without_a_described_session_are_a_trace_without_input() -> None:
    trace = trace_message(
        "s",
        [
            span("a", "s", trace_id="s", session_id="s", start_ns=3, end_ns=4, body={"inputs": {}}),
            span("b", "a", trace_id="s", session_id="s", start_ns=5, end_ns=8),
        ],
    )
    assert (trace.id, trace.session_id) == ("s", "s")
    assert not trace.HasField("name")
    assert not trace.HasField("input")
    assert (trace.start_time.nanos, trace.end_time.nanos) == (3, 8)
    assert [(log.id, log.parent_id) for log in trace.logs] == [("a", ""), ("b", "a")]


def test_a_tagged_trace_says_its_session() -> None:
    assert trace_message("t", [span("r", session_id="s")]).session_id == "s"


def test_counts_past_32_bits_stand_at_the_largest() -> None:
    log = trace_message(
        "t", [span("r"), span("m", "r", input_tokens=2**40, output_tokens=2**31)]
    ).logs[0]
    assert (log.input_tokens, log.output_tokens) == (2**31 - 1, 2**31 - 1)


def test_a_listed_trace_has_what_its_row_has() -> None:
    bare = listed_trace(Trace(trace_id="t", start_ns=1))
    assert as_dict(bare) == {
        "id": "t",
        "startTime": "1970-01-01T00:00:00.000000001Z",
        "status": "UNSET",
        "sessionId": "t",
    }
    full = Trace(
        trace_id="t",
        name="n",
        feature_slug="f",
        end_ns=5,
        status="ERROR",
        session_id="s",
        user_id="u",
        organization_id="o",
        experiment_id="e",
    )
    shown = as_dict(listed_trace(full))
    assert shown["user"] == {"id": "u"}
    assert shown["organization"] == {"id": "o"}
    assert shown["experiment"] == {"id": "e"}
    assert (shown["name"], shown["featureSlug"], shown["sessionId"]) == ("n", "f", "s")


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        ({"parent_id": "p", "session_id": "s"}, "p"),
        ({"session_id": "s"}, "s"),
        ({}, "t"),
        ({"kind": "session"}, ""),
        ({"event_id": "t", "span_id": "t"}, ""),
    ],
)
def test_a_root_is_part_of_its_session(fields: dict[str, Any], parent: str) -> None:
    assert event_message(span(**{"span_id": "x", **fields})).parent_id == parent


@pytest.mark.parametrize(
    ("value", "inputs", "outputs"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}),
        ("text", {"input": "text"}, {"output": "text"}),
        ([1], {"input": [1]}, {"output": [1]}),
        (0, {"input": 0}, {"output": 0}),
        ({}, {}, {}),
    ],
)
def test_what_is_no_object_is_wrapped_in_events(value: Any, inputs: Any, outputs: Any) -> None:
    event = event_message(span("x", body={"inputs": value, "outputs": value}))
    assert (as_dict(event.inputs), as_dict(event.outputs)) == (inputs, outputs)


def test_events_without_inputs_have_none() -> None:
    event = event_message(span("x", body={"inputs": None}))
    assert not event.HasField("inputs")
    assert not event.HasField("outputs")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"status": "ERROR", "body": {"status_message": "m"}}, "m"),
        ({"status": "OK", "body": {"status_message": "m"}}, None),
        ({"status": "ERROR", "body": {"error": "e", "status_message": "m"}}, "e"),
        ({"body": {"error": ""}}, ""),
        ({"status": "ERROR"}, None),
    ],
)
def test_the_error_of_an_event(given: dict[str, Any], error: str | None) -> None:
    event = event_message(span("x", **given))
    assert (event.error if event.HasField("error") else None) == error


def test_json_too_deep_for_a_message_is_given_as_text() -> None:
    deep: Any = {"n": 1}
    for _ in range(100):
        deep = {"d": [deep]}
    event = event_message(span("x", body={"inputs": deep, "metadata": {"a": 1}}))
    back = type(event).FromString(event.SerializeToString())
    assert as_dict(back.metadata) == {"a": 1}
    assert '{"n":1}' in str(as_dict(back.inputs))


FEEDBACK = Feedback(
    id="f",
    target="span",
    target_id="x",
    ref="r",
    type="t",
    creator="c",
    created_ns=1,
    body={
        "payload": {},
        "wb_user_id": "",
        "call_ref": "call",
        "scorer_tags": ["a"],
        "scorer_ratings": {"r": 0.5},
        "scorer_tag_reasons": {"a": "why"},
        "span_trace_id": "t",
    },
)


def test_feedback_is_shown_as_it_was_given() -> None:
    message = feedback_message(FEEDBACK)
    assert as_dict(message) == {
        "id": "f",
        "feedback_type": "t",
        "weave_ref": "r",
        "creator": "c",
        "payload": {},
        "created_at": "1970-01-01T00:00:00.000000001Z",
        "wb_user_id": "",
        "call_ref": "call",
        "scorer_tags": ["a"],
        "scorer_ratings": {"r": 0.5},
        "scorer_tag_reasons": {"a": "why"},
    }
    bare = feedback_message(Feedback(id="f", ref="r", type="t"))
    assert not bare.HasField("payload")
    assert not bare.HasField("creator")


def test_a_chat_of_nothing_is_its_trace_id() -> None:
    chat = chat_message(TurnChat(trace_id="t"), "p")
    assert as_dict(chat) == {"trace_id": "t"}


def test_every_kind_of_message_has_its_payload_and_no_other() -> None:
    payloads = (
        UserMessage(text="q", content_refs=("ref",)),
        AssistantMessage(
            text="",
            model="m",
            input_tokens=2**40,
            output_tokens=0,
            duration_ms=7,
            total_cost_usd=0.5,
            status="OK",
        ),
        ToolCall(tool_name="t", tool_arguments="{}", duration_ms=0),
        AgentHandoff(),
        AgentStart(model="m"),
        ContextCompacted(compaction_items_before=3),
    )
    chat = chat_message(
        TurnChat(
            trace_id="t",
            root_span_name="root",
            started_ns=MS,
            ended_ns=0,
            user_id="u",
            total_duration_ms=0,
            total_input_tokens=2**33,
            messages=tuple(
                ChatMessage(payload=p, span_id="x", started_ns=1, status_code="OK")
                for p in payloads
            ),
        ),
        "p",
    )
    assert (chat.root_span_name, chat.wb_user_id, chat.total_input_tokens) == (
        "root",
        "u",
        MAX_UINT32,
    )
    assert chat.HasField("total_duration_ms")
    assert (chat.started_at.nanos, chat.ended_at.seconds) == (MS, 0)
    assert chat.HasField("ended_at")
    assert [m.type for m in chat.messages] == [p.type for p in payloads]
    assert [m.WhichOneof("payload") for m in chat.messages] == [p.type for p in payloads]
    user, assistant, tool, *_ = chat.messages
    assert list(user.user_message.content_refs) == ["ref"]
    said = assistant.assistant_message
    assert (said.input_tokens, said.output_tokens, said.duration_ms) == (MAX_UINT32, 0, 7)
    assert said.HasField("output_tokens")
    assert not said.HasField("reasoning_tokens")
    assert tool.tool_call.HasField("duration_ms")
    assert not tool.tool_call.HasField("tool_result")


def test_feedback_stands_on_the_chat_and_on_its_messages() -> None:
    message = ChatMessage(payload=UserMessage(text="q"), feedback=(FEEDBACK,))
    chat = chat_message(
        TurnChat(trace_id="t", messages=(message,), feedback=(FEEDBACK, FEEDBACK)), "p"
    )
    assert [f.id for f in chat.feedback] == ["f", "f"]
    assert [f.id for f in chat.messages[0].feedback] == ["f"]


def test_the_fields_of_an_event_are_listed_once() -> None:
    """`Io` and the contract's messages have the same fields, in the order in which `Io` is made of
    them; the events inside an event are events of their own."""
    assert tuple(field.name for field in fields(Io)) == (*EVENT_FIELDS, "ideal_output")
    shown = set(event_pb2.Event.DESCRIPTOR.fields_by_name) - {"children"}
    assert {*EVENT_FIELDS, *EVENT_COLUMNS} == shown
    objects = {
        field.name
        for field in event_pb2.Event.DESCRIPTOR.fields
        if field.name in shown
        and field.message_type is not None
        and field.message_type.name in ("Struct", "Value")
    }
    assert objects == {*EVENT_VALUES, *EVENT_OBJECTS}
