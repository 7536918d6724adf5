"""A look at the bytes of what was sent, which is a tenth of the work of reading the span: it leaves
out spans in which a text or a key cannot be.

All bytes are looked at, those around the message and its updates among them. Where letters may be
written as escapes a span is not left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from spanloom.model import Filter
from spanloom.model.folding import folded
from spanloom.model.span import EVENT_OBJECTS, SHOWN_COLUMNS, TOTAL_TOKENS
from spanloom.store.sql import predicates
from spanloom.store.sql.index.terms import without_escapes
from spanloom.store.sql.reading import SPAN_NAMES, message_of

# Whether a row of `select_whole` may be of a span that is looked for.
Look = Callable[[Sequence[Any]], bool]

# Columns that are not always in what was sent.
_TEXTS = [SPAN_NAMES.index(name) for name in ("name", "agent_name", "provider", "model")]
_ADAPTER, _ENVELOPE, _UPDATES = 18, 20, 21
# Numbers are sent in several forms; so are the words that JSON has for what is no text.
_LETTERS = re.compile("[A-Za-z]{3,}")
_WORDS_OF_JSON = frozenset({"true", "false", "null", "nan", "infinity"})
_KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = re.compile(rb"\\[uxNU0-7]")
# Where messages say something else in other words, all of them are read.
_LIFTED = b'"sent":'


def for_text(text: str) -> Look | None:
    """Whether a span may say a text, whatever the case of ASCII letters; None where the bytes do
    not tell."""
    runs = set(_LETTERS.findall(folded(without_escapes(text)))) - _WORDS_OF_JSON
    if not runs:
        return None
    run = max(runs, key=len).encode()

    def look(row: Sequence[Any]) -> bool:
        columns = "\n".join([row[at] for at in _TEXTS]).encode().lower()
        return run in columns or _may_hold(row, lambda found: run in found.lower())

    return look


def for_filter(asked: Filter) -> Look | None:
    """The same of a filter on a field: the last key of its path is in the bytes of a message that
    has a value there. Where it is not, a column that is shown in its place decides."""
    head, *steps = asked.field.split(".")
    if (
        predicates.operator_of(asked) in predicates.HOLD_OF_NOTHING
        or head not in EVENT_OBJECTS
        or not steps
        or not _KEY.fullmatch(steps[-1])
        or (head, *steps) == TOTAL_TOKENS
    ):
        return None
    key = steps[-1].encode()
    shown = SHOWN_COLUMNS.get((head, steps[0])) if len(steps) == 1 else None
    if shown is None:
        return lambda row: _may_hold(row, lambda found: key in found)
    column, holds = SPAN_NAMES.index(shown), predicates.condition(asked)

    def look(row: Sequence[Any]) -> bool:
        value = row[column]
        return holds(None if value == "" else value) or _may_hold(row, lambda found: key in found)

    return look


def _may_hold(row: Sequence[Any], holds: Callable[[bytes], bool]) -> bool:
    sent = message_of(row)
    if holds(sent) or (not row[_ADAPTER] and _LIFTED not in sent):
        return True
    if b"\\" in sent and _ESCAPES.search(sent):
        return True
    updates, envelope = row[_UPDATES], row[_ENVELOPE]
    return bool((updates and holds(updates.encode())) or (envelope and holds(envelope)))
