"""Requests that are still coming: gRPC's core keeps what has come of them, where nothing counts it.

A message is given to Python when it is whole, so its bytes are known only then. What is known
earlier is how much memory the process uses.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server import memory
from spanloom.server.admission import ByteBudget
from spanloom.server.grpc.call import Context

_LOOK_SECONDS: Final = 0.02
# So often while memory fills: a fast client sends 5 MB meanwhile.
_SHORT_LOOK_SECONDS: Final = 0.004
_FILLS: Final = 0.25  # a part of what may be in use
# What calls hold while the server is as good as idle.
_LITTLE: Final = 1 << 20


class Reads:
    """Refuses requests that are still coming when the process has no memory for them.

    Args:
        budget: Has what the calls hold whose requests are whole. A third of it, more than while no
            call held anything, may be in use.
    """

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._most = budget.most // 3
        self._at_rest = memory.in_use()
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
            if self._budget.taken < _LITTLE:
                self._at_rest = memory.in_use()  # caches have grown
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
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

    def _look(self) -> None:
        """Refuse those of which nothing was whole at the last look, if there is no memory: the
        later half, so that the others are soon whole."""
        loop = asyncio.get_running_loop()
        used = memory.in_use() - self._at_rest
        if self._slow and used > self._most:
            for scope in tuple(self._slow)[len(self._slow) // 2 :]:
                scope.reschedule(loop.time())
                del self._slow[scope]
        self._slow.update(self._new)
        self._new.clear()
        seconds = _SHORT_LOOK_SECONDS if used > self._most * _FILLS else _LOOK_SECONDS
        self._timer = loop.call_later(seconds, self._look) if self._slow else None


def _no_memory(most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the calls in progress have more than {most} bytes; retry later",
        metadata={"limit_bytes_in_flight": str(most)},
        retry_after=1.0,
    )
