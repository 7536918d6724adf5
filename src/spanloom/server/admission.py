"""What calls may hold of a worker's memory: one budget of bytes, of which a key has a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model.caller import CALLER


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


_SMALL = 64 << 10


def _no_room(whose: str, most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the requests in progress{whose} have more than {most} bytes; retry later",
        metadata={"limit_bytes_in_flight": str(most)},
        retry_after=1.0,
    )
