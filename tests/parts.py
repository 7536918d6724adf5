"""A span's parts from one flat mapping of their fields, so that a test names only what it is
about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from spanloom.adapters.restore import restore
from spanloom.genai.read import genai_messages
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.stored import messages_json
from spanloom.model import GenAi, Io, Span, TraceFacts
from spanloom.model.genai import Agent, Compaction, Handoff, Tool, Usage
from spanloom.model.span import Party, PromptUse, Variable
from spanloom.store.sql import rows, tables
from spanloom.store.sql.reading import SPAN_NAMES, SpanReader

READER = SpanReader(restore)
# Fields that are parts of their own.
MADE: Mapping[str, Any] = {
    "tool": Tool,
    "agent": Agent,
    "compaction": Compaction,
    "handoff": Handoff,
    "prompt": PromptUse,
    "user": Party,
    "organization": Party,
}


# Messages in the JSON of any dialect, and who says those without a role.
MESSAGES = {"input_messages": USER, "output_messages": ASSISTANT}


def names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def parts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `Span`: fields of `Io`, `GenAi` (also those of its `Usage`), `TraceFacts` and
    `Span` by their names.

    Objects stand for the small parts inside: {"tool": {"name": "look"}}. `sent` is what an adapter
    of that name keeps.
    """
    given: dict[str, dict[str, Any]] = {"io": {}, "genai": {}, "trace": {}, "usage": {}}
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name in MADE and value is not None:
            value = MADE[name](**value)
        elif isinstance(value, list) and name in ("content_refs", "evaluators"):
            value = tuple(value)
        elif name in MESSAGES:
            value = tuple(genai_messages(value, MESSAGES[name]))
        elif name == "variables":
            value = tuple(Variable(**variable) for variable in value)
        part = next((part for part, held in HELD.items() if name in held), None)
        if part is None:
            found[name] = value
        else:
            given[part][name] = value
    if given["usage"]:
        given["genai"]["usage"] = Usage(**given["usage"])
    for name, kind in (("io", Io), ("genai", GenAi), ("trace", TraceFacts)):
        if given[name]:
            found[name] = kind(**given[name])
    assert found.keys() <= names(Span), found
    return found


HELD = {
    "io": names(Io),
    "genai": names(GenAi),
    "trace": names(TraceFacts),
    "usage": names(Usage),
}


def flat(span: Span) -> dict[str, Any]:
    """What a span says beside its columns, by field; the other way round, for assertions."""
    singles = ("status_message", "error_type", "log_type", "start_unknown")
    found: dict[str, Any] = {name: getattr(span, name) for name in singles}
    for part in (span.io, span.genai, span.trace):
        found |= {field.name: _plain(getattr(part, field.name)) for field in fields(part)}
    found |= {name: messages_json(getattr(span.genai, name)) or None for name in MESSAGES}
    return {name: value for name, value in found.items() if value not in NOTHING}


NOTHING: Any = (None, "", (), False)


def _plain(value: Any) -> Any:
    """The value as JSON; of a part what it says."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value] or None
    if not is_dataclass(value):
        return value
    said = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: inner for name, inner in said.items() if inner not in NOTHING}


def tool_of(span: Span) -> Tool:
    assert span.genai.tool is not None
    return span.genai.tool


def through_a_row(span: Span) -> Span:
    """The span as a store gives it back: written as a row and read from it."""
    [found] = as_read(rows.span_rows("p", [span]))
    return found


def as_read(made: rows.SpanRows) -> list[Span]:
    """The spans of rows that were made, in their order."""
    contents = {digest: content for _, digest, content in made.envelopes}
    found = []
    for row, (_, adapter, sent, envelope, updates) in zip(made.spans, made.bodies, strict=True):
        told = dict(zip(tables.spans.c.keys(), row, strict=True))
        columns = (told[name] for name in SPAN_NAMES)
        body = (adapter, sent, contents.get(envelope), updates)
        found.append(READER.to_span([*columns, *body, told["version"], envelope is not None, 0]))
    return found
