"""Tools whose arguments and results are in events or messages of their spans, and failed calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chat.spans import lines
from tests.ingest.otlp.requests import read_one
from tests.parts import tool_of

TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "wx"}
ARGUMENTS, RESULT = '{"city": "Oslo"}', "7C"
DETAILS = "gen_ai.client.inference.operation.details"
CALL = {"type": "tool_call", "id": "t1", "name": "wx", "arguments": {"city": "Oslo"}}
RESPONSE = {"type": "tool_call_response", "id": "t1", "response": [{"text": RESULT}]}


def message(*parts: Any) -> str:
    return json.dumps([{"role": "tool", "parts": parts}])


@pytest.mark.parametrize(
    "events",
    [
        [
            ("gen_ai.tool.message", {"role": "tool", "content": ARGUMENTS, "id": "t1"}),
            ("gen_ai.choice", {"message": '[{"text": "7C"}]', "id": "t1"}),
        ],
        [
            ("gen_ai.choice", {"message": RESULT}),
            ("gen_ai.tool.message", {"content": ARGUMENTS, "id": "t1"}),
        ],
        [
            (
                "gen_ai.tool.message",
                {
                    "id": "t1",
                    "content": json.dumps([{"toolUse": {"name": "wx", "input": {"city": "Oslo"}}}]),
                },
            ),
            (
                "gen_ai.choice",
                {"message": json.dumps([{"toolResult": {"content": [{"text": RESULT}]}}])},
            ),
        ],
        [("gen_ai.tool.message", {"id": "t1", "arguments": ARGUMENTS, "content": RESULT})],
        [
            (DETAILS, {"gen_ai.input.messages": message(CALL)}),
            (DETAILS, {"gen_ai.output.messages": message(RESPONSE)}),
        ],
    ],
)
def test_events_of_a_tool_tell_its_arguments_and_its_result(events: Any) -> None:
    span = read_one(TOOL, events=events)
    assert lines(span) == ['tool: wx({"city": "Oslo"}) = 7C']
    assert tool_of(span).call_id == "t1"
    assert span.io.inputs == {"city": "Oslo"}
    assert span.io.outputs == {"result": RESULT}
    assert not span.genai.input_messages or tool_of(span).arguments == {"city": "Oslo"}


def test_messages_of_a_tool_tell_them_too() -> None:
    told = {"gen_ai.input.messages": message(CALL), "gen_ai.output.messages": message(RESPONSE)}
    assert lines(read_one(TOOL | told)) == ['tool: wx({"city": "Oslo"}) = 7C']


def test_the_arguments_are_never_the_result() -> None:
    asked = [("gen_ai.tool.message", {"content": ARGUMENTS, "id": "t1"})]
    assert lines(read_one(TOOL, events=asked)) == ['tool: wx({"city": "Oslo"})']


def test_a_tools_message_beside_arguments_or_of_plain_text_is_the_result() -> None:
    answered = [("gen_ai.tool.message", {"content": '{"t": 7}', "id": "t1"})]
    given = TOOL | {"gen_ai.tool.call.arguments": ARGUMENTS}
    assert lines(read_one(given, events=answered)) == ['tool: wx({"city": "Oslo"}) = {"t": 7}']
    plain = [("gen_ai.tool.message", {"content": RESULT})]
    assert lines(read_one(TOOL, events=plain)) == ["tool: wx() = 7C"]


def test_a_tool_whose_operation_is_not_told() -> None:
    events = [
        ("gen_ai.tool.message", {"content": ARGUMENTS}),
        ("gen_ai.choice", {"message": RESULT}),
    ]
    span = read_one({"gen_ai.tool.name": "wx"}, events=events)
    assert lines(span) == ['tool: wx({"city": "Oslo"}) = 7C']


def test_a_tools_message_of_a_model_is_a_result_that_it_was_given() -> None:
    model = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    events = [
        ("gen_ai.user.message", {"content": "q"}),
        ("gen_ai.tool.message", {"content": RESULT, "id": "t1"}),
        ("gen_ai.choice", {"message.role": "assistant", "message.content": "a"}),
    ]
    assert lines(read_one(model, events=events)) == ["User: q", "assistant: a"]


@pytest.mark.parametrize("failed", [False, True])
def test_the_event_of_a_failed_call_tells_the_error(failed: bool) -> None:
    status: dict[str, Any] = {"status": {"code": 2}} if failed else {}
    span = read_one(
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
        events=[
            (
                "gen_ai.client.operation.exception",
                {"exception.type": "openai.RateLimitError", "exception.message": "slow down"},
            )
        ],
        **status,
    )
    assert (span.error_type, span.status_message) == ("openai.RateLimitError", "slow down")


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ({"content": "a", "reasoning_content": "r"}, "assistant: <r> a"),
        ({"content": "a", "reasoning": "r"}, "assistant: <r> a"),
        ({"refusal": "no"}, "assistant: no"),
    ],
)
def test_reasoning_and_refusals_of_indexed_messages(told: dict[str, str], answer: str) -> None:
    keys = {f"gen_ai.completion.0.{key}": value for key, value in told.items()}
    model = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    assert lines(read_one({**model, **keys, "gen_ai.completion.0.role": "assistant"})) == [answer]
    flat = {f"llm.output_messages.0.message.{key}": value for key, value in told.items()}
    assert lines(read_one({"openinference.span.kind": "LLM", **flat})) == [answer]
