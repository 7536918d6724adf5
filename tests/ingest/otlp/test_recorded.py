"""Recorded requests of real SDKs and frameworks.

frameworks/: agents of each framework, asked about the weather in Paris, with one tool, against a
local stand-in for the model's API. The name tells the framework and the instrumentation, or the
framework's version where it instruments itself.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from spanloom.adapters.otlp.write import span_id_bytes, trace_id_bytes
from spanloom.chat.view import trace_chat
from spanloom.genai.stored import messages_json
from spanloom.genai.text import text_of
from spanloom.model import Span
from spanloom.model.genai import Tool
from spanloom.model.span import PromptUse, Variable
from spanloom.model.turn import AssistantMessage, ChatMessage, ToolCall, UserMessage
from tests.chat.captured import span_of
from tests.ingest.otlp import requests as r
from tests.parts import flat, tool_of

QUESTION = "What is the weather in Paris?"
ANSWER = "It is 18C and rainy in Paris."
RECORDED = sorted(path.stem for path in (r.DATA / "frameworks").glob("*.json"))
# What these do not tell: Google's agents hand over and call no tool; the others have no trace of it
# on their spans.
NO_TOOL = {name for name in RECORDED if name.startswith("google_adk")}
NO_RESULT = {"autogen", "autogen.openlit", "pydantic_ai.0_2"}
NO_ARGUMENTS = {"autogen", "autogen.openlit"}
WEAVE = [p for p in sorted(Path("tests/data/weave").glob("*.json")) if "oracle" not in p.name]
NO_MODEL = {"llamaindex.traceloop"}


def said(spans: Iterable[Span], key: str) -> list[str]:
    return [text_of(message) for span in spans for message in getattr(span.genai, key)]


@pytest.mark.parametrize("name", [n for n in RECORDED if n not in NO_MODEL])
def test_the_question_and_the_answer_of_every_framework_are_messages(name: str) -> None:
    spans = r.recorded(f"frameworks/{name}.json")
    assert any(QUESTION in text for text in said(spans, "input_messages"))
    assert any(ANSWER in text for text in said(spans, "output_messages"))
    models = [span for span in spans if span.kind == "model"]
    if name != "autogen":
        assert models
        assert all(span.input_tokens == 40 and span.cost and span.model for span in models)
        assert any(
            ANSWER in json.dumps(messages_json(span.genai.output_messages)) for span in models
        )


@pytest.mark.parametrize("name", [n for n in RECORDED if n not in NO_TOOL])
def test_the_tool_call_of_every_framework_is_one(name: str) -> None:
    spans = r.recorded(f"frameworks/{name}.json")
    [tool, *_] = [
        tool_of(span)
        for span in spans
        if span.kind == "tool" and tool_of(span).name == "get_weather"
    ]
    if name not in NO_ARGUMENTS:
        # LangChain passes OpenInference the only argument without its name.
        bare = name == "langgraph.openinference"
        assert tool.arguments == ("Paris" if bare else {"city": "Paris"})
    if name not in NO_RESULT:
        assert tool.result == "18C, rain in Paris"


@pytest.mark.parametrize("name", RECORDED)
def test_the_chat_of_every_framework_tells_who_said_what(name: str) -> None:
    traces: dict[str, list[Span]] = {}
    for span in r.recorded(f"frameworks/{name}.json"):
        traces.setdefault(span.trace_id, []).append(span)
    shown: list[Any] = [
        message.payload for t, spans in traces.items() for message in trace_chat(t, spans).messages
    ]
    assert any(isinstance(p, UserMessage) and QUESTION in p.text for p in shown)
    assert any(isinstance(p, AssistantMessage) and ANSWER in p.text for p in shown)
    assert any(isinstance(p, ToolCall) for p in shown) or name == "openai_agents.traceloop"


@pytest.mark.parametrize("name", ["openai_agents.openinference", "openai_agents.traceloop"])
def test_a_handoff_of_the_openai_agents_sdk(name: str) -> None:
    [span] = [s for s in r.recorded(f"frameworks/{name}.json") if s.operation == "handoff"]
    assert span.kind == "chain"
    assert span.genai.handoff is not None
    assert span.genai.handoff.from_agent == "triage"


@pytest.mark.parametrize("name", [n for n in RECORDED if n.startswith("google_adk")])
def test_agents_of_google_adk_have_their_names(name: str) -> None:
    spans = r.recorded(f"frameworks/{name}.json")
    agents = {span.agent_name for span in spans if span.operation == "invoke_agent"}
    assert {"weather_agent", "writer"} <= agents
    [transfer] = [tool_of(span) for span in spans if span.kind == "tool"]
    assert transfer.name == "transfer_to_agent"
    assert transfer.arguments == {"agent_name": "writer"}


def test_messages_on_autogens_bus_are_marked_as_copies() -> None:
    relayed = [s for s in r.recorded("frameworks/autogen.json") if s.genai.relayed]
    assert said(relayed, "input_messages") == [QUESTION]
    assert said(relayed, "output_messages") == [ANSWER] * 4
    assert [span.agent_name for span in relayed[1:]] == ["assistant", "critic"] * 2
    assert all(span.input_tokens is None for span in relayed)


def test_the_specifications_example() -> None:
    [span] = r.recorded("trace.json")
    assert span.trace_id == "5b8efff798038103d269b633813fc60c"
    assert (span.span_id, span.parent_id) == ("eee19b7ec3c1b174", "eee19b7ec3c1b173")
    assert (span.name, span.kind, span.operation) == ("I'm a server span", "chain", "")
    assert (span.start_ns, span.end_ns) == (1544712660000000000, 1544712661000000000)
    assert flat(span) == {}
    assert span.instrumentation == "my.library"
    assert span.sent.fields == {
        "attributes": {"my.span.attr": "some value"},
        "span_kind": "SPAN_KIND_SERVER",
        "resource": {"attributes": {"service.name": "my.service"}},
        "scope": {
            "name": "my.library",
            "version": "1.0.0",
            "attributes": {"my.scope.attribute": "some scope attribute"},
        },
    }


@pytest.mark.parametrize("name", ["honeyhive_json.json", "honeyhive_protobuf.json"])
def test_a_trace_of_honeyhives_tracer(name: str) -> None:
    spans = {span.name: span for span in r.recorded(name)}
    session = "11111111-1111-4111-8111-111111111111"
    assert {span.session_id for span in spans.values()} == {session}
    inner = spans["inner_tool"]
    assert (inner.kind, inner.operation, inner.status) == ("tool", "", "UNSET")
    assert inner.event_id == inner.span_id
    assert inner.duration_ms == pytest.approx(1.46, abs=0.1)
    expected = {
        "source": "test",
        "inputs": {"x": 1, "y": 3, "extra": 1},
        "outputs": {"o": [1, 2], "result": {"sum": 4}},
        "metadata": {"event_type": "tool", "event_name": "inner_tool", "k": "v", "n": 3},
        "metrics": {"acc": 0.9},
        "feedback": {"rating": 4},
        "config": {"temperature": 0.2},
        "user_properties": {"user_id": "u1"},
    }
    assert {key: flat(inner).get(key) for key in expected} == expected
    boom = spans["__main__.boom"]
    assert (boom.kind, boom.status) == ("model", "ERROR")
    assert boom.status_message == "ValueError: bad thing"
    assert spans["boom_error"].io.error == "bad thing"


def test_a_trace_of_basalts_sdk() -> None:
    spans = {span.name: span for span in r.recorded("basalt.json")}
    root = spans["full trace"]
    assert (root.operation, root.parent_id) == ("invoke_agent", "")
    expected = {
        "inputs": "What is the capital of France?",
        "outputs": {"answer": "Paris"},
        "feature_slug": "qa-chatbot",
        "evaluators": ["hallucination"],
        "sampled": True,
        "sample_rate": 1.0,
        "evaluation_rate": 1.0,
        "metadata": {"g": "lobal", "k": 1},
        "user": {"id": "u1", "name": "Ann"},
        "organization": {"id": "o1", "name": "ACME"},
        "experiment_id": "exp-0001",
    }
    assert {key: flat(root).get(key) for key in expected} == expected
    generation = spans["gen"]
    assert (generation.kind, generation.operation) == ("model", "chat")
    assert generation.log_type == "generation"
    assert generation.genai.prompt == PromptUse(slug="qa-prompt", version="1.2.0")
    assert generation.genai.variables == (Variable(label="name", value="Ann"),)
    assert (generation.io.inputs, generation.io.outputs) == ("Q", "Paris")
    assert spans["search"].io.inputs == {"q": "France"}
    assert spans["search"].io.outputs == [{"doc": 1}]
    assert {name: span.log_type for name, span in spans.items()} == {
        "full trace": "",
        "second": "",
        "gen": "generation",
        "search": "retrieval",
        "fn": "function",
        "boom": "function",
        "tool": "tool",
        "evt": "event",
        "outer": "span",
        "basalt.sdk.prompts.get": "span",
    }
    assert spans["boom"].status == "ERROR"
    assert spans["second"].trace.sampled is False


def nanoseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000) * 1_000_000


def weave_spans(path: Path) -> list[Span]:
    spans = []
    for told in json.loads(path.read_text())["spans"]:
        status = told.get("status") or {}
        message = r.span_message(
            told["name"],
            told["attributes"],
            [(event["name"], event["attributes"]) for event in told.get("events", ())],
            trace_id=trace_id_bytes(told["trace_id"]),
            span_id=span_id_bytes(told["span_id"]),
            parent_span_id=span_id_bytes(told["parent"]) if told.get("parent") else b"",
            start_time_unix_nano=nanoseconds(told["start"]),
            end_time_unix_nano=nanoseconds(told["end"]) if told.get("end") else 0,
            status={
                "code": ("UNSET", "OK", "ERROR").index(status.get("code", "UNSET")),
                "message": status.get("message", ""),
            },
        )
        [span] = r.read(message).spans
        spans.append(span)
    return spans


@pytest.mark.parametrize("path", WEAVE, ids=lambda p: p.name)
def test_attributes_of_weave_keep_their_values(path: Path) -> None:
    for span in weave_spans(path):
        sent = span.sent.fields["attributes"]
        assert span.operation == sent["gen_ai.operation.name"]
        assert span.agent_name == sent.get("gen_ai.agent.name", "")
        assert span.model == sent.get("gen_ai.request.model", "")
        assert span.input_tokens == sent.get("gen_ai.usage.input_tokens")
        assert span.session_id == sent.get("gen_ai.conversation.id", span.trace_id)
        for key in ("input_messages", "output_messages"):
            told = sent.get("gen_ai." + key.replace("_", "."))
            assert messages_json(getattr(span.genai, key)) == json.loads(told or "[]")
        tool = span.genai.tool or Tool()
        if span.operation == "execute_tool":
            assert tool.name == sent.get(
                "gen_ai.tool.name", span.name.removeprefix("execute_tool ")
            )
        assert tool.call_id == sent.get("gen_ai.tool.call.id", "")
        arguments = sent.get("gen_ai.tool.call.arguments")
        assert tool.arguments == (None if arguments is None else json.loads(arguments))


@pytest.mark.parametrize("path", WEAVE, ids=lambda p: p.name)
@pytest.mark.parametrize("model_calls", [False, True])
def test_a_trace_of_weave_has_its_recorded_chat_by_way_of_the_door(
    path: Path, model_calls: bool
) -> None:
    told = json.loads(path.read_text())["spans"]
    spans = weave_spans(path)
    for trace_id in {t["trace_id"] for t in told}:
        made = trace_id_bytes(trace_id).hex()
        by_door = trace_chat(
            made,
            [s for s in spans if s.trace_id == made],
            include_model_tool_calls=model_calls,
        )
        direct = trace_chat(
            trace_id,
            [span_of(t) for t in told if t["trace_id"] == trace_id],
            include_model_tool_calls=model_calls,
        )
        assert [plain(m) for m in by_door.messages] == [plain(m) for m in direct.messages]


def plain(message: ChatMessage) -> Any:
    """A message but for the span's id, which the adapter hashed here, and the cost, which it
    computed."""
    payload = dataclasses.asdict(message.payload)
    told = {key: value or None for key, value in payload.items() if not key.endswith("_cost_usd")}
    return (
        type(message.payload),
        message.agent_name,
        message.status_message,
        message.error_type,
        told,
    )


def test_compaction_and_errors_of_weave() -> None:
    told = [
        span.genai.compaction
        for span in weave_spans(Path("tests/data/weave/04_compaction.json"))
        if span.genai.compaction is not None
    ]
    assert any(c.summary and c.items_before and c.items_after is not None for c in told)
    failed = [
        span
        for span in weave_spans(Path("tests/data/weave/05_errors.json"))
        if span.status == "ERROR"
    ]
    assert {span.error_type for span in failed} >= {"TimeoutError", "openai.RateLimitError"}
    assert "429 slow down" in {span.status_message for span in failed}
