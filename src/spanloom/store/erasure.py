"""The contract of erasure and retention: deletion of more than one transaction may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

# How much was deleted, by what it was: spans, traces, updates, feedback and others.
Counts = Mapping[str, int]


class Erasure(Protocol):
    """Deletes what belongs to a user or to a project, and traces that are old.

    The work is done in many transactions, each of which is short: nobody who writes waits for long.
    What is erased is written down before anything is deleted (intent first). A process that dies in
    the middle leaves the intent, and another call, or `continue_all` in any process, finishes it.

    - **After the call.** What was acknowledged before an erasure began is in no answer once it
      has returned, in any process.
    - **During the call.** A trace of up to 1,000 spans is there whole or gone, and so is
      every other object; of several traces some may be gone and others not yet. A project that is
      being deleted refuses all other calls: no reader sees a part of it.
    - **Written during the call.** What is written while it runs is deleted, or stays as it was
      written. What comes after it is stored as that of a new trace, user or project.

    An engine that merges rows by key deletes by tombstones, trace by trace; the intent is in the
    control store.
    """

    async def delete_user(self, project: str, user_id: str) -> Counts:
        """Delete the spans of a user (`spanloom.model.users`) with all that hangs on them, the
        updates that name the user, and the items of datasets and datapoints that carry the user or
        were made of a deleted event."""
        ...

    async def delete_project(self, project: str, *, settle_seconds: float = ...) -> Counts:
        """Delete a project: its spans, all that is of it in the control store, and its keys, which
        are invalid at once.

        Args:
            settle_seconds: so long after the intent the deletion begins. Until then all processes
                have seen the intent, and refuse calls in the project.
        """
        ...

    def is_deleting(self, project: str) -> bool:
        """Whether a project is being deleted, as far as this process knows: it looks twice a
        second."""
        ...

    async def continue_all(self) -> None:
        """Finish the erasures that nobody has worked on for a while."""
        ...

    async def set_retention(self, project: str, days: int | None) -> None:
        """Set for how many days the traces of a project are kept: 0 for ever, None for as long as
        the server's setting says."""
        ...

    async def retention(self, project: str) -> int | None:
        """What `set_retention` set."""
        ...

    async def expire(self, default_days: int, now_ns: int) -> Counts:
        """Delete the traces whose newest span started longer ago than they are kept, with all that
        hangs on them, in the projects of which that is known. Nothing happens where another
        process is at it.

        Args:
            default_days: for projects that have no retention of their own; 0 for ever.
        """
        ...
