"""OpenTelemetry GenAI semantic conventions: current attributes, and earlier ones still in use.

Sources: open-telemetry/semantic-conventions, docs/gen-ai (gen-ai-spans, gen-ai-agent-spans,
gen-ai-events) and docs/registry attributes/gen-ai, versions 1.27 to 1.38; OpenLLMetry's
semantic_conventions_ai for indexed gen_ai.prompt.N and gen_ai.completion.N; SDKs that use the
prefix for names of their own (OpenLIT, pydantic-ai, Koog) as noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanloom.adapters.otlp.convention import (
    Convention,
    Draft,
    Offers,
    Rule,
    SpanSource,
)
from spanloom.genai.blocks import (
    openai_call,
    parts_of,
    reasoning_beside,
    tool_call,
    tool_result,
)
from spanloom.genai.cut_json import cut_json
from spanloom.genai.dialects import shown
from spanloom.genai.json import message_from_json
from spanloom.genai.read import received
from spanloom.genai.reading import (
    Reader,
    anything,
    count,
    decoded,
    elements,
    given_dollars,
    identifier,
    lowered,
    nested,
    structured,
    text,
)
from spanloom.genai.roles import ASSISTANT, TOOL, USER
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, TextPart


def input_messages(value: Json) -> Sequence[GenAiMessage] | None:
    return received(value, USER) or None


def output_messages(value: Json) -> Sequence[GenAiMessage] | None:
    return received(value, ASSISTANT) or None


def instructions(value: Json) -> str | None:
    """gen_ai.system_instructions: a text, a list of texts, or blocks with a text; a line each."""
    value = structured(value)
    if isinstance(value, str):
        cut = cut_json(value) if '"type"' in value else None
        return value if cut is None else instructions(cut) or value
    blocks = value if isinstance(value, list) else [value]
    said = (
        block if isinstance(block, str) else block.get("content") or block.get("text")
        for block in blocks
        if isinstance(block, str | dict)
    )
    return "\n".join(t for t in said if isinstance(t, str) and t) or None


# (the key after `gen_ai.`, the field, its reader); weave.* has a key beside each of them.
FIELDS: tuple[tuple[str, str, Reader], ...] = (
    ("operation.name", "operation", lowered),
    ("provider.name", "provider", lowered),
    ("system", "provider", lowered),
    ("agent.name", "agent_name", text),
    ("agent.id", "agent_id", identifier),
    ("agent.version", "agent_version", identifier),
    ("agent.description", "agent_description", text),
    ("request.model", "model", text),
    ("response.model", "response_model", text),
    ("usage.input_tokens", "input_tokens", count),
    ("usage.output_tokens", "output_tokens", count),
    ("usage.reasoning.output_tokens", "reasoning_tokens", count),
    ("usage.reasoning_tokens", "reasoning_tokens", count),
    ("usage.experimental.reasoning_tokens", "reasoning_tokens", count),
    ("usage.cache_read.input_tokens", "cache_read_tokens", count),
    ("usage.prompt_tokens_details.cached_tokens", "cache_read_tokens", count),
    ("usage.input_tokens_details.cached_tokens", "cache_read_tokens", count),
    ("usage.cache_creation.input_tokens", "cache_creation_tokens", count),
    ("conversation.id", "session_id", identifier),
    ("tool.name", "tool_name", text),
    ("tool.call.id", "tool_call_id", identifier),
    ("tool.type", "tool_type", text),
    ("tool.description", "tool_description", text),
    ("tool.definitions", "tool_definitions", structured),
    ("tool.call.arguments", "tool_arguments", structured),
    ("tool.call.result", "tool_result", decoded),
    ("input.messages", "input_messages", input_messages),
    ("output.messages", "output_messages", output_messages),
    ("system_instructions", "system_instructions", instructions),
    ("prompt", "prompt", anything),
    ("completion", "completion", anything),
)

# Further names below gen_ai.usage and gen_ai.usage.details: of OpenLIT, OpenRouter, LiteLLM,
# Sentry, Logfire and pydantic-ai.
_CACHE_READ = (
    *("cache_read_tokens", "cached_tokens", "cached_input_tokens", "input_cached_tokens"),
    *("cache_read_input_tokens", "input_tokens.cached", "cache_read", "input_cache_read_tokens"),
    *("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
    *("prompt_tokens.cached", "cached_content_tokens", "cached_content_token_count"),
)
_CACHE_WRITTEN = (
    *("cache_creation_tokens", "cache_write_tokens", "cache_write_input_tokens"),
    *("cache_creation_input_tokens", "cache_write.input_tokens", "input_tokens.cache_write"),
    *("cache_creation", "cache_write", "prompt_tokens_details.cache_creation_tokens"),
    "input_tokens_details.cache_creation_tokens",
)
_REASONING = (
    *("reasoning", "output_reasoning_tokens", "output_tokens.reasoning", "thoughts_tokens"),
    *("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
    *("thoughts_token_count", "reasoning_output_tokens"),
)

_OLDER: tuple[Rule, ...] = (
    ("gen_ai.usage.prompt_tokens", "input_tokens", count),
    ("gen_ai.usage.completion_tokens", "output_tokens", count),
    ("prompt_tokens_details.cached_tokens", "cache_read_tokens", count),
    ("gen_ai.usage.cache_read_input_tokens", "cache_read_tokens", count),
    ("gen_ai.usage.cache_creation_input_tokens", "cache_creation_tokens", count),
    ("gen_ai.usage.output_tokens_details.reasoning_tokens", "reasoning_tokens", count),
    ("gen_ai.usage.completion_tokens_details.reasoning_tokens", "reasoning_tokens", count),
    # pydantic-ai and logfire
    ("gen_ai.usage.details.reasoning_tokens", "reasoning_tokens", count),
    ("gen_ai.usage.details.cache_read_tokens", "cache_read_tokens", count),
    ("gen_ai.usage.details.cached_tokens", "cache_read_tokens", count),
    ("gen_ai.usage.details.cache_write_tokens", "cache_creation_tokens", count),
    *(
        (f"gen_ai.usage.{where}{name}", field, count)
        for field, names in (
            ("cache_read_tokens", _CACHE_READ),
            ("cache_creation_tokens", _CACHE_WRITTEN),
            ("reasoning_tokens", _REASONING),
        )
        for where in ("", "details.")
        for name in names
    ),
    # OpenLIT sends 0 for models whose price it does not know.
    ("gen_ai.usage.cost", "cost", given_dollars),
    ("gen_ai.openai.request.model", "model", text),
    ("gen_ai.tool.input", "tool_arguments", structured),
    ("gen_ai.tool.output", "tool_result", structured),
    ("gen_ai.tool.args", "tool_arguments", structured),
    ("gen_ai.handoff.from_agent", "handoff_from", text),
    ("gen_ai.handoff.to_agent", "handoff_to", text),
    ("handoff.from_agent", "handoff_from", text),
    ("handoff.to_agent", "handoff_to", text),
    # OpenLIT
    ("gen_ai.content.reasoning", "reasoning", text),
    ("from_agent", "handoff_from", text),
    ("to_agent", "handoff_to", text),
)


def _indexed_contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    """gen_ai.prompt.N.* and gen_ai.completion.N.*."""
    tree = nested(found.items()).get("gen_ai")
    tree = tree if isinstance(tree, dict) else {}
    answered = _indexed(tree.get("completion"), ASSISTANT)
    if answered and not any(message.parts for message in draft.get("output_messages", ())):
        draft.pop("output_messages", None)  # LiteLLM tells a call only here
    return {
        "input_messages": _indexed(tree.get("prompt"), USER),
        "output_messages": answered,
    }


def _indexed(node: Json, role: str) -> list[GenAiMessage] | None:
    found = (_indexed_message(item, role) for item in elements(node) if isinstance(item, dict))
    return [message for message in found if message] or None


def _indexed_message(item: dict[str, Any], role: str) -> GenAiMessage | None:
    said = item.get("role")
    role_said = said.lower() if isinstance(said, str) and said else role
    content = item.get("content", item.get("text"))
    blocks = structured(content)
    if content == '""':
        blocks = None  # OpenLLMetry's LangChain writes an empty text as JSON
    parts = list(_parts(blocks))
    if (reasoning := reasoning_beside(item)) is not None:
        parts = [reasoning, *(parts or parts_of(content))]
    if isinstance(refusal := item.get("refusal"), str) and refusal:
        parts = [*(parts or parts_of(content)), TextPart(refusal)]
    calls = [call for item in elements(item.get("tool_calls")) if (call := openai_call(item))]
    if isinstance(function := item.get("function_call"), dict):
        calls.append(tool_call(None, function.get("name"), function.get("arguments")))
    reason = item.get("finish_reason")
    reason = reason if isinstance(reason, str) and role == ASSISTANT else ""
    call_id = item.get("tool_call_id")
    if role_said == TOOL and call_id and not calls:
        return GenAiMessage(role_said, (tool_result(call_id, blocks, item.get("name")),))
    if parts or calls:
        said_parts = parts or parts_of(None if blocks is None else content)
        return GenAiMessage(role_said, (*said_parts, *calls), finish_reason=reason)
    if blocks is None:
        return None
    return message_from_json(
        {
            "role": role_said,
            "content": content,
            **({"finish_reason": reason} if reason else {}),
        }
    )


def _parts(blocks: Json) -> tuple[Part, ...]:
    """The parts of a content that is a list of blocks in JSON (OpenLLMetry), or of calls (Koog).

    Any other JSON is an answer in JSON, and has no parts.
    """
    if not isinstance(blocks, list) or not blocks:
        return ()
    if not all(isinstance(block, dict) and _is_block(block) for block in blocks):
        return ()
    return shown(parts_of(blocks))


def _is_block(block: dict[str, Any]) -> bool:
    return isinstance(block.get("type"), str) and any(
        key in block
        for key in ("text", "content", "function", "image_url", "source", "input", "thinking", "id")
    )


CONVENTION = Convention(
    "OpenTelemetry GenAI",
    rules=(
        *(
            ("gen_ai." + key, field, reader)
            for key, field, reader in FIELDS
            if field != "session_id"
        ),
        ("error.type", "error_type", text),
    ),
)
# After all other names of the session: those are the application's, and frameworks make up a
# conversation of their own.
CONVERSATION = Convention(
    "OpenTelemetry GenAI, the conversation",
    rules=(("gen_ai.conversation.id", "session_id", identifier),),
)
OLDER = Convention(
    "OpenTelemetry GenAI, earlier versions",
    rules=_OLDER,
    prefixes=("gen_ai.prompt.", "gen_ai.completion."),
    contents=_indexed_contents,
    tells=("input_messages", "output_messages"),
)
