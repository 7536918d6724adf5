"""Request messages from the bytes that clients send, on every transport."""

from __future__ import annotations

from functools import partial

from google.protobuf.message import DecodeError, Message

from spanloom.codec.large_message import merge
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    malformed_message,
    request_too_large,
)


async def message_of(message_class: type[Message], data: bytes, limit: int) -> Message:
    """The message in protobuf's wire format.

    Raises:
        SpanloomError: REQUEST_TOO_LARGE if it has more than `limit` bytes; MALFORMED_BODY.
    """
    if len(data) > limit:
        raise request_too_large(limit)
    message = message_class()
    try:
        await run_in_thread_if_large(len(data) // 1024, partial(merge, message, data))
    except DecodeError:
        raise malformed_message(message.DESCRIPTOR.full_name) from None
    return message


def not_one_message(count: str) -> SpanloomError:
    """UNIMPLEMENTED, as gRPC's list of status codes has it: the method takes one request.

    Args:
        count: How many were sent, in words.
    """
    return SpanloomError(
        Code.UNIMPLEMENTED,
        Reason.MALFORMED_BODY,
        f"the method takes exactly one request message, and the call sent {count}",
    )
