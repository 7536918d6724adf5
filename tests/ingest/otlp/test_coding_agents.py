"""Spans of Claude Code as it records them when its traces are on."""

from __future__ import annotations

from tests.ingest.otlp.requests import read_one

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
    assert (span.model, span.input_tokens, span.output_tokens) == ("claude-sonnet-4-5", 2, 120)
    assert span.genai.usage is not None
    assert span.genai.usage.cache_read_tokens == 84_562
    assert span.cost is not None
    assert span.io.outputs == {"role": "assistant", "content": "I will list them."}


def test_steps_and_names_of_others() -> None:
    step = read_one({"span.type": "x"}, "claude_code.tool.execution", scope=SCOPE)
    assert (step.kind, step.operation) == ("chain", "chain")
    other = read_one({"span.type": "web", "model": "T", "input_tokens": 5}, "work")
    assert (other.kind, other.model, other.input_tokens) == ("chain", "", None)
