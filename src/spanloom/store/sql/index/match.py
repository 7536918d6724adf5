"""Filters on the JSON of events, decided on a span; and the terms that a span needs to pass one.

`spanloom.store.sql.filters` says what an operator means; this is the same without SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from spanloom.model import Filter, Json, Span
from spanloom.store.sql.index import terms
from spanloom.store.sql.index.values import paths, value_at

# The terms of one condition: it may hold where all terms of one of the sets are, or for all spans
# where this is None.
Needed = list[frozenset[str]] | None
Predicate = Callable[[Span], bool]


@dataclass(frozen=True, slots=True)
class JsonFilter:
    """A filter on a path of the JSON. `value` is what its type made of the filter's, None for a
    question of presence."""

    asked: Filter
    operator: str
    value: Any

    def holds(self, span: Span) -> bool:
        found = value_at(span, self.asked.field)
        if self.operator in ("exists", "not exists"):
            return (found is not None) == (self.operator == "exists")
        return _COMPARES[self.operator](_READ[self.asked.type](found), self.value)

    def needed(self, project: str) -> Needed:
        """Terms of paths and values; `part` of a text is not among them."""
        if self.operator in ("not exists", "is not", "not contains"):
            return None
        places = paths(self.asked.field)
        if self.operator == "is" and self.asked.type != "datetime":
            marks = [terms.value_mark(project, place, self.value) for place in places]
            found = [frozenset([mark]) for mark in marks if mark is not None]
        else:
            found = [frozenset([terms.path_mark(project, place)]) for place in places]
        return [*found, frozenset([terms.DEEP])]

    @property
    def text(self) -> str:
        """The text that the value has to contain, "" for none."""
        return str(self.value) if self.operator == "contains" else ""


def _text(value: Json) -> str | None:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else None


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not _is_boolean(value) else None


def _is_boolean(value: Json) -> bool:
    return isinstance(value, bool)


def _boolean(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


_ISO_TIME = re.compile(
    r"(?!0000)(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"(?:[T ]([01]\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.(\d+))?)?"
    r" *(?:[Zz]|([+-])(0\d|1[0-4]):([0-5]\d))?)?",
    re.ASCII,
)


def _time_ms(value: Json) -> float | None:
    """Milliseconds since 1970 of a number of them, or of an ISO 8601 text. As in SQL a day past the
    month's end is one of the next."""
    if (number := _number(value)) is not None or not isinstance(value, str):
        return number
    if not (match := _ISO_TIME.fullmatch(value)):
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    days = (date(int(year), int(month), 1) - date(1970, 1, 1)).days + int(day) - 1
    offset = (int(hours or 0) * 60 + int(minutes or 0)) * (-1 if sign == "-" else 1)
    total = (days * 24 + int(hour or 0)) * 60 + int(minute or 0) - offset
    ms = int((fraction or "")[:3].ljust(3, "0"))
    return float((total * 60 + int(second or 0)) * 1000 + ms)


_READ: dict[str, Callable[[Json], Any]] = {
    "string": _text,
    "number": _number,
    "boolean": _boolean,
    "datetime": _time_ms,
}

# The value found, None where it is of another type, and the filter's.
_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda found, value: found is not None and found == value,
    "is not": lambda found, value: found is None or found != value,
    "contains": lambda found, value: found is not None and value in found,
    "not contains": lambda found, value: found is None or value not in found,
    "greater than": lambda found, value: found is not None and found > value,
    "less than": lambda found, value: found is not None and found < value,
    "after": lambda found, value: found is not None and found > value,
    "before": lambda found, value: found is not None and found < value,
}
