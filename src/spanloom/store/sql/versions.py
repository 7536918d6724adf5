"""Versions of rows."""

from __future__ import annotations

import threading
import time


class Versions:
    """Nanoseconds since 1970, strictly increasing within the process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> int:
        """The first of so many versions in a row."""
        with self._lock:
            first = max(time.time_ns(), self._last + 1)
            self._last = first + count
            return first
