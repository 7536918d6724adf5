"""The same calls by every adapter give the same chat (docs/contracts/agent_chat.md, section
3.12)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from google.protobuf import json_format

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.basalt.write import trace_message
from spanloom.adapters.honeyhive.read import read_batch
from spanloom.model import Span
from spanloom.v1 import event_service_pb2, trace_pb2
from tests.chat.spans import lines
from tests.ingest.otlp.requests import read, recorded, span_message

QUESTION, SYSTEM = "What is the weather in Paris?", "Be brief."
LOOK, ANSWER = "Let me look.", "It is 18C."
ARGUMENTS = {"city": "Paris"}


class Call(NamedTuple):
    """One call of a model, as a model API's client has it: its request and its response."""

    request: Any
    response: Any


class Dialect(NamedTuple):
    """A question, a call of a tool with its result, and the answer.

    `messages` tells that a request is an object whose `messages` are OpenAI's or like them.
    """

    calls: Sequence[Call]
    has_system: bool = True
    messages: bool = False


def openai_chat() -> Dialect:
    arguments = json.dumps(ARGUMENTS)
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }
    asked: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
    ]
    look = {"role": "assistant", "content": LOOK, "tool_calls": [call]}
    asked_again = [*asked, look, {"role": "tool", "tool_call_id": "c1", "content": "18C"}]
    return Dialect(
        [
            Call(
                {"model": "gpt-4o", "messages": asked},
                {
                    "id": "x",
                    "object": "chat.completion",
                    "choices": [{"index": 0, "message": look, "finish_reason": "tool_calls"}],
                },
            ),
            Call(
                {"model": "gpt-4o", "messages": asked_again},
                {
                    "id": "y",
                    "object": "chat.completion",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                            "finish_reason": "stop",
                        }
                    ],
                },
            ),
        ],
        messages=True,
    )


def openai_responses() -> Dialect:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "get_weather",
        "arguments": json.dumps(ARGUMENTS),
    }
    result = {"type": "function_call_output", "call_id": "c1", "output": "18C"}
    asked = {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}

    def said(text: str) -> Any:
        return {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }

    return Dialect(
        [
            Call(
                {"model": "gpt-4o", "instructions": SYSTEM, "input": [asked]},
                {"id": "r1", "object": "response", "output": [said(LOOK), call]},
            ),
            Call(
                {
                    "model": "gpt-4o",
                    "instructions": SYSTEM,
                    "input": [asked, said(LOOK), call, result],
                },
                {"id": "r2", "object": "response", "output": [said(ANSWER)]},
            ),
        ]
    )


def anthropic() -> Dialect:
    call = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": ARGUMENTS}
    result = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": [{"type": "text", "text": "18C"}],
    }
    asked = {"role": "user", "content": [{"type": "text", "text": QUESTION}]}
    look = {"role": "assistant", "content": [{"type": "text", "text": LOOK}, call]}
    return Dialect(
        [
            Call(
                {"model": "claude", "system": SYSTEM, "messages": [asked]},
                {"id": "m1", "type": "message", "stop_reason": "tool_use", **look},
            ),
            Call(
                {
                    "model": "claude",
                    "system": SYSTEM,
                    "messages": [asked, look, {"role": "user", "content": [result]}],
                },
                {
                    "id": "m2",
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "text", "text": ANSWER}],
                    "stop_reason": "end_turn",
                },
            ),
        ]
    )


def gemini() -> Dialect:
    asked = {"role": "user", "parts": [{"text": QUESTION}]}
    call = {"functionCall": {"id": "c1", "name": "get_weather", "args": ARGUMENTS}}
    look = {"role": "model", "parts": [{"text": LOOK}, call]}
    result = {
        "role": "user",
        "parts": [{"functionResponse": {"id": "c1", "name": "get_weather", "response": "18C"}}],
    }
    system = {"systemInstruction": {"parts": [{"text": SYSTEM}]}}
    return Dialect(
        [
            Call(
                {"contents": [asked], **system},
                {"candidates": [{"content": look, "finishReason": "STOP"}]},
            ),
            Call(
                {"contents": [asked, look, result], **system},
                {
                    "candidates": [
                        {
                            "content": {"role": "model", "parts": [{"text": ANSWER}]},
                            "finishReason": "STOP",
                        }
                    ]
                },
            ),
        ]
    )


