"""Whether this process answers calls: the event loop measures it, any thread reads it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

_BEAT_SECONDS: Final = 0.5
_CHECK_SECONDS: Final = 1.0
# Without a beat, or a check that ended, for so long a process is not ready for calls.
_READY_SECONDS: Final = 5.0
# An event loop that has not run for so long hangs: the process is to be replaced.
_ALIVE_SECONDS: Final = 30.0


class Health:
    """The last that is known of the event loop and of the store.

    Whoever asks waits for neither of them, so that the answer comes at once while both are busy.
    """

    def __init__(self) -> None:
        self._beat = self._checked = -math.inf
        self._store_answers = False
        self._is_closed = False

    @property
    def is_alive(self) -> bool:
        """Whether the event loop runs."""
        return time.monotonic() - self._beat < _ALIVE_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether calls are accepted and likely to be answered."""
        oldest = min(self._beat, self._checked)
        is_new = time.monotonic() - oldest < _READY_SECONDS
        return self._store_answers and is_new and not self._is_closed

    async def check(self, store_answers: Callable[[], Awaitable[bool]]) -> None:
        """Ask the store."""
        self._store_answers = await store_answers()
        self._checked = self._beat = time.monotonic()

    async def watch(self, store_answers: Callable[[], Awaitable[bool]]) -> None:
        """Ask the store again and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat_for_ever())
            while True:
                await self.check(store_answers)
                await asyncio.sleep(_CHECK_SECONDS)

    def close(self) -> None:
        """No call is accepted from now on."""
        self._is_closed = True

    async def _beat_for_ever(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
