"""Tokens, operations, sessions and users under the names that SDKs give them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from spanloom.adapters.otlp.read import spans_from
from spanloom.model import Span
from tests.ingest.otlp import requests as r
from tests.ingest.otlp.test_briefs import check
from tests.ingest.otlp.test_pricing import AT

MODELS = (
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("x_ai", "grok-4"),
    ("deepseek", "deepseek-chat"),
    ("mistral_ai", "mistral-large-latest"),
)
LISTED = {"gcp.gemini": "google", "x_ai": "x-ai", "mistral_ai": "mistral"}
READ, WRITTEN, REASONED = 800, 100, 30
_USAGE = "gen_ai.usage."


def details(**usage: Any) -> dict[str, str]:
    return {"langfuse.observation.usage_details": json.dumps(usage)}


OPENAI = {"prompt_tokens": 1000, "completion_tokens": 50}
# Attributes that all say the same: 1,000 tokens in, of which 800 from a cache, and 50 out.
READ_NAMES: dict[str, dict[str, Any]] = {
    **{
        name: {_USAGE + "input_tokens": 1000, _USAGE + "output_tokens": 50, _USAGE + name: READ}
        for name in (
            *("cache_read.input_tokens", "cache_read_tokens", "cache_read_input_tokens"),
            *("cached_tokens", "cached_input_tokens", "input_cached_tokens"),
            *("input_tokens.cached", "prompt_tokens_details.cached_tokens"),
            *("input_tokens_details.cached_tokens", "details.cache_read_input_tokens"),
            *("details.cache_read_tokens", "details.cached_tokens"),
            *("details.input_cached_tokens", "details.cached_input_tokens"),
        )
    },
    "llm.usage": {
        "llm.usage.prompt_tokens": 1000,
        "llm.usage.completion_tokens": 50,
        "llm.usage.cache_read_input_tokens": READ,
    },
    "openinference": {
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 50,
        "llm.token_count.prompt_details.cache_read": READ,
    },
    "ai sdk": {
        "ai.usage.inputTokens": 1000,
        "ai.usage.outputTokens": 50,
        "ai.usage.cachedInputTokens": READ,
    },
    "langfuse": details(input=200, output=50, cache_read_input_tokens=READ),
    "langfuse, anthropic": details(
        input_tokens=200, output_tokens=50, cache_read_input_tokens=READ
    ),
    "langfuse, total": details(input=200, output=50, input_cached_tokens=READ, total=1050),
    "langfuse, inclusive": details(input=1000, output=50, input_cached_tokens=READ, total=1050),
    "langfuse, openai": details(**OPENAI, prompt_tokens_details={"cached_tokens": READ}),
    "langfuse, responses": details(
        input_tokens=1000, output_tokens=50, input_tokens_details={"cached_tokens": READ}
    ),
    "mlflow": {
        "mlflow.chat.tokenUsage": json.dumps(
            {
                "input_tokens": 1000,
                "output_tokens": 50,
                "total_tokens": 1050,
                "cache_read_input_tokens": READ,
            }
        )
    },
}
WRITTEN_NAMES = (
    *("cache_creation.input_tokens", "cache_creation_input_tokens", "cache_creation_tokens"),
    *("cache_write_tokens", "cache_write.input_tokens", "input_tokens.cache_write"),
    *("details.cache_write_tokens", "details.cache_creation_input_tokens"),
)
REASONING_NAMES: tuple[dict[str, Any], ...] = (
    *(
        {_USAGE + name: REASONED}
        for name in (
            *("reasoning.output_tokens", "reasoning_tokens", "output_tokens.reasoning"),
            *("details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
            *("completion_tokens_details.reasoning_tokens", "details.output_reasoning_tokens"),
            "details.thoughts_tokens",
        )
    ),
    details(input=1, output=50, reasoning=REASONED),
    details(**OPENAI, completion_tokens_details={"reasoning_tokens": REASONED}),
)


def read_span(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> Span:
    """The span of attributes, which both ways of reading make the same of."""
    request = r.request_of(r.span_message("s", attributes), resource=resource)
    check(request)
    [span] = spans_from(request, received_ns=r.RECEIVED).spans
    return span


def called(provider: str, model: str, attributes: dict[str, Any]) -> Span:
    of = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
    }
    return read_span({**of, **attributes})


def price(provider: str, model: str, **usage: int) -> float:
    of = LISTED.get(provider, provider)
    found = calc_price(Usage(**usage), model, provider_id=of, genai_request_timestamp=AT)
    return float(found.total_price)


@pytest.mark.parametrize("attributes", READ_NAMES.values(), ids=list(READ_NAMES))
@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_tokens_from_a_cache_have_their_own_price(
    provider: str, model: str, attributes: dict[str, Any]
) -> None:
    span = called(provider, model, attributes)
    assert (span.input_tokens, span.output_tokens) == (1000, 50)
    assert span.genai.usage is not None
    assert span.genai.usage.cache_read_tokens == READ
    expected = price(provider, model, input_tokens=1000, output_tokens=50, cache_read_tokens=READ)
    assert span.cost == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", WRITTEN_NAMES)
@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_tokens_to_a_cache_have_their_own_price(provider: str, model: str, name: str) -> None:
    usage = {_USAGE + "input_tokens": 1000, _USAGE + "output_tokens": 50, _USAGE + name: WRITTEN}
    span = called(provider, model, usage)
    expected = price(
        provider, model, input_tokens=1000, output_tokens=50, cache_write_tokens=WRITTEN
    )
    assert span.cost == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("attributes", REASONING_NAMES, ids=str)
def test_tokens_of_reasoning_by_every_name(attributes: dict[str, Any]) -> None:
    span = called("openai", "o3", attributes)
    assert span.genai.usage is not None
    assert span.genai.usage.reasoning_tokens == REASONED


def test_an_input_without_its_cached_tokens_is_the_fresh_part() -> None:
    span = called(
        "anthropic",
        "claude-sonnet-4-5",
        {
            _USAGE + "input_tokens": 5_000,
            _USAGE + "output_tokens": 100,
            _USAGE + "cache_read.input_tokens": 84_562,
            _USAGE + "cache_creation.input_tokens": 7_096,
        },
    )
    assert span.cost == pytest.approx(0.0684786)


@pytest.mark.parametrize(
    "word",
    [
        *("chat.completions", "responses", "generate", "completion", "message", "messages"),
        *("Chat.Completions", "generate_text", "converse", "invoke_model", "embedding"),
    ],
)
def test_words_for_a_call_of_a_model_are_priced(word: str) -> None:
    usage = {_USAGE + "input_tokens": 1000, _USAGE + "output_tokens": 50}
    span = called("openai", "gpt-4o", {**usage, "gen_ai.operation.name": word})
    assert span.kind == "model"
    assert span.operation == word.lower()
    assert span.cost == price("openai", "gpt-4o", input_tokens=1000, output_tokens=50)


def test_such_a_word_alone_is_no_call_of_a_model() -> None:
    assert read_span({"gen_ai.operation.name": "message"}).kind == "chain"


SESSIONS = (
    *("session.id", "session_id", "wandb.thread_id", "thread_id", "thread.id"),
    *("langfuse.session.id", "langfuse.trace.session_id", "honeyhive.session_id"),
    *(f"ai.telemetry.metadata.{name}" for name in ("sessionId", "threadId", "conversationId")),
    *("ai.telemetry.metadata.chatId", "langsmith.trace.session_id", "mlflow.trace.session"),
    *(
        f"traceloop.association.properties.{name}"
        for name in ("session_id", "conversation_id", "chat_id", "thread_id")
    ),
)
USERS = (
    *("user.id", "enduser.id", "user_id", "langfuse.user.id", "ai.telemetry.metadata.userId"),
    *("traceloop.association.properties.user_id", "mlflow.trace.user"),
)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_by_every_name(name: str) -> None:
    assert read_span({name: "s1", "gen_ai.conversation.id": "other"}).session_id == "s1"
    assert read_span({}, resource={name: "s1"}).session_id == "s1"
    assert read_span({name: "s2"}, resource={name: "s1"}).session_id == "s2"


@pytest.mark.parametrize("name", USERS)
def test_a_user_by_every_name(name: str) -> None:
    for span in (read_span({name: "u1"}), read_span({}, resource={name: "u1"})):
        assert span.trace.user is not None
        assert span.trace.user.id == "u1"


def test_the_column_of_a_version_holds_no_nul() -> None:
    span = read_span({"gen_ai.agent.version": "1\0"})
    assert span.genai.agent is not None
    assert span.genai.agent.version == "1\ufffd"


def test_the_number_of_a_thread_is_no_session() -> None:
    span = read_span({"thread.id": 17})
    assert span.session_id == span.trace_id
