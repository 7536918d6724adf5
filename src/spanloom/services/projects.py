"""Projects come into being by their first write."""

from __future__ import annotations

from spanloom.store.control import ControlStore


class Projects:
    """Makes projects in the store, each once for this process; projects are never removed."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._made: set[str] = set()

    async def ensure(self, project: str) -> None:
        if project not in self._made:
            await self._store.ensure_project(project)
            self._made.add(project)
