"""What a span says in the terms of the GenAI conventions: messages, tools, agents, usage.

An absent text is "", an absent number or JSON value None. `spanloom.genai.json` writes messages as
the conventions' JSON and reads them back; `spanloom.genai.read` makes them of any other dialect.

`sent` of a message is the JSON object that it was read from, where the other fields would not give
that object back: it has keys of its own, or says the same under other names. Else it is None.
Whoever changes a field of a message must change `sent` too, or drop it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# Nobody changes one of these once it is made. They are not frozen all the same, as in
# `spanloom.model.span`: each message of each span that is read makes some.

Json = Any  # dict[str, Json] | list[Json] | str | int | float | bool | None


@dataclass(slots=True)
class TextPart:
    """A text."""

    content: str


@dataclass(slots=True)
class ReasoningPart:
    """What a model thought before it answered."""

    content: str


@dataclass(slots=True)
class ToolCallPart:
    """A model's request to call a tool. `arguments` is any JSON; None where the model gave none."""

    id: str = ""
    name: str = ""
    arguments: Json = None


@dataclass(slots=True)
class ToolResultPart:
    """What a tool returned, as a model was given it: any JSON. `id` is that of the call."""

    id: str = ""
    name: str = ""
    result: Json = None


@dataclass(slots=True)
class MediaPart:
    """An image, a recording, a video or a document.

    `value` is its address (kind uri), its base64 (blob) or the provider's id of it (file).
    `modality` is image, audio, video or document, `mime_type` like image/png.
    """

    kind: Literal["uri", "blob", "file"]
    value: str = ""
    modality: str = ""
    mime_type: str = ""


@dataclass(slots=True)
class OtherPart:
    """A part of a kind that Spanloom does not know: any JSON, as it was sent."""

    value: Json


Part = TextPart | ReasoningPart | ToolCallPart | ToolResultPart | MediaPart | OtherPart


@dataclass(slots=True)
class GenAiMessage:
    """One message of a conversation.

    `role` is user, assistant, system or tool, or what else the client called it. `finish_reason` is
    why the model stopped. `as_content` tells that the client sent the parts under `content`, not
    under `parts`: reasoning is shown of the latter alone (docs/contracts/agent_chat.md, section
    2.2).
    """

    role: str
    parts: tuple[Part, ...] = ()
    name: str = ""
    finish_reason: str = ""
    as_content: bool = False
    sent: Json = None


@dataclass(slots=True, kw_only=True)
class Tool:
    """The tool that a span executed. `arguments` and `result` are any JSON, None where absent."""

    name: str = ""
    call_id: str = ""
    type: str = ""
    description: str = ""
    arguments: Json = None
    result: Json = None


@dataclass(slots=True, kw_only=True)
class Agent:
    """The agent that a span belongs to; its name is a column of the span."""

    id: str = ""
    version: str = ""
    description: str = ""


@dataclass(slots=True, kw_only=True)
class Usage:
    """What a model's call used, beside the span's columns, of which these figures are parts.

    Costs are US dollars. `cost_source` is "given" where the client sent the cost, "computed" where
    it follows from the price list, "" where there is none.
    """

    reasoning_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    cost_source: Literal["", "given", "computed"] = ""


@dataclass(slots=True, kw_only=True)
class Compaction:
    """A conversation that was summarized to make room; the number of items before and after."""

    summary: str = ""
    items_before: int | None = None
    items_after: int | None = None


@dataclass(slots=True, kw_only=True)
class Handoff:
    """An agent that hands the conversation over to another; their names."""

    from_agent: str = ""
    to_agent: str = ""
