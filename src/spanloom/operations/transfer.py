"""Events to files and back, in the shape of the events API, through the methods of the contract,
without a server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import orjson

from spanloom.app import methods
from spanloom.codec import json_codec
from spanloom.errors import SpanloomError, Violation, invalid, invalid_field
from spanloom.model import uuid7
from spanloom.server.methods import Method
from spanloom.services.context import CallContext
from spanloom.store.store import Store

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


class Transfer:
    """Exports and imports the events of one project of a store."""

    def __init__(self, store: Store, project: str) -> None:
        self._methods = {method.full_name: method for method in methods(store)}
        self._project = project

    async def count(self, asked: Mapping[str, Any]) -> int:
        """How many events `export` would give. INVALID_ARGUMENT as of `export`."""
        method, request = self._request("ExportEvents", {**asked, "limit": 1})
        answer = await method.answer(request, self._call("read"))
        return int(answer.total_events)

    async def export(self, asked: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """Each event as one line of JSON. `asked`: the fields of StreamEventsRequest;
        INVALID_ARGUMENT names a bad one."""
        method, request = self._request("StreamEvents", asked)
        async for answer in method.answer(request, self._call("read")):
            yield json_codec.to_json(answer.event) + b"\n"

    async def load(self, lines: Iterable[bytes], *, noun: str = "line") -> AsyncIterator[int]:
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
                await self._store(batch)
                yield len(batch)
                batch, ids, size = {}, set(), 0
            batch[place] = line
            size += len(line)
            if event_id:
                ids.add(event_id)
        if batch:
            await self._store(batch)
            yield len(batch)

    async def _store(self, batch: Mapping[str, bytes]) -> None:
        """Store events by their position in the file."""
        places = list(batch)
        method = self._methods["spanloom.v1.EventService/CreateEventBatch"]
        body = b'{"events":[' + b",".join(batch.values()) + b"]}"
        try:
            request = json_codec.parse(body, method.request_class).message
            await method.answer(request, self._call("ingest"))
        except json_codec.JsonError as error:
            raise _at_line(*error.violations[0], places) from None
        except SpanloomError as error:
            if not error.violations:
                raise
            first_bad = error.violations[0]
            raise _at_line(first_bad.field, first_bad.description, places) from None

    def _request(self, name: str, fields: Mapping[str, Any]) -> tuple[Method, Any]:
        method = self._methods[f"spanloom.v1.EventService/{name}"]
        try:
            return method, json_codec.parse(dict(fields), method.request_class).message
        except json_codec.JsonError as error:
            raise invalid([Violation(*violation) for violation in error.violations]) from None

    def _call(self, role: str) -> CallContext:
        return CallContext(
            request_id=uuid7(), key_project=self._project, role=role, received_ns=time.time_ns()
        )


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
