"""A span's parts as the one JSON object of the column `body`, and back.

    the fields of `Io`              at the top, under their names, where filters look for them
    status_message, error_type, log_type, instrumentation, conversation_name, start_unknown, updated
                                    columns of the model that no table has
    genai, trace                    objects of the parts' own fields
    sent                            {"adapter": name, and what that adapter keeps}

What a part does not say is left out. `sent` is in every body; one without it was written by an earlier version, and is lifted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from spanloom.genai.stored import StoredMessages, messages_json
from spanloom.model import Json, Span
from spanloom.model.genai import Agent, Compaction, Handoff, Tool, Usage
from spanloom.model.span import (
    NO_GENAI,
    NO_SENT,
    NO_TRACE,
    GenAi,
    Io,
    Party,
    PromptUse,
    Sent,
    TraceFacts,
    Variable,
)

IO_FIELDS = tuple(field.name for field in fields(Io))
# The fields of `Span` without a column in the table.
SINGLES = {
    "status_message": "",
    "error_type": "",
    "log_type": "",
    "instrumentation": "",
    "conversation_name": "",
    "start_unknown": False,
    "updated": (),
}


def body_of(span: Span) -> dict[str, Json]:
    """The body of a span."""
    io = span.io
    body: dict[str, Json] = {
        name: value for name in IO_FIELDS if (value := getattr(io, name)) is not None
    }
    for name, default in SINGLES.items():
        if (value := getattr(span, name)) != default:
            body[name] = value
    if span.genai is not NO_GENAI and (genai := _plain(span.genai)):
        body["genai"] = genai
    if span.trace is not NO_TRACE and (trace := _plain(span.trace)):
        body["trace"] = trace
    body["sent"] = {"adapter": span.sent.adapter, **span.sent.fields}
    return body


def parts_of(body: Mapping[str, Json]) -> dict[str, Any]:
    """The fields of `Span` that `body_of` made this of."""
    get = body.get
    parts: dict[str, Any] = {"io": Io(*map(get, IO_FIELDS))}
    for name in body.keys() & SINGLES.keys():
        parts[name] = body[name]
    if "updated" in parts:
        parts["updated"] = tuple(parts["updated"])
    if genai := get("genai"):
        parts["genai"] = _made(GenAi, genai)
    if trace := get("trace"):
        parts["trace"] = _made(TraceFacts, trace)
    sent = body["sent"]
    adapter = sent["adapter"]
    if len(sent) > 1:
        fields_of = {name: value for name, value in sent.items() if name != "adapter"}
        parts["sent"] = Sent(adapter, fields_of)
    else:
        parts["sent"] = _BARE.get(adapter) or _BARE.setdefault(adapter, Sent(adapter))
    return parts


# Shared by all spans of which an adapter keeps no more than its name.
_BARE: dict[str, Sent] = {"": NO_SENT}


def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, None if field.default is MISSING else field.default) for field in fields(kind)
    )


_MESSAGES = ("input_messages", "output_messages")
_PARTS = (GenAi, TraceFacts, Tool, Agent, Usage, Compaction, Handoff, PromptUse, Variable, Party)
_DEFAULTS = {kind: _defaults(kind) for kind in _PARTS}
_NAMES = {kind: frozenset(name for name, _ in defaults) for kind, defaults in _DEFAULTS.items()}


def _plain(part: Any) -> dict[str, Json]:
    """A part as JSON, without what it does not say."""
    out: dict[str, Json] = {}
    for name, default in _DEFAULTS[type(part)]:
        value = getattr(part, name)
        if value is default or (name not in _MESSAGES and value == default):
            continue
        kind = type(value)
        if kind in _DEFAULTS:
            value = _plain(value)
        elif name in _MESSAGES:
            if not (value := messages_json(value)):
                continue
        elif kind is tuple:
            value = [_plain(item) if type(item) in _DEFAULTS else item for item in value]
        out[name] = value
    return out


def _made(kind: type[Any], values: Mapping[str, Json]) -> Any:
    """A part of what `_plain` made of it. A field that a newer version wrote is left out."""
    known = _NAMES[kind]
    if not values.keys() <= known:
        values = {name: value for name, value in values.items() if name in known}
    made = _INSIDE.get(kind)
    if made is not None and not made.keys().isdisjoint(values):
        values = {
            name: made[name](value) if name in made else value for name, value in values.items()
        }
    return kind(**values)


def _maker(kind: type) -> Callable[[Json], Any]:
    return lambda value: _made(kind, value)


_INSIDE: dict[type, dict[str, Callable[[Json], Any]]] = {
    GenAi: {
        **dict.fromkeys(_MESSAGES, StoredMessages),
        "tool": _maker(Tool),
        "agent": _maker(Agent),
        "usage": _maker(Usage),
        "compaction": _maker(Compaction),
        "handoff": _maker(Handoff),
        "prompt": _maker(PromptUse),
        "content_refs": tuple,
        "variables": lambda items: tuple(_made(Variable, item) for item in items),
    },
    TraceFacts: {"user": _maker(Party), "organization": _maker(Party), "evaluators": tuple},
}
