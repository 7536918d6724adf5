"""HTTP requests: headers, and whole bodies within a limit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from starlette.types import Receive, Scope

from spanloom.errors import request_too_large
from spanloom.server.admission import Held
from spanloom.server.compression import inflater
from spanloom.server.metadata import PEER, as_text

# A refused body is read on up to this many times the limit, so that the client gets the answer and
# not a reset connection.
_DISCARD_FACTOR = 4


class ClientGoneError(asyncio.CancelledError):
    """The client hung up before its request was whole; nobody waits for an answer."""


def metadata_of(scope: Scope) -> dict[str, str]:
    """The headers, names in lower case, of one that is sent twice the last; and the client's
    address."""
    headers = scope["headers"]
    try:  # nearly always
        found = {name.decode(): value.decode() for name, value in headers}
    except UnicodeDecodeError:
        found = {name.decode("latin-1"): as_text(value) for name, value in headers}
    client = scope.get("client")
    found[PEER] = client[0] if client else ""
    return found


def media_type_of(metadata: Mapping[str, str]) -> str:
    """The Content-Type without parameters, in lower case; "" if there is none."""
    return metadata.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(
    metadata: Mapping[str, str], receive: Receive, limit: int, held: Held | None = None
) -> bytes:
    """The whole body, unpacked.

    Args:
        held: Takes the bytes of the body, as they come.

    Raises:
        SpanloomError: RESOURCE_EXHAUSTED as `Held.take`; REQUEST_TOO_LARGE as soon as it
            has more than `limit` bytes, packed or unpacked; MALFORMED_BODY or
            UNSUPPORTED_ENCODING if it cannot be unpacked.
        ClientGoneError: The client hung up.
    """
    inflate = inflater(metadata.get("content-encoding", ""))
    pieces: list[bytes] = []
    size = 0
    if held is not None and (length := metadata.get("content-length", "")).isdecimal():
        held.take(min(int(length), limit))
    async for packed in chunks(receive, limit * _DISCARD_FACTOR):
        if size > limit:
            continue  # read to the end, and kept nowhere
        for piece in inflate(packed):
            size += len(piece)
            pieces.append(piece)
            if held is not None and size > held.size:
                held.take(size - held.size)
            if size > limit:
                pieces.clear()
                break
    if size > limit:
        raise request_too_large(limit)
    pieces.extend(inflate(None))
    return b"".join(pieces)


async def read_lines(
    metadata: Mapping[str, str], receive: Receive, limit: int, held: Held
) -> AsyncIterator[bytes]:
    """The lines of the body that are not blank, as they come; the body has no limit.

    Args:
        held: Has the bytes of the current line.

    Raises:
        SpanloomError: As `read_body`; `limit` is that of a line.
        ClientGoneError: The client hung up.
    """
    inflate = inflater(metadata.get("content-encoding", ""))
    line = bytearray()
    async for packed in chunks(receive):
        for piece in inflate(packed):
            first, *others = piece.split(b"\n")
            line += first
            for other in others:
                if len(line) > limit:
                    break
                if not line.isspace() and line:
                    yield bytes(line)
                line[:] = other
            held.keep(len(line))
            if len(line) > limit:
                raise request_too_large(limit)
    for _ in inflate(None):
        pass  # it only checks that the body is whole
    if not line.isspace() and line:
        yield bytes(line)


class GoneWatch:
    """Ends the call of a stream when its client hangs up, which sending does not notice.

    The `with` block, in the task of the call, then ends with ClientGoneError. In the block `start`
    begins to watch, when the body is read to its end; outside it does nothing.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._call: asyncio.Task[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_gone = False

    def start(self) -> None:
        if self._call and not self._watch:
            self._watch = asyncio.create_task(self._until_gone())
            self._watch.add_done_callback(self._end_call)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _end_call(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and self._call is not None:
            self._is_gone = True
            self._call.cancel()

    def __enter__(self) -> Self:
        self._call = asyncio.current_task()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._watch is not None:
            self._watch.remove_done_callback(self._end_call)
            self._watch.cancel()
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        # Somebody else may have cancelled the task as well, and means it.
        if is_cancelled and self._is_gone and self._call and not self._call.uncancel():
            raise ClientGoneError from None


async def chunks(receive: Receive, most: float = math.inf) -> AsyncIterator[bytes]:
    """The body as it comes; ends early, without an error, after `most` bytes."""
    read = 0
    while read <= most:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = event.get("body", b"")
        read += len(chunk)
        yield chunk
        if not event.get("more_body"):
            return
