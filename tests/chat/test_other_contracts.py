"""HoneyHive sessions and Basalt traces as chats.

Rules: docs/contracts/agent_chat.md, section 3.12.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from spanloom.model.turn import AssistantMessage
from tests.chat.spans import at, lines, messages_of, span, turn_of

DOCUMENTED_HISTORY = [
    {
        "role": "system",
        "content": "Answer the user's question only using provided context. Context: Hello world",
    },
    {"role": "user", "content": "What is in the context?"},
]
DOCUMENTED_INPUTS = {
    "context": "Hello world",
    "question": "What is in the context?",
    "chat_history": DOCUMENTED_HISTORY,
}
DOCUMENTED_OUTPUTS = {"role": "assistant", "content": "Hello world"}


def session(**body: Any) -> Any:
    fields = {
        key: body.pop(key) for key in ("name", "status", "input_tokens", "cost") if key in body
    }
    made = span("s", kind="session", body={"source": "test", **body}, **{"name": "Chat", **fields})
    return replace(made, end_ns=None)


def event(
    event_id: str,
    kind: str,
    inputs: Any = None,
    outputs: Any = None,
    parent: str = "s",
    **given: Any,
) -> Any:
    io = {"inputs": inputs, "outputs": outputs}
    body = {
        "source": "test",
        **{k: v for k, v in io.items() if v is not None},
        **given.pop("body", {}),
    }
    return span(event_id, parent, kind=kind, body=body, **{"name": event_id, **given})


def model(
    event_id: str, inputs: Any = None, outputs: Any = None, parent: str = "s", **given: Any
) -> Any:
    return event(event_id, "model", inputs, outputs, parent, **given)


def test_the_documented_batch_is_a_question_a_prompt_and_an_answer() -> None:
    spans = [
        session(name="Playground Session", inputs=DOCUMENTED_INPUTS, outputs=DOCUMENTED_OUTPUTS),
        model(
            "e",
            DOCUMENTED_INPUTS,
            DOCUMENTED_OUTPUTS,
            model="gpt-3.5-turbo",
            start=0,
            end=1000,
            duration_ms=999.8056,
            input_tokens=35,
            output_tokens=23,
            cost=8e-05,
        ),
    ]
    assert lines(*spans) == [
        "User: What is in the context?",
        f"start: {DOCUMENTED_HISTORY[0]['content']}",
        "assistant: Hello world",
    ]
    answer = messages_of(*spans)[-1]
    assert answer.payload == AssistantMessage(
        text="Hello world",
        model="gpt-3.5-turbo",
        input_tokens=35,
        output_tokens=23,
        total_cost_usd=8e-05,
        duration_ms=999,
        status="UNSET",
    )
    turn = turn_of(*spans)
    assert (turn.root_span_name, turn.total_input_tokens, turn.total_output_tokens) == (
        "Playground Session",
        35,
        23,
    )


@pytest.mark.parametrize(
    "inputs",
    [
        {"chat_history": [{"role": "user", "content": "q"}]},
        {"messages": [{"role": "user", "content": "q"}], "question": "ignored"},
        {"chat_history": json.dumps([{"role": "user", "content": "q"}])},
        {"messages": [[{"role": "human", "content": "q"}]]},
        {
            "chat_history": [
                {"role": "user", "content": "old"},
                {"role": "assistant", "content": "a"},
            ],
            "question": "q",
        },
        {"chat_history": [], "question": "q"},
        {"question": "q", "context": "c"},
        {"query": "q", "k": 3},
        {"prompt": "q", "model": "m"},
        {"prompt": [{"role": "user", "content": "q"}]},
        {"input": "q", "x": 1},
        {"_params_": {"question": "q"}},
        {"anything": "q"},
        [{"role": "user", "content": "q"}],
        {"role": "user", "content": "q"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]},
        "q",
    ],
)
def test_a_model_event_was_asked_the_last_user_text_of_its_inputs(inputs: Any) -> None:
    assert lines(session(), model("e", inputs)) == ["User: q"]


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        ({"a": 1, "b": {"c": "ü"}}, '{"a": 1, "b": {"c": "ü"}}'),
        ([1, 2], "[1, 2]"),
        (["a", "b"], '["a", "b"]'),
        ({"n": 5}, "5"),
    ],
)
def test_inputs_of_any_other_shape_are_shown_as_json(inputs: Any, shown: str) -> None:
    assert lines(session(), model("e", inputs)) == [f"User: {shown}"]


@pytest.mark.parametrize(
    "nothing", [None, {}, [], "", {"question": ""}, {"messages": []}, {"question": None}]
)
def test_inputs_and_outputs_that_hold_nothing_say_nothing(nothing: Any) -> None:
    assert lines(session(), model("e", nothing, nothing)) == []


@pytest.mark.parametrize(
    "outputs",
    [
        {"role": "assistant", "content": "a"},
        {"content": "a", "finish_reason": "stop"},
        {"content": [{"type": "text", "text": "a"}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]},
        {"choices": [{"message": {"content": "a"}}]},
        {"choices": [{"text": "a"}]},
        {"response": "a"},
        {"response": {"role": "assistant", "content": "a"}},
        {"text": "a", "tokens": 4},
        {"output": {"result": "a"}},
        {"answer": "a", "sources": []},
        {"value": "a"},
        {"value": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {
            "messages": [
                {"role": "assistant", "content": "old"},
                {"role": "user", "content": "q"},
                {"role": "ai", "content": "a"},
            ]
        },
        {"anything": "a"},
        "a",
    ],
)
def test_a_model_event_answered_the_text_of_its_outputs(outputs: Any) -> None:
    assert lines(session(), model("e", None, outputs)) == ["assistant: a"]


@pytest.mark.parametrize(
    ("outputs", "shown"),
    [
        ({"role": "assistant", "content": {"capital": "Paris"}}, '{"capital": "Paris"}'),
        ({"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        ({"value": [1, 2]}, "[1, 2]"),
        ({"result": 0}, "0"),
        (False, "false"),
    ],
)
def test_outputs_of_any_other_shape_are_shown_as_json(outputs: Any, shown: str) -> None:
    assert lines(session(), model("e", None, outputs)) == [f"assistant: {shown}"]


def test_the_reasoning_of_a_model_event_is_shown() -> None:
    outputs = {
        "choices": [{"message": {"role": "assistant", "content": "a", "reasoning_content": "r"}}]
    }
    assert lines(session(), model("e", None, outputs)) == ["assistant: <r> a"]


def test_the_calls_of_a_model_event_are_shown_when_asked_for() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    asked = model(
        "e", {"question": "q"}, {"role": "assistant", "content": None, "tool_calls": calls}
    )
    history = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "R"},
    ]
    spans = [session(), asked, model("g", {"chat_history": history}, {"content": "done"}, start=3)]
    assert lines(*spans) == ["User: q", "assistant: done"]
    assert lines(*spans, include_model_tool_calls=True) == [
        "User: q",
        "tool: f({}) = R",
        "assistant: done",
    ]


@pytest.mark.parametrize(
    ("inputs", "outputs", "shown"),
    [
        ({"city": "Zürich"}, {"result": "18C"}, 'e({"city": "Zürich"}) = 18C'),
        ({"_params_": {"city": "x"}}, {"output": {"t": 18}}, 'e({"city": "x"}) = {"t": 18}'),
        ({}, {"response": [1]}, "e({}) = [1]"),
        ({"a": 1}, {"t": 18}, 'e({"a": 1}) = {"t": 18}'),
        ({"a": 1}, {"result": 1, "more": 2}, 'e({"a": 1}) = {"result": 1, "more": 2}'),
        ({"a": 1}, {"value": "x"}, 'e({"a": 1}) = x'),
        ('{"id":12345678901234567890123}', "[1,2]", 'e({"id": 12345678901234567890123}) = [1, 2]'),
        (
            {"a": 1},
            {"result": '{"id":12345678901234567890123}'},
            'e({"a": 1}) = {"id": 12345678901234567890123}',
        ),
        ("text", "plain", "e(text) = plain"),
        (None, None, "e()"),
    ],
)
def test_a_tool_event_is_a_tool_call(inputs: Any, outputs: Any, shown: str) -> None:
    assert lines(session(), event("e", "tool", inputs, outputs)) == [f"tool: {shown}"]


def test_a_chain_event_right_above_a_model_event_is_an_agent() -> None:
    spans = [
        session(),
        event("bot", "chain", {"question": "q"}, {"result": "mirror"}),
        event("find", "tool", {"k": 1}, {"result": "doc"}, "bot", start=1),
        model("gen", {"chat_history": DOCUMENTED_HISTORY}, {"content": "a"}, "bot", start=2),
    ]
    assert lines(*spans) == [
        "start(bot): " + DOCUMENTED_HISTORY[0]["content"],
        'tool(bot): find({"k": 1}) = doc',
        "User: What is in the context?",
        "assistant(bot): a",
    ]


def test_a_chain_event_without_a_model_event_groups_in_silence() -> None:
    spans = [
        session(),
        event("outer", "chain", {"question": "q"}, {"result": "mirror"}),
        event("agent", "chain", {}, {}, "outer"),
        model("gen", {"question": "q"}, {"content": "a"}, "agent"),
        event("step", "chain", {"text": "x"}, {"result": "y"}, "outer", start=5),
    ]
    assert lines(*spans) == ["User: q", "start(agent)", "assistant(agent): a"]


def test_the_chains_at_the_top_speak_where_no_model_was_recorded() -> None:
    spans = [
        session(),
        event("one", "chain", {"question": "q1"}, {"result": "a1"}, start=1),
        event("step", "chain", {"text": "x"}, {"result": "y"}, "one", start=2),
        event("find", "tool", {}, {"result": "doc"}, "one", start=3),
    ]
    assert lines(*spans) == ["User: q1", "tool: find({}) = doc", "assistant: a1"]


def test_a_wrapper_span_of_an_otlp_trace_is_no_agent() -> None:
    http = span("w", name="POST /chat")
    llm = span(
        "l",
        "w",
        operation="chat",
        kind="model",
        body={"output_messages": [{"role": "assistant", "content": "a"}]},
    )
    assert lines(http, llm) == ["assistant: a"]
    assert lines(http) == []


def test_a_session_tells_question_and_answer_where_no_model_event_did() -> None:
    told = {"inputs": {"question": "session q"}, "outputs": {"result": "session a"}}
    assert lines(session(**told)) == ["User: session q", "assistant: session a"]
    assert lines(session(**told), model("e", {"question": "q"}, {"content": "a"})) == [
        "User: q",
        "assistant: a",
    ]
    assert lines(session(**told), event("t", "tool", {}, {})) == [
        "User: session q",
        "tool: t({}) = {}",
        "assistant: session a",
    ]


def test_a_session_is_the_root_of_its_turn_and_takes_its_times_from_its_events() -> None:
    spans = [
        replace(session(start_unknown=True), start_ns=at(40)),
        model("a", start=10, end=20, input_tokens=3, cost=0.5),
        model("b", start=15, end=99, input_tokens=4),
    ]
    turn = turn_of(*spans)
    assert (turn.root_span_name, turn.agent_name) == ("Chat", None)
    assert (turn.started_ns, turn.ended_ns, turn.total_duration_ms) == (at(10), at(99), 89)
    assert (turn.total_input_tokens, turn.total_cost_usd) == (7, 0.5)


def test_what_was_said_of_a_sessions_times_stays_and_its_figures_do_not_count_again() -> None:
    spans = [
        replace(session(input_tokens=100, cost=9.0), start_ns=at(5), end_ns=at(8), duration_ms=2.5),
        model("a", start=10, end=20, input_tokens=3, cost=0.5),
    ]
    turn = turn_of(*spans)
    assert (turn.started_ns, turn.ended_ns, turn.total_duration_ms) == (at(5), at(8), 2)
    assert (turn.total_input_tokens, turn.total_cost_usd) == (3, 0.5)


def test_a_session_among_other_roots_is_the_root() -> None:
    assert turn_of(session(), span("x", end=99, name="x")).root_span_name == "Chat"


def test_a_session_that_was_never_sent_still_has_a_chat() -> None:
    assert lines(model("e", {"question": "q"}, {"content": "a"})) == ["User: q", "assistant: a"]


def test_an_event_with_an_error_failed() -> None:
    [message] = messages_of(
        session(),
        model("e", None, None, body={"error": "429 slow down", "error_type": "RateLimit"}),
    )
    assert (message.status_code, message.status_message, message.error_type) == (
        "ERROR",
        "429 slow down",
        "RateLimit",
    )


def test_growing_histories_of_model_events_repeat_nothing() -> None:
    first = [{"role": "user", "content": "q"}]
    second = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "yes"}]
    third = [*second, {"role": "assistant", "content": "b"}, {"role": "user", "content": "yes"}]
    spans = [
        session(),
        *(
            model(str(i), {"chat_history": h}, start=i)
            for i, h in enumerate([first, second, third])
        ),
    ]
    assert lines(*spans) == ["User: q", "User: yes", "User: yes"]


# Basalt


def trace(**body: Any) -> Any:
    fields = {key: body.pop(key) for key in ("status",) if key in body}
    return span(
        "T", kind="session", operation="invoke_agent", name="qa-chatbot", end=9, body=body, **fields
    )


KINDS = {"generation": ("model", "chat"), "span": ("chain", ""), "event": ("chain", "")}


def log(
    log_id: str,
    log_type: str,
    inputs: Any = None,
    outputs: Any = None,
    parent: str = "T",
    **given: Any,
) -> Any:
    kind, operation = KINDS.get(log_type, ("tool", "execute_tool"))
    body = {"log_type": log_type, **given.pop("body", {})}
    return event(log_id, kind, inputs, outputs, parent, operation=operation, body=body, **given)


def test_the_documented_trace_is_a_question_and_an_answer() -> None:
    spans = [
        trace(inputs="What is the capital of France?", outputs="Paris"),
        log("123", "generation"),
    ]
    assert lines(*spans) == ["User: What is the capital of France?", "assistant: Paris"]
    assert turn_of(*spans).root_span_name == "qa-chatbot"


def test_a_generation_speaks_and_the_trace_does_not_repeat_it() -> None:
    spans = [trace(inputs="q", outputs=" a "), log("g", "generation", "q", "a", input_tokens=5)]
    assert lines(*spans) == ["User: q", "assistant: a"]
    assert messages_of(*spans)[1].span_id == "g"


def test_what_no_generation_said_is_said_by_the_trace_with_its_own_figures() -> None:
    spans = [
        trace(inputs="q", outputs="final"),
        log("g", "generation", "prompt", "draft", input_tokens=5),
    ]
    assert lines(*spans) == ["User: q", "User: prompt", "assistant: draft", "assistant: final"]
    answer = messages_of(*spans)[-1].payload
    assert isinstance(answer, AssistantMessage)
    assert answer.input_tokens is None


@pytest.mark.parametrize("log_type", ["tool", "function", "retrieval"])
def test_tool_function_and_retrieval_logs_are_tool_calls(log_type: str) -> None:
    spans = [
        trace(inputs="q"),
        log("find", log_type, {"q": "é"}, ["hit"]),
        log("x", log_type, parent="find", name="", start=2),
    ]
    assert lines(*spans) == ["User: q", 'tool: find({"q": "é"}) = ["hit"]', f"tool: {log_type}()"]


def test_span_logs_group_and_event_logs_show_nothing() -> None:
    spans = [
        trace(inputs="q"),
        log("group", "span", "x", "y"),
        log("g", "generation", None, "a", "group", start=2),
        log("evt", "event", "x", "y", start=3),
    ]
    assert lines(*spans) == ["User: q", "assistant: a"]


def test_a_trace_with_only_an_output_is_only_an_answer() -> None:
    assert lines(trace(outputs="o")) == ["assistant: o"]


def test_structured_inputs_and_outputs_of_a_trace_are_shown_as_json() -> None:
    spans = [trace(inputs={"a": 1, "b": 2}, outputs={"x": {"y": "ü"}, "z": 0})]
    assert lines(*spans) == ['User: {"a": 1, "b": 2}', 'assistant: {"x": {"y": "ü"}, "z": 0}']


def test_an_error_in_the_metadata_of_a_log_is_its_failure() -> None:
    for error, shown in (
        ("boom", "boom"),
        ({"message": "m", "code": 5}, "m"),
        ({"code": 5}, '{"code": 5}'),
    ):
        [_, message] = messages_of(
            trace(inputs="q"), log("t", "tool", status="ERROR", body={"metadata": {"error": error}})
        )
        assert (message.status_code, message.status_message) == ("ERROR", shown)


def test_the_user_of_the_trace_is_the_turns() -> None:
    assert turn_of(trace(user={"id": "u1", "name": "Ann"})).user_id == "u1"


def test_basalt_attributes_on_a_chat_operation_are_its_messages() -> None:
    otlp = span("l", operation="chat", kind="model", body={"inputs": "q", "outputs": "a"})
    assert lines(otlp) == ["User: q", "assistant: a"]
    both = span(
        "l",
        operation="chat",
        body={"inputs": "x", "input_messages": [{"role": "user", "content": "q"}]},
    )
    assert lines(both) == ["User: q"]


@pytest.mark.parametrize("operation", ["embeddings", "retrieval"])
def test_inputs_of_an_embedding_or_retrieval_are_no_conversation(operation: str) -> None:
    assert (
        lines(span("e", operation=operation, kind="model", body={"inputs": "x", "outputs": "y"}))
        == []
    )