def bedrock() -> Dialect:
    call = {"toolUse": {"toolUseId": "c1", "name": "get_weather", "input": ARGUMENTS}}
    result = {"toolResult": {"toolUseId": "c1", "content": [{"text": "18C"}]}}
    asked = {"role": "user", "content": [{"text": QUESTION}]}
    look = {"role": "assistant", "content": [{"text": LOOK}, call]}
    return Dialect(
        [
            Call(
                {"system": [{"text": SYSTEM}], "messages": [asked]},
                {"output": {"message": look}, "stopReason": "tool_use"},
            ),
            Call(
                {
                    "system": [{"text": SYSTEM}],
                    "messages": [asked, look, {"role": "user", "content": [result]}],
                },
                {
                    "output": {"message": {"role": "assistant", "content": [{"text": ANSWER}]}},
                    "stopReason": "end_turn",
                },
            ),
        ]
    )


def langchain() -> Dialect:
    def message(kind: str, content: str, **more: Any) -> Any:
        path = ["langchain", "schema", "messages", kind]
        return {
            "lc": 1,
            "type": "constructor",
            "id": path,
            "kwargs": {"content": content, **more},
        }

    call = {"name": "get_weather", "args": ARGUMENTS, "id": "c1", "type": "tool_call"}
    asked = [message("SystemMessage", SYSTEM), message("HumanMessage", QUESTION)]
    look = message("AIMessage", LOOK, tool_calls=[call])
    result = message("ToolMessage", "18C", tool_call_id="c1")
    answer = message("AIMessage", ANSWER)
    return Dialect(
        [
            Call({"messages": [asked]}, {"generations": [[{"text": LOOK, "message": look}]]}),
            Call(
                {"messages": [[*asked, look, result]]},
                {"generations": [[{"text": ANSWER, "message": answer}]]},
            ),
        ]
    )


