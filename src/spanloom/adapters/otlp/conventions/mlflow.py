"""MLflow's attributes: mlflow.*; each value is JSON.

Source: mlflow.org, GenAI tracing, OpenTelemetry attribute mapping; mlflow/tracing/constant.py
(SpanAttributeKey).
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import an_object, decoded, dollars
from spanloom.genai.usage import usage_from
from spanloom.model import Json

_OPERATIONS = {
    "LLM": "chat",
    "CHAT_MODEL": "chat",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
    "RETRIEVER": "retrieval",
    "EMBEDDING": "embeddings",
    "RERANKER": "rerank",
    "CHAIN": "chain",
    "PARSER": "chain",
    "WORKFLOW": "chain",
    "TASK": "chain",
}


def _operation(value: Json) -> str | None:
    value = decoded(value)
    return _OPERATIONS.get(value.upper()) if isinstance(value, str) else None


def _word(value: Json) -> str | None:
    value = decoded(value)
    return value if isinstance(value, str) and value else None


def _columns(source: SpanSource, draft: Draft) -> Offers:
    usage = an_object(source.attributes.get("mlflow.chat.tokenUsage")) or {}
    costs = an_object(source.attributes.get("mlflow.llm.cost")) or {}
    return {
        **usage_from(usage),
        "cost": dollars(costs.get("total_cost")),
        "input_cost": dollars(costs.get("input_cost")),
        "output_cost": dollars(costs.get("output_cost")),
    }


CONVENTION = Convention(
    "MLflow",
    rules=(
        ("mlflow.spanType", "operation", _operation),
        ("mlflow.spanInputs", "input_value", decoded),
        ("mlflow.spanOutputs", "output_value", decoded),
        ("mlflow.llm.model", "model", _word),
        ("mlflow.llm.provider", "provider", _word),
        ("mlflow.chat.tools", "tool_definitions", decoded),
        ("mlflow.trace.session", "session_id", _word),
        ("mlflow.trace.user", "user_id", _word),
    ),
    prefixes=("mlflow.chat.tokenUsage", "mlflow.llm.cost"),
    columns=_columns,
)
