"""OpenTelemetry GenAI events on spans: a message an event, or all of a call's content in one.

Sources: open-telemetry/semantic-conventions, docs/gen-ai/gen-ai-events.md, versions 1.26
(gen_ai.content.prompt), 1.28 to 1.36 (gen_ai.user.message, gen_ai.choice ...) and 1.37 on
(gen_ai.client.inference.operation.details). The fields of an event's body are among its attributes,
or JSON in one of them: `body` (Koog), `gen_ai.event.content` (Azure), `event_body`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.conventions.otel_genai import (
    input_messages,
    instructions,
    output_messages,
)
from spanloom.genai.blocks import is_block, joined, part_of, parts_of
from spanloom.genai.dialects import message_of
from spanloom.genai.json import parts_in_text
from spanloom.genai.read import asked_and_answered, messages_of
from spanloom.genai.reading import structured
from spanloom.genai.roles import ASSISTANT, SYSTEM, TOOL, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, ToolCallPart, ToolResultPart

_ROLES = {
    "gen_ai.system.message": SYSTEM,
    "gen_ai.user.message": USER,
    "gen_ai.assistant.message": ASSISTANT,
    "gen_ai.tool.message": TOOL,
}
_BODIES = ("body", "event_body", "gen_ai.event.content")


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    events = [(name, event_fields(attributes)) for name, attributes in source.events]
    offers: dict[str, Any] = {}
    for name, fields in events:
        for key, field, reader in _ATTRIBUTES.get(name, ()):
            if field not in offers and (value := reader(fields.get(key))) is not None:
                offers[field] = value
        if name in _TOOLS:
            field, keys = _TOOLS[name]
            offers.setdefault(field, _tool_value(fields, keys))
    if draft.get("operation") == "execute_tool" or _is_tool(source, draft):
        for field, value in _executed(events, draft).items():
            offers.setdefault(field, value)
        return offers
    inputs, outputs = said_in_events(events)
    offers.setdefault("input_messages", inputs or None)
    offers.setdefault("output_messages", outputs or None)
    if inputs and "input_messages" not in draft:
        offers.setdefault("system_instructions", system_of(inputs) or None)
    return offers


_DETAILS = (
    ("gen_ai.input.messages", "input_messages", input_messages),
    ("gen_ai.output.messages", "output_messages", output_messages),
    ("gen_ai.system_instructions", "system_instructions", instructions),
    ("gen_ai.tool.definitions", "tool_definitions", structured),
)
_ATTRIBUTES = {
    "gen_ai.client.inference.operation.details": _DETAILS,
    "gen_ai.client.operation.details": _DETAILS,
    "gen_ai.content.prompt": (("gen_ai.prompt", "input_messages", input_messages),),
    "gen_ai.content.completion": (("gen_ai.completion", "output_messages", output_messages),),
}
# A tool's arguments and its result: the canonical field, and the keys among an event's fields.
_TOOLS = {
    "gen_ai.tool.input": (
        "tool_arguments",
        ("gen_ai.tool.call.arguments", "gen_ai.tool.input", "input", "arguments"),
    ),
    "gen_ai.tool.output": (
        "tool_result",
        ("gen_ai.tool.call.result", "gen_ai.tool.output", "output", "result"),
    ),
}


def _tool_value(fields: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    """The value under one of these keys, else the content or the body of the event."""
    found = (structured(fields.get(key)) for key in (*keys, "content", *_BODIES))
    return next((value for value in found if value is not None), None)


def _is_tool(source: SpanSource, draft: Draft) -> bool:
    """Whether a span that says no operation executes a tool."""
    if "operation" in draft:
        return False
    return source.name.lower().startswith("execute_tool") or (
        "tool_name" in draft and "model" not in draft
    )


def _executed(events: Sequence[tuple[str, dict[str, Json]]], draft: Draft) -> Offers:
    """The arguments and the result of a tool whose span tells them as messages.

    The choice is the result, and the tool's message the arguments (Strands). Where no event is a
    choice, the message is the result if it has arguments beside it, or the span has them, or it is
    plain text; else it is the arguments.
    """
    told: dict[str, Json] = {}
    for name, fields in events:
        if name == "gen_ai.choice":
            keys = "message", "content", "tool.result", "gen_ai.completion"
            told["tool_result"] = _first_value(fields, keys)
    for name, fields in events:
        if name not in ("gen_ai.tool.message", "gen_ai.assistant.message"):
            continue
        for key, field in (("id", "tool_call_id"), ("tool_call_id", "tool_call_id")):
            if isinstance(fields.get(key), str):
                told.setdefault(field, fields[key])
        if isinstance(fields.get("name"), str):
            told.setdefault("tool_name", fields["name"])
        if (arguments := _first_value(fields, ("arguments", "input"))) is not None:
            told.setdefault("tool_arguments", arguments)
        content = _first_value(fields, ("content", "result", "output", "response"))
        has_arguments = "tool_arguments" in told or "tool_arguments" in draft
        is_result = "tool_result" not in told and (has_arguments or isinstance(content, str))
        if content is not None:
            told.setdefault("tool_result" if is_result else "tool_arguments", content)
    said = {name: _told_value(value) for name, value in told.items()}
    return {name: value for name, value in said.items() if value is not None}


def _first_value(fields: Mapping[str, Json], keys: Iterable[str]) -> Json:
    found = (structured(fields.get(key)) for key in keys)
    return next((value for value in found if value is not None), None)


def _told_value(value: Json) -> Json:
    """The call's arguments or the result inside blocks, a message or a list of messages."""
    items = value if isinstance(value, list) else [value]
    parts = [part for item in items for part in _parts_of(item)]
    calls = [part.arguments for part in parts if isinstance(part, ToolCallPart)]
    results = [part.result for part in parts if isinstance(part, ToolResultPart)]
    if calls or results:
        return (calls or results)[0]
    return joined(value)


