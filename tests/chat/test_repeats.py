"""What is recorded twice, or by halves, and shown once and whole."""

from __future__ import annotations

from typing import Any

from tests.chat.spans import (
    agent,
    assistant,
    call,
    chat,
    lines,
    parts,
    response,
    span,
    tool,
    turn_of,
    user,
)


def by(scope: str, **body: Any) -> dict[str, Any]:
    """The body of a span that this instrumentation recorded."""
    return {"instrumentation": scope, **body}


def model(span_id: str, scope: str, parent: str = "a", **given: Any) -> Any:
    given = {"outputs": [assistant("hello")], "input_tokens": 40, "output_tokens": 7, **given}
    return chat(span_id, parent, kind="model", model="gpt", body=by(scope), **given)


def test_a_call_that_a_framework_and_its_client_tell_side_by_side_is_one() -> None:
    spans = [
        agent("a"),
        model("outer", "framework", start=1, end=2),
        model("inner", "client", start=3, end=9),
    ]
    assert lines(*spans) == ["assistant: hello"]
    assert turn_of(*spans).total_input_tokens == 40


def test_calls_that_one_instrumentation_tells_are_two_though_they_say_the_same() -> None:
    spans = [agent("a"), model("m1", "client", start=1), model("m2", "client", start=2)]
    assert lines(*spans) == ["assistant: hello"] * 2
    assert turn_of(*spans).total_input_tokens == 80


def test_other_models_are_other_calls() -> None:
    spans = [agent("a"), model("m1", "one", start=1), model("m2", "other", start=2)]
    spans[2] = chat(
        "m2", "a", kind="model", model="claude", outputs=[assistant("hello")], body=by("other")
    )
    assert lines(*spans) == ["assistant: hello"] * 2


def test_the_tokens_of_a_step_that_repeats_its_calls_count_once() -> None:
    spans = [
        chat("step", operation="chain", input_tokens=80, output_tokens=14),
        model("m1", "x", "step", start=1),
        model("m2", "x", "step", start=2, outputs=[assistant("bye")]),
    ]
    turn = turn_of(*spans)
    assert (turn.total_input_tokens, turn.total_output_tokens) == (80, 14)


def test_an_execution_that_two_instrumentations_tell_is_one() -> None:
    spans = [
        tool("outer", name="look", arguments={"q": 1}, result="R", body=by("x"), end=9),
        tool("inner", "outer", name="look", call_id="c", body=by("y"), status="ERROR", start=1),
    ]
    assert lines(*spans) == ['tool: look({"q": 1}) = R']
    assert turn_of(*spans).messages[0].status_code == "ERROR"


def test_executions_without_an_id_are_those_that_were_asked_for() -> None:
    asked = parts("assistant", call("c1", "look", {"q": 1}), call("c2", "look", {"q": 2}))
    told = parts("tool", response("c1", "R1"), response("c2", "R2"))
    spans = [
        chat("m1", start=1, inputs=[user("q")], outputs=[asked]),
        tool("t2", start=2, arguments={"q": 2}, result="R2"),
        tool("t1", start=3),
        chat("m2", start=4, inputs=[user("q"), asked, told], outputs=[assistant("done")]),
    ]
    assert lines(*spans, include_model_tool_calls=True) == [
        "User: q",
        'tool: look({"q": 2}) = R2',
        'tool: look({"q": 1}) = R1',
        "assistant: done",
    ]


def test_an_input_that_gives_a_call_another_id_does_not_repeat_it() -> None:
    asked, again = parts("assistant", call("c1")), parts("assistant", call("fc1"))
    spans = [
        chat("m1", start=1, inputs=[user("q")], outputs=[asked]),
        tool("t1", call_id="c1", start=2, result="R"),
        chat("m2", start=3, inputs=[user("q"), again], outputs=[assistant("done")]),
    ]
    shown = lines(*spans, include_model_tool_calls=True)
    assert [line for line in shown if line.startswith("tool")] == ["tool: look() = R"]


def test_an_agent_that_hangs_beside_its_caller_stands_below_the_tool() -> None:
    spans = [
        agent("boss", name="boss", start=0, end=50),
        tool("t", "boss", name="ask", start=10, end=20, result="verse"),
        agent("helper", name="helper", start=11, end=19),
        chat("m", "helper", start=12, inputs=[user("task")], outputs=[assistant("verse")]),
        chat("last", "boss", start=30, outputs=[assistant("done")]),
    ]
    told = [line for line in lines(*spans) if not line.startswith("start")]
    assert [line.rpartition(": ")[2] for line in told] == ["ask() = verse", "task", "verse", "done"]


def test_who_asks_inside_a_tool_is_the_tool_where_no_agent_has_a_name() -> None:
    spans = [
        chat("m1", start=1, inputs=[user("question")]),
        tool("t", start=2, end=9, name="delegate"),
        chat("m2", "t", start=3, inputs=[user("task")], outputs=[assistant("done")]),
    ]
    speakers = [m.agent_name for m in turn_of(*spans).messages if m.type == "user_message"]
    assert speakers == ["User", "delegate"]


def test_a_tale_of_another_agent_is_not_the_users() -> None:
    tale = "For context:\n[triage] said: over to you"
    spans = [
        agent("a", name="triage"),
        chat("m1", "a", start=1, inputs=[user("question")]),
        agent("b", name="writer", start=5),
        chat("m2", "b", start=6, inputs=[user("question"), user(tale)], outputs=[assistant("x")]),
    ]
    heard = [m.agent_name for m in turn_of(*spans).messages if m.type == "user_message"]
    assert heard == ["User", "triage"]


def test_a_tool_for_any_agent_hands_over_to_the_one_its_arguments_name() -> None:
    spans = [
        agent("a", name="triage"),
        tool("t", "a", name="transfer_to_agent", arguments={"agent_name": "writer"}, start=1),
        agent("b", name="writer", start=5),
    ]
    [handoff] = [m.payload for m in turn_of(*spans).messages if m.type == "agent_handoff"]
    assert (handoff.from_agent, handoff.to_agent) == ("triage", "writer")  # type: ignore[union-attr]


def test_a_step_that_repeats_the_reasoning_of_its_model_adds_nothing() -> None:
    thought = parts("assistant", {"type": "reasoning", "content": "Look it up."})
    spans = [
        agent("a"),
        chat("step", "a", operation="cycle", outputs=[thought], end=20),
        chat("m", "step", outputs=[thought], kind="model", start=1),
    ]
    assert lines(*spans) == ["assistant: <Look it up.> "]
    other = chat("step", "a", operation="cycle", outputs=[assistant("Done.")], end=20)
    assert lines(spans[0], other, spans[2]) == ["assistant: <Look it up.> ", "assistant: Done."]


def test_a_client_and_a_server_of_mcp_record_one_call() -> None:
    def carrier(span_id: str, parent: str, scope: str) -> Any:
        return span(span_id, parent, name="send", kind="chain", start=2, end=8, body=by(scope))

    outer = tool("client", "a", name="look", start=1, end=9, body=by("fastmcp"))
    inner = tool(
        "server", "sent", name="look", arguments={"q": 1}, result="r", start=3, body=by("fastmcp")
    )
    sent = carrier("sent", "client", "mcp")
    assert lines(agent("a"), outer, sent, inner) == ['tool: look({"q": 1}) = r']
    # A tool that calls itself, and one that says something in between, are two.
    same = carrier("sent", "client", "fastmcp")
    assert len(lines(agent("a"), outer, same, inner)) == 2
    between = agent("sent", "client", start=2, body=by("mcp"))
    assert len(lines(agent("a"), outer, between, inner)) == 2
