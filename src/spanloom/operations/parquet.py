"""Events as Parquet: a column a field, times as timestamps, objects as JSON text (of the logical
type JSON, where readers know it).

Needs the extra `spanloom[parquet]`. Rows are written and read by groups, so that a file of any size
takes the same memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from spanloom.errors import SetupError, invalid_field
from spanloom.model.span import (
    EVENT_COLUMNS,
    EVENT_LISTS,
    EVENT_OBJECTS,
    EVENT_TEXTS,
    EVENT_VALUES,
)
from spanloom.model.times import ms_from_ns, ns_from_ms

try:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile, ParquetWriter
except ImportError:
    raise SetupError("Parquet needs the package pyarrow: pip install 'spanloom[parquet]'") from None

_TIMES = ("start_time", "end_time")
_OBJECTS = (*EVENT_VALUES, *EVENT_OBJECTS)
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(EVENT_COLUMNS, pa.string()),
    **dict.fromkeys(_TIMES, pa.timestamp("ns", "UTC")),
    "duration": pa.float64(),
    **dict.fromkeys(EVENT_TEXTS, pa.string()),
    **dict.fromkeys(_OBJECTS, pa.json_()),
    **dict.fromkeys(EVENT_LISTS, pa.list_(pa.string())),
}
SCHEMA = pa.schema(_FIELDS)
# As Python has the values.
_PLAIN = {pa.timestamp("ns", "UTC"): pa.int64(), pa.json_(): pa.string()}
_GROUP_ROWS = 10_000
_GROUP_BYTES = 16 << 20
_READ_ROWS = 500
# What pyarrow raises, somewhere on its way, of a file that no writer left so.
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError)


class EventWriter:
    """Writes events, each as the JSON of one, to a file; to be used in a `with` block, whose end
    completes the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = ParquetWriter(file, SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        self._rows.append(_row(orjson.loads(line)))
        self._size += len(line)
        if len(self._rows) >= _GROUP_ROWS or self._size >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        plain = pa.Table.from_pylist(self._rows, schema=_plain(SCHEMA))
        self._writer.write_table(plain.cast(SCHEMA))
        self._rows, self._size = [], 0

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._rows and kind is None:
            self._flush()
        self._writer.close()


def read_events(file: BinaryIO) -> Iterator[bytes]:
    """The JSON of each event of a file. INVALID_ARGUMENT for what is no Parquet file, or names the
    column that cannot be read."""
    if not file.seekable():
        raise invalid_field(
            "file", "must be a file, not a pipe: reading Parquet starts at the end of the file"
        )
    try:
        found = ParquetFile(file)
        names = [name for name in SCHEMA.names if name in found.schema_arrow.names]
        if not names:
            raise invalid_field(
                "file", f"must have at least one of the columns {', '.join(SCHEMA.names)}"
            )
        for batch in found.iter_batches(_READ_ROWS, columns=names):
            columns = [_values(name, batch.column(name)) for name in names]
            for values in zip(*columns, strict=True):
                row = zip(names, values, strict=True)
                yield orjson.dumps({name: value for name, value in row if value is not None})
    except _DAMAGE:
        raise invalid_field("file", "is not a Parquet file, or is damaged") from None


def _row(event: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {name: event.get(name) for name in SCHEMA.names}
    for name in _TIMES:
        if row[name] is not None:
            row[name] = ns_from_ms(row[name])
    for name in _OBJECTS:
        if row[name] is not None:
            row[name] = orjson.dumps(row[name]).decode()
    return row


def _values(name: str, column: Any) -> list[Any]:
    try:
        # A timestamp of another unit first becomes one of nanoseconds.
        typed = column.cast(_FIELDS[name])
        values: list[Any] = typed.cast(_PLAIN.get(_FIELDS[name], _FIELDS[name])).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise invalid_field(name, f"cannot be read as {_FIELDS[name]}") from None
    if name in _TIMES:
        return [None if value is None else ms_from_ns(value) for value in values]
    if name in _OBJECTS:
        return [None if value is None else orjson.Fragment(value) for value in values]
    return values


def _plain(schema: Any) -> Any:
    return pa.schema([(field.name, _PLAIN.get(field.type, field.type)) for field in schema])
