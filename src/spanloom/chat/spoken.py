"""What one span adds to the chat, as texts to search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from spanloom.chat.facts import TOOL, Facts, derive
from spanloom.chat.messages import joined_text
from spanloom.chat.tools import requests_in, results_in
from spanloom.genai.json_text import printed
from spanloom.genai.roles import ASSISTANT, SYSTEM, USER
from spanloom.genai.text import system_of, text_of
from spanloom.model.genai import GenAiMessage

if TYPE_CHECKING:
    from spanloom.model import Span

TOOL_CALL: Final = "tool_call"
TOOL_RESULT: Final = "tool_result"
ROLES: Final = (USER, ASSISTANT, SYSTEM, TOOL_CALL, TOOL_RESULT)


class Spoken(NamedTuple):
    """A text, and who speaks: one of ROLES."""

    role: str
    text: str


def spoken(span: Span) -> list[Spoken]:
    """The texts of one span, none empty.

    These are the user's new words, the answer, the system prompt, and tools' arguments and results,
    without the conversation that a model reads again. Other spans of the trace may repeat them.
    """
    facts = derive([span])[span.span_id]
    return [spoken for spoken in _spoken(facts) if spoken.text]


def _spoken(facts: Facts) -> Iterator[Spoken]:
    if facts.act == TOOL:
        yield Spoken(TOOL_CALL, facts.tool_arguments)
        yield Spoken(TOOL_RESULT, facts.tool_result)
        return
    yield Spoken(SYSTEM, facts.system or system_of(facts.inputs))
    users = [message for message in facts.inputs if message.role == USER]
    for message in _trailing_users(facts.inputs) or users[-1:]:
        yield Spoken(USER, text_of(message))
    for result in results_in(facts.inputs):
        yield Spoken(TOOL_RESULT, printed(result.value))
    yield Spoken(ASSISTANT, joined_text(m for m in facts.outputs if m.role == ASSISTANT))
    for request in requests_in(facts.outputs):
        yield Spoken(TOOL_CALL, request.arguments)


def _trailing_users(messages: Sequence[GenAiMessage]) -> Sequence[GenAiMessage]:
    """The run of user messages at the end: what is new to the model that reads them."""
    start = len(messages)
    while start and messages[start - 1].role == USER:
        start -= 1
    return messages[start:]
