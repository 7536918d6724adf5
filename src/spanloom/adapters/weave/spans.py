"""Spans in the shape in which Weave's API has those of agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import orjson
from google.protobuf import json_format

from spanloom.adapters.recorded import recorded
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.genai.text import text_of
from spanloom.model import Feedback, Json, Span
from spanloom.model.genai import Agent, GenAiMessage, Tool, Usage
from spanloom.v1 import agent_span_service_pb2 as pb

_CONVENTIONS: Final = ("gen_ai.", "weave.", "wandb.")
_SHOWN_FEEDBACK: Final = ("wandb.agent_user_feedback", "wandb.agent_monitor")
_TYPES: Final = {str: "string", int: "int", float: "float", bool: "bool"}
_STATUSES: Final = ("UNSET", "OK", "ERROR")
_NO_USAGE, _NO_TOOL, _NO_AGENT = Usage(), Tool(), Agent()


def conversation_span(span: Span) -> pb.GetConversationSpansResponse.Span:
    """A span of a conversation without its contents."""
    return pb.GetConversationSpansResponse.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        operation_name=span.operation,
        status=span.status if span.status in _STATUSES else "UNSET",
        duration_ms=round(_duration_ms(span)),
    )


def _duration_ms(span: Span) -> float:
    if span.duration_ms is not None:
        return span.duration_ms
    return 0 if span.end_ns is None else max(0, span.end_ns - span.start_ns) / 1e6


def conversation_feedback(
    found: Iterable[Feedback],
) -> Iterator[pb.GetConversationSpansResponse.Feedback]:
    """What is shown of feedback on a conversation and its turns."""
    for feedback in found:
        if feedback.type not in _SHOWN_FEEDBACK:
            continue
        body = feedback.body
        shown = pb.GetConversationSpansResponse.Feedback(
            feedback_type=feedback.type, tags=body.get("scorer_tags", ())
        )
        if feedback.target == "trace":
            shown.trace_id = feedback.target_id
        for name, value in body.get("scorer_ratings", {}).items():
            rating = shown.ratings.add(name=name, value=value)
            reasons, confidences = (
                body.get(f"scorer_rating_{kind}", {}) for kind in ("reasons", "confidences")
            )
            if name in reasons:
                rating.reason = reasons[name]
            if name in confidences:
                rating.confidence = confidences[name]
        yield shown


def agent_span(project_id: str, span: Span) -> pb.AgentSpan:
    """A span with its contents. What is not known is left out."""
    genai = span.genai
    usage, tool = genai.usage or _NO_USAGE, genai.tool or _NO_TOOL
    agent = genai.agent or _NO_AGENT
    texts: dict[str, str | None] = {
        "parent_span_id": span.parent_id,
        "span_name": span.name,
        "operation_name": span.operation,
        "status_code": span.status if span.status in _STATUSES else None,
        "status_message": span.status_message,
        "error_type": span.error_type,
        "conversation_id": span.session_id,
        "conversation_name": span.conversation_name,
        "agent_name": span.agent_name,
        "agent_id": agent.id,
        "agent_version": agent.version,
        "agent_description": agent.description,
        "provider_name": span.provider,
        "request_model": span.model,
        "response_model": genai.response_model,
        "tool_name": tool.name,
        "tool_call_id": tool.call_id,
        "tool_call_arguments": _as_text(tool.arguments),
        "tool_call_result": _as_text(tool.result),
        "reasoning_content": genai.reasoning,
    }
    numbers: dict[str, float | None] = {
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_creation_tokens,
        "total_cost_usd": span.cost,
        "input_cost_usd": usage.input_cost,
        "output_cost_usd": usage.output_cost,
    }
    message = pb.AgentSpan(
        project_id=project_id,
        trace_id=span.trace_id,
        span_id=span.span_id,
        started_at=timestamp_from_ns(span.start_ns),
        input_messages=_messages(genai.input_messages),
        output_messages=_messages(genai.output_messages),
        system_instructions=[genai.system_instructions] if genai.system_instructions else (),
        finish_reasons=[each.finish_reason for each in genai.output_messages if each.finish_reason],
        content_refs=genai.content_refs,
    )
    for name, text in texts.items():
        if text:
            setattr(message, name, text)
    for name, number in numbers.items():
        if number is not None:
            setattr(message, name, number)
    if span.end_ns is not None:
        message.ended_at.CopyFrom(timestamp_from_ns(span.end_ns))
    for key, kind, value in custom_attributes(span):
        getattr(message, f"custom_attrs_{kind}")[key] = value
    return message


def span_fields(message: pb.AgentSpan) -> Mapping[str, Json]:
    """The fields of a span that conditions name."""
    fields: Mapping[str, Json] = json_format.MessageToDict(
        message, preserving_proto_field_name=True
    )
    return fields


def custom_attributes(span: Span) -> Iterator[tuple[str, str, str | float | bool]]:
    """(key, type, value) of the attributes that no convention of OpenTelemetry's names."""
    attributes = recorded(span).get("attributes")
    pairs = attributes.items() if isinstance(attributes, dict) else attributes or ()
    for key, value in pairs:
        kind = _TYPES.get(type(value))
        if kind and isinstance(key, str) and not key.startswith(_CONVENTIONS):
            yield key, kind, value


def _messages(said: Sequence[GenAiMessage]) -> list[pb.AgentSpan.Message]:
    return [
        pb.AgentSpan.Message(
            role=each.role, content=text_of(each), finish_reason=each.finish_reason
        )
        for each in said
    ]


def _as_text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