def vercel() -> Dialect:
    call = {
        "type": "tool-call",
        "toolCallId": "c1",
        "toolName": "get_weather",
        "input": ARGUMENTS,
    }
    result = {
        "type": "tool-result",
        "toolCallId": "c1",
        "toolName": "get_weather",
        "output": {"type": "text", "value": "18C"},
    }
    asked = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    look = {"role": "assistant", "content": [{"type": "text", "text": LOOK}, call]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    return Dialect(
        [
            Call({"messages": asked}, {"messages": [look]}),
            Call(
                {"messages": [*asked, look, {"role": "tool", "content": [result]}]},
                {"messages": [answer]},
            ),
        ],
        messages=True,
    )


def genai_parts() -> Dialect:
    def message(role: str, *parts: Any) -> Any:
        return {"role": role, "parts": list(parts)}

    def text(content: str) -> Any:
        return {"type": "text", "content": content}

    call = {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": ARGUMENTS}
    result = {"type": "tool_call_response", "id": "c1", "response": "18C"}
    asked = [message("system", text(SYSTEM)), message("user", text(QUESTION))]
    look = message("assistant", text(LOOK), call)
    return Dialect(
        [
            Call({"messages": asked}, {"messages": [look]}),
            Call(
                {"messages": [*asked, look, message("tool", result)]},
                {"messages": [message("assistant", text(ANSWER))]},
            ),
        ],
        messages=True,
    )


DIALECTS = {
    make.__name__: make()
    for make in (
        openai_chat,
        openai_responses,
        anthropic,
        gemini,
        bedrock,
        langchain,
        vercel,
        genai_parts,
    )
}


def by_events(dialect: Dialect) -> list[Span]:
    request = event_service_pb2.CreateEventBatchRequest()
    events = [
        {
            "event_id": f"e{i}",
            "session_id": "s",
            "event_type": "model",
            "event_name": "m",
            "start_time": 1_000 + i,
            "duration": 1,
            "inputs": call.request,
            "outputs": call.response,
        }
        for i, call in enumerate(dialect.calls)
    ]
    json_format.ParseDict({"events": events}, request)
    return read_batch(request, received_ns=10**18).spans


def by_basalt(dialect: Dialect) -> list[Span]:
    return _basalt_trace(dialect, lambda value: value)


def by_basalt_as_text(dialect: Dialect) -> list[Span]:
    """As basalt-sdk 0.5 does: structures are JSON in a text."""
    return _basalt_trace(dialect, json.dumps)


def _basalt_trace(dialect: Dialect, sent: Callable[[Any], Any]) -> list[Span]:
    logs = [
        {
            "id": f"g{i}",
            "type": "generation",
            "startTime": f"2026-01-01T00:00:0{i}Z",
            "endTime": f"2026-01-01T00:00:0{i}.5Z",
            "input": sent(call.request),
            "output": sent(call.response),
        }
        for i, call in enumerate(dialect.calls)
    ]
    trace = json_format.ParseDict({"id": "t", "logs": logs}, trace_pb2.Trace())
    return read_trace(trace, trace_id="t", received_ns=10**18).spans


def by_otlp(attributes: Callable[[Call], dict[str, Any]]) -> Callable[[Dialect], list[Span]]:
    def spans(dialect: Dialect) -> list[Span]:
        messages = [
            span_message(
                "chat m",
                attributes(call),
                span_id=bytes([0, 0, 0, 0, 0, 0, 0, i + 1]),
                start_time_unix_nano=10**18 + i * 10**9,
                end_time_unix_nano=10**18 + i * 10**9 + 1000,
            )
            for i, call in enumerate(dialect.calls)
        ]
        return read(*messages).spans

    return spans


def values(inputs: str, outputs: str, **more: Any) -> Callable[[Call], dict[str, Any]]:
    """A convention that has the request and the response as JSON in two attributes."""
    return lambda call: {
        **more,
        inputs: json.dumps(call.request),
        outputs: json.dumps(call.response),
    }


def honeyhive(call: Call) -> dict[str, Any]:
    """As honeyhive 1.7 does: the fields of an event are flattened."""
    outputs = call.response if isinstance(call.response, dict) else {"value": call.response}
    return {
        "honeyhive_event_type": "model",
        **{f"honeyhive_inputs.{key}": _flat(value) for key, value in call.request.items()},
        **{f"honeyhive_outputs.{key}": _flat(value) for key, value in outputs.items()},
    }


def _flat(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value)


ADAPTERS: dict[str, Callable[[Dialect], list[Span]]] = {
    "events": by_events,
    "basalt": by_basalt,
    "basalt, JSON in texts": by_basalt_as_text,
    "otlp, basalt": by_otlp(
        values("basalt.span.input", "basalt.span.output", **{"basalt.span.kind": "generation"})
    ),
    "otlp, honeyhive": by_otlp(honeyhive),
    "otlp, openinference": by_otlp(
        values("input.value", "output.value", **{"openinference.span.kind": "LLM"})
    ),
    "otlp, gen_ai operation": by_otlp(
        values("input.value", "output.value", **{"gen_ai.operation.name": "chat"})
    ),
    "otlp, langfuse": by_otlp(
        values(
            "langfuse.observation.input",
            "langfuse.observation.output",
            **{"langfuse.observation.type": "generation"},
        )
    ),
    "otlp, mlflow": by_otlp(
        values("mlflow.spanInputs", "mlflow.spanOutputs", **{"mlflow.spanType": '"CHAT_MODEL"'})
    ),
    "otlp, logfire": by_otlp(
        values("request_data", "response_data", **{"gen_ai.operation.name": "chat"})
    ),
    "otlp, langsmith": by_otlp(
        values("gen_ai.prompt", "gen_ai.completion", **{"langsmith.span.kind": "llm"})
    ),
    "otlp, traceloop": by_otlp(
        values("traceloop.entity.input", "traceloop.entity.output", **{"llm.request.type": "chat"})
    ),
}


def genai_attributes(call: Call) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(call.request["messages"]),
        "gen_ai.output.messages": json.dumps(answers(call)),
    }


def answers(call: Call) -> list[Any]:
    """The messages of a response."""
    if "choices" in call.response:
        return [choice["message"] for choice in call.response["choices"]]
    return list(call.response["messages"])


def indexed_attributes(call: Call) -> dict[str, Any]:
    """As OpenLLMetry does."""
    attributes: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    for prefix, messages in (("prompt", call.request["messages"]), ("completion", answers(call))):
        for i, message in enumerate(messages):
            at = f"gen_ai.{prefix}.{i}"
            for key in ("role", "content", "tool_call_id"):
                if message.get(key):
                    attributes[f"{at}.{key}"] = _flat(message[key])
            for j, tool_call in enumerate(message.get("tool_calls", ())):
                attributes |= {
                    f"{at}.tool_calls.{j}.id": tool_call["id"],
                    f"{at}.tool_calls.{j}.name": tool_call["function"]["name"],
                    f"{at}.tool_calls.{j}.arguments": tool_call["function"]["arguments"],
                }
    return attributes


def openinference_attributes(call: Call) -> dict[str, Any]:
    attributes: dict[str, Any] = {"openinference.span.kind": "LLM"}
    for prefix, messages in (("input", call.request["messages"]), ("output", answers(call))):
        for i, message in enumerate(messages):
            at = f"llm.{prefix}_messages.{i}.message"
            for key in ("role", "content", "tool_call_id"):
                if message.get(key):
                    attributes[f"{at}.{key}"] = message[key]
            for j, tool_call in enumerate(message.get("tool_calls", ())):
                function = f"{at}.tool_calls.{j}.tool_call.function"
                attributes |= {
                    f"{at}.tool_calls.{j}.tool_call.id": tool_call["id"],
                    f"{function}.name": tool_call["function"]["name"],
                    f"{function}.arguments": tool_call["function"]["arguments"],
                }
    return attributes


def vercel_attributes(call: Call) -> dict[str, Any]:
    calls = [
        {"toolCallId": c["id"], "toolName": c["function"]["name"], "input": ARGUMENTS}
        for answer in answers(call)
        for c in answer.get("tool_calls", ())
    ]
    return {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.prompt.messages": json.dumps(call.request["messages"]),
        "ai.response.text": answers(call)[0]["content"],
        **({"ai.response.toolCalls": json.dumps(calls)} if calls else {}),
    }


MESSAGE_ADAPTERS: dict[str, Callable[[Dialect], list[Span]]] = {
    "otlp, gen_ai messages": by_otlp(genai_attributes),
    "otlp, gen_ai.prompt.N": by_otlp(indexed_attributes),
    "otlp, llm.input_messages.N": by_otlp(openinference_attributes),
    "otlp, vercel": by_otlp(vercel_attributes),
}

CHAT = [
    f"User: {QUESTION}",
    f"start: {SYSTEM}",
    f"assistant: {LOOK}",
    'tool: get_weather({"city": "Paris"}) = 18C',
    f"assistant: {ANSWER}",
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_gives_the_same_chat_by_every_adapter(dialect: str, adapter: str) -> None:
    shown = lines(*ADAPTERS[adapter](DIALECTS[dialect]), include_model_tool_calls=True)
    assert sorted(shown[:2]) == sorted(CHAT[:2])
    assert shown[2:] == CHAT[2:]


@pytest.mark.parametrize("adapter", MESSAGE_ADAPTERS)
def test_openais_messages_give_the_same_chat_in_attributes_of_their_own(adapter: str) -> None:
    shown = lines(*MESSAGE_ADAPTERS[adapter](openai_chat()), include_model_tool_calls=True)
    assert sorted(shown[:2]) == sorted(CHAT[:2])
    assert shown[2:] == CHAT[2:]


@pytest.mark.parametrize("dialect", ["vercel", "genai_parts"])
def test_other_messages_give_the_same_chat_as_gen_ai_messages(dialect: str) -> None:
    spans = MESSAGE_ADAPTERS["otlp, gen_ai messages"](DIALECTS[dialect])
    shown = lines(*spans, include_model_tool_calls=True)
    assert sorted(shown[:2]) == sorted(CHAT[:2])
    assert shown[2:] == CHAT[2:]


@pytest.mark.parametrize("as_event", [json.dumps, None])
def test_openais_messages_give_the_same_chat_in_span_events(as_event: Any) -> None:
    def events(call: Call) -> list[tuple[str, Mapping[str, Any]]]:
        told = [(f"gen_ai.{m['role']}.message", m) for m in call.request["messages"]]
        told += [("gen_ai.choice", {"index": 0, "message": m}) for m in answers(call)]
        return [
            (name, {"body": json.dumps(m)} if as_event else {k: _flat(v) for k, v in m.items()})
            for name, m in told
        ]

    spans = read(
        *(
            span_message(
                "chat m",
                {"gen_ai.operation.name": "chat"},
                events(call),
                span_id=bytes([0, 0, 0, 0, 0, 0, 0, i + 1]),
                start_time_unix_nano=10**18 + i * 10**9,
            )
            for i, call in enumerate(openai_chat().calls)
        )
    ).spans
    shown = lines(*spans, include_model_tool_calls=True)
    assert sorted(shown[:2]) == sorted(CHAT[:2])
    assert shown[2:] == CHAT[2:]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("response", "shown"),
    [
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "OUT"}]}}]}, "OUT"),
        ([{"generated_text": "OUT"}], "OUT"),
        (
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "AIMessage"],
                "kwargs": {"content": "OUT"},
            },
            "OUT",
        ),
        ({"message": {"role": "assistant", "content": "OUT"}, "done": True}, "OUT"),
        ({"completion": "OUT", "stop_reason": "stop_sequence"}, "OUT"),
        ([{"type": "text", "text": "OUT"}], "OUT"),
        ({"answer": 42}, "42"),
        ([[2.5, "ü"], {"a": 1}], '[[2.5, "ü"], {"a": 1}]'),
    ],
)
def test_an_answer_is_the_same_text_by_every_adapter(
    response: Any, shown: str, adapter: str
) -> None:
    if adapter == "events" and isinstance(response, list):
        response = {"value": response}  # an event's outputs are an object
    spans = ADAPTERS[adapter](Dialect([Call({"question": "IN"}, response)]))
    assert lines(*spans) == ["User: IN", f"assistant: {shown}"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_answer_that_is_only_a_call_is_that_call_by_every_adapter(adapter: str) -> None:
    call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}
    response = {
        "output": {"message": {"role": "assistant", "content": [call]}},
        "stopReason": "tool_use",
    }
    spans = ADAPTERS[adapter](Dialect([Call({"question": "IN"}, response)]))
    assert lines(*spans, include_model_tool_calls=True) == ["User: IN", 'tool: f({"a": 1})']


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_arguments_of_a_call_keep_all_digits_by_every_adapter(adapter: str) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"n":12345678901234567890123}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    response = {"choices": [{"message": message}]}
    spans = ADAPTERS[adapter](Dialect([Call({"question": "IN"}, response)]))
    shown = lines(*spans, include_model_tool_calls=True)
    assert shown == ["User: IN", 'tool: f({"n": 12345678901234567890123})']


