"""The JSON values of an event as the events view shows them, read from a span."""

from __future__ import annotations

import re

from spanloom.model import Json, Span
from spanloom.model.span import SHOWN_COLUMNS, TOTAL_TOKENS

# A step that is a place in a list; every other is a key.
PLACE = re.compile("0|[1-9][0-9]{0,8}")
# Where the events view puts what went in or out and is no object.
_WRAPPED = {"inputs": "input", "outputs": "output"}
_HEADS = frozenset(head for head, _ in (*SHOWN_COLUMNS, TOTAL_TOKENS))


def shown_values(span: Span, head: str) -> list[Json]:
    """The value of one of EVENT_FIELDS, with what columns show where the client sent nothing; of a
    value that is no object, it and what columns show."""
    sent: Json = getattr(span.io, head)
    if head == "error" and sent is None and span.status == "ERROR":
        return [span.status_message or None]
    shown = _of_columns(span, head)
    if not shown:
        return [sent]
    if sent is None or isinstance(sent, dict):
        told = {key: value for key, value in (sent or {}).items() if value is not None}
        return [{**shown, **told}]
    return [sent, shown]


def _of_columns(span: Span, head: str) -> dict[str, Json]:
    if head not in _HEADS:
        return {}
    shown: dict[str, Json] = {
        key: value
        for (of, key), name in SHOWN_COLUMNS.items()
        if of == head and (value := getattr(span, name)) not in (None, "")
    }
    tokens = [float(n) for n in (span.input_tokens, span.output_tokens) if n is not None]
    if tokens and head == TOTAL_TOKENS[0]:
        shown[TOTAL_TOKENS[1]] = sum(tokens)
    return shown


def paths(field: str) -> list[str]:
    """The paths in `shown_value` at which a field may stand."""
    head, *steps = field.replace("\0", "\ufffd").split(".")
    found = [".".join((head, *steps))]
    if steps and steps[0] == _WRAPPED.get(head):
        found.append(".".join((head, *steps[1:])))
    return found


def value_at(span: Span, field: str) -> Json:
    """The value of a field, a dotted path whose first step is one of EVENT_FIELDS."""
    head, *steps = field.replace("\0", "\ufffd").split(".")
    value, *shown = shown_values(span, head)
    if steps and steps[0] == _WRAPPED.get(head) and not isinstance(value, dict):
        steps = steps[1:]
    found = _at(value, steps)
    return _at(shown[0], steps) if found is None and shown else found


def _at(value: Json, steps: list[str]) -> Json:
    for step in steps:
        is_place = PLACE.fullmatch(step)
        if isinstance(value, dict):
            value = None if is_place else _member(value, step)
        elif isinstance(value, (list, tuple)):
            value = value[int(step)] if is_place and int(step) < len(value) else None
        else:
            return None
    return value


def _member(members: dict[str, Json], key: str) -> Json:
    """The member of a key, of which NUL is U+FFFD."""
    if key in members or "\ufffd" not in key:
        return members.get(key)
    return next((v for k, v in members.items() if k.replace("\0", "\ufffd") == key), None)
