"""What this process commits, for those who would have to poll for it."""

from __future__ import annotations

import asyncio
import threading


class OwnWrites:
    """How often this process has committed what clients wrote, and who waits for the next time.

    The writer's thread adds to it; any event loop may wait.
    """

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self) -> None:
        """Count a commit, and wake who waits."""
        with self._lock:
            self.number += 1
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            try:
                future.get_loop().call_soon_threadsafe(_end, future)
            except RuntimeError:  # the loop was closed: nobody waits any more
                continue

    async def after(self, number: int, seconds: float) -> None:
        """Until more than so many commits were counted, at most so many seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self.number > number:
                return
            self._waiting.add(future)
        timer = loop.call_later(seconds, _end, future)
        try:
            await future
        finally:
            timer.cancel()
            with self._lock:
                self._waiting.discard(future)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
