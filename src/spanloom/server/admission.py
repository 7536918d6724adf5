"""What calls may take of a worker: bytes of its memory, of which a key has a part, and time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model.caller import CALLER

_SMALL = 64 << 10
_WINDOW_SECONDS = 0.25
_BEAT_SECONDS = 0.1
# So many calls are always let in: fewer would leave the database idle.
_LEAST = 64


class Held:
    """The bytes that one call holds."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._of = ""
        self.size = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more, until the call has ended.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if there are no more, at once.
        """
        if not self.size:
            self._of = CALLER.get()
        self._budget.take(size, self._of)
        self.size += size

    def give_back(self) -> None:
        self._budget.give_back(self.size, self._of)
        self.size = 0


class ByteBudget:
    """The bytes of all requests that are under way in a process.

    Args:
        most: In all. One request is always accepted when there is no other.
        share: The part of it that one caller (`spanloom.model.caller`) may have.
    """

    def __init__(self, most: int, share: float = 0.5) -> None:
        self._most = most
        self._most_of_one = int(most * share)
        self._taken = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def held(self) -> Iterator[Held]:
        """What a call holds while the block runs."""
        held = Held(self)
        try:
            yield held
        finally:
            held.give_back()

    def take(self, size: int, of: str) -> None:
        """Count bytes. Small requests cost so little that they are never refused."""
        others = self._taken > 0
        if others and size > _SMALL:
            if self._taken + size > self._most:
                raise _no_room("", self._most)
            if of and self._of[of] and self._of[of] + size > self._most_of_one:
                raise _no_room(" of this key", self._most_of_one)
        self._taken += size
        self._of[of] += size

    def give_back(self, size: int, of: str) -> None:
        self._taken -= size
        self._of[of] -= size
        if not self._of[of]:
            del self._of[of]


def _no_room(whose: str, most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the requests in progress{whose} have more than {most} bytes; retry later",
        metadata={"limit_bytes_in_flight": str(most)},
        retry_after=1.0,
    )


class Pace:
    """How many calls that write may be under way, so that each is answered in time.

    As long as they are, any number up to `most`. When most of them take longer, as many as have
    been answered in that time; the others are refused at once.

    Args:
        seconds: The time; 0 for no such limit.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._ceiling = self.most = most
        self._seconds = seconds
        self._since = time.monotonic()
        self._ended = self._late = 0
        self._lag = 0.0

    def ended(self, took: float) -> None:
        """A call has been answered, so many seconds after its request was read."""
        self._ended += 1
        self._late += took + self._lag > self._seconds
        passed = time.monotonic() - self._since
        if passed < _WINDOW_SECONDS or not self._seconds:
            return
        if 2 * self._late > self._ended:
            answered_in_time = int(self._ended / passed * self._seconds)
            self.most = min(self.most, max(_LEAST, answered_in_time))
        else:
            self.most = min(self._ceiling, self.most + max(8, self.most // 4))
        self._since += passed
        self._ended = self._late = 0

    async def watch(self) -> None:
        """Measure how late the event loop is, until cancelled: a request waits so long before it is
        read."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._lag = max(loop.time() - due, self._lag / 2)
