"""gRPC-Web: trailers are the last envelope of the body; in its text form all of it is base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from google.rpc import status_pb2

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server.http.envelope import sealed
from spanloom.server.http.exchange import Protocol

_TRAILERS: Final = 0x80
_SECONDS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT: Final = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
# What a message in a trailer shows as it is: printable ASCII, less the percent sign.
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
# Each flush of a client may end with padding.
_PADDED: Final = re.compile(rb"[^=]+={0,2}")


def _time_left(metadata: Mapping[str, str]) -> float | None:
    text = metadata.get("grpc-timeout", "")
    if not text:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise SpanloomError(
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            f"grpc-timeout is up to 8 digits and a unit of H, M, S, m, u, n, not {text[:100]!r}",
        )
    return int(match[1]) * _SECONDS[match[2]]


def _end(error: status_pb2.Status | None, trailers: Sequence[tuple[str, str]]) -> bytes:
    lines = [("grpc-status", str(error.code if error else 0))]
    if error:
        lines.append(("grpc-message", quote(error.message, safe=_PLAIN)))
        details = base64.b64encode(error.SerializeToString()).decode().rstrip("=")
        lines.append(("grpc-status-details-bin", details))
    lines += trailers
    return sealed(_TRAILERS, "".join(f"{name}: {text}\r\n" for name, text in lines).encode())


GRPC_WEB: Final = Protocol("grpc-web", "grpc-encoding", "grpc-accept-encoding", _time_left, _end)


async def decoded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes that chunks of base64 hold, each piece with or without padding.

    Raises:
        SpanloomError: MALFORMED_BODY.
    """
    rest = b""
    async for chunk in chunks:
        text = rest + chunk
        whole = len(text) // 4 * 4
        rest = text[whole:]
        yield b"".join(_decoded(piece) for piece in _PADDED.findall(text[:whole]))
    if rest:
        yield _decoded(rest)


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SpanloomError(
            Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "the body is not base64"
        ) from None
