"""Conditions on what a span holds beside its columns, as functions of the span.

A field is what the event shows: of an object's key that was not sent the column that holds it, too
(`SHOWN_COLUMNS`). A time in the JSON is an ISO 8601 text, to the millisecond, or a number of
milliseconds. A NUL character is U+FFFD, here and in what it is compared with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from spanloom.model import MAX_TIME_NS, Filter, Json, Span
from spanloom.model.span import EVENT_FIELDS, SHOWN_COLUMNS, TOTAL_TOKENS

Predicate = Callable[[Span], bool]

# Text that every JSON writer leaves as it is, at any depth of JSON inside JSON.
PLAIN = re.compile(r"[A-Za-z0-9_]+(?: [A-Za-z0-9_]+)*")
_INDEX = re.compile("0|[1-9][0-9]{0,8}")
# Where the events view puts what went in or out and is no object.
_WRAPPED = {"inputs": "input", "outputs": "output"}
_NULL_MEANS = {"is": "not exists", "is not": "exists"}
# The operators that hold where there is no value.
HOLD_OF_NOTHING = frozenset({"not exists", "is not", "not contains"})
_ISO_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)? *([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII
)
_FRACTION = re.compile(r"\.(\d+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_field(field: str) -> bool:
    """Whether a dotted path leads into what an event holds beside its columns."""
    return field.partition(".")[0] in EVENT_FIELDS


def operator_of(asked: Filter) -> str:
    """The operator; compared with null a value is there or not."""
    return (
        _NULL_MEANS.get(asked.operator, asked.operator) if asked.value is None else asked.operator
    )


def predicate(asked: Filter) -> Predicate:
    """The condition of a filter on a field of the body. ValueError for a value that is not of the
    filter's type."""
    look, holds = value_at(asked.field), condition(asked)
    return lambda span: holds(look(span))


def condition(asked: Filter) -> Callable[[Json], bool]:
    """The condition of a filter on the value itself, None for no value. ValueError as
    `predicate`."""
    operator = operator_of(asked)
    if operator == "exists":
        return lambda value: value is not None
    if operator == "not exists":
        return lambda value: value is None
    read = _TYPES[asked.type][0]
    wanted = wanted_of(asked)
    holds = _COMPARISONS[operator]
    return lambda value: holds(read(value), wanted)


def wanted_of(asked: Filter) -> Any:
    """What a filter compares with, read as its type. ValueError where it is none."""
    return _TYPES[asked.type][1](asked.value)


def value_at(field: str) -> Callable[[Span], Json]:
    """What reads a field of the body: what was sent, else what a column shows."""
    head, *path = field.split(".")
    wrapped = _WRAPPED.get(head)
    column = SHOWN_COLUMNS.get((head, path[0])) if len(path) == 1 else None

    def look(span: Span) -> Json:
        value = getattr(span.io, head)
        steps: Sequence[str] = path
        if path and path[0] == wrapped and not isinstance(value, dict):
            steps = path[1:]
        elif field == "error" and value is None and span.status == "ERROR":
            return span.status_message or None
        value = _value_below(value, steps)
        return _shown(span, column, head, path) if value is None else value

    return look


def _value_below(value: Json, steps: Sequence[str]) -> Json:
    """What a path leads to, None for nothing. A key may have dots: then it is as many steps. Of
    several ways the one with the shortest keys counts."""
    if not steps:
        return value
    if isinstance(value, list):
        there = _INDEX.fullmatch(steps[0]) and int(steps[0]) < len(value)
        return _value_below(value[int(steps[0])], steps[1:]) if there else None
    if not isinstance(value, dict) or _INDEX.fullmatch(steps[0]):
        return None
    for end in range(1, len(steps) + 1):
        below = value.get(".".join(steps[:end]))
        if below is not None and (found := _value_below(below, steps[end:])) is not None:
            return found
    return None


def _shown(span: Span, column: str | None, head: str, path: Sequence[str]) -> Json:
    """What columns show of a field that was not sent."""
    if column is not None:
        return (
            getattr(span, column) or None
            if column in ("provider", "model", "agent_name")
            else getattr(span, column)
        )
    if (head, *path) == TOTAL_TOKENS:
        tokens = [n for n in (span.input_tokens, span.output_tokens) if n is not None]
        return sum(tokens) if tokens else None
    if path:
        return None
    found = {
        key: value
        for (of, key), name in SHOWN_COLUMNS.items()
        if of == head and (value := getattr(span, name)) not in (None, "")
    }
    return found or None


# What a value of the JSON is as a text, a number, a truth or a time; None where it is none.


def text_in(value: Json) -> str | None:
    if not isinstance(value, str):
        return None
    return value.replace("\0", "\ufffd") if "\0" in value else value


def number_in(value: Json) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _boolean_in(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _time_in(value: Json) -> float | None:
    if not isinstance(value, str):
        return number_in(value)
    if not _ISO_TIME.fullmatch(value):
        return None
    # A fraction of a second is cut to what the standard library reads.
    plain = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", value.replace("z", "Z"))
    try:
        time = datetime.fromisoformat(plain.replace(" Z", "Z").replace(" +", "+"))
    except ValueError:
        return None
    return float((time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // timedelta(milliseconds=1))


# What the other is read as.


def text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value.replace("\0", "\ufffd")  # as in what is looked at


def number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[value.lower()]
    except (AttributeError, KeyError):
        raise ValueError from None


def milliseconds(value: Json) -> int:
    """Nanoseconds of epoch milliseconds."""
    number(value)
    return _within_64_bits(int(Decimal(str(value)) * 1_000_000))


def time_ns(value: Json) -> int:
    """Nanoseconds of an ISO 8601 time (UTC unless it has a zone) or of epoch milliseconds."""
    try:
        return milliseconds(value)
    except (ValueError, ArithmeticError):
        if not isinstance(value, str):
            raise ValueError from None
    time = datetime.fromisoformat(value)
    time = time.replace(tzinfo=time.tzinfo or UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return _within_64_bits(microseconds * 1_000)


def time_ms(value: Json) -> float:
    """Milliseconds; of an ISO 8601 time whole ones."""
    try:
        return number(value)
    except ValueError:
        return float(time_ns(value) // 1_000_000)


def _within_64_bits(value: int) -> int:
    return max(-MAX_TIME_NS, min(value, MAX_TIME_NS))


_TYPES: dict[str, tuple[Callable[[Json], Any], Callable[[Json], Any]]] = {
    "string": (text_in, text),
    "number": (number_in, number),
    "boolean": (_boolean_in, boolean),
    "datetime": (_time_in, time_ms),
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda value, wanted: value is not None and value == wanted,
    "is not": lambda value, wanted: value is None or value != wanted,
    "contains": lambda value, wanted: value is not None and wanted in value,
    "not contains": lambda value, wanted: value is None or wanted not in value,
    "greater than": lambda value, wanted: value is not None and value > wanted,
    "less than": lambda value, wanted: value is not None and value < wanted,
    "after": lambda value, wanted: value is not None and value > wanted,
    "before": lambda value, wanted: value is not None and value < wanted,
}
