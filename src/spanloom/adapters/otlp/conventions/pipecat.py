"""Pipecat: what its services heard and said, in attributes without a prefix.

Source: PyPI pipecat-ai 1.14.0, utils/tracing, recorded. `input` and `output` mean so only in spans
of its own scope.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.read import messages_of, received
from spanloom.genai.reading import structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.model import Json


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    if draft.get("operation") != "chat":
        # What was heard, and what is spoken.
        return {"output_value": text(get("transcript")), "input_value": text(get("text"))}
    inputs = messages_of(get("input"), USER)
    said = text(get("output"))
    return {
        "input_messages": inputs or None,
        "output_messages": received(said, ASSISTANT) or None if said else None,
        "system_instructions": system_of(inputs) or None,
        "tool_definitions": structured(get("tools")),
    }


CONVENTION = Convention(
    "Pipecat",
    scopes=("pipecat",),
    contents=_contents,
    tells=(
        "input_messages",
        "output_messages",
        "input_value",
        "output_value",
    ),
)