def basalt_traces() -> list[list[Span]]:
    """What basalt-sdk 1.1.10 sent by OTLP."""
    traces: dict[str, list[Span]] = {}
    for span in recorded("basalt.json"):
        traces.setdefault(span.trace_id, []).append(span)
    return [*traces.values()]


@pytest.mark.parametrize("trace", [0, 1])
def test_a_basalt_trace_gives_the_same_chat_by_rest_as_by_otlp(trace: int) -> None:
    by_otlp = basalt_traces()[trace]
    sent = trace_message(by_otlp[0].trace_id, by_otlp)
    for log in sent.logs:  # by REST a tool has no name beside that of its log
        [span] = [span for span in by_otlp if span.span_id == log.id]
        log.name = (span.genai.tool and span.genai.tool.name) or span.name
    by_rest = read_trace(sent, trace_id="t", received_ns=10**18).spans
    assert lines(*by_rest) == lines(*by_otlp)


def test_the_input_of_a_basalt_trace_by_otlp_is_what_the_user_said() -> None:
    shown = lines(*basalt_traces()[0])
    assert shown[0] == "User: What is the capital of France?"
    assert 'tool: search({"q": "France"}) = [{"doc": 1}]' in shown
    assert [line for line in shown if line.startswith("User")][1:] == ["User: Q"]
    assert [line for line in shown if line.startswith("assistant")] == ["assistant: Paris"]
    assert lines(*basalt_traces()[1]) == ["User: a", "assistant: b"]


