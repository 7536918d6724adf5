"""User bubbles and system prompts over successive model calls.

Rules: docs/contracts/agent_chat.md, sections 2.6, 3.1, 3.8, 3.9.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.chat.users import known_length
from spanloom.model.turn import AgentStart, UserMessage
from tests.chat.spans import (
    agent,
    assistant,
    at,
    call,
    chat,
    lines,
    messages_of,
    parts,
    response,
    text,
    tool,
    user,
)


def heard(*spans: Any) -> list[str]:
    return [
        f"{m.agent_name}: {m.payload.text}"
        for m in messages_of(*spans)
        if isinstance(m.payload, UserMessage)
    ]


def calls(*histories: list[Any], parent: str = "") -> list[Any]:
    """Model calls one after the other, each with its input."""
    return [chat(f"{parent}l{i}", parent, start=i + 1, inputs=h) for i, h in enumerate(histories)]


def test_a_user_message_has_no_span_and_the_start_of_the_call_that_received_it() -> None:
    [message] = messages_of(chat("l", start=3, status="OK", inputs=[user("q")]))
    assert message.payload == UserMessage(text="q")
    assert (message.agent_name, message.started_ns) == ("User", at(3))
    assert (message.span_id, message.status_code, message.agent_version) == (None, None, None)


def test_only_the_run_of_user_messages_at_the_end_is_new() -> None:
    history = [user("old"), assistant("a"), user("new 1"), user("new 2")]
    assert heard(*calls(history)) == ["User: new 1", "User: new 2"]


@pytest.mark.parametrize("role", ["assistant", "system", "tool", "tool_call", "tool_result"])
def test_a_message_of_another_role_ends_the_run(role: str) -> None:
    assert heard(*calls([user("old"), {"role": role, "content": "x"}, user("new")])) == [
        "User: new"
    ]


@pytest.mark.parametrize("role", ["developer", "function", "toolResult", "Tool"])
def test_developer_is_system_and_function_is_a_tool_result(role: str) -> None:
    # docs/contracts/agent_chat.md, section 3.8
    assert heard(*calls([user("old"), {"role": role, "content": "x"}, user("new")])) == [
        "User: new"
    ]


def test_a_tool_result_under_role_user_is_no_user_message() -> None:
    # docs/contracts/agent_chat.md, section 3.8
    anthropic = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "1", "content": "18C"}],
    }
    assert heard(*calls([user("q")], [user("q"), assistant("a"), anthropic])) == ["User: q"]


def test_text_beside_a_tool_result_under_role_user_is_what_the_user_said() -> None:
    # docs/contracts/agent_chat.md, section 3.8
    mixed = {
        "role": "user",
        "content": [{"type": "tool_result", "content": "18C"}, text("and tomorrow?")],
    }
    assert heard(*calls([user("q"), assistant("a"), mixed])) == ["User: and tomorrow?"]


def test_a_call_sent_again_shows_its_question_once() -> None:
    assert heard(*calls([user("q")], [user("q")], [user("q")])) == ["User: q"]


def test_two_new_messages_sent_again_are_shown_once() -> None:
    assert heard(*calls([user("a"), user("b")], [user("a"), user("b")])) == ["User: a", "User: b"]


def test_a_turn_repeated_in_the_growing_history_is_kept() -> None:
    # docs/contracts/agent_chat.md, section 3.1
    first = [user("delete it?"), assistant("sure?"), user("yes")]
    second = [*first, assistant("really?"), user("yes")]
    third = [*second, assistant("really, really?"), user("yes")]
    spans = calls([user("delete it?")], first, second, second, third)
    assert heard(*spans) == ["User: delete it?", "User: yes", "User: yes", "User: yes"]


def test_a_turn_repeated_within_one_input_is_kept() -> None:
    # docs/contracts/agent_chat.md, section 3.1
    assert heard(*calls([user("yes"), user("yes")])) == ["User: yes", "User: yes"]


def test_a_repeated_turn_is_kept_after_the_history_lost_its_beginning() -> None:
    # docs/contracts/agent_chat.md, section 3.1
    whole = [user("q"), assistant("sure?"), user("yes")]
    windowed = [user("yes"), assistant("really?"), user("yes")]
    compacted = [
        user("summary"),
        assistant("ok"),
        user("yes"),
        assistant("x"),
        user("yes"),
        assistant("y"),
        user("yes"),
    ]
    assert heard(*calls(whole, windowed, compacted)) == ["User: yes"] * 3


def test_a_history_that_lost_its_beginning_repeats_nothing() -> None:
    whole = [user("q"), assistant("sure?"), user("yes")]
    assert heard(*calls(whole, [user("summary"), assistant("ok"), user("yes")], [user("yes")])) == [
        "User: yes"
    ]


def test_what_was_put_before_a_known_message_is_new() -> None:
    assert heard(*calls([user("q")], [user("context"), user("q")])) == ["User: q", "User: context"]


def test_separate_questions_are_all_shown_even_one_asked_before() -> None:
    assert heard(*calls([user("a")], [user("b")], [user("a")])) == ["User: a", "User: b", "User: a"]


def test_a_question_passed_on_to_another_agent_is_shown_once() -> None:
    spans = [
        agent("r", name="triage"),
        *calls([user("q")], parent="r"),
        agent("s", "r", name="billing", start=5),
        *calls([user("q")], [user("q"), assistant("a")], parent="s"),
    ]
    assert heard(*spans) == ["User: q"]


def delegating(*main: list[Any]) -> list[Any]:
    """An agent whose first call delegates a task, and that goes on with the histories given."""
    return [
        agent("r", name="main"),
        chat("l", "r", start=1, inputs=[user("q")]),
        tool("t", "r", start=2, name="delegate"),
        agent("s", "t", name="helper", start=3),
        chat("m", "s", start=4, inputs=[user("task")]),
        chat("n", "s", start=5, inputs=[user("task"), assistant("a"), user("task, more")]),
        *(chat(f"l{i}", "r", start=50 + i, inputs=h) for i, h in enumerate(main)),
    ]


def test_a_sub_agents_task_is_said_by_the_agent_that_called_it() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    assert heard(*delegating()) == ["User: q", "main: task", "main: task, more"]


def test_a_question_sent_again_after_a_sub_agents_task_is_shown_once() -> None:
    assert heard(*delegating([user("q")])) == ["User: q", "main: task", "main: task, more"]


def test_what_the_user_says_to_a_sub_agent_is_the_users() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = delegating()
    spans += [
        agent("s2", "r", name="billing", start=60),
        chat("o", "s2", start=61, inputs=[user("q"), assistant("which order?"), user("88")]),
    ]
    assert heard(*spans)[-1] == "User: 88"


def test_the_first_prompt_of_a_turn_is_the_users_however_deep_the_agent() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = [
        agent("r", name="flow"),
        agent("s", "r", name="bot"),
        chat("l", "s", inputs=[user("q")]),
    ]
    assert heard(*spans) == ["User: q"]


def test_a_task_is_the_callers_where_the_caller_was_asked_something_else() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = [
        agent("r", name="flow", inputs=[user("write a report")]),
        agent("s", "r", name="bot", start=1),
        chat("l", "s", start=2, inputs=[user("find sources")]),
    ]
    assert heard(*spans) == ["User: write a report", "flow: find sources"]


def test_a_prompt_that_the_caller_passes_on_is_the_users() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = [
        agent("r", name="flow", inputs=[user("q")]),
        agent("s", "r", name="bot", start=1),
        chat("l", "s", start=2, inputs=[user("q")]),
    ]
    assert heard(*spans) == ["User: q"]


def test_a_model_called_by_a_tool_is_told_its_task_by_the_agent_of_the_tool() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = [
        agent("r", name="main"),
        chat("l", "r", start=1, inputs=[user("q")]),
        tool("t", "r", start=2),
        chat("m", "t", start=3, inputs=[user("summarize")]),
    ]
    assert heard(*spans) == ["User: q", "main: summarize"]


def test_a_caller_without_a_name_leaves_the_task_to_the_user() -> None:
    # docs/contracts/agent_chat.md, section 3.9
    spans = [
        agent("r"),
        chat("l", "r", inputs=[user("q")]),
        agent("s", "r", start=1),
        chat("m", "s", start=2, inputs=[user("task")]),
    ]
    assert heard(*spans) == ["User: q", "User: task"]


def test_the_prompt_on_an_agent_is_ignored_where_a_model_heard_the_user() -> None:
    spans = [agent("r", name="a", inputs=[user("wrapped q")]), chat("l", "r", inputs=[user("q")])]
    assert heard(*spans) == ["User: q"]


def test_without_a_bubble_the_last_user_text_of_an_agent_comes_first() -> None:
    spans = [
        chat("early", start=0, inputs=[user("model's"), assistant("a")], outputs=[assistant("o")]),
        agent("r", name="a", start=5, inputs=[user("one"), assistant("x"), user("two")]),
    ]
    assert lines(*spans) == ["User: two", "assistant: o", "start(a)"]
    assert messages_of(*spans)[0].started_ns == at(5)


def test_without_a_bubble_or_an_agents_prompt_the_earliest_users_text_is_taken() -> None:
    spans = [
        chat("b", start=2, inputs=[user("later"), assistant("a")]),
        chat(
            "a",
            start=1,
            inputs=[user("first"), user("earliest"), {"role": "system", "content": "s"}],
        ),
    ]
    assert heard(*spans) == ["User: earliest"]


def test_a_start_right_before_the_question_changes_places_with_it() -> None:
    assert lines(agent("r", name="a"), chat("l", "r", inputs=[user("q")])) == [
        "User: q",
        "start(a)",
    ]


def test_media_alone_make_a_bubble_without_text() -> None:
    image = parts("user", {"type": "blob", "modality": "image", "content": "AAAA"})
    assert heard(chat("l", inputs=[image])) == ["User: "]


def test_media_alone_do_not_hide_the_prompt_of_the_agent() -> None:
    image = parts("user", {"type": "blob", "content": "AAAA"})
    assert heard(agent("r", inputs=[user("look")]), chat("l", "r", inputs=[image])) == [
        "User: look",
        "User: ",
    ]


def test_two_images_alike_but_for_their_bytes_are_two_messages() -> None:
    def image(content: str) -> dict[str, Any]:
        return parts("user", text("see"), {"type": "blob", "content": content})

    assert heard(*calls([image("A")], [image("A")], [image("B")])) == ["User: see", "User: see"]


@pytest.mark.parametrize(
    "nothing", [user(""), parts("user"), parts("user", {"type": "odd"}), {"role": "user"}]
)
def test_a_user_message_that_shows_nothing_is_no_bubble(nothing: dict[str, Any]) -> None:
    assert heard(chat("l", inputs=[nothing])) == []


def test_assistant_history_in_an_input_is_never_replayed_and_equal_answers_are_both_kept() -> None:
    spans = [
        chat("l", start=1, inputs=[user("q")], outputs=[assistant("ok")]),
        chat(
            "m", start=2, inputs=[user("q"), assistant("ok"), user("r")], outputs=[assistant("ok")]
        ),
    ]
    assert lines(*spans) == ["User: q", "assistant: ok", "User: r", "assistant: ok"]


# System prompts


def prompted(span_id: str, parent: str, system: str, **fields: Any) -> Any:
    return chat(
        span_id, parent, body={"system_instructions": system, **fields.pop("body", {})}, **fields
    )


def test_a_models_prompt_completes_the_start_of_its_agent() -> None:
    tools = {"tool_definitions": [{"n": 1}]}
    spans = [
        agent("r", name="a", body={"compaction": {"summary": "s"}}),
        tool("t", "r", start=1),
        prompted("l", "r", "S", start=2, model="m", body=tools),
    ]
    messages = messages_of(*spans)
    assert [m.type for m in messages] == ["agent_start", "context_compacted", "tool_call"]
    assert messages[0].payload == AgentStart(
        system_instructions="S", tool_definitions='[{"n": 1}]', status="UNSET"
    )


def test_a_prompt_after_the_question_is_a_start_of_its_own() -> None:
    spans = [
        agent("r", name="a"),
        chat("l", "r", start=1, inputs=[user("q")]),
        prompted("m", "r", "S", start=2, model="m"),
    ]
    assert lines(*spans) == ["User: q", "start(a)", "start(a): S"]
    last = messages_of(*spans)[-1]
    assert last.payload == AgentStart(model="m", system_instructions="S", status="UNSET")
    assert last.span_id == "m"


def test_a_prompt_of_another_agent_does_not_complete_the_start() -> None:
    assert lines(agent("r", name="a"), prompted("l", "r", "S", agent_name="b")) == [
        "start(a)",
        "start(b): S",
    ]


def test_a_prompt_is_shown_until_its_text_changes() -> None:
    spans = [prompted(str(i), "", s, start=i) for i, s in enumerate(["S", "S", "T", "T", "S"])]
    assert lines(*spans) == ["start: S", "start: T", "start: S"]


def test_an_agents_own_prompt_is_not_repeated_by_its_models() -> None:
    own = {"system_instructions": "S"}
    spans = [
        agent("r", name="a", body=own),
        prompted("l", "r", "S"),
        agent("s", "r", name="b", start=5, body=own),
    ]
    assert lines(*spans) == ["start(a): S", "start(b): S"]


def test_a_prompt_without_any_agent_comes_after_the_question_it_stood_before() -> None:
    assert lines(prompted("l", "", "S", inputs=[user("q")])) == ["User: q", "start: S"]


def test_a_tool_has_no_prompt() -> None:
    assert lines(tool("t", body={"system_instructions": "S"})) == ["tool: look()"]


# How far a history is known

keys = st.lists(st.sampled_from("ab"), min_size=1, max_size=8)


@given(known=keys, more=st.lists(st.sampled_from("ab"), max_size=4))
def test_a_history_that_only_grew_is_known_up_to_where_it_was(
    known: list[str], more: list[str]
) -> None:
    assert known_length(known, known + more) == len(known)


@given(known=keys, other=keys)
def test_a_history_is_known_up_to_the_place_that_agrees_most_backwards(
    known: list[str], other: list[str]
) -> None:
    def agreed(end: int) -> int:
        length = 0
        while length < min(end, len(known)) and known[-1 - length] == other[end - 1 - length]:
            length += 1
        return length

    best = max(agreed(end) for end in range(1, len(other) + 1))
    expected = (
        next((end for end in range(1, len(other) + 1) if agreed(end) == best), 0) if best else 0
    )
    if other[: len(known)] == known:
        expected = len(known)
    assert known_length(known, other) == expected


def test_a_tool_call_between_does_not_make_a_question_new() -> None:
    looped = [user("q"), parts("assistant", call("1")), parts("tool", response("1", "x"))]
    assert heard(*calls([user("q")], looped, [*looped, assistant("a"), user("q")])) == [
        "User: q",
        "User: q",
    ]
