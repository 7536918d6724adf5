"""How large events are with their updates, and which may not grow: an update costs the writer its
event's whole size, so it is refused before it reaches the writer, and weighs that size there."""

from __future__ import annotations

import threading

from spanloom import errors

# The updates of one event, as JSON: with each of them all are read and written.
MOST_UPDATE_BYTES = 4 << 20
# Below this size, an event costs no more than its rows do.
LARGE = 256 << 10
_MOST_REMEMBERED = 10_000


class EventSizes:
    """The limit of an event with its updates, and the events that this process knows to be large.

    Safe in any thread.

    Args:
        most: Bytes of an event as it was sent, with its updates.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._most_updates = min(most, MOST_UPDATE_BYTES)
        self._lock = threading.Lock()
        self._large: dict[tuple[str, str], None] = {}  # (project, id), the latest last

    def note(self, project: str, event_id: str, size: int) -> None:
        """Remember an event that is large."""
        if size <= LARGE:
            return
        with self._lock:
            self._large.pop((project, event_id), None)
            self._large[project, event_id] = None
            if len(self._large) > _MOST_REMEMBERED:
                del self._large[next(iter(self._large))]

    def may_be_large(self, project: str, event_id: str, update: int) -> bool:
        """Whether an event may be large with an update of so many bytes."""
        return update > LARGE or (project, event_id) in self._large

    def check_updates(self, size: int) -> None:
        """The same as `check` for all updates of an event, without what was sent."""
        if size > self._most_updates:
            raise errors.event_too_large(self._most_updates, "the updates of one event have")

    def check(self, size: int) -> int:
        """The size of an event with its updates, which may be stored.

        Raises:
            SpanloomError: INVALID_ARGUMENT if it is too large.
        """
        if size > self.most:
            raise errors.event_too_large(self.most)
        return size
