"""What single frameworks write in ways of their own (whole chats:
tests/chat/test_frameworks.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanloom.genai.text import text_of
from spanloom.model.genai import Handoff
from tests.ingest.otlp.requests import read_one
from tests.parts import tool_of


def messages(*given: Any) -> str:
    return json.dumps(given)


def test_koog_gives_calls_the_role_of_results_and_thoughts_one_of_their_own() -> None:
    call = {"role": "Tool", "parts": [{"type": "tool_call", "name": "look", "arguments": {}}]}
    thought = {"role": "Reasoning", "parts": [{"type": "reasoning", "content": "hm"}]}
    span = read_one(
        {"gen_ai.operation.name": "chat", "gen_ai.output.messages": messages(call, thought)}
    )
    assert [m.role for m in span.genai.output_messages] == ["assistant"] * 2
    assert span.genai.reasoning == "hm"


def test_koog_encodes_results_and_tells_instructions_without_a_prefix() -> None:
    told = {"koog.event.id": "e", "gen_ai.operation.name": "execute_tool"}
    span = read_one({**told, "gen_ai.tool.call.result": '"18C"'}, "execute_tool look")
    assert tool_of(span).result == "18C"
    asked = {"koog.event.id": "e", "gen_ai.operation.name": "chat"}
    instructions = json.dumps([{"type": "text", "content": "be nice"}])
    span = read_one({**asked, "system_instructions": instructions})
    assert span.genai.system_instructions == "be nice"


def test_openinference_tells_prompts_as_a_list_too() -> None:
    span = read_one({"openinference.span.kind": "LLM", "llm.prompts": ["question"]})
    assert [text_of(m) for m in span.genai.input_messages] == ["question"]


def test_google_adk_tells_the_chunks_of_a_stream() -> None:
    chunks = messages(
        {"role": "assistant", "parts": [{"type": "text", "content": "Hel"}], "finish_reason": ""},
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "lo"}],
            "finish_reason": "stop",
        },
    )
    span = read_one({"gen_ai.output.messages": chunks}, "chat m", scope="gcp.vertex.agent")
    [message] = span.genai.output_messages
    assert (text_of(message), message.finish_reason) == ("Hello", "stop")


def test_google_adk_writes_placeholders() -> None:
    given = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "<not specified>"}
    span = read_one({**given, "gen_ai.tool.name": "look"}, scope="gcp.vertex.agent")
    assert tool_of(span).call_id == ""
    span = read_one({**given, "gen_ai.tool.name": "(merged tools)"}, scope="gcp.vertex.agent")
    assert (span.kind, span.operation) == ("chain", "chain")


@pytest.mark.parametrize(
    ("name", "attributes", "operation"),
    [
        ("Agent run: {name!r}", {"name": "triage"}, "invoke_agent"),
        ("Function: {name}", {"name": "look", "input": '{"q": 1}', "output": "R"}, "execute_tool"),
        ("Handoff: {from_agent} → {to_agent}", {"from_agent": "a", "to_agent": "b"}, "handoff"),
        ("Turn {turn} for agent triage", {"turn": 1}, "chain"),
    ],
)
def test_logfire_names_the_openai_agents_sdks_spans_by_templates(
    name: str, attributes: dict[str, Any], operation: str
) -> None:
    parent = {"parent_span_id": b"12345678"}
    span = read_one(
        {**attributes, "logfire.msg": "told"}, name, scope="logfire.openai_agents", **parent
    )
    assert (span.operation, span.name) == (operation, "told")
    if operation == "execute_tool":
        tool = tool_of(span)
        assert (tool.name, tool.arguments, tool.result) == ("look", {"q": 1}, "R")
    elif operation == "handoff":
        assert span.genai.handoff == Handoff(from_agent="a", to_agent="b")


def test_what_an_assistant_says_last_is_the_answer_where_no_choice_is_told() -> None:
    events = [
        ("gen_ai.user.message", {"content": "question"}),
        ("gen_ai.assistant.message", {"content": "answer"}),
    ]
    span = read_one({}, "chat m", events)
    assert [text_of(m) for m in span.genai.input_messages] == ["question"]
    assert [text_of(m) for m in span.genai.output_messages] == ["answer"]


def test_llamaindex_prints_what_cannot_be_json() -> None:
    scope = "llamaindex.opentelemetry.tracer"
    given = "ToolCall(tool_name='look', tool_kwargs={'q': \"it's\"}, tool_id='c1')"
    printed = (
        "ToolCallResult(tool_output=ToolOutput(blocks=[TextBlock(block_type='text', text='R')]))"
    )
    span = read_one(
        {"llamaindex.step.input_summary": given},
        "Agent.call_tool",
        [("step.output", {"output": printed})],
        scope=scope,
    )
    tool = tool_of(span)
    assert (tool.name, tool.arguments, tool.call_id) == ("look", {"q": "it's"}, "c1")
    assert tool.result == "R"
    broken = read_one(
        {"llamaindex.step.input_summary": "ToolCall(tool_name='look', tool_kwargs={'q': ..."},
        "Agent.call_tool",
        scope=scope,
    )
    assert broken.operation == "execute_tool"
