"""The chat view of one trace: plain values, one payload class for each type of message.

Shapes: docs/contracts/agent_chat.md, sections 1.2 and 1.3.
Times are nanoseconds since 1970, durations whole milliseconds, costs
US dollars. An absent text is "", an absent number None; the contract counts null, "", 0 and a
missing key as equal. None is changed once made, but they are not frozen: that makes four times the
work of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from spanloom.model import Feedback


@dataclass(slots=True, kw_only=True)
class UserMessage:
    """The text of a user, or of the agent that gave another agent its task; "" if only media were
    sent."""

    type: ClassVar[str] = "user_message"
    text: str
    content_refs: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class AssistantMessage:
    """The response of a model; text is "" if it only reasoned, or failed. `model` is the model that
    responded, else the requested one."""

    type: ClassVar[str] = "assistant_message"
    text: str
    model: str = ""
    reasoning_content: str = ""
    reasoning_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_cost_usd: float | None = None
    output_cost_usd: float | None = None
    total_cost_usd: float | None = None
    duration_ms: int | None = None
    status: str = ""
    content_refs: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """A tool that was called. Where only the request is known, duration is None and status ""."""

    type: ClassVar[str] = "tool_call"
    tool_name: str
    tool_arguments: str = ""
    tool_result: str = ""
    duration_ms: int | None = None
    status: str = ""
    content_refs: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class AgentStart:
    """An agent that took up work, or a system prompt that changed. `tool_definitions` is JSON
    text."""

    type: ClassVar[str] = "agent_start"
    model: str = ""
    system_instructions: str = ""
    tool_definitions: str = ""
    status: str = ""


@dataclass(slots=True, kw_only=True)
class AgentHandoff:
    """An agent that handed over to another."""

    type: ClassVar[str] = "agent_handoff"
    from_agent: str = ""
    to_agent: str = ""


@dataclass(slots=True, kw_only=True)
class ContextCompacted:
    """The context was summarized to make room."""

    type: ClassVar[str] = "context_compacted"
    compaction_summary: str = ""
    compaction_items_before: int | None = None
    compaction_items_after: int | None = None


Payload = UserMessage | AssistantMessage | ToolCall | AgentStart | AgentHandoff | ContextCompacted


@dataclass(slots=True, kw_only=True)
class ChatMessage:
    """One step of the timeline. User messages have no span; `agent_name` None is a speaker without
    a name.

    `feedback` is None unless it was asked for and there is some on the message's span.
    """

    payload: Payload
    span_id: str | None = None
    agent_name: str | None = None
    agent_version: str | None = None
    status_code: str | None = None
    error_type: str | None = None
    status_message: str | None = None
    started_ns: int | None = None
    feedback: tuple[Feedback, ...] | None = None

    @property
    def type(self) -> str:
        """The name of the payload's kind, as the contract writes it: user_message,
        assistant_message, ..."""
        return self.payload.type


@dataclass(slots=True, kw_only=True)
class TurnChat:
    """The chat view of one trace. A trace without spans has no messages, None in its fields, 0 in
    its totals.

    `ended_ns` is 0 while the root is open. `total_duration_ms` is the root's wall clock, not a sum.
    The totals add up what each span used itself (`spanloom.model.own_use`); `total_cost_usd` None
    means that no span is priced.
    `feedback` is None unless it was asked for, () when there is none.
    """

    trace_id: str
    root_span_name: str | None = None
    agent_name: str | None = None
    agent_version: str | None = None
    status_code: str | None = None
    provider: str | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    user_id: str | None = None
    total_duration_ms: int | None = None
    total_cost_usd: float | None = None
    total_input_tokens: int = 0
    total_output_tokens: int = 0
    total_reasoning_tokens: int = 0
    total_cache_creation_input_tokens: int = 0
    total_cache_read_input_tokens: int = 0
    messages: tuple[ChatMessage, ...] = ()
    feedback: tuple[Feedback, ...] | None = None
