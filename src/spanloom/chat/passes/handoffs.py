"""Handoffs from one agent to another.

Rules: docs/contracts/agent_chat.md, section 3.10.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from spanloom.chat.facts import Facts, FactsById
from spanloom.chat.timeline import PossibleHandoff, Timeline
from spanloom.genai.json_text import json_in, json_object
from spanloom.model.turn import AgentStart, ChatMessage, UserMessage

_TRANSFER: Final = "transfer_to_"
_TRANSFERS_TO_ANY: Final = frozenset({"transfer_to_agent", "handoff", "handoff_to_agent"})
_TARGETS: Final = ("agent_name", "to_agent", "agent")
_ARROWS: Final = ("→", "->")


def transfer_target(tool_name: str, arguments: str = "") -> str:
    """The agent that a tool hands over to, "" for any other tool.

    Its name is transfer_to_<agent>, or it is a tool for any agent (Google ADK: transfer_to_agent,
    LlamaIndex: handoff), whose arguments name the agent.
    """
    name = tool_name.lower()
    if name in _TRANSFERS_TO_ANY:
        given = json_object(json_in(arguments))
        named = (given.get(key) for key in _TARGETS)
        return next((agent for agent in named if isinstance(agent, str)), "")
    return tool_name[len(_TRANSFER) :] if name.startswith(_TRANSFER) else ""


def is_transfer(tool_name: str) -> bool:
    """Whether a tool may hand over to an agent."""
    return tool_name.lower().startswith((_TRANSFER, "handoff"))


def agents_of(f: Facts) -> tuple[str, str]:
    """From which agent to which a handoff span hands over, "" where it does not say.

    Its attributes name them, else a span name like `Handoff: a → b`, `a -> b.handoff` or
    `handoff to b`.
    """
    if f.handoff.to_agent:
        return f.handoff.from_agent, f.handoff.to_agent
    from_agent, name = f.handoff.from_agent, f.span.name.removesuffix(".handoff")
    is_titled = name[:7].lower() == "handoff"
    if is_titled:
        name = name[7:].lstrip(" :")
    for arrow in _ARROWS:
        giver, found, taker = name.partition(arrow)
        if found:
            return from_agent or giver.strip(), taker.strip()
    return from_agent, name.removeprefix("to ").strip() if is_titled else ""


def place_handoffs(timeline: Timeline, facts: FactsById) -> Timeline:
    """Show each handoff that happened, at its place.

    A handoff happened if a span records it, or if the agent that it names speaks later.
    """
    by_place: dict[int, list[PossibleHandoff]] = {}
    for handoff in timeline.handoffs:
        by_place.setdefault(handoff.place, []).append(handoff)
    if not by_place:
        return timeline
    messages = timeline.messages
    happened: dict[int, list[ChatMessage]] = {}
    pending: dict[str, PossibleHandoff] = {}
    for index in range(len(messages) + 1):
        for handoff in by_place.get(index, ()):
            target = _slug(handoff.agents.to_agent)
            if handoff.is_certain:
                pending.pop(target, None)  # the tool call behind the same handoff
                if target:
                    happened.setdefault(index, []).append(handoff.message)
                    continue
            pending[target] = handoff
        if pending and index < len(messages):
            _resolve(messages[index], pending, happened)
    for handoff in pending.values():
        if handoff.is_certain:
            happened.setdefault(handoff.place, []).append(handoff.message)
    placed = [
        message
        for index in range(len(messages) + 1)
        for message in (*happened.get(index, ()), *messages[index : index + 1])
    ]
    return timeline._replace(messages=placed, handoffs=())


def _resolve(
    message: ChatMessage,
    pending: dict[str, PossibleHandoff],
    happened: dict[int, list[ChatMessage]],
) -> None:
    """If this message is the first of an agent with a pending handoff, the handoff happened."""
    if isinstance(message.payload, UserMessage) or not message.agent_name:
        return
    handoff = pending.pop(_slug(message.agent_name), None)
    if handoff is None and isinstance(message.payload, AgentStart):
        handoff = pending.pop("", None)
    if handoff is not None:
        agents = replace(handoff.agents, to_agent=message.agent_name)
        happened.setdefault(handoff.place, []).append(replace(handoff.message, payload=agents))


def _slug(name: str) -> str:
    """Agent names as tool names spell them: letters and digits in lower case, `_` for the rest."""
    return "_".join(re.findall(r"[^\W_]+", name.lower()))
