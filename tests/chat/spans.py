"""Spans to make chats of, and chats as lines to read in a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ContextCompacted,
    ToolCall,
    TurnChat,
    UserMessage,
)
from tests.parts import parts as parts_of

START_NS = 1_800_000_000_000_000_000


def at(ms: float) -> int:
    return START_NS + int(ms * 1_000_000)


def span(
    span_id: str,
    parent: str = "",
    *,
    start: float | None = 0,
    end: float | None = None,
    body: dict[str, Any] | None = None,
    **fields: Any,
) -> Span:
    """`start` and `end` in milliseconds; the end is one later unless given."""
    start_ns = 0 if start is None else at(start)
    return Span(
        trace_id="t",
        span_id=span_id,
        event_id=span_id,
        session_id="t",
        parent_id=parent,
        start_ns=start_ns,
        end_ns=at(end) if end is not None else start_ns + 1_000_000,
        **parts_of(body or {}),
        **fields,
    )


def chat(
    span_id: str, parent: str = "", *, inputs: Any = None, outputs: Any = None, **given: Any
) -> Span:
    body = {"input_messages": inputs, "output_messages": outputs, **given.pop("body", {})}
    fields = {"name": "chat m", "operation": "chat", **given}
    return span(span_id, parent, body={k: v for k, v in body.items() if v is not None}, **fields)


def agent(span_id: str, parent: str = "", *, name: str = "", **given: Any) -> Span:
    fields = {"name": "invoke_agent", "operation": "invoke_agent", "end": 1000, **given}
    return chat(span_id, parent, agent_name=name, **fields)


def tool(
    span_id: str,
    parent: str = "",
    *,
    name: str = "look",
    call_id: str = "",
    arguments: Any = None,
    result: Any = None,
    **given: Any,
) -> Span:
    told = {"name": name, "call_id": call_id, "arguments": arguments, "result": result}
    body = {"tool": told, **given.pop("body", {})}
    fields = {"operation": "execute_tool", **given}
    return span(span_id, parent, body=body, **fields)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def parts(role: str, *items: Any) -> dict[str, Any]:
    return {"role": role, "parts": list(items)}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def reasoning(content: str) -> dict[str, Any]:
    return {"type": "reasoning", "content": content}


def call(call_id: str, name: str = "look", arguments: Any = None) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def response(call_id: str, result: Any) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": call_id, "response": result}


def turn_of(*spans: Span, **options: Any) -> TurnChat:
    return trace_chat("t", spans, **options)


def messages_of(*spans: Span, **options: Any) -> tuple[ChatMessage, ...]:
    return turn_of(*spans, **options).messages


def lines(*spans: Span, **options: Any) -> list[str]:
    """Each message as `kind(agent): what`; agents and kinds without a name are left out."""
    return [line(message) for message in messages_of(*spans, **options)]


def line(message: ChatMessage) -> str:
    who = f"({message.agent_name})" if message.agent_name else ""
    match message.payload:
        case UserMessage(text=said):
            return f"{message.agent_name}: {said}"
        case AssistantMessage(text=said, reasoning_content=thought):
            return f"assistant{who}: " + (f"<{thought}> " if thought else "") + said
        case ToolCall(tool_name=name, tool_arguments=given, tool_result=back):
            return f"tool{who}: {name}({given})" + (f" = {back}" if back else "")
        case AgentStart(system_instructions=system):
            return f"start{who}: {system}".rstrip(": ")
        case AgentHandoff(from_agent=giver, to_agent=taker):
            return f"handoff: {giver} to {taker}"
        case ContextCompacted(compaction_summary=summary):
            return f"compacted{who}: {summary}".rstrip(": ")


def texts(messages: Sequence[ChatMessage], kind: str) -> list[str]:
    return [message.payload.text for message in messages if message.type == kind]  # type: ignore[union-attr]
