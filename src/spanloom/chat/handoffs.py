"""Handoffs: one agent passes the turn on to another (contract agent_chat, section 3.10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from spanloom.chat.json_text import json_object, parsed
from spanloom.model.turn import AgentHandoff, AgentStart, ChatMessage, UserMessage

if TYPE_CHECKING:
    from spanloom.model import Span

_TRANSFER: Final = "transfer_to_"
_TRANSFERS_TO_ANY: Final = frozenset({"transfer_to_agent", "handoff", "handoff_to_agent"})
_TARGETS: Final = ("agent_name", "to_agent", "agent")
_ARROWS: Final = ("→", "->")


class Handoff(NamedTuple):
    """A handoff that the walk came by: the message for it, and how many messages stood before it.

    It happened if a span tells it (`is_certain`), else only if the agent it names speaks later.
    """

    place: int
    message: ChatMessage
    agents: AgentHandoff
    is_certain: bool


def transfer_target(tool_name: str, arguments: str = "") -> str:
    """The agent that a tool of the name transfer_to_<agent> hands over to, or the one that the arguments of a tool that is
    for any agent name (Google ADK: transfer_to_agent, LlamaIndex: handoff); "" for another tool."""
    name = tool_name.lower()
    if name in _TRANSFERS_TO_ANY:
        given = json_object(parsed(arguments))
        named = (given.get(key) for key in _TARGETS)
        return next((agent for agent in named if isinstance(agent, str)), "")
    return tool_name[len(_TRANSFER) :] if name.startswith(_TRANSFER) else ""


def told_agents(span: Span) -> tuple[str, str]:
    """From which agent to which a handoff span hands over, "" where it does not tell.

    Its handoff tells it, else a span name like `Handoff: a → b`, `a -> b.handoff` or `handoff to b`.
    """
    told = span.genai.handoff
    from_agent, to_agent = (told.from_agent, told.to_agent) if told else ("", "")
    if to_agent:
        return from_agent, to_agent
    name = span.name.removesuffix(".handoff")
    is_titled = name[:7].lower() == "handoff"
    if is_titled:
        name = name[7:].lstrip(" :")
    for arrow in _ARROWS:
        giver, found, taker = name.partition(arrow)
        if found:
            return from_agent or giver.strip(), taker.strip()
    return from_agent, name.removeprefix("to ").strip() if is_titled else ""


def with_handoffs(
    messages: Sequence[ChatMessage], handoffs: Iterable[Handoff]
) -> list[ChatMessage]:
    """The messages with each handoff that happened at its place."""
    by_place: dict[int, list[Handoff]] = {}
    for handoff in handoffs:
        by_place.setdefault(handoff.place, []).append(handoff)
    if not by_place:
        return list(messages)
    happened: dict[int, list[ChatMessage]] = {}
    pending: dict[str, Handoff] = {}
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
            _settle(messages[index], pending, happened)
    for handoff in pending.values():
        if handoff.is_certain:
            happened.setdefault(handoff.place, []).append(handoff.message)
    return [
        message
        for index in range(len(messages) + 1)
        for message in (*happened.get(index, ()), *messages[index : index + 1])
    ]


def _settle(
    message: ChatMessage, pending: dict[str, Handoff], happened: dict[int, list[ChatMessage]]
) -> None:
    """Complete the handoff to the agent that this message is the first of."""
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
