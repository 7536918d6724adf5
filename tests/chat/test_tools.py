"""Calls that models ask for, and the spans that carry them out.

Rules: docs/contracts/agent_chat.md, sections 2.7 and 3.13.
"""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model.turn import AssistantMessage, ToolCall
from tests.chat.spans import (
    agent,
    assistant,
    at,
    call,
    chat,
    lines,
    messages_of,
    parts,
    reasoning,
    response,
    text,
    tool,
    user,
)


def with_calls(*spans: Any) -> list[str]:
    return lines(*spans, include_model_tool_calls=True)


def says(span_id: str, *items: Any, parent: str = "", **fields: Any) -> Any:
    return chat(span_id, parent, outputs=[parts("assistant", *items)], **fields)


def test_by_default_only_tool_spans_are_calls() -> None:
    spans = [
        says("l", text("a"), call("1"), text("b")),
        chat("m", start=2, inputs=[user("q"), parts("tool", response("1", "x"))]),
        tool("t", call_id="2", start=3),
    ]
    assert lines(*spans) == ["User: q", "assistant: a\nb", "tool: look()"]


def test_a_call_without_a_span_is_a_request_at_the_end_of_the_model() -> None:
    spans = [says("l", call("1", "f", {"a": "ü"}), end=9, status="OK", agent_name="a")]
    [message] = messages_of(*spans, include_model_tool_calls=True)
    assert message.payload == ToolCall(tool_name="f", tool_arguments='{"a": "ü"}')
    assert (message.span_id, message.agent_name, message.started_ns) == ("l", "a", at(9))
    assert (message.status_code, message.status_message) == (None, None)


def test_text_and_reasoning_are_cut_where_a_request_stands_and_usage_stays_on_the_first_piece() -> (
    None
):
    span = says(
        "l",
        reasoning("r1"),
        text("a"),
        call("1", "f"),
        reasoning("r2"),
        call("2", "g"),
        text("b"),
        input_tokens=5,
        cost=0.5,
        end=9,
        model="m",
    )
    assert with_calls(span) == [
        "assistant: <r1> a",
        "tool: f()",
        "assistant: <r2> ",
        "tool: g()",
        "assistant: b",
    ]
    pieces = [
        m.payload
        for m in messages_of(span, include_model_tool_calls=True)
        if m.type == "assistant_message"
    ]
    first, second, third = pieces
    assert isinstance(first, AssistantMessage)
    assert (first.input_tokens, first.total_cost_usd, first.duration_ms) == (5, 0.5, 9)
    for piece in (second, third):
        assert isinstance(piece, AssistantMessage)
        assert (piece.input_tokens, piece.total_cost_usd, piece.duration_ms, piece.model) == (
            None,
            None,
            None,
            "m",
        )


def test_requests_before_any_text_come_first() -> None:
    assert with_calls(says("l", call("1", "f"), text("a"))) == ["tool: f()", "assistant: a"]


def test_reasoning_known_only_for_the_whole_span_stays_on_the_first_piece() -> None:
    spans = [says("l", call("1", "f"), text("a"), body={"reasoning": "r"})]
    assert with_calls(*spans) == ["assistant: <r> ", "tool: f()", "assistant: a"]


def test_a_failed_model_that_only_requested_is_an_empty_message_after_its_requests() -> None:
    assert with_calls(says("l", call("1", "f"), status="ERROR")) == ["tool: f()", "assistant: "]


def test_text_around_a_call_that_was_carried_out_is_not_cut() -> None:
    spans = [says("l", text("a"), call("1"), text("b")), tool("t", call_id="1", start=2)]
    assert with_calls(*spans) == ["assistant: a\nb", "tool: look()"]


@pytest.mark.parametrize("make", [tool, agent])
def test_a_tool_or_agent_span_anywhere_with_its_id_carries_a_call_out(make: Any) -> None:
    carried_out = make(
        "x", "deep", name="done", start=5, body={"tool": {"call_id": "1", "name": "done"}}
    )
    spans = [says("l", call("1", "asked")), agent("deep", start=3), carried_out]
    assert with_calls(*spans) == ["tool: done()" if make is tool else "start(done)"]


def test_a_call_asked_for_again_is_shown_once_but_calls_without_an_id_each_time() -> None:
    spans = [
        says("l", call("1", "f"), call("", "g"), call("", "g")),
        says("m", call("1", "f"), start=2),
    ]
    assert with_calls(*spans) == ["tool: f()", "tool: g()", "tool: g()"]


@pytest.mark.parametrize(
    "odd",
    [
        call("1", ""),
        {"type": "tool_call", "id": "1", "name": 5},
        {"type": "tool_call"},
        "tool_call",
    ],
)
def test_a_call_without_a_name_is_no_call(odd: Any) -> None:
    assert [line for line in with_calls(says("l", odd)) if line.startswith("tool")] == []


def test_calls_under_role_user_are_no_calls() -> None:
    assert with_calls(chat("l", outputs=[parts("user", call("1", "f"))])) == []