def tool_attributes(given: str, returned: str, **more: Any) -> Callable[[Any, Any], dict[str, Any]]:
    return lambda arguments, result: {
        **more,
        given: json.dumps(arguments),
        returned: _flat(result),
    }


TOOL_ATTRIBUTES = {
    "gen_ai": tool_attributes("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    "gen_ai, older": tool_attributes("gen_ai.tool.input", "gen_ai.tool.output"),
    "openinference": tool_attributes(
        "input.value", "output.value", **{"openinference.span.kind": "TOOL"}
    ),
    "traceloop": tool_attributes(
        "traceloop.entity.input", "traceloop.entity.output", **{"traceloop.span.kind": "tool"}
    ),
    "vercel": tool_attributes(
        "ai.toolCall.args", "ai.toolCall.result", **{"ai.operationId": "ai.toolCall"}
    ),
    "langfuse": tool_attributes(
        "langfuse.observation.input",
        "langfuse.observation.output",
        **{"langfuse.observation.type": "tool"},
    ),
    "basalt": tool_attributes(
        "basalt.span.input", "basalt.span.output", **{"basalt.span.kind": "tool"}
    ),
}


def tool_span(adapter: str, arguments: Any, result: Any) -> list[Span]:
    if adapter == "events":
        event = {
            "event_type": "tool",
            "event_name": "get_weather",
            "inputs": arguments,
            "outputs": {"result": result},
        }
        request = event_service_pb2.CreateEventBatchRequest()
        json_format.ParseDict({"events": [event]}, request)
        return read_batch(request, received_ns=10**18).spans
    if adapter == "basalt, REST":
        log = {
            "id": "l",
            "type": "tool",
            "name": "get_weather",
            "input": arguments,
            "output": result,
        }
        trace = json_format.ParseDict({"id": "t", "logs": [log]}, trace_pb2.Trace())
        return read_trace(trace, trace_id="t", received_ns=10**18).spans
    attributes = {"gen_ai.tool.name": "get_weather", **TOOL_ATTRIBUTES[adapter](arguments, result)}
    return read(span_message("execute_tool get_weather", attributes)).spans


@pytest.mark.parametrize("adapter", ["events", "basalt, REST", *TOOL_ATTRIBUTES])
@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("18C", "18C"),
        ({"sky": ["ü", 1]}, '{"sky": ["ü", 1]}'),
        ([18, "C"], '[18, "C"]'),
        ({"lc": 1, "kwargs": {"tool_call_id": "c1", "content": "18C"}}, "18C"),
    ],
)
def test_an_execution_is_the_same_tool_call_by_every_adapter(
    result: Any, shown: str, adapter: str
) -> None:
    found = lines(*tool_span(adapter, ARGUMENTS, result))
    assert found == [f'tool: get_weather({{"city": "Paris"}}) = {shown}']
