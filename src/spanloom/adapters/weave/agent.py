"""Agents, and the messages that a search found, as the contract's messages."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.adapters.weave.object_refs import outward
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import AgentTotals, Span
from spanloom.model.query import Match
from spanloom.v1 import agent_chat_service_pb2, agent_pb2

MAX_UINT32 = 2**32 - 1
PREVIEW_CHARACTERS = 500

# The contract's names of what agents are sorted by.
SORT_FIELDS = {
    "agent_name": "agent_name",
    "agent_version": "agent_version",
    "invocation_count": "invocations",
    "span_count": "spans",
    "total_input_tokens": "input_tokens",
    "total_output_tokens": "output_tokens",
    "total_duration_ms": "duration_ms",
    "error_count": "errors",
    "first_seen": "first_ns",
    "last_seen": "last_ns",
    "total_cost_usd": "cost",
}


def agent_message(project: str, totals: AgentTotals) -> agent_pb2.Agent:
    """Counts past 32 bits are reduced to the largest."""
    return agent_pb2.Agent(
        project_id=project,
        agent_name=totals.agent_name,
        agent_version=totals.agent_version,
        invocation_count=min(totals.invocations, MAX_UINT32),
        span_count=min(totals.spans, MAX_UINT32),
        total_input_tokens=totals.input_tokens,
        total_output_tokens=totals.output_tokens,
        total_duration_ms=totals.duration_ms,
        error_count=min(totals.errors, MAX_UINT32),
        first_seen=timestamp_from_ns(totals.first_ns),
        last_seen=timestamp_from_ns(totals.last_ns),
        total_cost_usd=totals.cost,
    )


def match_of(
    span: Span, role: str, text: str, digest: str, *, project_id: str, truncated: bool
) -> Match:
    """A message of a span as the search shows it; the span itself is not kept."""
    shown = outward(text, project_id)
    return Match(
        trace_id=span.trace_id,
        span_id=span.span_id,
        session_id=span.session_id,
        conversation_name=span.conversation_name,
        agent_name=span.agent_name,
        start_ns=span.start_ns,
        role=role,
        text=shown[:PREVIEW_CHARACTERS] if truncated else shown,
        digest=digest,
    )


def search_response(matches: Sequence[Match]) -> agent_chat_service_pb2.SearchMessagesResponse:
    """The matches, newest first, by conversation: the one with the newest comes first."""
    conversations: dict[str, agent_pb2.MatchedConversation] = {}
    for match in matches:
        started = timestamp_from_ns(match.start_ns)
        conversation = conversations.setdefault(
            match.session_id,
            agent_pb2.MatchedConversation(
                conversation_id=match.session_id,
                conversation_name=match.conversation_name,
                agent_name=match.agent_name,
                last_activity=started,
            ),
        )
        conversation.matched_messages.add(
            span_id=match.span_id,
            trace_id=match.trace_id,
            role=match.role,
            content_preview=match.text,
            content_digest=match.digest,
            started_at=started,
        )
    return agent_chat_service_pb2.SearchMessagesResponse(
        results=conversations.values(), total_conversations=len(conversations)
    )