def test_calls_in_the_spellings_of_other_apis_are_calls() -> None:
    openai = {
        "role": "assistant",
        "content": "hm",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            None,
        ],
    }
    anthropic = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "2", "name": "g", "input": {"b": 2}}],
    }
    responses = {"type": "function_call", "call_id": "3", "name": "h", "arguments": "{}"}
    spans = [chat("l", outputs=[openai, anthropic, responses])]
    assert with_calls(*spans) == [
        "assistant: hm",
        'tool: f({"a": 1})',
        'tool: g({"b": 2})',
        "tool: h({})",
    ]
    assert lines(*spans) == ["assistant: hm"]


def test_an_agents_own_calls_are_shown_even_where_its_text_is_not() -> None:
    spans = [
        agent("r", outputs=[parts("assistant", text("mirror"), call("1", "f"))]),
        chat("l", "r", outputs=[assistant("said")]),
    ]
    assert with_calls(*spans) == ["assistant: said", "tool: f()"]


def test_a_tool_span_stands_right_behind_the_call_that_asked_for_it() -> None:
    spans = [
        says("l", text("a"), call("1"), call("2")),
        says("m", text("b"), start=2),
        tool("x", call_id="1", name="x", start=6),
        tool("y", call_id="2", name="y", start=5),
        tool("z", call_id="3", name="z", start=4),
    ]
    assert with_calls(*spans) == [
        "assistant: a",
        "tool: y()",
        "tool: x()",
        "assistant: b",
        "tool: z()",
    ]
    assert lines(*spans) == ["assistant: a", "assistant: b", "tool: z()", "tool: y()", "tool: x()"]


def test_a_tool_span_that_started_before_its_call_is_put_behind_it() -> None:
    spans = [tool("x", call_id="1", start=0), says("l", text("a"), call("1"), start=1)]
    assert with_calls(*spans) == ["assistant: a", "tool: look()"]


def test_a_tool_span_that_two_siblings_asked_for_keeps_its_place() -> None:
    spans = [
        says("l", text("a"), call("1")),
        says("m", text("b"), call("1"), start=1),
        tool("x", call_id="1", start=2),
    ]
    assert with_calls(*spans) == ["assistant: a", "assistant: b", "tool: look()"]


def test_a_tool_span_asked_for_elsewhere_in_the_tree_keeps_its_place() -> None:
    spans = [
        says("l", text("a"), call("1"), parent="r"),
        agent("r"),
        says("m", text("b"), start=1, end=1001),
        tool("x", call_id="1", start=2),
    ]
    assert with_calls(*spans) == ["assistant: a", "assistant: b", "tool: look()"]


def test_agents_that_ask_for_each_other_keep_their_places() -> None:
    spans = [
        agent(
            "p",
            start=1,
            body={"tool": {"call_id": "1"}},
            outputs=[parts("assistant", text("p"), call("2"))],
        ),
        agent(
            "q",
            start=2,
            body={"tool": {"call_id": "2"}},
            outputs=[parts("assistant", text("q"), call("1"))],
        ),
    ]
    assert with_calls(*spans) == ["assistant: p", "assistant: q"]


def test_a_result_in_a_later_input_is_paired_with_its_call() -> None:
    # docs/contracts/agent_chat.md, section 3.13
    history = [
        user("q"),
        parts("assistant", call("1", "f")),
        parts("tool", response("1", {"ok": True})),
    ]
    spans = [
        chat("l", inputs=[user("q")], outputs=[parts("assistant", call("1", "f"))]),
        chat("m", start=2, inputs=history, outputs=[assistant("done")]),
    ]
    assert with_calls(*spans) == ["User: q", 'tool: f() = {"ok": true}', "assistant: done"]
    request = messages_of(*spans, include_model_tool_calls=True)[1].payload
    assert isinstance(request, ToolCall)
    assert (request.status, request.duration_ms) == ("", None)


@pytest.mark.parametrize(
    "result",
    [
        {"role": "tool", "tool_call_id": "1", "content": "R"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "R"}]},
        {"type": "function_call_output", "call_id": "1", "output": "R"},
    ],
)
def test_results_in_the_spellings_of_other_apis_are_paired(result: dict[str, Any]) -> None:
    # docs/contracts/agent_chat.md, section 3.13
    spans = [says("l", call("1", "f")), chat("m", start=2, inputs=[user("q"), result])]
    assert with_calls(*spans)[1:] == ["tool: f() = R"]


def test_calls_that_only_stand_in_an_input_are_shown_with_their_results() -> None:
    before = [
        user("old"),
        parts("assistant", call("0", "old")),
        parts("tool", response("0", "x")),
        assistant("a"),
    ]
    now = [
        user("q"),
        parts("assistant", call("1", "f"), call("", "no id")),
        parts("tool", response("1", "R")),
    ]
    spans = [chat("l", start=4, inputs=[*before, *now], outputs=[assistant("done")])]
    assert with_calls(*spans) == ["User: q", "tool: f() = R", "assistant: done"]
    assert messages_of(*spans, include_model_tool_calls=True)[1].started_ns == at(4)


def test_a_text_told_by_a_child_and_its_requests_are_told_once() -> None:
    spans = [
        says("l", text("same"), call("1", "f"), model="m"),
        chat("x", "l", start=2, operation="assistant_text", outputs=[assistant("same")]),
    ]
    assert with_calls(*spans) == ["assistant: same", "tool: f()"]
