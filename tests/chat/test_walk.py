"""Agents, models and tools in turn.

Rules: docs/contracts/agent_chat.md, sections 2.5, 2.8 and 2.10.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanloom.model.turn import AgentStart, AssistantMessage, ContextCompacted, ToolCall
from tests.chat.spans import (
    agent,
    assistant,
    at,
    chat,
    lines,
    messages_of,
    parts,
    reasoning,
    span,
    text,
    tool,
    user,
)


def test_an_agent_starts_then_what_it_does_then_nothing_where_a_model_spoke() -> None:
    spans = [
        agent("r", name="a", outputs=[assistant("done")]),
        chat("l", "r", inputs=[user("q")], outputs=[assistant("done")]),
    ]
    assert lines(*spans) == ["User: q", "start(a)", "assistant(a): done"]


@pytest.mark.parametrize(
    "given",
    [{"name": "a"}, {"body": {"agent": {"id": "a"}}}],
)
def test_an_agent_is_known_by_its_name_or_its_id(given: dict[str, Any]) -> None:
    assert lines(agent("r", **given)) == ["start(a)"]


@pytest.mark.parametrize(
    "given",
    [
        {"model": "m"},
        {"body": {"system_instructions": "S"}},
        {"body": {"tool_definitions": [{"name": "d"}]}},
    ],
)
def test_an_agent_without_a_name_starts_if_it_has_anything_to_tell(given: dict[str, Any]) -> None:
    [message] = messages_of(agent("r", **given))
    assert (message.type, message.agent_name) == ("agent_start", None)


def test_an_agent_with_nothing_to_tell_does_not_start() -> None:
    assert lines(agent("r", name="")) == []


def test_an_agent_start_tells_model_prompt_tools_version_and_status() -> None:
    body = {"system_instructions": "S", "tool_definitions": [{"n": "ü"}], "agent": {"version": "2"}}
    [message] = messages_of(agent("r", name="a", model="m", status="OK", body=body))
    assert message.payload == AgentStart(
        model="m", system_instructions="S", tool_definitions='[{"n": "ü"}]', status="OK"
    )
    assert (message.span_id, message.agent_version, message.started_ns) == ("r", "2", at(0))


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"summary": "s"}, ContextCompacted(compaction_summary="s")),
        (
            {"items_before": 3, "items_after": 1},
            ContextCompacted(compaction_items_before=3, compaction_items_after=1),
        ),
        ({"items_before": 0, "items_after": 4}, None),
        ({"items_before": -1, "summary": ""}, None),
    ],
)
def test_a_compaction_is_shown_by_its_summary_or_the_items_before_it(
    told: object, shown: object
) -> None:
    messages = messages_of(agent("r", name="a", body={"compaction": told}))
    assert [m.payload for m in messages[1:]] == ([shown] if shown else [])


def test_only_agents_compact() -> None:
    assert lines(chat("l", body={"compaction": {"summary": "s"}})) == []


def test_a_compaction_between_keeps_the_start_before_the_question() -> None:
    spans = [
        agent("r", name="a", body={"compaction": {"summary": "s"}}),
        chat("l", "r", inputs=[user("q")]),
    ]
    assert lines(*spans) == ["start(a)", "compacted(a): s", "User: q"]


def test_a_tool_call_comes_before_what_happened_inside_and_a_models_text_after() -> None:
    spans = [
        chat("l", outputs=[assistant("after")]),
        tool("t", "l", start=1),
        chat("m", "t", start=2, outputs=[assistant("inside")]),
    ]
    assert lines(*spans) == ["tool: look()", "assistant: inside", "assistant: after"]


def test_a_tool_call_tells_all_of_its_span() -> None:
    given: dict[str, Any] = {
        "status": "ERROR",
        "end": 7.9,
        "arguments": {"a": 1},
        "result": [1],
        "body": {"error_type": "E", "status_message": "m"},
    }
    [message] = messages_of(tool("t", **given))
    assert message.payload == ToolCall(
        tool_name="look",
        tool_arguments='{"a": 1}',
        tool_result="[1]",
        duration_ms=7,
        status="ERROR",
    )
    assert (message.status_code, message.error_type, message.status_message) == ("ERROR", "E", "m")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("execute_tool get_it", "get_it"), ("execute_tool", "execute_tool"), ("calc", "calc")],
)
def test_a_tool_without_a_name_is_called_as_its_span(name: str, shown: str) -> None:
    assert lines(span("t", operation="execute_tool", name=name)) == [f"tool: {shown}()"]


def test_what_a_tool_span_says_itself_is_not_shown() -> None:
    assert lines(tool("t", body={"output_messages": [assistant("x")]})) == ["tool: look()"]


def test_an_assistant_message_tells_all_of_its_span() -> None:
    body = {
        "response_model": "m-1",
        "reasoning_tokens": 4,
        "input_cost": 0.1,
        "output_cost": 0.2,
        "agent": {"version": "2"},
    }
    given: dict[str, Any] = {
        "model": "m",
        "input_tokens": 10,
        "output_tokens": 3,
        "cost": 0.3,
        "status": "OK",
        "end": 8,
        "body": body,
    }
    [message] = messages_of(
        chat("l", outputs=[parts("assistant", reasoning("r"), text("t"))], **given)
    )
    assert message.payload == AssistantMessage(
        text="t",
        model="m-1",
        reasoning_content="r",
        reasoning_tokens=4,
        input_tokens=10,
        output_tokens=3,
        input_cost_usd=0.1,
        output_cost_usd=0.2,
        total_cost_usd=0.3,
        duration_ms=8,
        status="OK",
    )
    assert (message.span_id, message.agent_version) == ("l", "2")


def test_the_model_asked_stands_where_none_answered() -> None:
    [message] = messages_of(chat("l", model="m", outputs=[assistant("t")]))
    assert isinstance(message.payload, AssistantMessage)
    assert message.payload.model == "m"


def test_a_model_that_only_asks_for_tools_says_nothing() -> None:
    assert (
        lines(
            chat("l", outputs=[parts("assistant", {"type": "tool_call", "id": "1", "name": "f"})])
        )
        == []
    )


def test_a_model_that_only_reasons_is_shown() -> None:
    assert lines(chat("l", outputs=[parts("assistant", reasoning("r"))])) == ["assistant: <r> "]


@pytest.mark.parametrize("operation", ["chat", "embeddings", "retrieval", ""])
def test_a_failed_span_that_said_nothing_is_an_empty_message(operation: str) -> None:
    [message] = messages_of(
        span("x", operation=operation, status="ERROR", body={"error_type": "Boom"})
    )
    assert (message.type, message.status_code, message.error_type) == (
        "assistant_message",
        "ERROR",
        "Boom",
        # docs/contracts/agent_chat.md, section 3.11
    )


def test_a_span_that_said_nothing_and_did_not_fail_is_not_shown() -> None:
    assert lines(span("w", name="GET /"), chat("l", "w", status="OK")) == []


def test_a_wrapper_with_messages_speaks_like_a_model() -> None:
    assert lines(chat("w", operation="", inputs=[user("q")], outputs=[assistant("a")])) == [
        "User: q",
        "assistant: a",
    ]


def test_an_agents_text_is_shown_where_nobody_below_spoke_with_the_sums_of_all_below() -> None:
    spans = [
        agent(
            "r", name="a", outputs=[assistant("final")], input_tokens=5, output_tokens=1, cost=0.5
        ),
        chat("l", "r", input_tokens=3, body={"reasoning_tokens": 2}),
        tool("t", "r", start=1),
        chat("m", "t", start=2, input_tokens=4, cost=0.25),
    ]
    answer = messages_of(*spans)[-1].payload
    assert isinstance(answer, AssistantMessage)
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("final", 12, 1)
    assert (answer.reasoning_tokens, answer.total_cost_usd) == (2, 0.75)


def test_an_agent_repeats_the_first_reasoning_below_it_where_only_that_was_said() -> None:
    spans = [
        agent("r", name="a", outputs=[assistant("final")]),
        chat("l", "r", start=1, outputs=[parts("assistant", reasoning("first"))]),
        chat("m", "r", start=2, outputs=[parts("assistant", reasoning("second"))]),
    ]
    assert lines(*spans)[1:] == [
        "assistant(a): <first> ",
        "assistant(a): <second> ",
        "assistant(a): <first> final",
    ]


def test_an_agents_own_reasoning_goes_before_that_below_it() -> None:
    spans = [
        agent("r", outputs=[parts("assistant", reasoning("own"), text("final"))]),
        chat("l", "r", outputs=[parts("assistant", reasoning("deep"))]),
    ]
    assert lines(*spans) == ["assistant: <deep> ", "assistant: <own> final"]


def test_an_agent_without_text_does_not_repeat_the_reasoning_below_it() -> None:
    spans = [agent("r"), chat("l", "r", outputs=[parts("assistant", reasoning("r"))])]
    assert lines(*spans) == ["assistant: <r> "]


def test_a_failed_model_lets_its_failed_agent_tell_its_own_failure() -> None:
    spans = [agent("r", status="ERROR"), chat("l", "r", status="ERROR")]
    assert [m.span_id for m in messages_of(*spans)] == ["l", "r"]


def test_a_failed_agent_is_silent_where_a_model_below_it_spoke() -> None:
    spans = [agent("r", status="ERROR"), chat("l", "r", outputs=[assistant("t")])]
    assert lines(*spans) == ["assistant: t"]


def test_a_failed_wrapper_is_shown_even_where_a_model_below_it_spoke() -> None:
    spans = [span("w", status="ERROR"), chat("l", "w", outputs=[assistant("t")])]
    assert [m.span_id for m in messages_of(*spans)] == ["l", "w"]


def test_a_sub_agent_stands_in_line_and_silences_the_text_of_those_above() -> None:
    spans = [
        agent("r", name="a", outputs=[assistant("mirror")]),
        agent("s", "r", name="b", start=1, outputs=[assistant("mirror")]),
        chat("l", "s", start=2, outputs=[assistant("b says")]),
        chat("m", "r", start=5, outputs=[assistant("a says")]),
    ]
    assert lines(*spans) == ["start(a)", "start(b)", "assistant(b): b says", "assistant(a): a says"]


def test_a_label_is_the_own_name_or_id_else_that_of_the_nearest_agent_else_of_the_span() -> None:
    spans = [
        agent("r", name="a"),
        tool("own", "r", start=1, agent_name="other"),
        span("w", "r", start=2),
        tool("below", "w", start=3),
        agent("i", "r", start=4, body={"agent": {"id": "id7"}}),
        tool("of id", "i", start=5),
        tool("last", "r", start=6),
    ]
    assert lines(*spans) == [
        "start(a)",
        "tool(other): look()",
        "tool(a): look()",
        "start(id7)",
        "tool(id7): look()",
        "tool(a): look()",
    ]
    unnamed = span("n", operation="invoke_agent", name="invoke_agent Rem", end=99)
    assert lines(unnamed, tool("t", "n")) == ["tool(Rem): look()"]
    assert lines(
        agent("r", name="a"),
        span("n", "r", operation="invoke_agent", name="invoke_agent Rem"),
        tool("t", "n"),
    ) == [
        "start(a)",
        "tool(a): look()",
    ]


def test_the_version_is_not_inherited() -> None:
    spans = [agent("r", name="a", body={"agent": {"version": "1"}}), tool("t", "r")]
    assert [m.agent_version for m in messages_of(*spans)] == ["1", None]


# Claude Code (docs/contracts/agent_chat.md, section 2.10)


def test_a_text_recorded_above_and_below_is_one_message_below_with_the_gaps_filled() -> None:
    spans = [
        chat(
            "l",
            model="m",
            input_tokens=5,
            end=9,
            outputs=[parts("assistant", reasoning("r"), text("same"))],
            body={"agent": {"version": "2"}},
        ),
        span(
            "x",
            "l",
            operation="assistant_text",
            start=2,
            end=2,
            status="OK",
            body={"output_messages": [assistant("same")]},
        ),
        tool("t", "l", start=4),
    ]
    said, called = messages_of(*spans)
    assert (said.span_id, said.status_code, said.agent_version) == ("x", "OK", "2")
    assert called.span_id == "t"
    assert said.payload == AssistantMessage(
        text="same", model="m", reasoning_content="r", input_tokens=5, duration_ms=9, status="OK"
    )


def test_different_texts_above_and_below_are_two_messages() -> None:
    spans = [
        chat("l", outputs=[assistant("one\ntwo")]),
        span(
            "x",
            "l",
            operation="assistant_text",
            start=2,
            body={"output_messages": [assistant("one")]},
        ),
    ]
    assert lines(*spans) == ["assistant: one", "assistant: one\ntwo"]


def test_a_chat_takes_the_place_of_its_assistant_text() -> None:
    spans = [
        chat("l", start=5, end=9, outputs=[assistant("late")]),
        span(
            "x",
            "l",
            operation="assistant_text",
            start=1,
            body={"output_messages": [assistant("early")]},
        ),
        tool("t", start=3),
    ]
    assert lines(*spans) == ["assistant: early", "assistant: late", "tool: look()"]


LAUNCH = {"isAsync": True, "status": "async_launched", "agentId": "x", "description": "Find bugs"}


def test_an_agent_launched_in_the_background_is_a_tool_call() -> None:
    launched = json.dumps(LAUNCH)
    [_, message] = messages_of(agent("s", name="sub", end=3, outputs=[assistant(launched)]))
    assert message.payload == ToolCall(
        tool_name="Start sub",
        tool_arguments="Find bugs",
        tool_result=launched,
        duration_ms=3,
        status="UNSET",
    )


@pytest.mark.parametrize("change", [{"isAsync": "true"}, {"status": "done"}, {"agentId": 5}])
def test_any_other_output_of_an_agent_is_its_answer(change: dict[str, object]) -> None:
    answer = json.dumps({**LAUNCH, **change})
    assert lines(agent("s", outputs=[assistant(answer)])) == [f"assistant: {answer}"]


def test_a_background_launch_is_silent_where_the_agent_spoke() -> None:
    spans = [
        agent("s", outputs=[assistant(json.dumps(LAUNCH))]),
        chat("l", "s", outputs=[assistant("t")]),
    ]
    assert lines(*spans) == ["assistant: t"]


NOTE = "<task-notification><id>1</id></task-notification>"


def test_a_task_notification_in_the_users_place_is_a_tool_result() -> None:
    [message] = messages_of(chat("l", inputs=[user(f" {NOTE}\n")], status="OK"))
    assert message.payload == ToolCall(
        tool_name="Task notification", tool_result=f" {NOTE}\n", duration_ms=0, status="OK"
    )
    assert message.span_id == "l"


@pytest.mark.parametrize("message", [user(NOTE + " and more"), parts("user", text(NOTE))])
def test_a_notification_beside_other_text_or_in_parts_is_what_the_user_said(
    message: dict[str, object],
) -> None:
    assert [m.type for m in messages_of(chat("l", inputs=[message]))] == ["user_message"]
