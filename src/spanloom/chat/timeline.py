"""What the walk makes of a trace: its messages in order, and what later passes need of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spanloom.model.turn import AgentHandoff, ChatMessage


class PossibleHandoff(NamedTuple):
    """A handoff that the walk found: its message, and how many messages come before it.

    It happened if a span records it (`is_certain`), else only if the agent that it names speaks
    later.
    """

    place: int
    message: ChatMessage
    agents: AgentHandoff
    is_certain: bool


class Timeline(NamedTuple):
    """The messages of a trace. `user_spoke` is whether one of them has a user's words."""

    messages: Sequence[ChatMessage] = ()
    handoffs: Sequence[PossibleHandoff] = ()
    user_spoke: bool = False
