"""Requests and responses of providers as they are, alike by every adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.honeyhive.read import read_event
from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.v1 import event_pb2, trace_pb2
from tests.chat.spans import line
from tests.ingest.otlp.requests import read_one


def by_event(inputs: Any, outputs: Any) -> list[Span]:
    event = {"event_id": "e", "session_id": "s", "event_type": "model", "event_name": "m"}
    told = {**event, "inputs": inputs, "outputs": outputs}
    return [read_event(json_format.ParseDict(told, event_pb2.Event()), received_ns=1)]


def by_basalt(inputs: Any, outputs: Any) -> list[Span]:
    log = {"id": "l", "type": "generation", "input": inputs, "output": outputs}
    told = json_format.ParseDict({"id": "t", "featureSlug": "f", "logs": [log]}, trace_pb2.Trace())
    return read_trace(told, trace_id="t", received_ns=1).spans


def by_otlp(inputs_key: str, outputs_key: str) -> Callable[[Any, Any], list[Span]]:
    def read(inputs: Any, outputs: Any) -> list[Span]:
        told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
        told[inputs_key], told[outputs_key] = json.dumps(inputs), json.dumps(outputs)
        return [read_one(told)]

    return read


ADAPTERS: list[Callable[[Any, Any], list[Span]]] = [
    by_event,
    by_basalt,
    by_otlp("gen_ai.input.messages", "gen_ai.output.messages"),
    by_otlp("gen_ai.prompt", "gen_ai.completion"),
    by_otlp("langfuse.observation.input", "langfuse.observation.output"),
]
NAMES = ["event", "basalt", "messages", "completion", "langfuse"]


def said(read: Callable[[Any, Any], list[Span]], inputs: Any, outputs: Any) -> list[str]:
    spans = read(inputs, outputs)
    turn = trace_chat(spans[0].trace_id, spans, include_model_tool_calls=True)
    return [line(message) for message in turn.messages]


QUESTION = {"messages": [{"role": "user", "content": "IN"}]}
MESSAGE = {"role": "assistant", "content": "OUT"}
LANGCHAIN = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "schema", "messages", "AIMessage"],
    "kwargs": {"content": "OUT"},
}
TOOL_USE = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}
GEMINI = {"content": {"role": "model", "parts": [{"text": "OUT"}]}, "finishReason": "STOP"}
GEMINI_CALL = {
    "content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}
}
OPENAI_CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CALL = 'tool: f({"a": 1})'


@pytest.mark.parametrize("read", ADAPTERS, ids=NAMES)
@pytest.mark.parametrize(
    ("outputs", "answer"),
    [
        ({"candidates": [GEMINI]}, "assistant: OUT"),
        ({"response": {"candidates": [GEMINI]}}, "assistant: OUT"),
        ([GEMINI], "assistant: OUT"),
        ({"candidates": [GEMINI_CALL]}, CALL),
        ([{"generated_text": "OUT"}], "assistant: OUT"),
        ({"generated_text": "OUT"}, "assistant: OUT"),
        ([[{"generated_text": "OUT"}]], "assistant: OUT"),
        (LANGCHAIN, "assistant: OUT"),
        ({"generations": [[{"text": "OUT", "message": LANGCHAIN}]]}, "assistant: OUT"),
        ({"output": LANGCHAIN}, "assistant: OUT"),
        ({"messages": [LANGCHAIN]}, "assistant: OUT"),
        (
            {"output": {"message": {"role": "assistant", "content": [{"text": "OUT"}]}}},
            "assistant: OUT",
        ),
        (
            {
                "output": {"message": {"role": "assistant", "content": [TOOL_USE]}},
                "stopReason": "tool_use",
            },
            CALL,
        ),
        ({"role": "assistant", "content": [TOOL_USE]}, CALL),
        ({"results": [{"outputText": "OUT", "completionReason": "FINISH"}]}, "assistant: OUT"),
        ({"generation": "OUT", "stop_reason": "stop"}, "assistant: OUT"),
        (
            {
                "id": "x",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "text", "text": "OUT"}],
            },
            "assistant: OUT",
        ),
        ({"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]}, CALL),
        (
            {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]},
            "assistant: OUT",
        ),
        ([{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "assistant: OUT"),
        ({"choices": [{"message": {"content": None, "tool_calls": [OPENAI_CALL]}}]}, CALL),
        ({"message": {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]}}, CALL),
        ({"choices": [{"message": {**MESSAGE, "reasoning_content": "r"}}]}, "assistant: <r> OUT"),
        ({"choices": [{"message": {"content": None, "refusal": "OUT"}}]}, "assistant: OUT"),
        (
            {"message": {"role": "assistant", "content": "OUT", "thinking": "r"}},
            "assistant: <r> OUT",
        ),
        (
            {"content": [{"type": "thinking", "thinking": "r"}, {"type": "text", "text": "OUT"}]},
            "assistant: <r> OUT",
        ),
        (
            {
                "object": "response",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]},
                    {
                        "type": "message",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "OUT"}],
                    },
                ],
            },
            "assistant: <r> OUT",
        ),
    ],
)
def test_what_a_provider_answered(read: Any, outputs: Any, answer: str) -> None:
    assert said(read, QUESTION, outputs) == ["User: IN", answer]


@pytest.mark.parametrize("read", ADAPTERS, ids=NAMES)
@pytest.mark.parametrize(
    "inputs",
    [
        {
            "contents": [{"role": "user", "parts": [{"text": "IN"}]}],
            "systemInstruction": {"parts": [{"text": "S"}]},
        },
        {"contents": [{"parts": [{"text": "IN"}]}], "config": {"system_instruction": "S"}},
        {"system": [{"text": "S"}], "messages": [{"role": "user", "content": [{"text": "IN"}]}]},
        {"system": "S", "messages": [{"role": "user", "content": "IN"}]},
        {
            "messages": [
                [
                    {"lc": 1, "id": ["SystemMessage"], "kwargs": {"content": "S"}},
                    {"lc": 1, "id": ["HumanMessage"], "kwargs": {"content": "IN"}},
                ]
            ]
        },
        {
            "instructions": "S",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "IN"}]}],
        },
    ],
)
def test_what_a_provider_was_asked(read: Any, inputs: Any) -> None:
    shown = said(read, inputs, MESSAGE)
    assert sorted(shown) == ["User: IN", "assistant: OUT", "start: S"]
