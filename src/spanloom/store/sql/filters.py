"""Filters on events, as SQL: tables of fields, types and operators.

A field is a column, a path into the body, or both (`SHOWN_COLUMNS`): where the client did not send
the value in the body, the column is compared, as the views of events show it.

A condition compares the field's value of the condition's type. A value of another type is unlike
any other: it is not equal to it, contains nothing and is neither less nor more. Absent and null are
one, and `is not` and `not contains` hold for them. Text is compared by bytes. A time in the JSON is
an ISO 8601 text, to the millisecond, or a number of milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    not_,
    null,
    or_,
)

from spanloom import errors
from spanloom.model import MAX_TIME_NS, EventQuery, Filter, Json
from spanloom.model.span import EVENT_FIELDS, SHOWN_COLUMNS, TOTAL_TOKENS
from spanloom.store.sql.database import Database, JsonValue
from spanloom.store.sql.rows import check_texts
from spanloom.store.sql.tables import spans

Condition = ColumnElement[bool]

# Text that every JSON writer leaves as it is, at any depth of JSON inside JSON.
PLAIN = re.compile(r"[A-Za-z0-9_]+(?: [A-Za-z0-9_]+)*")
_INDEX = re.compile("0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class _Operand:
    """A field in a condition: whether it is there, and, a type it can be compared as, its value and
    how the other is read.

    `beside` is the column of each type that holds the value of a field of the body where the body
    does not.
    """

    present: Condition
    values: Mapping[str, tuple[ColumnElement[Any], Callable[[Json], Any]]]
    beside: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)


def conditions(database: Database, query: EventQuery) -> list[Condition]:
    """What the WHERE clause of a query holds, beside the project. INVALID_ARGUMENT names
    `filters[n].part`."""
    found = [_condition(database, asked) for asked in query.filters]
    if query.since_ns is not None:
        found.append(spans.c.start_ns >= query.since_ns)
    if query.until_ns is not None:
        found.append(spans.c.start_ns <= query.until_ns)
    return found


def number_of(database: Database, field: str, name: str) -> ColumnElement[Any]:
    """A field of events as a number (times in milliseconds), SQL NULL where it is none.
    INVALID_ARGUMENT for `name`."""
    operand = _operand(database, field)
    if operand is None or "number" not in operand.values:
        raise errors.invalid_field(name, f"{field!r} is not a numeric field")
    column = operand.values["number"][0]
    return column / 1e6 if field in ("start_time", "end_time") else column


def text_of(database: Database, field: str, name: str) -> ColumnElement[Any]:
    """A field of events as a text, "" where it is none. INVALID_ARGUMENT for `name`."""
    operand = _operand(database, field)
    if operand is None or "string" not in operand.values:
        raise errors.invalid_field(name, f"{field!r} is not a text field")
    text: ColumnElement[Any] = func.coalesce(operand.values["string"][0], "")
    if "number" in operand.values:
        number = cast(operand.values["number"][0], Text)
        truth = case(
            (operand.values["boolean"][0], "true"), (~operand.values["boolean"][0], "false")
        )
        text = func.coalesce(operand.values["string"][0], number, truth, "")
    return text


def _condition(database: Database, asked: Filter) -> Condition:
    def invalid(part: str, description: str) -> errors.SpanloomError:
        return errors.invalid_field(f"filters[{asked.position}].{part}", description)

    if asked.type not in _OPERATORS:
        raise invalid("type", f"must be one of {_list(_OPERATORS)}")
    if asked.operator not in _OPERATORS[asked.type]:
        raise invalid(
            "operator", f"must be one of {_list(_OPERATORS[asked.type])} for type {asked.type}"
        )
    texts = {"field": asked.field, "value": asked.value if isinstance(asked.value, str) else ""}
    check_texts(f"filters[{asked.position}]", {k: v.replace("\0", "") for k, v in texts.items()})
    operand = _operand(database, asked.field)
    if operand is None:
        raise invalid(
            "field", f"must be one of {_list(_COLUMNS)}, or a dotted path into {_list(_BODY)}"
        )

    operator = asked.operator
    if asked.value is None and operator in _NULL_MEANS:
        operator = _NULL_MEANS[operator]
    if operator in _PRESENCE:
        return _PRESENCE[operator](operand.present)
    if asked.type not in operand.values:
        raise invalid("type", f"must be one of {_list(operand.values)} for {asked.field}")
    compared, read = operand.values[asked.type]
    try:
        value = read(asked.value)
    except (ValueError, OverflowError):
        raise invalid("value", f"must be a {asked.type}") from None
    condition = _COMPARISONS[operator](database, compared, value)
    if asked.field in _COLUMNS or operator in _HOLD_FOR_NULL:
        return condition
    # A look at the text first, for the value or else for a key: few bodies have to be parsed.
    keys = (step for step in asked.field.split(".")[1:] if not _INDEX.fullmatch(step))
    wanted = PLAIN.findall(value if isinstance(value, str) else ".".join(keys))
    if not wanted:
        return condition
    may_hold = database.contains(spans.c.body, max(wanted, key=len))
    if (column := operand.beside.get(asked.type)) is not None:
        may_hold = or_(_COMPARISONS[operator](database, column, value), may_hold)
    return and_(may_hold, condition)


def _operand(database: Database, field: str) -> _Operand | None:
    if field in _COLUMNS:
        return _COLUMNS[field]
    head, *rest = field.replace("\0", "\ufffd").split(".")
    if head not in _BODY:
        return None
    path = [int(step) if _INDEX.fullmatch(step) else step for step in rest]
    value = database.json(spans.c.body, [head, *path])
    if rest and rest[0] == _WRAPPED.get(head):
        bare = database.json(spans.c.body, [head, *path[1:]])
        value = _either(database.json(spans.c.body, [head]).keyed, value, bare)
    elif field == "error":
        said = database.json(spans.c.body, ["status_message"])
        value = _either(or_(spans.c.status != "ERROR", value.present), value, said)
    present = value.present
    beside: dict[str, ColumnElement[Any]] = {}
    if (head, *rest) in _SHOWN:
        shown, beside = _SHOWN[head, rest[0]]
        value = _else_shown(database.contains(spans.c.body, f'"{rest[0]}":'), value, shown)
        present = value.present
    elif not rest:
        present = or_(
            present, *(shown.present for at, (shown, _) in _SHOWN.items() if at[0] == head)
        )
    return _Operand(
        present,
        {
            "string": (value.text, _string),
            "number": (value.number, _number),
            "boolean": (value.boolean, _boolean),
            "datetime": (func.coalesce(value.number, database.time_ms(value.text)), _time_ms),
        },
        beside,
    )


def _either(holds: Condition, first: JsonValue, second: JsonValue) -> JsonValue:
    """The first where it holds, else the second."""
    return JsonValue(
        *(case((holds, one), else_=other) for one, other in zip(first, second, strict=True))
    )


def _else_shown(has_key: Condition, sent: JsonValue, shown: JsonValue) -> JsonValue:
    """What was sent, else what a column shows. A body that nowhere has the key is not parsed, and
    one that has a value of the type is not asked for one of another type."""
    absent = not_(sent.present)

    def either(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((has_key, func.coalesce(one, case((absent, other)))), else_=other)

    return JsonValue(
        either(sent.text, shown.text),
        either(sent.number, shown.number),
        either(sent.boolean, shown.boolean),
        or_(shown.present, and_(has_key, sent.present)),
        and_(has_key, sent.filled),
        and_(has_key, sent.keyed),
    )


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value.replace("\0", "\ufffd")  # as in `Database.readable`


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[value.lower()]
    except (AttributeError, KeyError):
        raise ValueError from None


def _milliseconds(value: Json) -> int:
    """Nanoseconds of epoch milliseconds."""
    _number(value)
    return _within_64_bits(int(Decimal(str(value)) * 1_000_000))


def _time(value: Json) -> int:
    """Nanoseconds of an ISO 8601 time (UTC unless it has a zone) or of epoch milliseconds."""
    try:
        return _milliseconds(value)
    except (ValueError, ArithmeticError):
        if not isinstance(value, str):
            raise ValueError from None
    time = datetime.fromisoformat(value)
    time = time.replace(tzinfo=time.tzinfo or UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return _within_64_bits(microseconds * 1_000)


def _time_ms(value: Json) -> float:
    """Milliseconds; of an ISO 8601 time whole ones, as `Database.time_ms` has them."""
    try:
        return _number(value)
    except ValueError:
        return float(_time(value) // 1_000_000)


def _within_64_bits(value: int) -> int:
    return max(-MAX_TIME_NS, min(value, MAX_TIME_NS))


def _text_column(column: ColumnElement[Any]) -> _Operand:
    return _Operand(column != "", {"string": (column, _string)})


def _time_column(column: ColumnElement[Any]) -> _Operand:
    return _Operand(
        column.is_not(None), {"number": (column, _milliseconds), "datetime": (column, _time)}
    )


# The fields of an event that have a column.
_COLUMNS: dict[str, _Operand] = {
    "event_id": _text_column(spans.c.event_id),
    "event_type": _text_column(spans.c.kind),
    "event_name": _text_column(spans.c.name),
    "session_id": _text_column(spans.c.session_id),
    # As the events view has it: the parent of a root is the session.
    "parent_id": _text_column(
        case(
            (
                and_(
                    spans.c.parent_id == "",
                    spans.c.kind != "session",
                    spans.c.event_id != spans.c.session_id,
                ),
                spans.c.session_id,
            ),
            else_=spans.c.parent_id,
        )
    ),
    "start_time": _time_column(spans.c.start_ns),
    "end_time": _time_column(spans.c.end_ns),
    "duration": _Operand(
        spans.c.duration_ms.is_not(None), {"number": (spans.c.duration_ms, _number)}
    ),
}

# The fields of an event that stand in the body.
_BODY = EVENT_FIELDS

_NO_TEXT: ColumnElement[Any] = cast(null(), Text)
_NO_NUMBER: ColumnElement[Any] = cast(null(), Double)
_NO_BOOLEAN: ColumnElement[Any] = cast(null(), Boolean)


def _shown_text(column: ColumnElement[Any]) -> tuple[JsonValue, dict[str, ColumnElement[Any]]]:
    text = case((column != "", column))
    shown = JsonValue(text, _NO_NUMBER, _NO_BOOLEAN, column != "", false(), false())
    return shown, {"string": text}


def _shown_number(column: ColumnElement[Any]) -> tuple[JsonValue, dict[str, ColumnElement[Any]]]:
    number = cast(column, Double)
    shown = JsonValue(_NO_TEXT, number, _NO_BOOLEAN, column.is_not(None), false(), false())
    return shown, {"number": number, "datetime": number}


def _total_tokens() -> ColumnElement[Any]:
    # As numbers with a floating point, which do not overflow.
    found, made = (cast(c, Double) for c in (spans.c.input_tokens, spans.c.output_tokens))
    return func.coalesce(found + made, found, made)


# What columns show of an event's objects, as JSON and by type.
_SHOWN = {
    **{
        at: (_shown_text if isinstance(spans.c[name].type, Text) else _shown_number)(spans.c[name])
        for at, name in SHOWN_COLUMNS.items()
    },
    TOTAL_TOKENS: _shown_number(_total_tokens()),
}

# Where the events view puts what went in or out and is no object.
_WRAPPED = {"inputs": "input", "outputs": "output"}

_OPERATORS: dict[str, Sequence[str]] = {
    "string": ("exists", "not exists", "is", "is not", "contains", "not contains"),
    "number": ("exists", "not exists", "is", "is not", "greater than", "less than"),
    "boolean": ("exists", "not exists", "is"),
    "datetime": ("exists", "not exists", "is", "is not", "after", "before"),
}

_HOLD_FOR_NULL = ("is not", "not contains")

_NULL_MEANS = {"is": "not exists", "is not": "exists"}

_PRESENCE: dict[str, Callable[[Condition], Condition]] = {
    "exists": lambda present: present,
    "not exists": not_,
}

_COMPARISONS: dict[str, Callable[[Database, ColumnElement[Any], Any], Condition]] = {
    "is": lambda _, field, value: field == value,
    "is not": lambda _, field, value: field.is_distinct_from(value),
    "contains": lambda database, field, value: database.contains(field, value),
    "not contains": lambda database, field, value: not_(
        func.coalesce(database.contains(field, value), False)
    ),
    "greater than": lambda _, field, value: field > value,
    "less than": lambda _, field, value: field < value,
    "after": lambda _, field, value: field > value,
    "before": lambda _, field, value: field < value,
}


def _list(names: Any) -> str:
    return ", ".join(names)
