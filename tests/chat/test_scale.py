"""Traces of any depth, width and weight, without recursion and with work that grows as they do."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from spanloom.chat.view import trace_chat
from spanloom.model import Span
from tests.parts import parts

MANY = 100_000


def span(number: int | str, parent: int | str = "", **fields: Any) -> Span:
    span_id = str(number)
    return Span(
        trace_id="t",
        span_id=span_id,
        event_id=span_id,
        session_id="t",
        parent_id=str(parent),
        start_ns=10**18 + (number if isinstance(number, int) else 0),
        end_ns=2 * 10**18,
        **parts(fields.pop("body", {})),
        **fields,
    )


def test_a_chain_of_many_agents() -> None:
    spans = [
        span(i, i - 1 if i else "", operation="invoke_agent", agent_name=f"a{i}", input_tokens=1)
        for i in range(MANY)
    ]
    turn = trace_chat("t", spans)
    assert [m.span_id for m in turn.messages] == [str(i) for i in range(MANY)]
    assert turn.total_input_tokens == 1  # each accounts for what the one above reports


def test_a_fan_of_many_tool_calls() -> None:
    body = {"tool": {"name": "look", "arguments": {"a": 1}, "result": "x"}}
    spans = [span("r", operation="invoke_agent", agent_name="a")]
    spans += [span(i, "r", operation="execute_tool", body=body) for i in range(MANY)]
    turn = trace_chat("t", spans)
    assert [m.span_id for m in turn.messages] == ["r", *(str(i) for i in range(MANY))]


def work(spans: list[Span]) -> int:
    """How many calls and returns the chat takes."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        trace_chat("t", spans, include_model_tool_calls=True)
    finally:
        sys.setprofile(None)
    return steps


def cycle(n: int) -> list[Span]:
    return [
        span(i, (i + 1) % n, operation="chat", body={"output_messages": [f"a{i}"]})
        for i in range(n)
    ]


def chain_of_models(n: int) -> list[Span]:
    return [
        span(
            i,
            i - 1 if i else "",
            operation="chat",
            body={"input_messages": [f"q{i}"], "output_messages": [f"a{i}"]},
        )
        for i in range(n)
    ]


def prompts_of_nested_agents(n: int) -> list[Span]:
    return [
        span(
            i,
            i - 1 if i else "",
            operation="invoke_agent",
            agent_name=str(i),
            body={"input_messages": [f"q{i}"]},
        )
        for i in range(n)
    ]


def one_history(n: int) -> list[Span]:
    yes = [{"role": "user", "content": "yes"}]
    return [
        span(0, operation="chat", body={"input_messages": yes * n}),
        span(1, operation="chat", body={"input_messages": [*yes * (n // 2), "x"]}),
    ]


def requests_and_tools(n: int) -> list[Span]:
    asked = [{"type": "tool_call", "id": str(i), "name": "f"} for i in range(n)]
    model = span(
        "m", operation="chat", body={"output_messages": [{"role": "assistant", "parts": asked}]}
    )
    return [
        model,
        *(
            span(i, operation="execute_tool", body={"tool": {"call_id": str(i)}})
            for i in range(0, n, 2)
        ),
    ]


def calls(ids: list[str], *, executed: bool) -> list[Span]:
    """One answer that calls a tool for each id, and an input with all of the results."""
    asked = [
        {"type": "tool_call", "id": call_id, "name": "f", "arguments": {"a": i % 3}}
        for i, call_id in enumerate(ids)
    ]
    gave = [{"type": "tool_call_response", "id": i, "name": "f", "response": "r"} for i in ids]
    answer = {"role": "assistant", "parts": asked}
    inputs = [answer, {"role": "tool", "parts": gave}]
    tools = [
        span(i, operation="execute_tool", body={"tool": {"name": "f", "call_id": call_id}})
        for i, call_id in enumerate(ids)
    ]
    return [
        span("m", operation="chat", body={"output_messages": [answer]}),
        *(tools if executed else ()),
        span("n", operation="chat", body={"input_messages": inputs}),
        span("o", operation="chat", body={"input_messages": inputs[1:]}),
    ]


def calls_that_share_an_id(n: int) -> list[Span]:
    return calls(["call_0"] * n, executed=True)


def calls_without_ids(n: int) -> list[Span]:
    return calls([""] * n, executed=True)


def requests_that_share_an_id(n: int) -> list[Span]:
    return calls(["call_0"] * n, executed=False)


def rounds_of_one_id(n: int) -> list[Span]:
    """Each input has the last three rounds of a conversation that counts its calls anew."""
    history: list[Any] = [{"role": "user", "content": "q"}]
    spans = []
    for i in range(n):
        call = {"type": "tool_call", "id": "call_0", "name": "f", "arguments": {"a": i % 3}}
        answer = {"role": "assistant", "parts": [call]}
        body = {"input_messages": [history[0], *history[1:][-6:]], "output_messages": [answer]}
        spans.append(span(i, operation="chat", body=body))
        result = {"type": "tool_call_response", "id": "call_0", "response": f"r{i}"}
        history += [answer, {"role": "tool", "parts": [result]}]
    return spans


def transfers(n: int) -> list[Span]:
    tools = [
        span(i, operation="execute_tool", body={"tool": {"name": f"transfer_to_{n - i}"}})
        for i in range(n)
    ]
    return tools + [span(n + i, operation="invoke_agent", agent_name=str(i)) for i in range(n)]


def parts_of_one_message(n: int) -> list[Span]:
    texts = [{"type": "text", "content": "x"}] * n
    body = {
        "input_messages": [{"role": "user", "parts": texts}],
        "output_messages": [{"role": "assistant", "parts": texts}],
    }
    return [span(0, operation="chat", body=body)]


@pytest.mark.parametrize(
    "make",
    [
        cycle,
        chain_of_models,
        prompts_of_nested_agents,
        one_history,
        requests_and_tools,
        calls_that_share_an_id,
        calls_without_ids,
        requests_that_share_an_id,
        rounds_of_one_id,
        transfers,
        parts_of_one_message,
    ],
)
def test_eight_times_the_spans_are_about_eight_times_the_work(make: Any) -> None:
    assert work(make(2_000)) < 8 * 1.2 * work(make(250))


def test_a_message_of_20_megabytes() -> None:
    text = "x" * 20_000_000
    listed = '["' + "x" * 20_000_000 + '"]'
    body = {"input_messages": [{"role": "user", "content": listed}], "output_messages": [text]}
    asked, answered = trace_chat("t", [span("l", operation="chat", body=body)]).messages
    assert (asked.payload.text, answered.payload.text) == (text, text)  # type: ignore[union-attr]


def test_a_history_replayed_by_every_call_costs_what_it_weighs() -> None:
    def replayed(n: int) -> list[Span]:
        history: list[Any] = []
        spans = []
        for i in range(n):
            history = [*history, {"role": "user", "content": f"q{i}"}]
            spans.append(
                span(
                    i, operation="chat", body={"input_messages": history, "output_messages": ["a"]}
                )
            )
            history = [*history, {"role": "assistant", "content": "a"}]
        return spans

    little, much = replayed(75), replayed(300)  # sixteen times the messages
    assert work(much) < 16 * 1.2 * work(little)
    assert len(trace_chat("t", much).messages) == 600
