"""Responses that every client can read: gRPC clients stop at 4 MiB unless they are told
otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

MAX_RESPONSE_BYTES: Final = 3 << 20
# What a response has beside its items: the token, and for each item its tag and length.
_REST = 4 << 10
_ITEM = 8


def fitting(messages: Sequence[Message], limit: int) -> int:
    """How many of the first messages a page has, at most `limit`, and at least one."""
    left = MAX_RESPONSE_BYTES - _REST
    for place, message in enumerate(messages[:limit]):
        left -= message.ByteSize() + _ITEM
        if left < 0 and place:
            return place
    return min(limit, len(messages))
