"""HTTP requests: headers, and whole bodies within a limit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive, Scope

from spanloom.errors import request_too_large
from spanloom.server.compression import inflater
from spanloom.server.metadata import as_text

# A refused body is read on up to this many times the limit, so that the client gets the answer and
# not a reset connection.
_DISCARD_FACTOR = 4


class ClientGoneError(asyncio.CancelledError):
    """The client hung up before its request was whole; nobody waits for an answer."""


def metadata_of(scope: Scope) -> dict[str, str]:
    """The headers, names in lower case; of one that is sent twice the last."""
    headers = scope["headers"]
    try:  # nearly always
        return {name.decode(): value.decode() for name, value in headers}
    except UnicodeDecodeError:
        return {name.decode("latin-1"): as_text(value) for name, value in headers}


def media_type_of(metadata: Mapping[str, str]) -> str:
    """The Content-Type without parameters, in lower case; "" if there is none."""
    return metadata.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(metadata: Mapping[str, str], receive: Receive, limit: int) -> bytes:
    """The whole body, unpacked.

    Raises:
        SpanloomError: REQUEST_TOO_LARGE as soon as it has more than `limit` bytes, packed or
            unpacked; MALFORMED_BODY or UNSUPPORTED_ENCODING if it cannot be unpacked.
        ClientGoneError: The client hung up.
    """
    inflate = inflater(metadata.get("content-encoding", ""))
    chunks: list[bytes] = []
    size = 0
    async for packed in _chunks(receive, limit * _DISCARD_FACTOR):
        if size > limit:
            continue  # read to the end, and kept nowhere
        for piece in inflate(packed):
            size += len(piece)
            chunks.append(piece)
            if size > limit:
                chunks.clear()
                break
    if size > limit:
        raise request_too_large(limit)
    chunks.extend(inflate(None))
    return b"".join(chunks)


async def read_lines(
    metadata: Mapping[str, str], receive: Receive, limit: int
) -> AsyncIterator[bytes]:
    """The lines of the body that are not blank, as they come; the body has no limit.

    Raises:
        SpanloomError: As `read_body`; `limit` is that of a line.
        ClientGoneError: The client hung up.
    """
    inflate = inflater(metadata.get("content-encoding", ""))
    line = bytearray()
    async for packed in _chunks(receive):
        for piece in inflate(packed):
            first, *others = piece.split(b"\n")
            line += first
            for other in others:
                if len(line) > limit:
                    break
                if not line.isspace() and line:
                    yield bytes(line)
                line[:] = other
            if len(line) > limit:
                raise request_too_large(limit)
    for _ in inflate(None):
        pass  # it only checks that the body is whole
    if not line.isspace() and line:
        yield bytes(line)


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(receive: Receive, most: float = math.inf) -> AsyncIterator[bytes]:
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
