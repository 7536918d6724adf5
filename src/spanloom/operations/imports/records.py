"""The records of a file, each with its place: JSON lines, a JSON document or Parquet, with or
without gzip. What is no record is a BadRecord in its place, and the others are read on."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, NamedTuple, cast

from spanloom.errors import SetupError, invalid_field

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_READ_ROWS: Final = 200
_LARGEST_DOCUMENT: Final = 1 << 30
_LARGEST_LINE: Final = 256 << 20
# Epochs in seconds, milliseconds, microseconds and nanoseconds are told apart by their size.
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII
)


class BadRecord(NamedTuple):
    """What could not be read, and why."""

    why: str


class Place(NamedTuple):
    """A record and where it is, such as "line 3"."""

    place: str
    record: dict[str, Any] | BadRecord


def records_of(file: BinaryIO) -> Iterator[Place]:
    """The records of a file.

    Raises:
        SpanloomError: INVALID_ARGUMENT; the file as a whole cannot be read.
        SetupError: A required package is missing.
    """
    head = _peek(file, 4)
    if head[:2] == _GZIP:
        file = cast(BinaryIO, gzip.GzipFile(fileobj=file))
        head = _peek(file, 4)
    if head == _PARQUET:
        yield from _rows(file)
        return
    try:
        yield from _json(file)
    except (OSError, EOFError, zlib.error):
        raise invalid_field("file", "is damaged: it cannot be unpacked") from None


def unfolded(document: Any) -> list[Any]:
    """The records in a JSON document: a list, an object with the list `data`, or one record."""
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    return document if isinstance(document, list) else [document]


def placed(document: Any, noun: str) -> Iterator[Place]:
    """The records in a JSON document, by their number in it."""
    for number, record in enumerate(unfolded(document), 1):
        yield Place(f"{noun} {number}", _checked(record))


def time_ns(value: Any) -> int | None:
    """Nanoseconds since 1970 of a time in ISO 8601, which is UTC if no zone is stated, or of an
    epoch in any unit; None for nothing.

    Raises:
        ValueError: It is no time.
    """
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        unit = next((unit for most, unit in _UNITS if abs(value) < most), 1)
        whole = int(value)
        return whole * unit + round((value - whole) * unit)
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{str(value)[:40]!r} is no time")
    day, time, fraction, zone = found.groups()
    at = datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone in (None, 'Z') else zone}")
    since = at - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + int((fraction or "").ljust(9, "0"))


def _peek(file: BinaryIO, size: int) -> bytes:
    if hasattr(file, "peek"):
        return bytes(file.peek(size)[:size])
    if not file.seekable():
        raise invalid_field("file", "must be a file, or a pipe that is buffered")
    head = file.read(size)
    file.seek(0)
    return head


def _json(file: BinaryIO) -> Iterator[Place]:
    """A document begins with a bracket, or is one object over several lines; all else is lines."""
    first = b""
    skipped = 0
    while line := file.readline(_LARGEST_LINE):
        if line.strip():
            first = line
            break
        skipped += 1
    if first.lstrip()[:1] == b"[" or (first and _loaded(first) is None and b"{" in first[:9]):
        document = first + file.read(_LARGEST_DOCUMENT)
        whole = _loaded(document)
        if whole is not None:
            yield from placed(whole[0], "record")
            return
        if first.lstrip()[:1] == b"[" or len(document) >= _LARGEST_DOCUMENT:
            raise invalid_field("file", "is no JSON document")
        lines: Iterator[bytes] = iter(document.splitlines(keepends=True))
    else:
        lines = itertools.chain([first], iter(lambda: file.readline(_LARGEST_LINE), b""))
    for number, line in enumerate(lines, skipped + 1):
        if not line.strip():
            continue
        found = _loaded(line)
        if found is None:
            yield Place(f"line {number}", BadRecord("is no JSON"))
            continue
        several = unfolded(found[0])
        for index, record in enumerate(several, 1):
            inner = f", record {index}" if len(several) > 1 else ""
            yield Place(f"line {number}{inner}", _checked(record))


def _loaded(text: bytes) -> tuple[Any] | None:
    """A JSON value in a tuple, None for none. pandas writes NaN, which JSON does not have."""
    try:
        return (json.loads(text, parse_constant=lambda _: None),)
    except (ValueError, RecursionError):
        return None


def _checked(record: Any) -> dict[str, Any] | BadRecord:
    return record if isinstance(record, dict) else BadRecord("is no JSON object")


def _rows(file: BinaryIO) -> Iterator[Place]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SetupError(
            "Parquet needs the package pyarrow: pip install 'spanloom[parquet]'"
        ) from None
    if not file.seekable():
        raise invalid_field(
            "file", "must be a file, not a pipe: reading Parquet starts at the end of the file"
        )
    number = 0
    try:
        for batch in ParquetFile(file).iter_batches(_READ_ROWS):
            columns = {
                name: _values(pa, batch.column(index))
                for index, name in enumerate(batch.schema.names)
            }
            for row in range(batch.num_rows):
                number += 1
                yield Place(f"row {number}", {name: of[row] for name, of in columns.items()})
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        raise invalid_field("file", "is not a Parquet file, or is damaged") from None


def _values(pa: Any, column: Any) -> list[Any]:
    """The values of a column; times as nanoseconds since 1970, which Python's have no room for."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if value is None else dict(value) for value in values]
    return values
