"""OpenInference's attributes.

    openinference.span.kind, llm.*, input.value, output.value, tool.*, retrieval.*, embedding.*

Source: Arize-ai/openinference, spec/semantic_conventions.md (recorded from its instrumentations of
the OpenAI Agents SDK, LangGraph, LlamaIndex, Agno, BeeAI, AutoGen and Google ADK).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.dialects import message_of
from spanloom.genai.read import after_last_question, messages_of
from spanloom.genai.reading import (
    an_object,
    anything,
    count,
    dollars,
    elements,
    identifier,
    lowered,
    nested,
    structured,
    text,
    word_in,
)
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, TextPart

_OPERATIONS = {
    "llm": "chat",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "reranker": "rerank",
    "chain": "chain",
    "guardrail": "chain",
    "evaluator": "chain",
    "prompt": "chain",
}
# The OpenAI Agents SDK's handoff is a tool's span whose input and output are the two agents.
_HANDOFF = re.compile(r"handoff(?: to .*)?", re.DOTALL)
_SMOLAGENTS, _RUN = "openinference.instrumentation.smolagents", ".run"


def _columns(source: SpanSource, draft: Draft) -> Offers:
    kind, operation = _kind(source), draft.get("operation")
    if _is_handoff(source):
        if operation == "execute_tool" and "gen_ai.operation.name" not in source.attributes:
            draft["operation"] = "handoff"
    elif kind == "llm" and operation != "chain" and _is_no_call(source, draft):
        draft["operation"] = "chain"
    return {"agent_name": _agent_name(source)} if kind == "agent" else {}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    if _is_handoff(source):
        return {"handoff_from": text(get("input.value")), "handoff_to": text(get("output.value"))}
    tree = _tree(source)
    llm = _llm(tree)
    offers: dict[str, Any] = {}
    if draft.get("operation") != "chain":
        inputs, outputs = _said(source, llm)
        reason = text(get("llm.finish_reason"))
        if outputs and reason and not outputs[-1].finish_reason:
            outputs[-1] = replace(outputs[-1], finish_reason=reason)
        offers = {
            "input_messages": inputs,
            "output_messages": outputs,
            "system_instructions": system_of(inputs) or None
            if inputs and "input_messages" not in draft
            else None,
        }
    return {
        **offers,
        "tool_definitions": _tools(llm.get("tools")),
        "output_value": _documents(tree),
        "input_value": _embedded(tree),
    }


def _kind(source: SpanSource) -> str | None:
    return lowered(source.attributes.get("openinference.span.kind"))


def _is_handoff(source: SpanSource) -> bool:
    return _kind(source) == "tool" and bool(_HANDOFF.fullmatch(source.name))


def _tree(source: SpanSource) -> dict[str, Any]:
    """What is written as dotted keys."""
    keys = (key for key in source.attributes if key.startswith(_NESTED))
    return nested((key, source.attributes[key]) for key in keys)


def _llm(tree: dict[str, Any]) -> dict[str, Any]:
    found = tree.get("llm")
    return found if isinstance(found, dict) else {}


def _said(
    source: SpanSource, llm: dict[str, Any]
) -> tuple[list[GenAiMessage] | None, list[GenAiMessage] | None]:
    """The messages that went into a model, and those that came out."""
    prompts = llm.get("prompts", structured(source.attributes.get("llm.prompts")))
    return (
        _messages(llm.get("input_messages"), USER) or _prompts(prompts),
        _messages(llm.get("output_messages"), ASSISTANT) or _completions(llm.get("choices")),
    )


def _agent_name(source: SpanSource) -> str | None:
    """The name of an agent that is not in agent.name: its node's in the graph of agents, or that of
    its span."""
    get = source.attributes.get
    if source.scope == _SMOLAGENTS and source.name.endswith(_RUN):
        return source.name.removesuffix(_RUN)
    return text(get("graph.node.name")) or text(get("graph.node.id"))


def _langchain_agent(metadata: Json) -> str | None:
    """The agent that LangChain names in the metadata of all that happens in it."""
    return text((an_object(metadata) or {}).get("lc_agent_name"))


def _is_no_call(source: SpanSource, draft: Draft) -> bool:
    """Whether a helper of a model's class was traced as a call.

    It has no tokens, and neither messages of its own nor an input and an output that are messages
    (LlamaIndex's _prepare_chat_with_tools).
    """
    if (
        "input_tokens" in draft
        or "output_tokens" in draft
        or "gen_ai.operation.name" in source.attributes
    ):
        return False
    if any(_said(source, _llm(_tree(source)))):
        return False
    get = source.attributes.get
    answers = after_last_question(messages_of(structured(get("output.value")), ASSISTANT))
    return not answers or not messages_of(structured(get("input.value")), USER)


def _messages(node: Json, role: str) -> list[GenAiMessage] | None:
    found = (_message(item, role) for item in elements(node) if isinstance(item, dict))
    return [message for message in found if message] or None


def _message(item: dict[str, Any], role: str) -> GenAiMessage | None:
    flat = item.get("message")
    if not isinstance(flat, dict):
        return None
    blocks: list[Json] = []
    call_id = flat.get("tool_call_id")
    for content in elements(flat.get("contents")):
        block = content.get("message_content") if isinstance(content, dict) else None
        if isinstance(block, dict):
            blocks.append(block)
        inner = content.get("message") if isinstance(content, dict) else None
        if isinstance(inner, dict):  # BeeAI's instrumentation
            call_id = call_id or inner.get("tool_call_id")
    calls = [c.get("tool_call") for c in elements(flat.get("tool_calls")) if isinstance(c, dict)]
    if name := flat.get("function_call_name"):
        calls.append(
            {"function": {"name": name, "arguments": flat.get("function_call_arguments_json")}}
        )
    if not blocks or (call_id and len(blocks) == 1 and isinstance(blocks[0], dict)):
        text_of_block = blocks[0].get("text") if blocks and isinstance(blocks[0], dict) else None
        content = flat.get("content", text_of_block)
    else:
        content = blocks
    said = flat.get("role")
    whole = {
        "role": said if isinstance(said, str) and said else role,
        "content": content,
        "tool_calls": calls,
        "tool_call_id": call_id,
        "name": flat.get("name"),
        "finish_reason": flat.get("finish_reason"),
        **{key: flat[key] for key in ("reasoning_content", "reasoning", "refusal") if key in flat},
    }
    return message_of(whole, role)


def _prompts(node: Json) -> list[GenAiMessage] | None:
    """llm.prompts of text completions."""
    said = [p.get("prompt", p) if isinstance(p, dict) else p for p in elements(node)]
    texts = [
        t for p in said if isinstance(t := p.get("text") if isinstance(p, dict) else p, str) and t
    ]
    return [GenAiMessage(USER, (TextPart(t),)) for t in texts] or None


def _completions(node: Json) -> list[GenAiMessage] | None:
    """llm.choices of text completions."""
    said = [c.get("completion") for c in elements(node) if isinstance(c, dict)]
    texts = [t for c in said if isinstance(c, dict) and isinstance(t := c.get("text"), str) and t]
    return [GenAiMessage(ASSISTANT, (TextPart(t),)) for t in texts] or None


def _tools(node: Json) -> Json:
    tools = (tool.get("tool") for tool in elements(node) if isinstance(tool, dict))
    return [
        structured(t["json_schema"]) for t in tools if isinstance(t, dict) and t.get("json_schema")
    ] or None


def _documents(tree: dict[str, Any]) -> Json:
    """What a retriever or a reranker found."""
    for path in (("retrieval", "documents"), ("reranker", "output_documents")):
        holder = tree.get(path[0])
        if isinstance(holder, dict) and path[1] in holder:
            items = (
                item.get("document") for item in elements(holder[path[1]]) if isinstance(item, dict)
            )
            found = [_flat(item, "document") for item in items if isinstance(item, dict)]
            return {"documents": found} if found else None
    return None


def _embedded(tree: dict[str, Any]) -> Json:
    """The texts that were embedded."""
    holder = tree.get("embedding")
    items = elements(holder.get("embeddings")) if isinstance(holder, dict) else []
    inner = (item.get("embedding") for item in items if isinstance(item, dict))
    texts = [
        item["text"]
        for item in inner
        if isinstance(item, dict) and isinstance(item.get("text"), str)
    ]
    return {"texts": texts} if texts else None


def _flat(item: dict[str, Any], prefix: str) -> dict[str, Json]:
    return {key.removeprefix(prefix + "."): structured(value) for key, value in item.items()}


_NESTED = (
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.tools.",
    "llm.prompts.",
    "llm.choices.",
    "retrieval.documents.",
    "reranker.output_documents.",
    "embedding.embeddings.",
)


CONVENTION = Convention(
    "OpenInference",
    rules=(
        ("openinference.span.kind", "operation", word_in(_OPERATIONS)),
        ("llm.model_name", "model", text),
        ("embedding.model_name", "model", text),
        ("reranker.model_name", "model", text),
        ("llm.provider", "provider", lowered),
        ("llm.system", "provider", lowered),
        ("llm.token_count.prompt", "input_tokens", count),
        ("llm.token_count.completion", "output_tokens", count),
        ("llm.token_count.completion_details.reasoning", "reasoning_tokens", count),
        ("llm.token_count.prompt_details.cache_read", "cache_read_tokens", count),
        ("llm.token_count.prompt_details.cache_write", "cache_creation_tokens", count),
        ("llm.token_count.prompt_details.cache_input", "cache_read_tokens", count),
        ("llm.cost.total", "cost", dollars),
        ("llm.cost.prompt", "input_cost", dollars),
        ("llm.cost.completion", "output_cost", dollars),
        ("agent.name", "agent_name", text),
        ("metadata", "agent_name", _langchain_agent),
        ("tool.name", "tool_name", text),
        ("tool.description", "tool_description", text),
        ("tool.id", "tool_call_id", identifier),
        ("tool_call.id", "tool_call_id", identifier),
        ("tool_call.function.name", "tool_name", text),
        ("tool_call.function.arguments", "tool_arguments", structured),
        ("input.value", "input_value", structured),
        ("output.value", "output_value", structured),
        ("reranker.query", "input_value", anything),
        ("session.id", "session_id", identifier),
        ("user.id", "user_id", identifier),
        ("metadata", "metadata", an_object),
    ),
    prefixes=("openinference.span.kind", *_NESTED),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "input_value", "output_value"),
)
