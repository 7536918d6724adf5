"""The one reader of the log of changes in a process, for all tails of all projects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import structlog

from spanloom.errors import SpanloomError
from spanloom.model.changes import StoredSpans
from spanloom.services.tails.group import Group
from spanloom.store.store import Store

log = structlog.get_logger("spanloom.tails")

# What one read of the log takes at most.
MOST_SPANS: Final = 500
MOST_BYTES: Final = 4 << 20
# The pause between two reads: as long as this while nothing is written, and shorter when this
# process writes. While something is written, it grows with the number of readers, for each read
# then costs as many responses.
_IDLE_SECONDS: Final = 0.1
_BUSY_SECONDS: Final = 0.02
_SECONDS_A_READER: Final = 0.0005
# After the database could not be read.
_RETRY_SECONDS: Final = 1.0


class Follower:
    """Follows the log while anybody reads, and gives each part to the groups of readers."""

    def __init__(self, store: Store) -> None:
        self._log = store.summaries
        self._groups: dict[tuple[str, str, bytes], Group] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(
        self,
        project: str,
        method: str,
        asked: bytes,
        position: int | None,
        make: Callable[[], Group],
    ) -> AsyncGenerator[Any, None]:
        """The responses to a request, as of `Group.read`.

        Args:
            asked: The request without its cursor: the same is answered once for all readers.
            make: Makes the group of those who ask for it.
        """
        key = project, method, asked
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = make()
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        group.users += 1
        responses = group.read(position)
        try:
            async for response in responses:
                yield response
        finally:
            await responses.aclose()
            group.users -= 1
            if not group.users:
                if self._groups.get(key) is group:
                    del self._groups[key]
                group.stop()

    async def _follow(self) -> None:
        try:
            position: int | None = None
            while self._groups:
                # Before the log is read: what is written meanwhile ends the pause at once.
                own_writes = self._log.own_writes()
                try:
                    if position is None:
                        position = await self._log.present()
                    part = await self._step(position)
                except SpanloomError as error:
                    log.warning("the log of changes cannot be read", reason=error.reason)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                has_moved, position = part.reached > position, part.reached
                if part.more:
                    continue
                if has_moved:
                    await asyncio.sleep(self._pause())
                else:
                    await self._log.wait_for_own_write(own_writes, _IDLE_SECONDS)
        except Exception as error:  # noqa: BLE001 - the readers get it
            failed, self._groups = self._groups, {}
            for group in failed.values():
                group.fail(error)
        finally:
            self._task = None

    async def _step(self, position: int) -> StoredSpans:
        groups = list(self._groups.values())
        for group in groups:
            if group.reached is None:
                group.start(position)
        projects = {group.project for group in groups}
        part = await self._log.stored(projects, position, limit=MOST_SPANS, size=MOST_BYTES)
        if part.reached > position:
            for group in groups:
                try:
                    await group.take(part)
                except Exception as error:  # noqa: BLE001 - the group's readers get it
                    self._groups = {k: g for k, g in self._groups.items() if g is not group}
                    group.fail(error)
        return part

    def _pause(self) -> float:
        readers = sum(group.readers for group in self._groups.values())
        return min(_IDLE_SECONDS, _BUSY_SECONDS + _SECONDS_A_READER * readers)
