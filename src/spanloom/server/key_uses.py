"""When each key was used last: kept in memory, and written behind the calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final, Protocol

from spanloom.errors import SpanloomError

# A key that is used all the time is written so often by each process.
_WRITE_SECONDS: Final = 60.0


class UseStore(Protocol):
    async def note_key_uses(self, uses: Mapping[str, int]) -> None: ...


class KeyUses:
    """The latest use of each key since the last write."""

    def __init__(self, store: UseStore) -> None:
        self._store = store
        self._latest: dict[str, int] = {}

    def note(self, key_id: str) -> None:
        """The key with this id was used now."""
        self._latest[key_id] = time.time_ns()

    async def write(self) -> None:
        """Store what was noted. It is kept where the store does not take it now."""
        uses, self._latest = self._latest, {}
        if not uses:
            return
        try:
            await self._store.note_key_uses(uses)
        except SpanloomError:
            self._latest = {**uses, **self._latest}

    async def watch(self) -> None:
        """Store again and again, until cancelled."""
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            await self.write()
