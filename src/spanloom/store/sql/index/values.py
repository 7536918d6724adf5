"""The JSON values of an event as the events view shows them, read from a span.

They are at least those that `spanloom.store.sql.predicates` finds in it.
"""

from __future__ import annotations

from spanloom.model import Json, Span
from spanloom.model.span import SHOWN_COLUMNS, TOTAL_TOKENS

# Where the events view puts what went in or out and is no object.
_WRAPPED = {"inputs": "input", "outputs": "output"}
_HEADS = frozenset(head for head, _ in (*SHOWN_COLUMNS, TOTAL_TOKENS))
# The fields that may have a value where the client sent none.
SHOWN_HEADS = _HEADS | {"error"}


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
    """The paths in `shown_values` at which a field may stand."""
    head, *steps = field.replace("\0", "\ufffd").split(".")
    found = [".".join((head, *steps))]
    if steps and steps[0] == _WRAPPED.get(head):
        found.append(".".join((head, *steps[1:])))
    return found
