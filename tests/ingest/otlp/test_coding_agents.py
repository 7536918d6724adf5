"""Spans and log records of Claude Code and of Codex (whole chats: tests/otlp/test_emitters.py)."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.logs.v1 import logs_pb2

from spanloom.adapters.otlp.logs import Logs, read_logs
from spanloom.adapters.otlp.read import spans_from
from spanloom.model import Span
from tests.ingest.otlp.requests import RECEIVED, SPAN_ID, START, TRACE_ID, pairs, read_one
from tests.parts import tool_of

SCOPE = "com.anthropic.claude_code.tracing"


def test_a_call_of_a_model() -> None:
    span = read_one(
        {
            "span.type": "llm_request",
            "model": "claude-sonnet-4-5",
            "input_tokens": 2,
            "output_tokens": 120,
            "cache_read_tokens": 84_562,
            "cache_creation_tokens": 7_096,
            "response.model_output": "I will list them.",
        },
        "claude_code.llm_request",
        scope=SCOPE,
    )
    assert (span.kind, span.operation, span.provider) == ("model", "chat", "anthropic")
    # Anthropic counts cached tokens beside the input.
    assert (span.model, span.input_tokens, span.output_tokens) == (
        "claude-sonnet-4-5",
        2 + 84_562 + 7_096,
        120,
    )
    assert span.genai.usage is not None
    assert span.genai.usage.cache_read_tokens == 84_562
    assert span.cost is not None
    assert span.io.outputs == {"role": "assistant", "content": "I will list them."}


def test_steps_and_names_of_others() -> None:
    step = read_one({"span.type": "x"}, "claude_code.tool.execution", scope=SCOPE)
    assert (step.kind, step.operation) == ("chain", "chain")
    other = read_one({"span.type": "web", "model": "T", "input_tokens": 5}, "work")
    assert (other.kind, other.model, other.input_tokens) == ("chain", "", None)


def test_the_arguments_of_a_tool_are_those_that_its_span_tells() -> None:
    told = {"span.type": "tool", "tool_name": "Bash", "full_command": "ls"}
    assert tool_of(read_one(told, "claude_code.tool", scope=SCOPE)).arguments == {"command": "ls"}
    more = {**told, "tool_input": '{"command": "ls -l"}'}
    span = read_one(more, "claude_code.tool", scope=SCOPE)
    assert tool_of(span).arguments == {"command": "ls -l"}


def test_tokens_that_spans_of_codex_repeat_are_left_out() -> None:
    repeated = {"gen_ai.usage.input_tokens": 40, "codex.usage.total_tokens": 52}
    assert read_one(repeated, "handle_responses").input_tokens is None
    assert read_one({"gen_ai.usage.input_tokens": 40}, "handle_responses").input_tokens == 40


def record(name: str, *, of_span: bool = False, **attributes: Any) -> logs_pb2.LogRecord:
    ids: dict[str, Any] = {"trace_id": TRACE_ID, "span_id": SPAN_ID} if of_span else {}
    named: dict[str, Any] = {key.replace("__", "."): value for key, value in attributes.items()}
    return logs_pb2.LogRecord(time_unix_nano=START, event_name=name, attributes=pairs(named), **ids)


def logs_of(*records: logs_pb2.LogRecord) -> Logs:
    scoped = logs_pb2.ScopeLogs(log_records=records)
    return read_logs([logs_pb2.ResourceLogs(scope_logs=[scoped])], received_ns=RECEIVED)


def spans_of(found: Logs) -> list[Span]:
    return spans_from(found.spans, received_ns=RECEIVED).spans


def test_records_of_a_prompt_are_below_what_the_user_asked() -> None:
    both: dict[str, Any] = {"session__id": "s", "prompt__id": "p"}
    asked, answered, other = spans_of(
        logs_of(
            record("claude_code.user_prompt", **both, prompt="How many?"),
            record("claude_code.assistant_response", **both, response="Three."),
            record("claude_code.user_prompt", session__id="s", prompt__id="q", prompt="And now?"),
        )
    )
    assert (asked.parent_id, answered.parent_id) == ("", asked.span_id)
    assert asked.trace_id == answered.trace_id != other.trace_id
    assert asked.span_id != other.span_id
    assert asked.agent_name == "claude_code"
    assert answered.io.outputs == {"output": "Three."} or answered.genai.output_messages


def test_an_answer_is_a_span_below_the_one_that_it_names() -> None:
    answer = record("claude_code.assistant_response", of_span=True, session__id="s", response="3")
    found = logs_of(answer, answer, record("claude_code.api_request", of_span=True))
    one, other = spans_of(found)
    assert (one.trace_id, one.parent_id) == (TRACE_ID.hex(), SPAN_ID.hex())
    assert one.span_id == other.span_id
    assert [*found.pieces] == [(TRACE_ID.hex(), SPAN_ID.hex())]


def test_records_of_codex_are_spans_of_their_own_whatever_span_they_name() -> None:
    line = "event otel/src/events/session_telemetry.rs:1187"
    of_stream: dict[str, Any] = {"event__kind": "response.completed", "conversation__id": "c"}
    found = logs_of(
        record(line, of_span=True, event__name="codex.user_prompt", conversation__id="c"),
        record(line, event__name="codex.sse_event", **of_stream),
        record(line, event__name="codex.sse_event", **of_stream, input_token_count="40"),
        record(line, of_span=True, event__name="codex.tool_decision"),
        record(line, event__name="other"),
    )
    asked, plain, counted = spans_of(found)
    assert asked.trace_id == plain.trace_id == counted.trace_id != TRACE_ID.hex()
    assert [span.kind for span in (asked, plain, counted)] == ["chain", "chain", "model"]
    assert (counted.input_tokens, counted.agent_name, counted.session_id) == (40, "codex", "c")
    assert (len(found.pieces), found.dropped) == (1, 1)
