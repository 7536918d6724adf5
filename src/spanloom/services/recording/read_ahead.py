"""A stream of requests that is read ahead of whoever takes them, within a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, Self

MOST_BYTES: Final = 8 << 20
# Answered together: if all are rejected, the response must not be too large.
MOST_TAKEN: Final = 500
_OBJECTS: Final = 512


class ReadAhead:
    """Reads a stream in a task of its own; `async with` ends the task.

    Nothing is read while the requests that were read, and not yet `settle`d, have `most` bytes.
    """

    def __init__(self, requests: AsyncIterator[Any], most: int = MOST_BYTES) -> None:
        self._requests, self._most = requests, most
        self._read: deque[Any] = deque()
        self._size = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def take(self) -> list[Any]:
        """What was read, 1 to MOST_TAKEN requests; none at the end of the stream. A failure of the
        stream is raised after what came before it."""
        while not (self._read or self._is_over):
            self._changed.clear()
            await self._changed.wait()
        taken = [self._read.popleft() for _ in range(min(MOST_TAKEN, len(self._read)))]
        if not taken and self._failure:
            raise self._failure
        return taken

    def settle(self, size: int) -> None:
        """Make room: requests of so many bytes, as `size_of` has them, need no memory any more."""
        self._size -= size
        self._room.set()

    async def _run(self) -> None:
        try:
            async for request in self._requests:
                self._read.append(request)
                self._size += size_of(request)
                self._changed.set()
                while self._size >= self._most:
                    self._room.clear()
                    await self._room.wait()
        except asyncio.CancelledError as failure:  # also: the client has hung up
            self._failure = failure
            raise
        except Exception as failure:  # noqa: BLE001 - raised to whoever takes
            self._failure = failure
        finally:
            self._is_over = True
            self._changed.set()


def size_of(request: Any) -> int:
    """The bytes of a request, and of the objects that hold it. A refusal has only these."""
    return _OBJECTS + (request.ByteSize() if hasattr(request, "ByteSize") else 0)
