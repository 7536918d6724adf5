"""Compressed requests and answers, on every transport."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    request_too_large,
    unsupported_encoding,
)
from spanloom.model.held import Holder

# Below this, an answer costs more to compress than to send.
WORTH_COMPRESSING: Final = 64 * 1024
# zlib's window size for the encodings of RFC 9110: gzip's own header, or zlib's ("deflate").
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_FASTEST: Final = 1
_GZIP: Final = b"\x1f\x8b"
# zlib's header: the usual window, each level, no dictionary (RFC 1950, 2.2).
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
# A bomb is unpacked so far at most before somebody looks at its size.
_PIECE: Final = 1 << 18


def gzipped(data: bytes) -> bytes:
    """The data as gzip, at the level that costs least."""
    return zlib.compress(data, _FASTEST, _WINDOWS["gzip"])


def is_packed(message: bytes) -> bool:
    """Whether a protobuf message may be compressed, which gRPC's core does not tell."""
    return message.startswith(_GZIP) or message[:2] in _ZLIB


def unpacked_message(message: bytes, limit: int, held: Holder) -> bytes:
    """The protobuf message that is perhaps compressed, uncompressed.

    No message begins like gzip, for there is no wire type 7. Some begin like zlib, but none of them
    ends with the checksum of what it would unpack to.

    Raises:
        SpanloomError: As `unpacked`.
    """
    if message.startswith(_GZIP):
        return unpacked(message, "gzip", limit, held)
    try:
        return unpacked(message, "deflate", limit, held)
    except SpanloomError as error:
        if error.reason is Reason.MALFORMED_BODY:
            return message
        raise


def unpacked(data: bytes, encoding: str, limit: int, held: Holder) -> bytes:
    """The data uncompressed; unpacking stops at the limit.

    Args:
        held: Takes the bytes as they are unpacked; from any thread.

    Raises:
        SpanloomError: RESOURCE_EXHAUSTED as `Holder.take`; REQUEST_TOO_LARGE if it is more than
            `limit` bytes; MALFORMED_BODY; UNSUPPORTED_ENCODING.
    """
    inflate = inflater(encoding)
    found = bytearray()
    for piece in chain(inflate(data), inflate(None)):
        found += piece
        if len(found) > limit:
            raise request_too_large(limit)
        held.take(len(piece))
    return bytes(found)


def inflater(encoding: str) -> Callable[[bytes | None], Iterator[bytes]]:
    """A function from packed bytes to unpacked pieces, each made when it is asked for.

    None ends the body.

    Raises:
        SpanloomError: UNSUPPORTED_ENCODING; the function raises MALFORMED_BODY.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda data: iter((data,) if data else ())
    if name not in _WINDOWS:
        raise unsupported_encoding(
            f"Content-Encoding {encoding!r} is not supported; send gzip, deflate or identity"
        )
    unpacker = zlib.decompressobj(_WINDOWS[name])

    def inflate(data: bytes | None) -> Iterator[bytes]:
        nonlocal unpacker
        if data is None and not unpacker.eof:
            raise _broken(name)
        while data:
            if unpacker.eof:  # gzip may have several members in a row (RFC 1952, 2.2)
                unpacker = zlib.decompressobj(_WINDOWS[name])
            try:
                piece = unpacker.decompress(data, _PIECE)
            except zlib.error:
                raise _broken(name) from None
            data = unpacker.unconsumed_tail or unpacker.unused_data
            yield piece

    return inflate


def _broken(encoding: str) -> SpanloomError:
    return SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.MALFORMED_BODY,
        f"the body is not a complete {encoding} stream",
    )
