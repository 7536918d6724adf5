"""Spring AI's observations: spring.ai.*.

Sources: docs.spring.io, Spring AI, Observability; versions 1.1.2 and 2.0.1, recorded. Prompts and
answers are written to the application's log, not to spans.
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import decoded, identifier, structured, text
from spanloom.model import Json

_KINDS = {"tool_call": "execute_tool"}
# What a span of the framework says in place of an operation.
_FRAMEWORK = "framework"


def _columns(source: SpanSource, draft: Draft) -> Offers:
    kind = source.attributes.get("spring.ai.kind")
    operation = _KINDS.get(kind, "chain") if isinstance(kind, str) else "chain"
    if draft.get("operation") == _FRAMEWORK:
        draft["operation"] = operation
    return {"operation": operation}


def _schema(value: Json) -> Json:
    value = structured(value)
    return [value] if isinstance(value, dict) else None


CONVENTION = Convention(
    "Spring AI",
    rules=(
        ("spring.ai.chat.client.conversation.id", "session_id", identifier),
        ("spring.ai.tool.definition.name", "tool_name", text),
        ("spring.ai.tool.definition.description", "tool_description", text),
        ("spring.ai.tool.definition.schema", "tool_definitions", _schema),
        ("spring.ai.tool.call.id", "tool_call_id", identifier),
        ("spring.ai.tool.call.arguments", "tool_arguments", structured),
        ("spring.ai.tool.call.result", "tool_result", decoded),
        ("spring.ai.tool.type", "tool_type", text),
    ),
    prefixes=("spring.ai.kind",),
    columns=_columns,
)
