"""How far programs have come that follow the log of changes and keep their place."""

from __future__ import annotations

from typing import Protocol


class Cursors(Protocol):
    """Named places in the log of changes, each of which one process has at a time."""

    async def take_cursor(self, name: str, owner: str, lease_seconds: float) -> int | None:
        """Have a cursor for so long: its position, None while another owner has it.

        A cursor that does not exist begins behind all that is committed now.
        """
        ...

    async def move_cursor(self, name: str, owner: str, position: int, lease_seconds: float) -> bool:
        """Move a cursor, and have it for so long from now on. False if another owner has taken it;
        then it has not moved."""
        ...

    async def release_cursor(self, name: str, owner: str) -> None:
        """Let another owner have it at once."""
        ...
