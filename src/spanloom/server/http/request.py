"""HTTP requests: headers, and whole bodies within a limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from starlette.types import Receive, Scope

from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    request_too_large,
    unsupported_encoding,
)
from spanloom.server.metadata import as_text

# A refused body is read on up to this many times the limit, so that the client gets the answer and
# not a reset connection.
_DISCARD_FACTOR = 4
# zlib's window size for the encodings of RFC 9110: gzip's own header, or zlib's ("deflate").
_INFLATE = {"gzip": 31, "x-gzip": 31, "deflate": 15}


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
    inflate = _inflater(metadata.get("content-encoding", ""))
    chunks: list[bytes] = []
    size = 0
    async for packed in _chunks(receive, limit * _DISCARD_FACTOR):
        if size > limit:
            continue  # read to the end, and kept nowhere
        for chunk in inflate(packed, limit + 1 - size):
            size += len(chunk)
            chunks.append(chunk)
        if size > limit:
            chunks.clear()
    if size > limit:
        raise request_too_large(limit)
    chunks.extend(inflate(None, 0))
    return b"".join(chunks)


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(receive: Receive, most: int) -> AsyncIterator[bytes]:
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


def _inflater(encoding: str) -> Callable[[bytes | None, int], Iterator[bytes]]:
    """A function from packed bytes to at most `room` unpacked ones; None ends the body."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda data, room: iter((data,) if data else ())
    if name not in _INFLATE:
        raise unsupported_encoding(
            f"Content-Encoding {encoding!r} is not supported; send gzip, deflate or identity"
        )
    unpacker = zlib.decompressobj(_INFLATE[name])

    def inflate(data: bytes | None, room: int) -> Iterator[bytes]:
        nonlocal unpacker
        if data is None:
            if not unpacker.eof:
                raise _broken(name)
            return
        while data and room > 0:
            if unpacker.eof:  # gzip may have several members in a row (RFC 1952, 2.2)
                unpacker = zlib.decompressobj(_INFLATE[name])
            try:
                chunk = unpacker.decompress(data, room)
            except zlib.error:
                raise _broken(name) from None
            room -= len(chunk)
            data = unpacker.unused_data
            yield chunk

    return inflate


def _broken(encoding: str) -> SpanloomError:
    return SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.MALFORMED_BODY,
        f"the body is not a complete {encoding} stream",
    )
