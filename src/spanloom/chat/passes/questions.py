"""The question of a turn: where it comes from if no model call has it, and its place."""

from __future__ import annotations

from dataclasses import replace

from spanloom.chat.facts import AGENT, WORKFLOW, FactsById
from spanloom.chat.payloads import USER_NAME, user_message, user_refs
from spanloom.chat.timeline import Timeline
from spanloom.chat.tree import start_key
from spanloom.genai.roles import USER
from spanloom.genai.text import text_of
from spanloom.model.turn import AgentStart, ChatMessage, UserMessage


def add_missing_question(timeline: Timeline, facts: FactsById) -> Timeline:
    """If no message has a user's words, show the last user text of the first span that has one.

    Agents and workflows come first. The message has the references of all spans.
    """
    if timeline.user_spoke:
        return timeline
    return timeline._replace(messages=[*_question(facts), *timeline.messages])


def _question(facts: FactsById) -> list[ChatMessage]:
    ordered = sorted(
        (f for f in facts.values() if f.inputs),
        key=lambda f: (f.act not in (AGENT, WORKFLOW), start_key(f.span)),
    )
    for f in ordered:
        for message in reversed(f.inputs):
            if message.role == USER and text_of(message):
                question = user_message(f, message, USER_NAME, f.agent)
                if isinstance(question.payload, UserMessage):
                    refs = dict.fromkeys(ref for other in ordered for ref in user_refs(other))
                    payload = replace(question.payload, content_refs=tuple(refs))
                    question = replace(question, payload=payload)
                return [question]
    return []


def put_question_first(timeline: Timeline, facts: FactsById) -> Timeline:
    """Show the question before the start of the agent, if these two are the first messages."""
    [*first] = timeline.messages[:2]
    if [message.type for message in first] != [AgentStart.type, UserMessage.type]:
        return timeline
    return timeline._replace(messages=[*reversed(first), *timeline.messages[2:]])
