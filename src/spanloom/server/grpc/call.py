"""What an RPC of this server reads of its gRPC call, and how it ends one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import grpc

from spanloom.errors import SpanloomError
from spanloom.server import status
from spanloom.server.metadata import PEER, as_text, peer_of
from spanloom.server.middleware import REQUEST_ID, request_id_of

_PROJECT = "x-spanloom-project"

# Requests and answers are bytes to gRPC.
Context = grpc.aio.ServicerContext[bytes, bytes]


def metadata_of(context: Context) -> dict[str, str]:
    """The call's metadata as text.

    gRPC's text metadata is ASCII, so the name of a project that is not comes as `-bin`, in UTF-8.
    """
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found[key] = value
        elif key == f"{_PROJECT}-bin":
            found[_PROJECT] = as_text(value)
    found[PEER] = peer_of(context.peer())
    return found


def begin(context: Context, metadata: Mapping[str, str]) -> str:
    """The call's request id, which becomes a trailer however the call ends."""
    request_id = request_id_of(metadata)
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    return request_id


async def succeed(context: Context, request_id: str) -> None:
    """Send the headers, with the request id, before the first message: gateways pass them on.

    An error sends none: then its trailers are the headers, and only so do proxies see the error in
    time to send the call to another server.
    """
    await context.send_initial_metadata(((REQUEST_ID, request_id),))


async def refuse(context: Context, error: SpanloomError, request_id: str) -> NoReturn:
    """End the call with the error, and no message.

    A transcoder in front of the server would take a message for the answer.
    """
    trailers: list[tuple[str, str | bytes]] = [
        (REQUEST_ID, request_id),
        ("grpc-status-details-bin", status.rpc_status_bytes(error, request_id)),
    ]
    if error.retry_after is not None:
        # gRPC's retry policies read this, and not RetryInfo.
        trailers.append(("grpc-retry-pushback-ms", str(int(error.retry_after * 1000))))
    await context.abort(status.grpc_code(error), status.rpc_message(error), tuple(trailers))
    raise RuntimeError("abort did not end the call")
