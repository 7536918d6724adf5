"""Copies of what was said: the messages of a bus, beside the spans of those that spoke (`GenAi.relayed`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spanloom.chat.facts import Facts
from spanloom.chat.messages import Message, reasoning_of, text_of
from spanloom.model.turn import AssistantMessage, ChatMessage, UserMessage


def without_copies(facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """The facts without the words of spans that only relay them; the calls and results among them stay, as ids tell
    which are the same."""
    if not any(map(_relays, facts.values())):
        return facts
    return {span_id: _silenced(f, shown=None) for span_id, f in facts.items()}


def with_untold(
    facts: Mapping[str, Facts], messages: Sequence[ChatMessage]
) -> Mapping[str, Facts] | None:
    """The facts with those copies that nothing in `messages` says; None where there are none."""
    shown: set[str] = set()
    for message in messages:
        if isinstance(message.payload, UserMessage | AssistantMessage):
            shown.add(message.payload.text.strip())
        if isinstance(message.payload, AssistantMessage):
            shown.add(message.payload.reasoning_content.strip())
    told = {span_id: _silenced(f, shown) for span_id, f in facts.items()}
    return told if any(map(_has_words, (f for f in told.values() if _relays(f)))) else None


def _relays(facts: Facts) -> bool:
    return facts.span.genai.relayed


def _has_words(facts: Facts) -> bool:
    return any(map(_words, (*facts.inputs, *facts.outputs)))


def _silenced(facts: Facts, shown: set[str] | None) -> Facts:
    """The facts of a span that relays without the words that are `shown`, without all words where that is None."""
    if not _relays(facts):
        return facts
    inputs, outputs = (
        [
            m
            for m in messages
            if not (words := _words(m)) or (shown is not None and words not in shown)
        ]
        for messages in (facts.inputs, facts.outputs)
    )
    return facts._replace(inputs=inputs, outputs=outputs, reasoning=reasoning_of(outputs))


def _words(message: Message) -> str:
    return (text_of(message) or reasoning_of([message])).strip()
