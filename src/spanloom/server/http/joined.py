"""A connection on which the head of an answer and its body are one write."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_STATUS_LINE: Final = b"HTTP/1.1 "
_END_OF_HEAD: Final = b"\r\n\r\n"


class JoinedTransport:
    """Holds the head of an answer back until the first part of the body is written.

    uvicorn writes them apart, so a client could see its deadline pass between the two, and would
    report an answer that is cut off. A head whose body comes later is sent at the loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if not head and data.startswith(_STATUS_LINE) and data.endswith(_END_OF_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(head + data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")
