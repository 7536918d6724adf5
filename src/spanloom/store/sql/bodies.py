"""A span's parts as the one JSON object of the column `body`, and back.

    the fields of `Io`              at the top, under their names, where filters look for them
    status_message, error_type, log_type, instrumentation, conversation_name, start_unknown, updated
                                    columns of the model that no table has
    genai, trace                    objects of the parts' own fields
    sent                            {"adapter": name, and what that adapter keeps}

What a part does not say is left out. `sent` is in every body; one without it was written by an
earlier version, and is lifted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, NamedTuple

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
_MESSAGES = ("input_messages", "output_messages")
_PARTS = (GenAi, TraceFacts, Tool, Agent, Usage, Compaction, Handoff, PromptUse, Variable, Party)

# Fields are read several at a time, by native code: each span that is written or read passes here.
_io_values = attrgetter(*IO_FIELDS)
_single_values = attrgetter(*SINGLES)
_NO_SINGLES = tuple(SINGLES.values())
_SINGLE_NAMES = frozenset(SINGLES)


def body_of(span: Span) -> dict[str, Json]:
    """The body of a span."""
    body: dict[str, Json] = {
        name: value
        for name, value in zip(IO_FIELDS, _io_values(span.io), strict=True)
        if value is not None
    }
    singles = _single_values(span)
    if singles != _NO_SINGLES:
        for (name, default), value in zip(SINGLES.items(), singles, strict=True):
            if value != default:
                body[name] = value
    body |= objects_of(span)
    body["sent"] = {"adapter": span.sent.adapter, **span.sent.fields}
    return body


def objects_of(span: Span) -> dict[str, dict[str, Json]]:
    """The parts of the body that are objects of the parts' own fields."""
    found: dict[str, dict[str, Json]] = {}
    if span.genai is not NO_GENAI and (genai := _plain(span.genai)):
        found["genai"] = genai
    if span.trace is not NO_TRACE and (trace := _plain(span.trace)):
        found["trace"] = trace
    return found


def parts_of(body: dict[str, Json]) -> dict[str, Any]:
    """The fields of `Span` that `body_of` made this of; what is inside the body is used up."""
    get = body.get
    parts: dict[str, Any] = {"io": Io(*map(get, IO_FIELDS))}
    if not _SINGLE_NAMES.isdisjoint(body):
        for name in SINGLES:
            if name in body:
                parts[name] = body[name]
        if "updated" in parts:
            parts["updated"] = tuple(parts["updated"])
    if genai := get("genai"):
        parts["genai"] = _made(GenAi, genai)
    if trace := get("trace"):
        parts["trace"] = _made(TraceFacts, trace)
    sent = body["sent"]
    adapter = sent.pop("adapter")
    if sent:
        parts["sent"] = Sent(adapter, sent)
    else:
        parts["sent"] = _BARE.get(adapter) or _BARE.setdefault(adapter, Sent(adapter))
    return parts


# Shared by all spans of which an adapter keeps no more than its name.
_BARE: dict[str, Sent] = {"": NO_SENT}


class _Shape(NamedTuple):
    """The fields of a part: their names, their values of one, and what they are where it does not
    say them."""

    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    defaults: tuple[Any, ...]


def _shape(kind: type) -> _Shape:
    names = tuple(field.name for field in fields(kind))
    defaults = (None if field.default is MISSING else field.default for field in fields(kind))
    return _Shape(names, attrgetter(*names), tuple(defaults))


_SHAPES = {kind: _shape(kind) for kind in _PARTS}
_NAMES = {kind: frozenset(shape.names) for kind, shape in _SHAPES.items()}


def _plain(part: Any) -> dict[str, Json]:
    """A part as JSON without what it does not say, which is None or as empty as its default."""
    out: dict[str, Json] = {}
    names, values, defaults = _SHAPES[type(part)]
    for name, value, default in zip(names, values(part), defaults, strict=True):
        if value is default or value is None or not (value or default is None):
            continue
        out[name] = _WRITTEN[name](value) if name in _WRITTEN else value
    return out


def _plain_all(parts: Iterable[Any]) -> list[Json]:
    return [_plain(part) for part in parts]


# How fields that are no JSON are written, whatever part has them.
_WRITTEN: dict[str, Callable[[Any], Json]] = {
    **dict.fromkeys(_MESSAGES, messages_json),
    **dict.fromkeys(("tool", "agent", "usage", "compaction", "handoff", "prompt"), _plain),
    **dict.fromkeys(("user", "organization"), _plain),
    "variables": _plain_all,
}


def _made(kind: type[Any], values: Mapping[str, Json]) -> Any:
    """The part that `_plain` wrote. A field that a newer version wrote is left out."""
    known = _NAMES[kind]
    return kind(
        **{
            name: _READ[name](value) if name in _READ else value
            for name, value in values.items()
            if name in known
        }
    )


def _maker(kind: type) -> Callable[[Json], Any]:
    return lambda value: _made(kind, value)


# How they are read again.
_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_MESSAGES, StoredMessages),
    "tool": _maker(Tool),
    "agent": _maker(Agent),
    "usage": _maker(Usage),
    "compaction": _maker(Compaction),
    "handoff": _maker(Handoff),
    "prompt": _maker(PromptUse),
    "content_refs": tuple,
    "evaluators": tuple,
    "user": _maker(Party),
    "organization": _maker(Party),
    "variables": lambda items: tuple(_made(Variable, item) for item in items),
}
