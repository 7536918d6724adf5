"""Copies of messages: a message bus repeats what the spans of agents and models say."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.chat.facts import Facts, FactsById
from spanloom.chat.tree import SpanTree
from spanloom.genai.text import reasoning_of, text_of
from spanloom.model.genai import GenAiMessage
from spanloom.model.turn import AssistantMessage, ChatMessage, UserMessage


def drop_copied_texts(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Remove the texts of spans that only relay them.

    Requests and results among them are kept: their ids identify them.
    """
    relays = {span_id: f for span_id, f in facts.items() if f.is_relay}
    if not relays:
        return tree, facts
    return tree, {**facts, **{span_id: _without(f, None) for span_id, f in relays.items()}}


def only_in_copies(facts: FactsById, messages: Sequence[ChatMessage]) -> FactsById:
    """Of the spans that relay, those with texts that `messages` lack, reduced to these texts."""
    shown: set[str] = set()
    for message in messages:
        if isinstance(message.payload, UserMessage | AssistantMessage):
            shown.add(message.payload.text.strip())
        if isinstance(message.payload, AssistantMessage):
            shown.add(message.payload.reasoning_content.strip())
    relays = {span_id: _without(f, shown) for span_id, f in facts.items() if f.is_relay}
    lacking = any(_text(m) for f in relays.values() for m in (*f.inputs, *f.outputs))
    return relays if lacking else {}


def _without(f: Facts, shown: set[str] | None) -> Facts:
    """The facts without the texts in `shown`, or without any text if that is None."""
    inputs, outputs = (
        [
            message
            for message in messages
            if not (text := _text(message)) or (shown is not None and text not in shown)
        ]
        for messages in (f.inputs, f.outputs)
    )
    return f._replace(inputs=inputs, outputs=outputs, reasoning=reasoning_of(outputs))


def _text(message: GenAiMessage) -> str:
    return (text_of(message) or reasoning_of([message])).strip()
