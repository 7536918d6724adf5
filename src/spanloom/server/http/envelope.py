"""Messages in a stream of bytes, as Connect and gRPC-Web put them: flags, length, data."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from spanloom.errors import Code, Reason, SpanloomError, request_too_large
from spanloom.server.admission import Held

COMPRESSED: Final = 1
_HEAD: Final = struct.Struct(">BI")


class Envelope(NamedTuple):
    flags: int
    data: bytes


def sealed(flags: int, data: bytes) -> bytes:
    """The bytes of an envelope."""
    return _HEAD.pack(flags, len(data)) + data


async def opened(chunks: AsyncIterator[bytes], limit: int, held: Held) -> AsyncIterator[Envelope]:
    """The envelopes in a body, as they come.

    Args:
        held: Has the bytes of the current envelope.

    Raises:
        SpanloomError: RESOURCE_EXHAUSTED as `Held.take`; REQUEST_TOO_LARGE as soon as one
            announces more than `limit` bytes; MALFORMED_BODY if the last one is not whole.
    """
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        held.keep(len(buffer))
        at = 0
        while len(buffer) - at >= _HEAD.size:
            flags, size = _HEAD.unpack_from(buffer, at)
            if size > limit:
                raise request_too_large(limit)
            held.keep(max(held.size, size))
            end = at + _HEAD.size + size
            if len(buffer) < end:
                break
            yield Envelope(flags, bytes(buffer[at + _HEAD.size : end]))
            at = end
        del buffer[:at]
    if buffer:
        raise SpanloomError(
            Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "the last message is not whole"
        )
