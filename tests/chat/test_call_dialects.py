"""Two calls side by side or one after the other, as clients of model APIs send them in events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.adapters.honeyhive.read import read_event
from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.v1 import event_pb2
from tests.chat.spans import line

CITIES, RESULTS = ("Oslo", "Rome"), ("7", "21")
USER = {"role": "user", "content": "both cities"}
GOOGLE_USER = {"role": "user", "parts": [{"text": "both cities"}]}
DONE: Any = {"role": "assistant", "content": "done"}


def openai(ids: tuple[str, str]) -> tuple[list[Any], list[Any]]:
    calls, results = [], []
    for call_id, city, result in zip(ids, CITIES, RESULTS, strict=True):
        function = {"name": "wx", "arguments": json.dumps({"c": city})}
        calls.append(
            {"type": "function", "function": function} | ({"id": call_id} if call_id else {})
        )
        answer = {"role": "tool", "content": result}
        results.append(answer | ({"tool_call_id": call_id} if call_id else {}))
    return calls, results


def asks(*calls: Any) -> Any:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def event(number: int, inputs: Any, outputs: Any, kind: str = "model", name: str = "m") -> Span:
    told = {"event_id": f"e{number}", "session_id": "s", "event_type": kind, "event_name": name}
    times = {"start_time": 1000 * number, "end_time": 1000 * number + 500}
    sent = {**told, **times, "inputs": inputs, "outputs": outputs}
    return read_event(json_format.ParseDict(sent, event_pb2.Event()), received_ns=1)


def calls_shown(*spans: Span) -> list[str]:
    turn = trace_chat("s", spans, include_model_tool_calls=True)
    return [said for message in turn.messages if (said := line(message)).startswith("tool")]


BOTH = ['tool: wx({"c": "Oslo"}) = 7', 'tool: wx({"c": "Rome"}) = 21']
IDS = [("call_0", "call_0"), ("", ""), ("call_0", "call_1"), ("toolu_01aB2c", "toolu_01aB2c")]


@pytest.mark.parametrize("ids", IDS)
def test_one_call_after_the_other(ids: tuple[str, str]) -> None:
    calls, results = openai(ids)
    first = [USER, asks(calls[0]), results[0]]
    second = [*first, asks(calls[1]), results[1]]
    spans = [
        event(1, {"chat_history": [USER]}, asks(calls[0])),
        event(2, {"chat_history": first}, asks(calls[1])),
        event(3, {"chat_history": second}, DONE),
    ]
    assert calls_shown(*spans) == BOTH


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize("ids", IDS)
def test_two_calls_of_an_answer(ids: tuple[str, str], executed: bool) -> None:
    calls, results = openai(ids)
    asked = asks(*calls)
    spans = [
        event(1, {"chat_history": [USER]}, asked),
        event(4, {"chat_history": [USER, asked, *results]}, DONE),
    ]
    if executed:
        for number, (city, result) in enumerate(zip(CITIES, RESULTS, strict=True), 2):
            spans.append(event(number, {"c": city}, {"result": result}, "tool", "wx"))
    assert calls_shown(*spans) == BOTH


def test_one_id_of_two_calls_in_the_words_of_anthropic() -> None:
    asked = [{"type": "tool_use", "id": "t", "name": "wx", "input": {"c": c}} for c in CITIES]
    gave = [{"type": "tool_result", "tool_use_id": "t", "content": r} for r in RESULTS]
    answer = {"role": "assistant", "content": asked}
    spans = [
        event(1, {"messages": [USER]}, answer),
        event(2, {"messages": [USER, answer, {"role": "user", "content": gave}]}, DONE),
    ]
    assert calls_shown(*spans) == BOTH


@pytest.mark.parametrize("apart", [False, True])
def test_calls_of_google_have_no_ids(apart: bool) -> None:
    asked = [{"functionCall": {"name": "wx", "args": {"c": city}}} for city in CITIES]
    gave = [{"functionResponse": {"name": "wx", "response": r}} for r in RESULTS]
    answer = {"role": "model", "parts": asked}
    results = [
        {"role": "function", "parts": part} for part in ([[g] for g in gave] if apart else [gave])
    ]
    spans = [
        event(1, {"contents": [GOOGLE_USER]}, {"candidates": [{"content": answer}]}),
        event(2, {"contents": [GOOGLE_USER, answer, *results]}, DONE),
    ]
    assert calls_shown(*spans) == BOTH


@pytest.mark.parametrize("has_history", [False, True])
def test_one_id_of_two_calls_in_openais_responses(has_history: bool) -> None:
    asked = [
        {"type": "function_call", "call_id": "c0", "name": "wx", "arguments": json.dumps({"c": c})}
        for c in CITIES
    ]
    gave = [{"type": "function_call_output", "call_id": "c0", "output": r} for r in RESULTS]
    before = [USER, *asked] if has_history else []
    spans = [
        event(1, {"input": [USER]}, {"output": asked}),
        event(2, {"input": [*before, *gave]}, DONE),
    ]
    assert calls_shown(*spans) == BOTH
