"""Feedback beside what it judges.

Rules: docs/contracts/agent_chat.md, section 1.5.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanloom.model import Feedback
    from spanloom.model.turn import TurnChat


def attach_feedback(turn: TurnChat, feedback: Sequence[Feedback]) -> TurnChat:
    """The turn with feedback on the trace, and on every message of a span that has some.

    Messages without feedback keep None. Feedback on another trace, on a conversation, or on a span
    that shows no message is left out.
    """
    of_trace: list[Feedback] = []
    of_span: defaultdict[str, list[Feedback]] = defaultdict(list)
    for item in feedback:
        if item.target == "trace" and item.target_id == turn.trace_id:
            of_trace.append(item)
        elif item.target == "span" and item.trace_id in ("", turn.trace_id):
            of_span[item.target_id].append(item)
    messages = tuple(
        replace(message, feedback=tuple(of_span[message.span_id]))
        if message.span_id is not None and message.span_id in of_span
        else message
        for message in turn.messages
    )
    return replace(turn, messages=messages, feedback=tuple(of_trace))
