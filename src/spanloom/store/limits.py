"""The contract of the store of the projects' limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from spanloom.model.limits import Limits


class LimitStore(Protocol):
    """The limits of projects, and how much they have of what is limited."""

    async def change(self, project: str, changes: Mapping[str, int | None]) -> Limits:
        """Change limits of a project that exists, and keep the others; all limits afterwards.

        Args:
            changes: by the names of `Limits`. None for what the settings say.
        """
        ...

    async def own(self) -> dict[str, Limits]:
        """The limits of each project that has any of its own."""
        ...

    async def stored_spans(self, projects: Collection[str]) -> dict[str, int]:
        """How many spans projects have, without those of the last moments: it is read from the sums
        behind the writer."""
        ...
