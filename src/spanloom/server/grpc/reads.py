"""Requests that are still coming: gRPC's core keeps what has come of them, where nothing counts it.

A message is given to Python when it is whole, so its bytes are known only then. What is known
earlier is how much memory the process uses.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server import memory
from spanloom.server.grpc.call import Context

_CHECK_SECONDS: Final = 0.02


class Reads:
    """Refuses requests that are still coming when the process has no memory for them.

    Args:
        most_bytes: So much more than at the start may be in use.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._at_start = memory.in_use()
        self._new: dict[asyncio.Timeout, None] = {}
        self._slow: dict[asyncio.Timeout, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, context: Context) -> bytes | None:
        """The next message; None at the end of the stream.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED.
        """
        scope = asyncio.timeout(None)
        self._new[scope] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check)
        try:
            async with scope:
                message = await context.read()
                return message if isinstance(message, bytes) else None
        except TimeoutError:
            if not scope.expired():
                raise
            raise _no_memory(self._most) from None
        finally:
            self._new.pop(scope, None)
            self._slow.pop(scope, None)

    def _check(self) -> None:
        """Look at those that were there at the last look."""
        loop = asyncio.get_running_loop()
        if self._slow and memory.in_use() > self._at_start + self._most:
            for scope in tuple(self._slow):
                scope.reschedule(loop.time())
            self._slow.clear()
        self._slow.update(self._new)
        self._new.clear()
        waits = bool(self._slow)
        self._timer = loop.call_later(_CHECK_SECONDS, self._check) if waits else None


def _no_memory(most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the calls in progress have more than {most} bytes; retry later",
        metadata={"limit_bytes_in_flight": str(most)},
        retry_after=1.0,
    )
