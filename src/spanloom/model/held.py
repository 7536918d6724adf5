"""What the current task holds in memory."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol


class Holder(Protocol):
    """The bytes that a call holds: at first those of its request."""

    @property
    def size(self) -> int: ...

    def take(self, size: int) -> None:
        """Hold so many bytes more, until the call has ended; from any thread.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if there are no more, at once.
        """
        ...


# None for the server's own work.
HELD: Final[ContextVar[Holder | None]] = ContextVar("held", default=None)
