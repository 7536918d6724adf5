"""Filters on events: tables of fields, types and operators.

A field that is in a column alone is compared by SQL. One of the body is compared by `predicates`,
on the span as it is read. One that a column shows where the client did not send it (`SHOWN_KEYS`)
is compared by SQL in spans of which columns tell it, and by `predicates` in the others.

A condition compares the field's value of the condition's type. A value of another type is unlike
any other: it is not equal to it, contains nothing and is neither less nor more. Absent and null are
one, and `is not` and `not contains` hold for them. Text is compared by bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from spanloom import errors
from spanloom.model import EventQuery, Filter, Json
from spanloom.model.span import EVENT_FIELDS, EVERY_KEY, SHOWN_COLUMNS, SHOWN_KEYS, TOTAL_TOKENS
from spanloom.store.sql import predicates
from spanloom.store.sql.database import Database
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.predicates import Predicate
from spanloom.store.sql.rows import check_texts
from spanloom.store.sql.tables import is_text, spans

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class _Operand:
    """A column in a condition: whether it is there, and, a type it can be compared as, its value
    and how the other is read."""

    present: Condition
    values: Mapping[str, tuple[ColumnElement[Any], Callable[[Json], Any]]]


@dataclass(frozen=True, slots=True)
class OfShown:
    """A filter on a field that columns show: its condition on the columns, and the bits of
    `spans.apart` of which one tells that the span has another value."""

    asked: Filter
    condition: Condition
    masks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a query asks of columns, and what of whole spans: its filters on JSON, and a predicate
    of each. `sessions` are those that the events have to belong to (`sessions.belongs`). `of_shown`
    are asked of columns or of whole spans: `settled` decides. Of a span that `are_told` holds for
    the columns tell everything; None where there is none."""

    of_columns: Sequence[Condition]
    on_json: Sequence[Filter]
    of_spans: Sequence[Predicate]
    sessions: Sequence[str] = ()
    of_shown: Sequence[OfShown] = ()
    are_told: Condition | None = None


def settled(connection: Connection, project: str, asked: Conditions) -> Conditions:
    """The same without `of_shown`: a filter is one on columns, unless spans of the project may have
    values of their own under its field."""
    of_columns, on_json, of_spans = [*asked.of_columns], [*asked.on_json], [*asked.of_spans]
    told: list[Condition] = []
    for shown in asked.of_shown:
        is_apart = spans.c.apart.in_(shown.masks)
        some = select(literal(1)).where(spans.c.project == project, spans.c.apart != 0, is_apart)
        if connection.execute(some.limit(1)).first() is None:
            of_columns.append(shown.condition)
        else:
            of_columns.append(or_(is_apart, shown.condition))
            on_json.append(shown.asked)
            of_spans.append(predicates.predicate(shown.asked))
            told.append(not_(is_apart))
    are_told = None if asked.of_spans or not told else and_(*told)
    return Conditions(of_columns, on_json, of_spans, asked.sessions, are_told=are_told)


def conditions(database: Database, query: EventQuery) -> Conditions:
    """What a query asks, beside the project. INVALID_ARGUMENT names `filters[n].part`."""
    of_columns: list[Condition] = []
    on_json: list[Filter] = []
    of_spans: list[Predicate] = []
    sessions: list[str] = []
    of_shown: list[OfShown] = []
    for asked in query.filters:
        _check(asked)
        try:
            if _is_session(asked):
                sessions.append(predicates.text(asked.value))
            elif asked.field in _COLUMNS:
                of_columns.append(_condition(database, asked))
            elif (operand := _SHOWN.get(asked.field)) and asked.type in operand.values:
                compared = _compared_shown(database, asked, operand)
                of_shown.append(OfShown(asked, compared, _MASKS[asked.field]))
            else:
                of_spans.append(predicates.predicate(asked))
                on_json.append(asked)
        except (ValueError, OverflowError):
            raise _invalid(asked, "value", f"must be a {asked.type}") from None
    if query.since_ns is not None:
        of_columns.append(spans.c.start_ns >= query.since_ns)
    if query.until_ns is not None:
        of_columns.append(spans.c.start_ns <= query.until_ns)
    return Conditions(of_columns, on_json, of_spans, sessions, of_shown)


def _is_session(asked: Filter) -> bool:
    of_session = asked.field == "session_id" and asked.type == "string"
    return of_session and predicates.operator_of(asked) == "is"


def number_column(field: str) -> ColumnElement[Any] | None:
    """The column of a field that is a number (times in milliseconds); None where the field is of
    the body. ValueError for a column of another type."""
    operand = _COLUMNS.get(field)
    if operand is None:
        return None
    if "number" not in operand.values:
        raise ValueError
    column = operand.values["number"][0]
    return column / 1e6 if field in ("start_time", "end_time") else column


