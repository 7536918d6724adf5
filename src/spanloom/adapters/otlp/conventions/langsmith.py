"""LangSmith's OpenTelemetry exporter: langsmith.*.

A run's inputs and outputs are in gen_ai.prompt and gen_ai.completion.

Source: langchain-ai/langsmith-sdk, _internal/otel/_otel_exporter.py (recorded from 0.4 with
LangGraph); docs.smith.langchain.com, trace with OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.blocks import first
from spanloom.genai.reading import an_object, count, identifier, text, word_in
from spanloom.model import Json

_OPERATIONS = {
    "llm": "chat",
    "chain": "chain",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "prompt": "chain",
    "parser": "chain",
}
_METADATA = "langsmith.metadata."
_ENVIRONMENT = ("LANGSMITH_", "LANGCHAIN_", "revision_id")


def _columns(source: SpanSource, draft: Draft) -> Offers:
    usage = an_object(source.attributes.get(_METADATA + "usage_metadata")) or {}
    read, written = usage.get("input_token_details"), usage.get("output_token_details")
    return {
        "input_tokens": count(usage.get("input_tokens")),
        "output_tokens": count(usage.get("output_tokens")),
        "cache_read_tokens": count(first(read, "cache_read")),
        "cache_creation_tokens": count(first(read, "cache_creation")),
        "reasoning_tokens": count(first(written, "reasoning")),
    }


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    metadata = {
        name: value
        for key, value in found.items()
        if not (name := key.removeprefix(_METADATA)).startswith(_ENVIRONMENT)
    }
    return {"metadata": metadata or None}


CONVENTION = Convention(
    "LangSmith",
    rules=(
        ("langsmith.span.kind", "operation", word_in(_OPERATIONS)),
        ("langsmith.trace.session_id", "session_id", identifier),
        ("langsmith.metadata.session_id", "session_id", identifier),
        ("langsmith.metadata.conversation_id", "session_id", identifier),
        ("langsmith.metadata.thread_id", "session_id", identifier),
        ("langsmith.metadata.lc_agent_name", "agent_name", text),
        ("langsmith.metadata.ls_model_name", "model", text),
        ("langsmith.metadata.user_id", "user_id", identifier),
    ),
    prefixes=(_METADATA,),
    columns=_columns,
    contents=_contents,
)
