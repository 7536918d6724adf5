"""The messages of the chat, each made from the facts of one span.

Rules: docs/contracts/agent_chat.md, sections 1.3, 2.5, 2.9, 2.10.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from spanloom.chat.facts import Facts
from spanloom.chat.messages import is_task_notification, joined_text
from spanloom.chat.refs import refs_in, with_marks
from spanloom.genai.json_text import json_in, json_object
from spanloom.genai.roles import USER
from spanloom.genai.text import text_of
from spanloom.model.genai import GenAiMessage
from spanloom.model.turn import (
    AgentStart,
    ChatMessage,
    ContextCompacted,
    Payload,
    ToolCall,
    UserMessage,
)

if TYPE_CHECKING:
    from spanloom.model import Span

# The agent name of what a user said (docs/contracts/agent_chat.md, section 1.3).
USER_NAME: Final = "User"


def duration_ms(span: Span) -> int:
    """Whole milliseconds as the client sent them, else from start to end.

    0 while the span is open, never negative.
    """
    if span.duration_ms is not None and math.isfinite(span.duration_ms):
        return max(0, int(span.duration_ms))
    if span.end_ns is None or not span.start_ns:
        return 0
    return max(0, (span.end_ns - span.start_ns) // 1_000_000)


def message_of(facts: Facts, label: str, payload: Payload) -> ChatMessage:
    """A message of the span itself; `label` is the agent's, "" for none."""
    return ChatMessage(
        payload=payload,
        span_id=facts.span.span_id,
        agent_name=label or None,
        agent_version=facts.agent_version or None,
        status_code=facts.status,
        error_type=facts.error_type or None,
        status_message=facts.status_message or None,
        started_ns=facts.span.start_ns,
    )


def user_message(facts: Facts, message: GenAiMessage, speaker: str, label: str) -> ChatMessage:
    """A user's message; what Claude Code says in the user's place is the result of a task."""
    if is_task_notification(message):
        call = ToolCall(
            tool_name="Task notification",
            tool_result=text_of(message),
            duration_ms=0,
            status=facts.status,
        )
        return message_of(facts, label, call)
    payload = UserMessage(
        text=text_of(message),
        content_refs=with_marks(refs_in([message], facts.content_refs), [message]),
    )
    return ChatMessage(payload=payload, agent_name=speaker, started_ns=facts.span.start_ns)


def user_refs(facts: Facts) -> tuple[str, ...]:
    """The references in all user messages of the span's input."""
    return refs_in([m for m in facts.inputs if m.role == USER], facts.content_refs)


def agent_start(facts: Facts) -> AgentStart:
    """The start of the agent, or the system prompt of the model call, that the span is."""
    return AgentStart(
        model=facts.span.model,
        system_instructions=facts.system,
        tool_definitions=facts.tool_definitions,
        status=facts.status,
    )


def tool_call(facts: Facts) -> ToolCall:
    """The call that a tool span is."""
    return ToolCall(
        tool_name=facts.tool_name,
        tool_arguments=facts.tool_arguments,
        tool_result=facts.tool_result,
        duration_ms=duration_ms(facts.span),
        status=facts.status,
        content_refs=facts.content_refs,
    )


def context_compacted(facts: Facts) -> ContextCompacted | None:
    """The compaction before an agent span: it has a summary, or items before it."""
    compaction = facts.compaction
    if compaction is None or not (compaction.summary or (compaction.items_before or 0) > 0):
        return None
    return ContextCompacted(
        compaction_summary=compaction.summary,
        compaction_items_before=compaction.items_before,
        compaction_items_after=compaction.items_after,
    )


def async_launch(facts: Facts) -> ToolCall | None:
    """Claude Code: an agent that was only started in the background, and answers elsewhere."""
    text = joined_text(facts.outputs)
    launch = json_object(json_in(text)) if '"isAsync"' in text else {}
    if (
        launch.get("isAsync") is not True
        or launch.get("status") != "async_launched"
        or not isinstance(launch.get("agentId"), str)
    ):
        return None
    description = launch.get("description")
    return ToolCall(
        tool_name=f"Start {facts.agent or facts.agent_from_name or 'subagent'}",
        tool_arguments=description if isinstance(description, str) else "",
        tool_result=text,
        duration_ms=duration_ms(facts.span),
        status=facts.status,
        content_refs=facts.content_refs,
    )
