"""The Vercel AI SDK's telemetry: ai.*.

Source: ai-sdk.dev, AI SDK Core, Telemetry (recorded from versions 4 and 5).
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.blocks import openai_call
from spanloom.genai.read import messages_of
from spanloom.genai.reading import count, decoded, identifier, lowered, parsed, structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, ReasoningPart, TextPart

_CALLS = ("generateText", "streamText", "generateObject", "streamObject")
# A call as the application makes it may take several steps; each step asks the model once.
_OPERATIONS = {
    **{f"ai.{call}": "invoke_agent" for call in _CALLS},
    **{f"ai.{call}.do{way}": "chat" for call in _CALLS for way in ("Generate", "Stream")},
    "ai.toolCall": "execute_tool",
    "ai.embed": "chain",
    "ai.embedMany": "chain",
    "ai.embed.doEmbed": "embeddings",
    "ai.embedMany.doEmbed": "embeddings",
}


def _operation(value: Json) -> str | None:
    return _OPERATIONS.get(value.partition(" ")[0]) if isinstance(value, str) else None


def _tools(value: Json) -> Json:
    """ai.prompt.tools: a list of definitions, each as JSON."""
    tools = structured(value)
    return (
        [parsed(t) if isinstance(t, str) else t for t in tools] or None
        if isinstance(tools, list)
        else None
    )


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    prompt = get("ai.prompt.messages") or get("ai.prompt")
    inputs = messages_of(prompt, USER)
    parts: list[Part] = [
        kind(said)
        for key, kind in (
            ("ai.response.reasoning", ReasoningPart),
            ("ai.response.text", TextPart),
            ("ai.response.object", TextPart),
        )
        if (said := text(get(key)))
    ]
    calls = structured(get("ai.response.toolCalls"))
    parts += [
        call for item in (calls if isinstance(calls, list) else ()) if (call := openai_call(item))
    ]
    reason = text(get("ai.response.finishReason")) or ""
    output = GenAiMessage(ASSISTANT, tuple(parts), finish_reason=reason)
    metadata = {
        key.removeprefix("ai.telemetry.metadata."): value
        for key, value in found.items()
        if key.startswith("ai.telemetry.metadata.")
    }
    return {
        "input_messages": inputs or None,
        "output_messages": [output] if parts else None,
        "system_instructions": system_of(inputs) or None,
        "metadata": metadata or None,
    }


CONVENTION = Convention(
    "Vercel AI SDK",
    rules=(
        ("ai.operationId", "operation", _operation),
        ("operation.name", "operation", _operation),
        ("ai.telemetry.functionId", "agent_name", text),
        ("ai.model.id", "model", text),
        ("ai.model.provider", "provider", lowered),
        ("ai.response.model", "response_model", text),
        ("ai.usage.inputTokens", "input_tokens", count),
        ("ai.usage.promptTokens", "input_tokens", count),
        ("ai.usage.tokens", "input_tokens", count),
        ("ai.usage.outputTokens", "output_tokens", count),
        ("ai.usage.completionTokens", "output_tokens", count),
        ("ai.usage.reasoningTokens", "reasoning_tokens", count),
        ("ai.usage.cachedInputTokens", "cache_read_tokens", count),
        ("ai.usage.inputTokenDetails.cacheReadTokens", "cache_read_tokens", count),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", "cache_creation_tokens", count),
        ("ai.usage.outputTokenDetails.reasoningTokens", "reasoning_tokens", count),
        ("ai.toolCall.name", "tool_name", text),
        ("ai.toolCall.id", "tool_call_id", identifier),
        ("ai.toolCall.args", "tool_arguments", decoded),
        ("ai.toolCall.result", "tool_result", decoded),
        ("ai.prompt.tools", "tool_definitions", _tools),
        ("ai.value", "input_value", decoded),
        ("ai.telemetry.metadata.sessionId", "session_id", identifier),
        ("ai.telemetry.metadata.session_id", "session_id", identifier),
        ("ai.telemetry.metadata.threadId", "session_id", identifier),
        ("ai.telemetry.metadata.userId", "user_id", identifier),
    ),
    prefixes=("ai.prompt", "ai.response.", "ai.telemetry.metadata."),
    contents=_contents,
    tells=("input_messages", "output_messages"),
)
