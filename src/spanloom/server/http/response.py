"""HTTP responses, written as ASGI events."""

from __future__ import annotations

import math
from collections.abc import Sequence

from starlette.types import Send

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server import status
from spanloom.server.http.transcode import JSON, PROTOBUF, RouteError
from spanloom.server.middleware import REQUEST_ID
from spanloom.services.context import Notes

Headers = list[tuple[bytes, bytes]]

_BODY_SLICE = 1 << 18
_LONGEST_HEADER = 2000


async def send_error(
    send: Send,
    error: SpanloomError,
    request_id: str,
    content_type: str = JSON,
    service: str = "",
) -> None:
    """Send the error as JSON, or to a caller who sends protobuf as a google.rpc.Status.

    Args:
        service: As of `status.rest_body`.
    """
    headers = error_headers(error)
    body = (
        status.rpc_status_bytes(error, request_id)
        if content_type == PROTOBUF
        else status.rest_body(error, request_id, service)
    )
    await send_body(send, status.http_status(error), content_type, body, request_id, headers)


def error_headers(error: SpanloomError) -> Headers:
    """The headers with which HTTP says what a client can do about an error."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if error.reason is Reason.SHUTTING_DOWN:
        headers.append((b"connection", b"close"))  # the next request needs another server
    if error.code is Code.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b'Bearer realm="spanloom"'))
    if isinstance(error, RouteError) and error.allowed:
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return headers


async def send_body(
    send: Send,
    code: int,
    content_type: str,
    body: bytes,
    request_id: str,
    headers: Headers | None = None,
) -> None:
    """Send a whole response."""
    length = (b"content-length", str(len(body)).encode())
    await start(send, code, content_type, request_id, [length, *(headers or ())])
    # A large body is sent as the client takes it; one write would copy all of it.
    last = max(0, len(body) - 1) // _BODY_SLICE * _BODY_SLICE
    for begin in range(0, last, _BODY_SLICE):
        part = body[begin : begin + _BODY_SLICE]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": body[last:]})


async def start(
    send: Send, code: int, content_type: str, request_id: str, headers: Headers | None = None
) -> None:
    """Send status and headers of a response whose body follows."""
    await send(
        {
            "type": "http.response.start",
            "status": code,
            "headers": [
                (b"content-type", content_type.encode()),
                (REQUEST_ID.encode(), request_id.encode()),
                *(headers or ()),
            ],
        }
    )


def ignored_fields(names: Sequence[str]) -> Headers:
    """The header that lists what the request had no field for; none if there is nothing."""
    if not names:
        return []
    # The names come from the client: anything but plain ASCII would break the header.
    text = ", ".join(name for name in names if name.isascii() and name.isprintable())
    return [(b"x-ignored-fields", text[:_LONGEST_HEADER].encode())]


def noted(notes: Notes) -> Headers:
    """The headers that a service adds to its response."""
    return [(name.encode(), value.encode()) for name, value in notes.headers.items()]
