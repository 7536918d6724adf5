"""Each convention's attributes become the same canonical fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanloom.genai.stored import messages_json
from spanloom.genai.text import text_of
from spanloom.model import Span
from spanloom.model.genai import Compaction, Handoff, Tool, ToolResultPart, Usage
from tests.ingest.otlp.requests import read_one
from tests.parts import flat, tool_of


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "parts": [text(content)]}


def assistant(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "parts": list(parts), **more}


CALL = {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Paris"}}
RESPONSE = {"type": "tool_call_response", "id": "c1", "response": "18C"}


def facts(span: Span) -> dict[str, Any]:
    """What the conventions made of a span: columns that say something, and its parts but for what
    follows from others."""
    columns = {
        key: value
        for key in (
            "operation",
            "kind",
            "agent_name",
            "provider",
            "model",
            "input_tokens",
            "output_tokens",
        )
        if (value := getattr(span, key)) not in ("", None)
    }
    if span.session_id != span.trace_id:
        columns["session_id"] = span.session_id
    told = flat(span)
    usage = {key: n for key, n in told.pop("usage", {}).items() if key.endswith("_tokens")}
    return columns | {k: v for k, v in told.items() if k not in ("inputs", "outputs")} | usage


def test_current_genai_attributes() -> None:
    span = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "Anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": "claude-sonnet-4-5-20250929",
            "gen_ai.agent.name": "bot",
            "gen_ai.agent.id": "a1",
            "gen_ai.agent.version": "2",
            "gen_ai.agent.description": "helps",
            "gen_ai.conversation.id": "conv",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}, "And kind."]',
            "gen_ai.tool.definitions": '[{"name": "get_weather"}]',
            "gen_ai.input.messages": json.dumps([user("Hi")]),
            "gen_ai.output.messages": json.dumps(
                [
                    assistant(
                        {"type": "reasoning", "content": "Hm."}, text("Hello"), finish_reason="stop"
                    )
                ]
            ),
        }
    )
    assert facts(span) == {
        "operation": "chat",
        "kind": "model",
        "agent_name": "bot",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "input_tokens": 100,
        "output_tokens": 20,
        "session_id": "conv",
        "agent": {"id": "a1", "version": "2", "description": "helps"},
        "response_model": "claude-sonnet-4-5-20250929",
        "reasoning_tokens": 5,
        "reasoning": "Hm.",
        "cache_read_tokens": 30,
        "cache_creation_tokens": 10,
        "system_instructions": "Be brief.\nAnd kind.",
        "tool_definitions": [{"name": "get_weather"}],
        "input_messages": [user("Hi")],
        "output_messages": [
            assistant({"type": "reasoning", "content": "Hm."}, text("Hello"), finish_reason="stop")
        ],
    }
    assert span.io.inputs == {"chat_history": [{"role": "user", "content": "Hi"}]}
    assert span.io.outputs == {
        "role": "assistant",
        "content": "Hello",
        "finish_reason": "stop",
    }
    # 60 at 3, 30 at 0.3, 10 at 3.75, 20 at 15 US dollars a million.
    assert span.cost == pytest.approx((60 * 3 + 30 * 0.3 + 10 * 3.75 + 20 * 15) / 1e6)
    assert span.genai.usage is not None
    assert span.genai.usage.cost_source == "computed"


@pytest.mark.parametrize(
    ("sent", "messages"),
    [
        ("plain text", [{"role": "user", "content": "plain text"}]),
        (
            '["a", {"content": "b"}]',
            [{"role": "user", "content": "a"}, {"content": "b", "role": "user"}],
        ),
        ('{"role": "user", "content": "one"}', [{"role": "user", "content": "one"}]),
        ('{"role": "User", "parts": []}', [{"role": "user", "parts": []}]),
        ("[1, 2", [{"role": "user", "content": "[1, 2"}]),
        ('{"question": 1}', [user("1")]),
    ],
)
def test_messages_in_odd_forms(sent: str, messages: list[Any]) -> None:
    span = read_one({"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent})
    assert messages_json(span.genai.input_messages) == messages


def test_a_tool_of_genai_attributes() -> None:
    span = read_one(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.id": "c1",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": "Weather of a city.",
            "gen_ai.tool.call.arguments": '{"city": "Paris"}',
            "gen_ai.tool.call.result": "0",
        }
    )
    assert facts(span) == {
        "operation": "execute_tool",
        "kind": "tool",
        "tool": {
            "name": "get_weather",
            "call_id": "c1",
            "type": "function",
            "description": "Weather of a city.",
            "arguments": {"city": "Paris"},
            "result": "0",
        },
    }
    assert (span.io.inputs, span.io.outputs) == ({"city": "Paris"}, {"result": "0"})


def test_structured_attribute_values_need_no_json() -> None:
    span = read_one(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": [1, False]}
    )
    assert tool_of(span).result == [1, False]


@pytest.mark.parametrize(
    ("name", "operation", "kind"),
    [
        ("chat gpt-4o", "chat", "model"),
        ("Chat GPT", "chat", "model"),
        ("invoke_agent bot", "invoke_agent", "chain"),
        ("execute_tool x", "execute_tool", "tool"),
        ("embeddings m", "embeddings", "model"),
        ("retrieval kb", "retrieval", "tool"),
        ("GET /", "", "chain"),
    ],
)
def test_operations_by_span_name(name: str, operation: str, kind: str) -> None:
    span = read_one({}, name)
    assert (span.operation, span.kind) == (operation, kind)


def test_names_by_span_name() -> None:
    assert read_one({}, "invoke_agent bot").agent_name == "bot"
    assert read_one({}, "execute_tool search").genai.tool == Tool(name="search")


def test_indexed_prompts_and_completions() -> None:
    span = read_one(
        {
            "gen_ai.system": "OpenAI",
            "llm.request.type": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": '[{"type": "text", "text": "Weather?"}]',
            "gen_ai.prompt.2.role": "assistant",
            "gen_ai.prompt.2.tool_calls.0.id": "c1",
            "gen_ai.prompt.2.tool_calls.0.name": "get_weather",
            "gen_ai.prompt.2.tool_calls.0.arguments": '{"city": "Paris"}',
            "gen_ai.prompt.3.role": "tool",
            "gen_ai.prompt.3.tool_call_id": "c1",
            "gen_ai.prompt.3.content": "18C",
            "gen_ai.prompt.10.role": "user",
            "gen_ai.prompt.10.content": "Thanks",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": '{"answer": 42}',
            "gen_ai.completion.0.finish_reason": "stop",
            "gen_ai.usage.prompt_tokens": 7,
            "gen_ai.usage.completion_tokens": "3",
        }
    )
    assert messages_json(span.genai.input_messages) == [
        {"role": "system", "content": "Be brief."},
        user("Weather?"),
        assistant(CALL),
        {"role": "tool", "parts": [RESPONSE]},
        {"role": "user", "content": "Thanks"},
    ]
    assert messages_json(span.genai.output_messages) == [
        {"role": "assistant", "content": '{"answer": 42}', "finish_reason": "stop"}
    ]
    assert (span.provider, span.input_tokens, span.output_tokens) == ("openai", 7, 3)
    assert not span.genai.system_instructions


def test_a_scalar_beside_a_nested_attribute_keeps_both() -> None:
    span = read_one(
        {"gen_ai.prompt": "flat", "gen_ai.prompt.0.content": "nested", "gen_ai.system": "x"}
    )
    assert messages_json(span.genai.input_messages) == [{"role": "user", "content": "nested"}]
    assert span.sent.fields["attributes"]["gen_ai.prompt"] == "flat"
    span = read_one({"honeyhive_outputs.a": 1, "honeyhive_outputs.a.b": 2})
    assert span.io.outputs == {"a": {"b": 2, "value": 1}}


def test_koog_writes_calls_as_the_content_of_a_completion() -> None:
    call = [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        }
    ]
    span = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": json.dumps(call),
        }
    )
    assert messages_json(span.genai.output_messages) == [assistant(CALL)]
    tool = read_one(
        {
            "gen_ai.tool.name": "get_weather",
            "input.value": '{"city":"Paris"}',
            "output.value": "18C",
        },
        "tool.get_weather",
    )
    assert tool.operation == "execute_tool"
    assert tool.genai.tool == Tool(name="get_weather", arguments={"city": "Paris"}, result="18C")
    node = read_one(
        {"koog.node.id": "n", "koog.node.input": "x"}, "node.n", parent_span_id=b"12345678"
    )
    assert (node.operation, node.io.inputs) == ("chain", {"input": "x"})
    current = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps(
                [
                    {"role": "User", "parts": [text("Hi")]},
                    {
                        "role": "Tool",
                        "parts": [{"type": "tool_call_response", "id": "c1", "result": "18C"}],
                    },
                ]
            ),
        }
    )
    result = {"type": "tool_call_response", "id": "c1", "result": "18C"}
    assert messages_json(current.genai.input_messages) == [
        user("Hi"),
        {"role": "tool", "parts": [result]},
    ]
    assert current.genai.input_messages[1].parts == (ToolResultPart("c1", "", "18C"),)


CALLS = [
    {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
]


@pytest.mark.parametrize(
    "fields",
    [
        lambda **body: body,
        lambda **body: {"body": json.dumps(body)},
        lambda **body: {"gen_ai.event.content": json.dumps(body)},
    ],
    ids=["attributes", "body", "content"],
)
def test_messages_as_events(fields: Any) -> None:
    def event(name: str, **body: Any) -> tuple[str, dict[str, Any]]:
        told = fields(**body)
        return name, {k: v if isinstance(v, str | int) else json.dumps(v) for k, v in told.items()}

    span = read_one(
        {"gen_ai.operation.name": "chat"},
        events=[
            event("gen_ai.system.message", content="Be brief."),
            event("gen_ai.user.message", content="Weather?"),
            event("gen_ai.assistant.message", tool_calls=CALLS),
            event("gen_ai.tool.message", id="c1", content="18C"),
            event(
                "gen_ai.choice", index=0, finish_reason="stop", message={"content": "It is 18C."}
            ),
        ],
    )
    assert messages_json(span.genai.input_messages) == [
        {"role": "system", "parts": [text("Be brief.")]},
        user("Weather?"),
        assistant(CALL),
        {"role": "tool", "parts": [RESPONSE]},
    ]
    assert messages_json(span.genai.output_messages) == [
        assistant(text("It is 18C."), finish_reason="stop")
    ]
    assert span.genai.system_instructions == "Be brief."


def test_content_in_one_event() -> None:
    span = read_one(
        {"gen_ai.operation.name": "chat"},
        events={
            "gen_ai.client.inference.operation.details": {
                "gen_ai.input.messages": json.dumps([user("Hi")]),
                "gen_ai.output.messages": json.dumps([assistant(text("Hello"))]),
                "gen_ai.system_instructions": "Be brief.",
            }
        },
    )
    assert messages_json(span.genai.input_messages) == [user("Hi")]
    assert messages_json(span.genai.output_messages) == [assistant(text("Hello"))]
    assert span.genai.system_instructions == "Be brief."
    older = read_one(
        {"gen_ai.operation.name": "chat"},
        events={
            "gen_ai.content.prompt": {"gen_ai.prompt": '[{"role": "user", "content": "Hi"}]'},
            "gen_ai.content.completion": {"gen_ai.completion": "Hello"},
        },
    )
    assert messages_json(older.genai.input_messages) == [{"role": "user", "content": "Hi"}]
    assert messages_json(older.genai.output_messages) == [{"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize("prefix", ["gen_ai.handoff.", "handoff.", ""])
def test_the_two_agents_of_a_handoff(prefix: str) -> None:
    agents = {f"{prefix}from_agent": "a", f"{prefix}to_agent": "b"}
    span = read_one({"gen_ai.operation.name": "handoff", **agents})
    assert span.genai.handoff == Handoff(from_agent="a", to_agent="b")


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ({"gen_ai.tool.input": '{"city": "Paris"}'}, {"gen_ai.tool.output": "18C"}),
        ({"gen_ai.tool.call.arguments": '{"city": "Paris"}'}, {"gen_ai.tool.call.result": "18C"}),
        ({"input": '{"city": "Paris"}'}, {"output": "18C"}),
        ({"content": '{"city": "Paris"}'}, {"content": "18C"}),
        ({"body": '{"city": "Paris"}'}, {"body": "18C"}),
        ({"body": '{"content": {"city": "Paris"}}'}, {"body": '{"content": "18C"}'}),
        ({"gen_ai.event.content": '{"city": "Paris"}'}, {"gen_ai.event.content": "18C"}),
        ({"event_body": '{"arguments": {"city": "Paris"}}'}, {"event_body": '{"result": "18C"}'}),
    ],
)
def test_events_of_a_tools_input_and_output(
    given: dict[str, Any], returned: dict[str, Any]
) -> None:
    events = [("gen_ai.tool.input", given), ("gen_ai.tool.output", returned)]
    span = read_one({}, "execute_tool look", events)
    assert span.genai.tool == Tool(name="look", arguments={"city": "Paris"}, result="18C")
    # The attributes win, each by itself.
    span = read_one({"gen_ai.tool.call.arguments": '{"a": 1}'}, "execute_tool look", events)
    assert span.genai.tool == Tool(name="look", arguments={"a": 1}, result="18C")
    span = read_one({"gen_ai.tool.call.result": "R"}, "execute_tool look", events)
    assert span.genai.tool == Tool(name="look", arguments={"city": "Paris"}, result="R")


def test_weave_beats_everything() -> None:
    span = read_one(
        {
            "gen_ai.operation.name": "chat",
            "weave.operation.name": "invoke_agent",
            "gen_ai.agent.name": "b",
            "weave.agent.name": "a",
            "openinference.span.kind": "TOOL",
            "weave.system": "OpenAI",
            "weave.compaction.summary": "short",
            "weave.compaction.items_before": 9,
            "weave.content_refs": ["weave:///e/p/object/a:1"],
        }
    )
    assert (span.operation, span.agent_name, span.provider) == ("invoke_agent", "a", "openai")
    assert span.genai.compaction == Compaction(summary="short", items_before=9)
    assert span.genai.content_refs == ("weave:///e/p/object/a:1",)


def test_a_value_of_a_wrong_type_gives_way_to_the_next() -> None:
    span = read_one(
        {
            "gen_ai.operation.name": 5,
            "gen_ai.usage.input_tokens": "many",
            "gen_ai.usage.prompt_tokens": 4,
            "gen_ai.agent.name": ["x"],
            "agent.name": "y",
            "openinference.span.kind": "LLM",
        }
    )
    assert (span.operation, span.input_tokens, span.agent_name) == ("chat", 4, "y")


def test_a_model_of_openinference() -> None:
    span = read_one(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.provider": "OpenAI",
            "llm.token_count.prompt": 40,
            "llm.token_count.completion": 12,
            "llm.token_count.prompt_details.cache_read": 8,
            "llm.token_count.completion_details.reasoning": 4,
            "llm.cost.total": 0.5,
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.type": "text",
            "llm.input_messages.1.message.contents.0.message_content.text": "See",
            "llm.input_messages.1.message.contents.1.message_content.type": "image",
            "llm.input_messages.1.message.contents.1.message_content.image.image.url": (
                "https://x/y.png"
            ),
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "Looking.",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "get_weather",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": (
                '{"city": "Paris"}'
            ),
            "llm.tools.0.tool.json_schema": '{"name": "get_weather"}',
            "session.id": "s",
            "user.id": "u",
            "metadata": '{"k": 1}',
            "input.value": "ignored",
        }
    )
    image = {"type": "uri", "modality": "image", "uri": "https://x/y.png"}
    assert facts(span) == {
        "operation": "chat",
        "kind": "model",
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 40,
        "output_tokens": 12,
        "session_id": "s",
        "reasoning_tokens": 4,
        "cache_read_tokens": 8,
        "system_instructions": "Be brief.",
        "input_messages": [
            {"role": "system", "parts": [text("Be brief.")]},
            {"role": "user", "parts": [text("See"), image]},
        ],
        "output_messages": [assistant(text("Looking."), CALL)],
        "tool_definitions": [{"name": "get_weather"}],
        "user": {"id": "u"},
        "metadata": {"k": 1},
    }
    assert span.cost == 0.5
    assert span.genai.usage == Usage(reasoning_tokens=4, cache_read_tokens=8, cost_source="given")


def test_retrieval_and_embedding_of_openinference() -> None:
    found = read_one(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "France",
            "retrieval.documents.0.document.content": "Paris",
            "retrieval.documents.0.document.score": 0.9,
        }
    )
    assert (found.operation, found.kind) == ("retrieval", "tool")
    assert found.io.inputs == {"input": "France"}
    assert found.io.outputs == {"documents": [{"content": "Paris", "score": 0.9}]}
    embedded = read_one(
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "m",
            "embedding.embeddings.0.embedding.text": "a",
            "embedding.embeddings.0.embedding.vector": [0.1],
        }
    )
    assert (embedded.operation, embedded.kind, embedded.model) == ("embeddings", "model", "m")
    assert embedded.io.inputs == {"texts": ["a"]}


def test_a_failed_models_error_is_not_its_answer() -> None:
    span = read_one(
        {"openinference.span.kind": "LLM", "input.value": "Hi", "output.value": "boom"},
        events=[
            ("exception", {"exception.type": "E1", "exception.message": "first"}),
            ("exception", {"exception.type": "E2", "exception.message": "last"}),
            ("exception", {}),
        ],
        status={"code": 2},
    )
    assert not span.genai.output_messages
    assert (span.status, span.error_type, span.status_message) == (
        "ERROR",
        "E2",
        "last",
    )


def test_chains_wrap_and_do_not_speak() -> None:
    root = read_one(
        {
            "openinference.span.kind": "CHAIN",
            "input.value": '{"messages": [["user", "Hi"]]}',
            "output.value": '{"messages": [["user", "Hi"], ["assistant", "Hello"]]}',
        }
    )
    assert (root.operation, root.kind) == ("invoke_workflow", "chain")
    assert not root.genai.output_messages
    assert root.io.inputs == {"chat_history": [{"role": "user", "content": "Hi"}]}
    assert root.io.outputs == {"role": "assistant", "content": "Hello"}
    step = read_one(
        {"openinference.span.kind": "CHAIN", "input.value": '{"a": 1}'}, parent_span_id=b"12345678"
    )
    assert (step.operation, step.io.inputs) == ("chain", {"a": 1})


def test_traceloop() -> None:
    tool = read_one(
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "get_weather",
            "traceloop.entity.input": '{"city": "Paris"}',
            "traceloop.entity.output": "18C",
            "traceloop.association.properties.session_id": "s",
            "traceloop.association.properties.tier": "gold",
        }
    )
    assert facts(tool) == {
        "operation": "execute_tool",
        "kind": "tool",
        "session_id": "s",
        "tool": {"name": "get_weather", "arguments": {"city": "Paris"}, "result": "18C"},
        "metadata": {"session_id": "s", "tier": "gold"},
    }
    agent = read_one({"traceloop.span.kind": "agent", "traceloop.entity.name": "bot"}, "bot.agent")
    assert (agent.operation, agent.agent_name) == ("invoke_agent", "bot")
    model = read_one(
        {
            "llm.request.type": "completion",
            "llm.usage.prompt_tokens": 4,
            "llm.usage.completion_tokens": 5,
            "llm.request.functions.0.name": "f",
            "llm.request.functions.0.parameters": "{}",
        }
    )
    assert (model.operation, model.input_tokens, model.output_tokens) == ("text_completion", 4, 5)
    assert model.genai.tool_definitions == [{"name": "f", "parameters": {}}]


def test_the_vercel_ai_sdk() -> None:
    step = read_one(
        {
            "operation.name": "ai.streamText.doStream my-fn",
            "ai.operationId": "ai.streamText.doStream",
            "ai.telemetry.functionId": "my-fn",
            "ai.telemetry.metadata.sessionId": "s",
            "ai.model.id": "gpt-4o",
            "ai.model.provider": "openai.chat",
            "ai.prompt.messages": json.dumps(
                [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                    {
                        "role": "tool",
                        "content": [
                            {
                                "type": "tool-result",
                                "toolCallId": "c1",
                                "toolName": "get_weather",
                                "output": {"type": "text", "value": "18C"},
                            }
                        ],
                    },
                ]
            ),
            "ai.response.text": "Looking.",
            "ai.response.toolCalls": (
                '[{"toolCallId": "c1", "toolName": "get_weather", "input": {"city": "Paris"}}]'
            ),
            "ai.response.finishReason": "tool-calls",
            "ai.usage.inputTokens": 4,
            "ai.usage.completionTokens": 5,
        }
    )
    assert facts(step) == {
        "operation": "chat",
        "kind": "model",
        "agent_name": "my-fn",
        "provider": "openai.chat",
        "model": "gpt-4o",
        "input_tokens": 4,
        "output_tokens": 5,
        "session_id": "s",
        "system_instructions": "Be brief.",
        "input_messages": [
            {"role": "system", "parts": [text("Be brief.")]},
            user("Weather?"),
            {"role": "tool", "parts": [{**RESPONSE, "name": "get_weather"}]},
        ],
        "output_messages": [assistant(text("Looking."), CALL, finish_reason="tool-calls")],
        "metadata": {"sessionId": "s"},
    }
    whole = read_one(
        {
            "ai.operationId": "ai.generateText",
            "ai.prompt": '{"system": "Be brief.", "prompt": "Weather?"}',
            "ai.response.text": "18C",
        }
    )
    assert whole.operation == "invoke_agent"
    assert messages_json(whole.genai.input_messages)[-1] == user("Weather?")
    assert messages_json(whole.genai.output_messages) == [assistant(text("18C"))]


def test_langfuse() -> None:
    span = read_one(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.input": '[{"role": "user", "content": "Hi"}]',
            "langfuse.observation.output": '{"role": "assistant", "content": "Hello"}',
            "langfuse.observation.usage_details": '{"input": 4, "output": 5}',
            "langfuse.observation.cost_details": '{"input": 0.1, "output": 0.2, "total": 0.3}',
            "langfuse.session.id": "s",
            "langfuse.observation.metadata.k": "v",
        }
    )
    assert facts(span) == {
        "operation": "chat",
        "kind": "model",
        "model": "gpt-4o",
        "input_tokens": 4,
        "output_tokens": 5,
        "session_id": "s",
        "input_messages": [user("Hi")],
        "output_messages": [assistant(text("Hello"))],
        "metadata": {"k": "v"},
    }
    assert span.cost == 0.3
    assert span.genai.usage == Usage(input_cost=0.1, output_cost=0.2, cost_source="given")


def test_mlflow_writes_json_in_every_attribute() -> None:
    span = read_one(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": (
                '{"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o"}'
            ),
            "mlflow.spanOutputs": (
                '{"choices": [{"message": {"role": "assistant", "content": "Hello"},'
                ' "finish_reason": "stop"}]}'
            ),
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 4, "output_tokens": 5, "total_tokens": 9}',
        }
    )
    assert facts(span) == {
        "operation": "chat",
        "kind": "model",
        "model": "gpt-4o",
        "input_tokens": 4,
        "output_tokens": 5,
        "input_messages": [user("Hi")],
        "output_messages": [assistant(text("Hello"), finish_reason="stop")],
    }


def test_logfire_keeps_a_request_and_its_response() -> None:
    span = read_one(
        {
            "request_data": '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}',
            "response_data": '{"message": {"role": "assistant", "content": "Hello"}}',
            "gen_ai.usage.input_tokens": 4,
        }
    )
    assert (span.operation, span.model) == ("chat", "gpt-4o")
    assert messages_json(span.genai.input_messages) == [user("Hi")]
    assert messages_json(span.genai.output_messages) == [assistant(text("Hello"))]


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}, CALL),
        (
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [{"type": "text", "text": "18C"}],
            },
            RESPONSE,
        ),
        ({"type": "thinking", "thinking": "Hm."}, {"type": "reasoning", "content": "Hm."}),
        (
            {"type": "reasoning", "summary": [{"text": "Hm."}]},
            {"type": "reasoning", "content": "Hm."},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        ),
        (
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "AAAA"},
        ),
        ({"functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Paris"}}}, CALL),
        ({"functionResponse": {"id": "c1", "response": "18C"}}, RESPONSE),
        ({"toolUse": {"toolUseId": "c1", "name": "get_weather", "input": {"city": "Paris"}}}, CALL),
        ({"text": "Hm.", "thought": True}, {"type": "reasoning", "content": "Hm."}),
        ({"type": "output_text", "text": "Hi"}, text("Hi")),
    ],
)
def test_parts_of_every_model_api(said: Any, part: dict[str, Any]) -> None:
    span = read_one(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": json.dumps([{"role": "user", "content": [said]}]),
        }
    )
    assert messages_json(span.genai.input_messages) == [{"role": "user", "parts": [part]}]


def test_the_items_of_openais_responses_api() -> None:
    span = read_one(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": json.dumps(
                {
                    "instructions": "Be brief.",
                    "input": [
                        {"role": "user", "content": "Weather?"},
                        {
                            "type": "function_call",
                            "call_id": "c1",
                            "name": "get_weather",
                            "arguments": '{"city": "Paris"}',
                        },
                        {"type": "function_call_output", "call_id": "c1", "output": "18C"},
                    ],
                }
            ),
            "langfuse.observation.output": json.dumps(
                {
                    "output": [
                        {
                            "type": "message",
                            "role": "assistant",
                            "content": [{"type": "output_text", "text": "It is 18C."}],
                        }
                    ]
                }
            ),
        }
    )
    assert messages_json(span.genai.input_messages) == [
        {"role": "system", "parts": [text("Be brief.")]},
        user("Weather?"),
        assistant(CALL),
        {"role": "tool", "parts": [RESPONSE]},
    ]
    assert messages_json(span.genai.output_messages) == [assistant(text("It is 18C."))]


def test_long_messages_are_not_copied_for_the_events_view() -> None:
    span = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps([user("x" * 100_000)]),
        }
    )
    assert span.io.inputs is None
    assert len(text_of(span.genai.input_messages[0])) == 100_000


def test_honeyhives_own_fields_win() -> None:
    span = read_one(
        {
            "honeyhive_event_type": "tool",
            "honeyhive_event_id": "e1",
            "honeyhive_event_name": "lookup",
            "honeyhive.session_id": "s1",
            "honeyhive_inputs.a.0": 1,
            "honeyhive_inputs.a.1": '{"b": 2}',
            "honeyhive_error": "went wrong",
            "honeyhive_metadata.cost": 0.25,
            "honeyhive_metadata.prompt_tokens": 10,
            "honeyhive_metadata.completion_tokens": 4,
            "honeyhive_config.model": "gpt-4o",
            "honeyhive_config.provider": "OpenAI",
            "openinference.span.kind": "LLM",
        },
        "span name",
    )
    assert (span.kind, span.event_id, span.name, span.session_id) == ("tool", "e1", "lookup", "s1")
    assert (span.status, span.cost) == ("ERROR", 0.25)
    assert (span.input_tokens, span.output_tokens) == (10, 4)
    assert (span.model, span.provider) == ("gpt-4o", "openai")
    assert span.io.inputs == {"a": [1, {"b": 2}]}
    assert span.io.metadata
    assert span.io.metadata["prompt_tokens"] == 10
    assert (span.io.error, span.sent.fields["name"]) == ("went wrong", "span name")


def test_an_id_too_long_to_be_one_is_left_to_the_attributes() -> None:
    span = read_one({"gen_ai.conversation.id": "x" * 257, "session.id": "s"})
    assert span.session_id == "s"
