"""Events to files and back, in the shape of the events API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import orjson

from spanloom.client import CallError, Client
from spanloom.codec import json_codec
from spanloom.errors import SpanloomError, Violation, invalid, invalid_field
from spanloom.v1 import event_service_pb2 as pb
from spanloom.v1.event_service_pb2_grpc import EventServiceStub

_BATCH_EVENTS = 500
_BATCH_BYTES = 8 << 20

# What a file can be, with what one of its events is called.
FORMATS = {"jsonl": "line", "parquet": "row"}


@contextmanager
def writing(file: BinaryIO, format: str) -> Iterator[Callable[[bytes], object]]:
    """A function that writes one event, a line of JSON, to a file of the format. SetupError if a
    required package is missing."""
    if format == "jsonl":
        file.write(b"")  # so that the file exists if there are no events
        yield file.write
        return
    from spanloom.operations.parquet import EventWriter

    with EventWriter(file) as writer:
        yield writer.write


def reading(file: BinaryIO, format: str) -> Iterable[bytes]:
    """The events of a file as lines of JSON; errors as `writing`."""
    if format == "jsonl":
        return file
    from spanloom.operations.parquet import read_events

    return read_events(file)


def export_events(client: Client, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """Each event as one line of JSON. `asked`: the fields of StreamEventsRequest; INVALID_ARGUMENT
    names a bad one."""
    try:
        request = json_codec.parse(dict(asked), pb.StreamEventsRequest).message
    except json_codec.JsonError as error:
        raise invalid([Violation(*violation) for violation in error.violations]) from None
    for answer in client.stream(EventServiceStub(client.channel).StreamEvents, request):
        yield json_codec.to_json(answer.event) + b"\n"


def load_events(client: Client, lines: Iterable[bytes], *, noun: str = "line") -> Iterator[int]:
    """Store events, one per line; yields how many each step stored. The same lines again change
    nothing.

    INVALID_ARGUMENT names the line (by `noun`) that is no event; the events some hundred lines
    before it are stored.
    """
    batch: dict[str, bytes] = {}
    ids: set[str] = set()
    size = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{noun} {number}"
        event_id = _event_id(line, place)
        full = len(batch) >= _BATCH_EVENTS or size + len(line) > _BATCH_BYTES
        if batch and (full or event_id in ids):
            _store(client, batch)
            yield len(batch)
            batch, ids, size = {}, set(), 0
        batch[place] = line
        size += len(line)
        if event_id:
            ids.add(event_id)
    if batch:
        _store(client, batch)
        yield len(batch)


def _store(client: Client, batch: Mapping[str, bytes]) -> None:
    """Store events by their position in the file."""
    places = list(batch)
    body = b'{"events":[' + b",".join(batch.values()) + b"]}"
    try:
        request = json_codec.parse(body, pb.CreateEventBatchRequest).message
        client.call(EventServiceStub(client.channel).CreateEventBatch, request)
    except json_codec.JsonError as error:
        raise _at_line(*error.violations[0], places) from None
    except SpanloomError as error:
        if not error.violations:
            raise
        first_bad = error.violations[0]
        raise _at_line(first_bad.field, first_bad.description, places) from None
    except CallError as refused:
        for field, description in refused.violations.items():
            raise _at_line(field, description, places) from None
        raise


def _event_id(line: bytes, place: str) -> str:
    try:
        event = orjson.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise invalid_field(place, "is not a JSON object")
    return str(event.get("event_id") or "")


def _at_line(field: str, description: str, places: list[str]) -> SpanloomError:
    """A violation by its line in the file instead of its place in a batch."""
    place, _, rest = field.removeprefix("events[").partition("]")
    if field.startswith("events[") and place.isdecimal():
        field = f"{places[int(place)]}{', ' if rest else ''}{rest.removeprefix('.')}"
    return invalid_field(field, description)
