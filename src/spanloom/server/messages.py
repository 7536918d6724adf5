"""Request messages from the bytes that clients send, on every transport."""

from __future__ import annotations

from functools import partial
from typing import Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.codec.large_message import merge
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.utf8_mend import mended
from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    malformed_message,
    request_too_large,
)
from spanloom.redaction.credentials import CLEAN, may_have_credentials

# SDKs cut attributes by bytes: one text that ends within a character must not cost all spans.
_MENDED: Final = (ExportTraceServiceRequest.DESCRIPTOR.full_name,)


async def message_of(message_class: type[Message], data: bytes, limit: int) -> Message:
    """The message in protobuf's wire format.

    Raises:
        SpanloomError: REQUEST_TOO_LARGE if it has more than `limit` bytes; MALFORMED_BODY.
    """
    if len(data) > limit:
        raise request_too_large(limit)
    message = message_class()
    try:
        has_credentials = await run_in_thread_if_large(
            len(data) // 1024, partial(_read, message, data)
        )
    except DecodeError:
        raise malformed_message(message.DESCRIPTOR.full_name) from None
    if not has_credentials:
        CLEAN.set(message)
    return message


def _read(message: Message, data: bytes) -> bool:
    """Read `data` into a message; whether it may have credentials."""
    merge_request(message, data)
    return may_have_credentials(data)


def merge_request(message: Message, data: bytes) -> None:
    """Read `data` into a message.

    Raises:
        DecodeError: The data is not a message of this type.
    """
    try:
        merge(message, data)
    except DecodeError:
        if message.DESCRIPTOR.full_name not in _MENDED:
            raise
        message.Clear()
        merge(message, mended(data, message.DESCRIPTOR))


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
