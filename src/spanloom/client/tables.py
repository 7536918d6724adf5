"""Messages as tables, for notebooks: a row for each message, a column for each value.

A field of a message inside a message is a column of its own, such as `figures.cost_usd`. Times are
timestamps, durations are seconds, enums are their names in lower case without the prefix. Lists,
maps and JSON values are JSON text, but a list of strings is a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

if TYPE_CHECKING:
    import pandas
    import pyarrow

_INTEGERS: Final = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)
# The types of columns, by the name that pyarrow and pandas have for them.
_TYPES: Final = {
    "text": ("string", "object"),
    "list": ("list", "object"),
    "integer": ("int64", "Int64"),
    "number": ("float64", "float64"),
    "boolean": ("bool_", "boolean"),
    "time": ("timestamp", "datetime64[ns, UTC]"),
    "bytes": ("binary", "object"),
}
Column = tuple[str, str, Callable[[Any], Any]]


def to_arrow(messages: Iterable[Message]) -> pyarrow.Table:
    """A table of messages of one type. Needs pyarrow.

    Raises:
        ValueError: There is no message, so that the columns are not known.
    """
    rows = _all(messages)
    return arrow_table(rows, rows[0].DESCRIPTOR)


def arrow_table(rows: Sequence[Message], message_type: Any) -> pyarrow.Table:
    """The same for a type, by its descriptor; there may be no rows."""
    import pyarrow as pa

    types = {
        "list": pa.list_(pa.string()),
        "timestamp": pa.timestamp("ns", "UTC"),
    }
    made = {}
    for name, kind, value in columns_of(message_type):
        arrow = _TYPES[kind][0]
        values = [value(row) for row in rows]
        made[name] = pa.array(values, types.get(arrow) or getattr(pa, arrow)())
    return pa.table(made)


def to_pandas(messages: Iterable[Message]) -> pandas.DataFrame:
    """A data frame of messages of one type. Needs pandas.

    Raises:
        ValueError: There is no message, so that the columns are not known.
    """
    import pandas as pd

    rows = _all(messages)
    made = {}
    for name, kind, value in columns_of(rows[0].DESCRIPTOR):
        values = [value(row) for row in rows]
        if kind == "time":
            made[name] = pd.to_datetime(pd.Series(values, dtype="Int64"), unit="ns", utc=True)
        else:
            made[name] = pd.Series(values, dtype=_TYPES[kind][1])
    return pd.DataFrame(made)


def columns_of(message_type: Any, prefix: str = "") -> Iterator[Column]:
    """The columns of a type, by its descriptor: each a name, a kind, and the value of a message."""
    for field in message_type.fields:
        nested = field.message_type
        if nested is not None and not field.is_repeated and not _is_value(nested):
            for name, kind, value in columns_of(nested, f"{prefix}{field.name}."):
                yield name, kind, _inside(field.name, value)
        else:
            yield f"{prefix}{field.name}", *_column(field)


def _all(messages: Iterable[Message]) -> list[Message]:
    rows = list(messages)
    if not rows:
        raise ValueError("there is no message to make a table of")
    return rows


def _inside(name: str, value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda message: value(getattr(message, name)) if message.HasField(name) else None


def _is_value(nested: Any) -> bool:
    """Whether a message is one value, not a group of columns."""
    return nested.file.package == "google.protobuf" or nested.name in ("AttributeValue",)


def _column(field: FieldDescriptor) -> tuple[str, Callable[[Any], Any]]:
    """The kind of a field's column, and its value in a message."""
    name = field.name

    def present(value: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if not field.has_presence:
            return lambda message: value(getattr(message, name))
        return lambda message: value(getattr(message, name)) if message.HasField(name) else None

    if field.is_repeated:
        if field.type == FieldDescriptor.TYPE_STRING:
            return "list", lambda message: list(getattr(message, name))
        return "text", lambda message: _json_of_repeated(field, message)
    if field.enum_type is not None:
        return "text", present(lambda number: enum_name(field, number))
    if field.message_type is not None:
        match field.message_type.full_name:
            case "google.protobuf.Timestamp":
                return "time", present(lambda value: value.ToNanoseconds())
            case "google.protobuf.Duration":
                return "number", present(lambda value: value.ToNanoseconds() / 1e9)
        return "text", present(_json)
    if field.cpp_type in _INTEGERS:
        return "integer", present(int)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "boolean", present(bool)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return (
            ("bytes", present(bytes))
            if field.type == field.TYPE_BYTES
            else (
                "text",
                present(str),
            )
        )
    return "number", present(float)


def enum_name(field: Any, number: int) -> str | None:
    """The name of an enum's value without the enum's own: "ok" for STATUS_CODE_OK; None for 0."""
    values = field.enum_type.values_by_number
    if not number:
        return None
    if number not in values:  # of a newer server
        return str(number)
    prefix = values[0].name.removesuffix("UNSPECIFIED") if 0 in values else ""
    return str(values[number].name).removeprefix(prefix).lower()


def _json(value: Message) -> str:
    return json_format.MessageToJson(value, indent=None, ensure_ascii=False)


def _json_of_repeated(field: FieldDescriptor, message: Message) -> str | None:
    """The field alone, in the JSON of protobuf."""
    if not len(getattr(message, field.name)):
        return None
    alone = type(message)()
    source, target = getattr(message, field.name), getattr(alone, field.name)
    if field.message_type is None:
        target.extend(source)
    else:
        target.MergeFrom(source)
    whole = json_format.MessageToJson(alone, indent=None, ensure_ascii=False)
    return whole[whole.index(":") + 1 : -1].strip()
