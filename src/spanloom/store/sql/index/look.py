"""A look at the bytes of what was sent, which is a tenth of the work of reading the span: it leaves
out spans in which a text or a key cannot be.

All bytes are looked at, those around the message and its updates among them. Where letters may be
written as escapes a span is not left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import ColumnElement, false, func, or_

from spanloom.model import Filter
from spanloom.model.folding import folded
from spanloom.model.span import EVENT_OBJECTS, SHOWN_COLUMNS, TOTAL_TOKENS
from spanloom.store.sql import predicates
from spanloom.store.sql.database import Database
from spanloom.store.sql.index.terms import without_escapes
from spanloom.store.sql.tables import spans

# Columns that are not always in what was sent.
_TEXTS = (spans.c.name, spans.c.agent_name, spans.c.provider, spans.c.model)
# Numbers are sent in several forms; so are the words that JSON has for what is no text.
_LETTERS = re.compile("[A-Za-z]{3,}")
_WORDS_OF_JSON = frozenset({"true", "false", "null", "nan", "infinity"})
_KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = re.compile(rb"\\[uxNU0-7]")
# Where messages say something else in other words, all of them are read.
_LIFTED = b'"sent":'


class Sent(NamedTuple):
    """What is looked at: the columns of `bodies`, the message decompressed."""

    adapter: str
    message: bytes
    envelope: bytes
    updates: str


class Look(NamedTuple):
    """Whether a span may be one that is looked for: where its columns are such, or what was sent
    is."""

    columns: ColumnElement[bool]
    sent: Callable[[Sent], bool]


def for_text(database: Database, text: str) -> Look | None:
    """Whether a span may say a text, whatever the case of ASCII letters; None where the bytes do
    not tell."""
    runs = set(_LETTERS.findall(folded(without_escapes(text)))) - _WORDS_OF_JSON
    if not runs:
        return None
    run = max(runs, key=len)
    columns = (database.contains(func.lower(column), run) for column in _TEXTS)
    sought = run.encode()
    return Look(or_(*columns), lambda sent: _may_hold(sent, lambda found: sought in found.lower()))


def for_filter(asked: Filter) -> Look | None:
    """The same of a filter on a field: the last key of its path is in the bytes of a message that
    has a value there. A field that columns show has none: SQL decides on the columns."""
    head, *steps = asked.field.split(".")
    if (
        predicates.operator_of(asked) in predicates.HOLD_OF_NOTHING
        or head not in EVENT_OBJECTS
        or not steps
        or not _KEY.fullmatch(steps[-1])
        or (head, *steps) == TOTAL_TOKENS
        or (len(steps) == 1 and (head, steps[0]) in SHOWN_COLUMNS)
    ):
        return None
    key = steps[-1].encode()
    return Look(false(), lambda sent: _may_hold(sent, lambda found: key in found))


def _may_hold(sent: Sent, holds: Callable[[bytes], bool]) -> bool:
    message = sent.message
    if holds(message) or (not sent.adapter and _LIFTED not in message):
        return True
    if b"\\" in message and _ESCAPES.search(message):
        return True
    return bool(
        (sent.updates and holds(sent.updates.encode())) or (sent.envelope and holds(sent.envelope))
    )
