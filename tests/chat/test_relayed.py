"""What is told by others than those that spoke: workflows, chains without a model, and the messages
of a bus."""

from __future__ import annotations

from typing import Any

from tests.chat.spans import (
    agent,
    assistant,
    call,
    chat,
    lines,
    parts,
    reasoning,
    span,
    text,
    tool,
    user,
)


def step(
    span_id: str,
    parent: str = "",
    *,
    inputs: Any = None,
    outputs: Any = None,
    operation: str = "chain",
    **given: Any,
) -> Any:
    io = {"inputs": inputs, "outputs": outputs}
    body = {key: value for key, value in io.items() if value is not None}
    return span(span_id, parent, kind="chain", operation=operation, body=body, **given)


def workflow(span_id: str, **given: Any) -> Any:
    return step(span_id, operation="invoke_workflow", end=1000, **given)


def relayed(span_id: str, parent: str = "", **given: Any) -> Any:
    return chat(
        span_id,
        parent,
        kind="chain",
        operation="chain",
        name="bus",
        body={"relayed": True},
        **given,
    )


def test_a_workflow_starts_no_agent_and_does_not_repeat_what_its_agents_said() -> None:
    spans = [
        workflow("w", inputs={"question": "q"}, outputs={"answer": "final"}, agent_name="flow"),
        agent("a", "w", name="Ada", start=1),
        chat("m", "a", start=2, inputs=[user("q")], outputs=[assistant("final")]),
    ]
    assert lines(*spans) == ["User: q", "start(Ada)", "assistant(Ada): final"]


def test_the_calls_in_what_a_workflow_gives_back_are_not_its_own() -> None:
    function = {"name": "look", "arguments": '{"x":1}'}
    outputs = {
        "role": "assistant",
        "content": "a",
        "tool_calls": [{"id": "1", "function": function}],
    }
    spans = [
        workflow("w", inputs={"question": "q"}, outputs=outputs),
        chat("m", "w", start=1, inputs=[user("q")], outputs=[parts("assistant", call("2"))]),
    ]
    assert lines(*spans, include_model_tool_calls=True) == [
        "User: q",
        "tool: look()",
        "assistant: a",
    ]


def test_a_workflow_answers_where_no_agent_told_what_it_said() -> None:
    spans = [
        workflow("w", inputs={"question": "q"}, outputs={"answer": "final"}),
        agent("a", "w", name="Ada", start=1),
        tool("t", "a", start=2, arguments={"x": 1}),
    ]
    assert lines(*spans) == [
        "User: q",
        "start(Ada)",
        'tool(Ada): look({"x": 1})',
        "assistant: final",
    ]


def test_a_workflow_that_speaks_genai_is_a_span_like_any_other() -> None:
    spans = [
        chat(
            "w", operation="invoke_workflow", inputs=[user("q")], outputs=[assistant("end")], end=9
        ),
        chat("m", "w", start=1, inputs=[user("part")], outputs=[assistant("done")]),
    ]
    assert lines(*spans) == ["User: q", "User: part", "assistant: done", "assistant: end"]


def test_steps_alone_show_the_question_that_they_pass_on_and_the_answer() -> None:
    question = {"role": "user", "blocks": [{"block_type": "text", "text": "q"}]}
    answer = {"role": "assistant", "blocks": [{"block_type": "text", "text": "a"}]}
    spans = [
        workflow("w"),
        step("1", "w", start=1, outputs={"input": [question], "current_agent_name": "Ada"}),
        step("2", "w", start=2, outputs={"tool_kwargs": {"x": 1}, "tool_id": "c"}),
        tool("3", "w", start=3, arguments={"x": 1}, result="r"),
        step("4", "3", start=4, inputs={"kwargs": {"x": 1}}, outputs={"blocks": []}),
        step("5", "w", start=5, outputs={"result": {"response": answer, "tool_calls": []}}),
    ]
    assert lines(*spans) == ["User: q", 'tool: look({"x": 1}) = r', "assistant: a"]


def test_of_nested_steps_the_outermost_that_tells_is_the_turn() -> None:
    spans = [
        step("1", inputs="q", outputs="a", end=9),
        step("2", "1", start=1),
        step("3", "2", start=2, inputs="inner", outputs="between"),
    ]
    assert lines(*spans) == ["User: q", "assistant: a"]


def test_steps_that_go_round_in_a_circle_tell_nothing_twice() -> None:
    spans = [step("1", "2", inputs="q", outputs="a"), step("2", "1", start=1, inputs="b")]
    assert lines(*spans).count("assistant: a") <= 1


def test_steps_beside_a_model_stay_silent() -> None:
    spans = [
        step("1", inputs={"x": "state"}, outputs={"x": "state"}, end=9),
        chat("m", "1", start=1, inputs=[user("q")], outputs=[assistant("a")]),
    ]
    assert lines(*spans) == ["User: q", "assistant: a"]


def test_copies_are_shown_only_where_no_model_said_them() -> None:
    spans = [
        relayed("b1", inputs=[user("q")]),
        chat("m", start=1, inputs=[user("q")], outputs=[parts("assistant", text("a"))]),
        relayed("b2", start=2, outputs=[parts("assistant", text("a"))]),
        relayed("b3", start=3, outputs=[assistant("b")], agent_name="Bob"),
    ]
    assert lines(*spans) == ["User: q", "assistant: a", "assistant(Bob): b"]
    without_model = [span for span in spans if span.span_id != "m"]
    assert lines(*without_model) == ["User: q", "assistant: a", "assistant(Bob): b"]


def test_a_copied_question_is_shown_where_the_model_does_not_show_it() -> None:
    history = [user("q"), assistant("old"), user("new")]
    spans = [
        relayed("b1", inputs=[user("q")]),
        chat("m", start=1, inputs=history, outputs=[assistant("a")]),
    ]
    assert lines(*spans) == ["User: q", "User: new", "assistant: a"]


def test_copied_reasoning_is_not_repeated() -> None:
    thought = parts("assistant", reasoning("hm"))
    spans = [
        chat("m", outputs=[parts("assistant", reasoning("hm"), text("a"))]),
        relayed("b", start=1, outputs=[thought]),
    ]
    assert lines(*spans) == ["assistant: <hm> a"]
    assert lines(*spans[1:]) == ["assistant: <hm> "]


def test_copied_calls_are_those_of_their_ids() -> None:
    asked = [parts("assistant", call("c1", arguments={"x": 1}))]
    spans = [chat("m", outputs=asked), relayed("b", start=1, outputs=asked)]
    shown = ['tool: look({"x": 1})']
    assert lines(*spans, include_model_tool_calls=True) == shown
    assert lines(*spans[1:], include_model_tool_calls=True) == shown


def test_in_a_group_the_words_of_another_agent_are_not_the_users() -> None:
    spans = [
        agent("a", name="Ada", start=0),
        chat("m1", "a", start=1, inputs=[user("q")], outputs=[assistant("draft")]),
        agent("b", name="Bob", start=2),
        chat("m2", "b", start=3, inputs=[user("q"), user("draft")], outputs=[assistant("good")]),
    ]
    assert lines(*spans) == [
        "User: q",
        "start(Ada)",
        "assistant(Ada): draft",
        "start(Bob)",
        "Ada: draft",
        "assistant(Bob): good",
    ]