def _parts_of(item: Json) -> tuple[Part, ...]:
    if not isinstance(item, dict):
        return ()
    if isinstance(inner := item.get("parts"), list):
        return parts_of(inner)
    return (part_of(item),) if is_block(item) else ()


def event_fields(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """An event's fields: its attributes, and those of a body that is JSON in one of them."""
    fields = dict(attributes)
    if "message.content" in fields:
        said = {k.removeprefix("message."): v for k, v in fields.items() if k[:8] == "message."}
        fields = {**said, **fields}
    for key in _BODIES:
        body = structured(fields.get(key))
        if isinstance(body, dict):
            fields = {**body, **{k: v for k, v in fields.items() if k not in body}}
        elif isinstance(body, list):
            fields.setdefault("content", body)
    return fields


def said_in_events(
    events: Iterable[tuple[str, Mapping[str, Json]]],
) -> tuple[Sequence[GenAiMessage], Sequence[GenAiMessage]]:
    """The messages of events, one each: those that went in, and the choices that came out.

    Where no event is a choice, the assistant's last words in a row are the answer (Logfire's
    responses API).
    """
    inputs: list[GenAiMessage] = []
    outputs: list[GenAiMessage] = []
    for name, fields in events:
        if name in _ROLES:
            inputs += _told(fields, _ROLES[name])
        elif name == "gen_ai.choice":
            outputs += _choice(fields)
    return (inputs, outputs) if outputs else asked_and_answered(inputs)


def _told(fields: Mapping[str, Json], role: str) -> list[GenAiMessage]:
    content = parts_in_text(structured(fields.get("content")))
    if isinstance(content, dict) and ("role" in content or "content" in content):
        fields, content = {**fields, **content}, content.get("content")
    said = fields.get("role")
    item = {
        **{
            key: structured(fields[key])
            for key in ("tool_calls", "id", "name", "tool_call_id")
            if key in fields
        },
        "role": said if isinstance(said, str) and said else role,
        "content": content,
    }
    message = message_of(item, role)
    return [message] if message else []


def _choice(fields: Mapping[str, Json]) -> list[GenAiMessage]:
    said = parts_in_text(structured(fields.get("message")))
    if isinstance(said, dict):
        item = {**said, "role": said.get("role") or ASSISTANT}
    else:
        item = {
            "role": ASSISTANT,
            "content": _first_value(fields, ("content", "gen_ai.completion"))
            if said is None
            else said,
        }
    item["role"] = ASSISTANT  # Koog says `tool` of a choice that calls tools
    if "tool_calls" in fields:
        item.setdefault("tool_calls", structured(fields["tool_calls"]))
    item["finish_reason"] = fields.get("finish_reason")
    message = message_of(item, ASSISTANT)
    if message is None and isinstance(said, dict):
        found = messages_of(said, ASSISTANT)
        message = found[0] if found else None
    return [message] if message else []


CONVENTION = Convention(
    "OpenTelemetry GenAI events",
    events=("gen_ai.",),
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_arguments"),
)
