"""Calls whose ids do not tell them apart: used again in a later round, shared, or missing.

Rules: docs/contracts/agent_chat.md, sections 3.13, 3.15 and 3.20.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.chat.spoken import spoken
from spanloom.model import Span
from spanloom.model.turn import ToolCall
from tests.chat.spans import (
    agent,
    assistant,
    call,
    chat,
    lines,
    messages_of,
    parts,
    response,
    tool,
    user,
)

OSLO, ROME = {"c": "Oslo"}, {"c": "Rome"}
QUESTION = user("both cities")
BOTH = ['tool: wx({"c": "Oslo"}) = 7', 'tool: wx({"c": "Rome"}) = 21']


def wx(call_id: str, arguments: Any) -> dict[str, Any]:
    return call(call_id, "wx", arguments)


def asks(*calls: Any) -> dict[str, Any]:
    return parts("assistant", *calls)


def gives(*results: Any) -> dict[str, Any]:
    return parts("tool", *results)


def rounds(*said: Any, start: int = 0, parent: str = "", answer: str = "done") -> list[Span]:
    """A model call for each answer: `said` are answers and the results between, in turn."""
    spans = []
    said = (*said, assistant(answer))
    for place in range(0, len(said), 2):
        inputs = [QUESTION, *said[:place]]
        at = start + 10 * place
        spans.append(
            chat(f"m{at}", parent, start=at, end=at + 5, inputs=inputs, outputs=[said[place]])
        )
    return spans


def calls(*spans: Span, model_calls: bool = True) -> list[str]:
    shown = lines(*spans, include_model_tool_calls=model_calls)
    return [line for line in shown if line.startswith("tool")]


@pytest.mark.parametrize("call_id", ["call_0", "toolu_01AbCdEfGh23456789xyz"])
def test_an_id_that_comes_again_in_a_later_round_is_another_call(call_id: str) -> None:
    spans = rounds(
        asks(wx(call_id, OSLO)),
        gives(response(call_id, "7")),
        asks(wx(call_id, ROME)),
        gives(response(call_id, "21")),
    )
    assert calls(*spans) == BOTH


def test_so_it_is_where_the_arguments_are_the_same() -> None:
    spans = rounds(
        asks(call("call_0", "state", {})),
        gives(response("call_0", "busy")),
        asks(call("call_0", "state", {})),
        gives(response("call_0", "ready")),
    )
    assert calls(*spans) == ["tool: state({}) = busy", "tool: state({}) = ready"]


def test_a_round_without_a_result_does_not_take_that_of_the_next() -> None:
    spans = rounds(
        asks(wx("call_0", OSLO)),
        user("go on"),
        asks(wx("call_0", ROME)),
        gives(response("call_0", "21")),
    )
    assert calls(*spans) == ['tool: wx({"c": "Oslo"})', BOTH[1]]


@pytest.mark.parametrize("call_id", ["call_0", "toolu_01AbCdEfGh23456789xyz"])
@pytest.mark.parametrize("apart", [False, True])
def test_one_id_of_two_calls_of_an_answer(call_id: str, apart: bool) -> None:
    results = [response(call_id, "7"), response(call_id, "21")]
    asked = asks(wx(call_id, OSLO), wx(call_id, ROME))
    if not apart:
        assert calls(*rounds(asked, gives(*results))) == BOTH
        return
    # Each result in a message of its own.
    spans = [
        chat("m", inputs=[QUESTION], outputs=[asked]),
        chat("n", start=9, inputs=[QUESTION, asked, *map(gives, results)]),
    ]
    assert calls(*spans) == BOTH


@pytest.mark.parametrize("named", [False, True])
def test_parallel_calls_without_ids(named: bool) -> None:
    name = {"name": "wx"} if named else {}
    results = [{"type": "tool_call_response", **name, "response": r} for r in ("7", "21")]
    asked = [{k: v for k, v in wx("", c).items() if k != "id"} for c in (OSLO, ROME)]
    assert calls(*rounds(asks(*asked), gives(*results))) == BOTH


def test_results_without_ids_find_the_calls_of_their_names() -> None:
    asked = asks(wx("", OSLO), call("", "time", {}), wx("", ROME))
    results = [
        {"type": "tool_call_response", "name": name, "response": r}
        for name, r in (("time", "12:00"), ("wx", "7"), ("wx", "21"))
    ]
    assert calls(*rounds(asked, gives(*results))) == [BOTH[0], "tool: time({}) = 12:00", BOTH[1]]


def test_a_tools_message_without_an_id_is_a_result() -> None:
    asked = {"role": "assistant", "tool_calls": [{"function": {"name": "wx", "arguments": "{}"}}]}
    spans = rounds(asked, {"role": "tool", "content": "7"})
    assert calls(*spans) == ["tool: wx({}) = 7"]
    assert ("tool_result", "7") in [tuple(said) for said in spoken(spans[1])]


def test_ids_of_results_alone_or_of_requests_alone() -> None:
    only_results = rounds(asks(wx("", OSLO)), gives(response("gen-1", "7")))
    only_requests = rounds(asks(wx("c1", OSLO)), gives(response("", "7")))
    assert calls(*only_results) == calls(*only_requests) == BOTH[:1]


def test_an_id_that_is_another_one_in_inputs() -> None:
    spans = [
        chat("m", inputs=[QUESTION], outputs=[asks(wx("fc_1x9", OSLO))]),
        chat(
            "n",
            start=9,
            inputs=[QUESTION, asks(wx("call_77", OSLO)), gives(response("call_77", "7"))],
        ),
    ]
    assert calls(*spans) == BOTH[:1]


def test_results_without_their_requests_are_those_of_the_answer_before() -> None:
    asked = asks(wx("a1b2", OSLO), wx("c3d4", ROME))
    results = [response("c3d4", "21"), response("a1b2", "7")]
    spans = [
        chat("m", inputs=[QUESTION], outputs=[asked]),
        chat("n", start=9, inputs=[gives(*results)], outputs=[assistant("done")]),
    ]
    assert calls(*spans) == BOTH


def test_executions_with_an_id_that_comes_again() -> None:
    first, second, third = rounds(
        asks(wx("call_0", OSLO)),
        gives(response("call_0", "7")),
        asks(wx("call_0", ROME)),
        gives(response("call_0", "21")),
    )
    done = [
        tool(f"t{start}", name="wx", call_id="call_0", start=start, end=start + 1)
        for start in (6, 26)
    ]
    spans = [first, done[0], second, done[1], third]
    assert calls(*spans) == calls(*spans, model_calls=False) == BOTH
    # A round whose execution was not recorded is a request.
    assert calls(first, second, done[1], third) == BOTH
    assert calls(first, second, done[1], third, model_calls=False) == BOTH[1:]


def test_executions_that_share_an_id_are_told_apart_by_their_arguments() -> None:
    asked = asks(wx("call_0", OSLO), wx("call_0", ROME))
    spans = rounds(asked, gives(response("call_0", "7"), response("call_0", "21")))
    done = [tool("t", name="wx", call_id="call_0", start=6, arguments=ROME, result="21")]
    assert sorted(calls(*spans, *done)) == BOTH


def test_executions_and_requests_without_ids_are_one_call() -> None:
    asked = asks(wx("", OSLO), wx("", ROME))
    spans = rounds(asked, gives(response("", "7"), response("", "21")))
    named = [tool(f"t{i}", name="wx", start=6 + i) for i in range(2)]
    whole = [
        tool(f"t{i}", name="wx", call_id=f"adk-{i}", start=6 + i, arguments=a, result=r)
        for i, (a, r) in enumerate([(OSLO, "7"), (ROME, "21")])
    ]
    for done in (named, whole):
        assert calls(*spans, *done) == calls(*spans, *done, model_calls=False) == BOTH


def test_a_request_that_only_an_input_has_is_the_execution_without_an_id() -> None:
    spans = [
        chat("m", inputs=[QUESTION], outputs=[]),
        tool("t", name="wx", start=3, arguments=OSLO, result="7"),
        chat(
            "n",
            start=9,
            inputs=[QUESTION, asks(wx("call_1", OSLO)), gives(response("call_1", "7"))],
            outputs=[assistant("7")],
        ),
    ]
    assert calls(*spans) == calls(*spans, model_calls=False) == BOTH[:1]


def test_requests_that_only_inputs_have_come_again_in_later_rounds() -> None:
    history = [
        QUESTION,
        asks(wx("call_0", OSLO)),
        gives(response("call_0", "7")),
        asks(wx("call_0", ROME)),
        gives(response("call_0", "21")),
    ]
    spans = [
        chat("m", inputs=history[:3], outputs=[]),
        chat("n", start=9, inputs=history, outputs=[assistant("done")]),
        chat("o", start=19, inputs=history, outputs=[assistant("done again")]),
    ]
    assert calls(*spans) == BOTH


def test_agents_side_by_side_count_their_calls_alike() -> None:
    spans: list[Span] = []
    for name, result in (("a", "7"), ("b", "8")):
        start = 0 if name == "a" else 100
        asked = [asks(wx("call_0", OSLO)), gives(response("call_0", result))]
        spans.append(agent(name, name=name, start=start, end=start + 90))
        spans += rounds(*asked, start=start, parent=name, answer=name)
    assert calls(*spans) == [
        'tool(a): wx({"c": "Oslo"}) = 7',
        'tool(b): wx({"c": "Oslo"}) = 8',
    ]


def test_an_agent_that_repeats_the_calls_of_its_models_adds_none() -> None:
    said = [
        asks(wx("call_0", OSLO)),
        gives(response("call_0", "7")),
        asks(wx("call_0", ROME)),
        gives(response("call_0", "21")),
    ]
    without_ids = [
        asks(wx("", OSLO), wx("", ROME)),
        gives(response("", "7"), response("", "21")),
    ]
    for conversation in (said, without_ids):
        above = agent("r", outputs=[*conversation, assistant("done")])
        assert calls(above, *rounds(*conversation, parent="r")) == BOTH


def test_an_older_turn_with_the_same_id_is_not_this_one() -> None:
    older = [user("old"), asks(wx("call_0", ROME)), gives(response("call_0", "20"))]
    asked = asks(wx("call_0", OSLO))
    spans = [
        chat("m", inputs=[*older, assistant("a"), QUESTION], outputs=[asked]),
        chat(
            "n",
            start=9,
            inputs=[*older, assistant("a"), QUESTION, asked, gives(response("call_0", "7"))],
        ),
    ]
    assert calls(*spans) == BOTH[:1]


def test_a_transfer_is_seen_although_another_call_had_its_id() -> None:
    spans = [
        agent("r", name="triage"),
        chat("m", "r", outputs=[asks(wx("call_0", OSLO))]),
        tool("t", "r", name="wx", call_id="call_0", start=6),
        chat("n", "r", start=9, outputs=[asks(call("call_0", "transfer_to_billing"))]),
        agent("b", name="billing", start=1001, outputs=[assistant("paid")]),
    ]
    assert "handoff: triage to billing" in lines(*spans)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["", "call_0", "call_1", "toolu_01AbCdEfGh23456789xyz"]),
                st.sampled_from(["wx", "time"]),
                st.integers(0, 1),
            ),
            min_size=1,
            max_size=3,
        ),
        max_size=4,
    ),
    st.data(),
)
def test_each_call_of_a_conversation_is_shown_once_with_its_result(
    answers: list[list[tuple[str, str, int]]], data: st.DataObject
) -> None:
    said: list[Any] = []
    expected: list[tuple[str, str, str]] = []
    executed: list[Span] = []
    for turn, asked in enumerate(answers):
        requests, results = [], []
        is_executed = data.draw(st.booleans())
        for place, (call_id, name, argument) in enumerate(asked):
            result = f"r{turn}.{place}"
            requests.append(call(call_id, name, {"a": argument}))
            results.append({**response(call_id, result), "name": name})
            expected.append((name, f'{{"a": {argument}}}', result))
            if is_executed:
                told: dict[str, Any] = {"arguments": {"a": argument}, "result": result}
                start = 20 * turn + 6 + place
                executed.append(
                    tool(
                        f"t{start}", name=name, call_id=call_id, start=start, end=start + 1, **told
                    )
                )
        said += [asks(*requests), gives(*results)]
    shown = [
        (m.payload.tool_name, m.payload.tool_arguments, m.payload.tool_result)
        for m in messages_of(*rounds(*said), *executed, include_model_tool_calls=True)
        if isinstance(m.payload, ToolCall)
    ]
    assert sorted(shown) == sorted(expected)