def text_column(field: str) -> ColumnElement[Any] | None:
    """The same of a text, "" where there is none."""
    operand = _COLUMNS.get(field)
    if operand is None:
        return None
    if "string" not in operand.values:
        raise ValueError
    return func.coalesce(operand.values["string"][0], "")


def _invalid(asked: Filter, part: str, description: str) -> errors.SpanloomError:
    return errors.invalid_field(f"filters[{asked.position}].{part}", description)


def _check(asked: Filter) -> None:
    """Refuse what means nothing."""
    if asked.type not in _OPERATORS:
        raise _invalid(asked, "type", f"must be one of {_list(_OPERATORS)}")
    if asked.operator not in _OPERATORS[asked.type]:
        raise _invalid(
            asked,
            "operator",
            f"must be one of {_list(_OPERATORS[asked.type])} for type {asked.type}",
        )
    texts = {"field": asked.field, "value": asked.value if isinstance(asked.value, str) else ""}
    check_texts(f"filters[{asked.position}]", {k: v.replace("\0", "") for k, v in texts.items()})
    if asked.field not in _COLUMNS and not predicates.is_field(asked.field):
        raise _invalid(
            asked,
            "field",
            f"must be one of {_list(_COLUMNS)}, or a dotted path into {_list(EVENT_FIELDS)}",
        )


def _condition(database: Database, asked: Filter) -> Condition:
    operand = _COLUMNS[asked.field]
    operator = predicates.operator_of(asked)
    if asked.type not in operand.values and operator not in _PRESENCE:
        raise _invalid(asked, "type", f"must be one of {_list(operand.values)} for {asked.field}")
    if asked.field == "event_id" and operator == "is":
        return of_events(database, [predicates.text(asked.value)])
    if asked.field == "event_name" and operator == "is":
        return is_text(spans.c.name, predicates.text(asked.value))
    return _compared(database, asked, operand)


def _compared(database: Database, asked: Filter, operand: _Operand) -> Condition:
    operator = predicates.operator_of(asked)
    if operator in _PRESENCE:
        return _PRESENCE[operator](operand.present)
    compared, read = operand.values[asked.type]
    return _COMPARISONS[operator](database, compared, read(asked.value))


def _compared_shown(database: Database, asked: Filter, operand: _Operand) -> Condition:
    if asked.field == "config.model" and predicates.operator_of(asked) == "is":
        # In words for which there is an index; "" is no model.
        model = predicates.text(asked.value)
        return is_text(spans.c.model, model) if model else false()
    return _compared(database, asked, operand)


def _text_column(column: ColumnElement[Any]) -> _Operand:
    return _Operand(column != "", {"string": (column, predicates.text)})


def _time_column(column: ColumnElement[Any]) -> _Operand:
    return _Operand(
        column.is_not(None),
        {"number": (column, predicates.milliseconds), "datetime": (column, predicates.time_ns)},
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
        spans.c.duration_ms.is_not(None), {"number": (spans.c.duration_ms, predicates.number)}
    ),
}


def _shown_text(column: ColumnElement[Any]) -> _Operand:
    told = func.nullif(column, "")
    return _Operand(told.is_not(None), {"string": (told, predicates.text)})


def _shown_number(column: ColumnElement[Any]) -> _Operand:
    return _Operand(column.is_not(None), {"number": (column, predicates.number)})


_TOKENS = (spans.c.input_tokens, spans.c.output_tokens)
# The fields that columns show where the client did not send them.
_SHOWN: dict[str, _Operand] = {
    **{
        f"{head}.{key}": (_shown_text if isinstance(spans.c[name].type, Text) else _shown_number)(
            spans.c[name]
        )
        for (head, key), name in SHOWN_COLUMNS.items()
    },
    ".".join(TOTAL_TOKENS): _shown_number(
        case(
            (and_(*(column.is_(None) for column in _TOKENS)), None),
            else_=sum(cast(func.coalesce(column, 0), Double) for column in _TOKENS),
        )
    ),
}
# The values of `spans.apart` that have the bit of a field.
_MASKS: dict[str, Sequence[int]] = {
    ".".join(key): [mask for mask in range(EVERY_KEY + 1) if mask >> bit & 1]
    for bit, key in enumerate(SHOWN_KEYS)
}

_OPERATORS: dict[str, Sequence[str]] = {
    "string": ("exists", "not exists", "is", "is not", "contains", "not contains"),
    "number": ("exists", "not exists", "is", "is not", "greater than", "less than"),
    "boolean": ("exists", "not exists", "is"),
    "datetime": ("exists", "not exists", "is", "is not", "after", "before"),
}

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


_list = ", ".join
