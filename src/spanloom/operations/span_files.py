"""Spans to files and back, whole: JSON lines, or Parquet with a column for each value.

A line of JSON is a span in the JSON of the API. In a Parquet file, the columns are those of
`spanloom.client.tables`, for queries, and the column `span` holds the whole span as protobuf.
Import reads this column alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import orjson
from google.protobuf.message import DecodeError

from spanloom.client import Client
from spanloom.client.tables import arrow_table
from spanloom.codec import json_codec
from spanloom.codec.text_cuts import texts_of
from spanloom.codec.value_path import path_text
from spanloom.errors import SetupError, invalid_field
from spanloom.v1.span_pb2 import COST_SOURCE_COMPUTED, Span

# What a file can be, with what one of its spans is called.
FORMATS: Final = {"jsonl": "line", "parquet": "row"}
_GROUP_ROWS = 5_000
_GROUP_BYTES = 16 << 20
_READ_ROWS = 500


@contextmanager
def span_writer(file: BinaryIO, format: str) -> Iterator[Callable[[Span], None]]:
    """A function that writes a span to a file of the format. The block's end completes the file.

    Raises:
        SetupError: A required package is missing.
    """
    if format == "jsonl":
        file.write(b"")  # so that the file exists if there are no spans
        yield lambda span: _write_line(file, span)
        return
    writer = _ParquetSpans(file)
    try:
        yield writer.write
        writer.flush()
    finally:
        writer.close()


def _write_line(file: BinaryIO, span: Span) -> None:
    file.write(json_codec.to_json(span) + b"\n")


def spans_of(file: BinaryIO, format: str) -> Iterator[tuple[str, Span]]:
    """The spans of a file, each with its place in it, such as "line 3".

    Raises:
        SpanloomError: INVALID_ARGUMENT names the place that is no span.
    """
    return _read_lines(file) if format == "jsonl" else _read_parquet(file)


def whole_span(client: Client, span: Span) -> Span:
    """The span, with the texts in it that a list has shortened."""
    texts = {path_text(text.path): text for text in texts_of(span, ())} if span.text_cuts else {}
    for cut in span.text_cuts:
        whole = client.read_text(span.trace_id, span.span_id, cut.path)
        if found := texts.get(cut.field):
            found.put(base64.b64decode(whole) if isinstance(found.whole, bytes) else whole)
        else:  # the field was left out, and its text is JSON
            held = b"{%s:%s}" % (orjson.dumps(cut.field), whole.encode())
            span.MergeFrom(json_codec.parse(held, Span).message)
    span.ClearField("text_cuts")
    return span


def to_import(span: Span) -> Span:
    """The span as it is written again: without what the server itself computes."""
    if span.model.cost_source == COST_SOURCE_COMPUTED:
        for name in ("cost_usd", "input_cost_usd", "output_cost_usd", "cost_source"):
            span.model.ClearField(name)
    return span


def _read_lines(file: BinaryIO) -> Iterator[tuple[str, Span]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield f"line {number}", _parsed(line, f"line {number}")


def _parsed(text: bytes, place: str) -> Span:
    try:
        read = json_codec.parse(text, Span)
    except json_codec.JsonError as error:
        field, description = error.violations[0]
        where = f"{place}, {field}" if field else place
        raise invalid_field(where, description) from None
    if read.ignored:
        raise invalid_field(place, f"{read.ignored[0]!r} is no field of a span")
    return read.message


class _ParquetSpans:
    """Writes spans by groups of rows, so that a file of any size takes the same memory."""

    def __init__(self, file: BinaryIO) -> None:
        pa = _pyarrow()
        self._pa = pa
        self._spans: list[Span] = []
        self._size = 0
        schema = self._table([]).schema
        self._writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")

    def write(self, span: Span) -> None:
        self._spans.append(span)
        self._size += span.ByteSize()
        if len(self._spans) >= _GROUP_ROWS or self._size >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._spans:
            self._writer.write_table(self._table(self._spans))
        self._spans, self._size = [], 0

    def close(self) -> None:
        self._writer.close()

    def _table(self, spans: list[Span]) -> Any:
        whole = self._pa.array([span.SerializeToString() for span in spans], self._pa.binary())
        return arrow_table(spans, Span.DESCRIPTOR).append_column("span", whole)


def _read_parquet(file: BinaryIO) -> Iterator[tuple[str, Span]]:
    pa = _pyarrow()
    if not file.seekable():
        raise invalid_field(
            "file", "must be a file, not a pipe: reading Parquet starts at the end of the file"
        )
    number = 0
    try:
        found = pa.parquet.ParquetFile(file)
        if "span" not in found.schema_arrow.names:
            raise invalid_field("file", "must have the column `span`, as `spanloom export` writes")
        for batch in found.iter_batches(_READ_ROWS, columns=["span"]):
            for value in batch.column("span"):
                number += 1
                yield f"row {number}", Span.FromString(value.as_py())
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, DecodeError):
        raise invalid_field("file", "is not a Parquet file of spans, or is damaged") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SetupError(
            "Parquet needs the package pyarrow: pip install 'spanloom[parquet]'"
        ) from None
    return pyarrow
