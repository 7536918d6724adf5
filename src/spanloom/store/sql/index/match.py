"""The terms that a span needs to pass a filter on the JSON of events.

`spanloom.store.sql.predicates` decides whether it does.
"""

from __future__ import annotations

from spanloom.model import Filter
from spanloom.store.sql import predicates
from spanloom.store.sql.index import terms
from spanloom.store.sql.index.values import paths

# The terms of one condition: it may hold where all terms of one of the sets are, or for all spans
# where this is None.
Needed = list[frozenset[str]] | None


def needed(project: str, asked: Filter) -> Needed:
    """Terms of paths and values; the words of a text are not among them."""
    operator = predicates.operator_of(asked)
    if operator in predicates.HOLD_OF_NOTHING:
        return None
    places = paths(asked.field)
    if operator == "is" and asked.type != "datetime":
        value = predicates.wanted_of(asked)
        marks = (
            terms.value_mark(project, place, value) or terms.path_mark(project, place)
            for place in places
        )
        found = [frozenset([mark]) for mark in marks]
    else:
        found = [frozenset([terms.path_mark(project, place)]) for place in places]
    return [*found, frozenset([terms.DEEP])]


def contained(asked: Filter) -> str:
    """The text that the value has to contain, "" for none."""
    return str(predicates.wanted_of(asked)) if asked.operator == "contains" else ""
