"""When the work behind the writer is done: not while spans come faster than it could follow, unless
too many of them wait for it.

The work of one span takes longer than to store it, and both need the processor and the writer's
lock. So during a burst it would slow the writers down and be behind all the same.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from sqlalchemy import BigInteger, Connection, Select, bindparam, func, select

from spanloom.store.sql.tables import spans

# More spans a second than this are a burst: about as many as are indexed with nothing else to do.
FAST = 3_000
# Spans are counted for so long, unless a burst is found earlier: one commit may have thousands.
_WINDOW_SECONDS = 1.0

_FIRST: Any = bindparam("first", type_=BigInteger)
_VERSIONS = select(spans.c.version).where(spans.c.version >= _FIRST).order_by(spans.c.version)
_NEW = _VERSIONS.limit(bindparam("limit")).subquery()
_COUNT = select(func.count()).select_from(_NEW)
_BEHIND = _VERSIONS.limit(1).offset(bindparam("most"))
_NEWEST = select(func.max(spans.c.version))


class Pace:
    """Whether work that follows the log of spans gives way to the writers."""

    def __init__(self, reached: Select[Any], most: int) -> None:
        """
        Args:
            reached: The first version that the work has not done.
            most: The work gives way until so many spans wait for it.
        """
        self._reached, self._most = reached, most
        self._counted_from: tuple[float, int] | None = None  # a time, and the newest version then
        self._come: Literal["not", "slowly", "fast"] = "not"

    def gives_way(self, connection: Connection) -> bool:
        """Whether spans come fast, or begin to come and may come fast, and not too many wait."""
        if not self._may_be_burst(connection):
            return False
        waiting = {"first": connection.execute(self._reached).scalar_one(), "most": self._most}
        return connection.execute(_BEHIND, waiting).first() is None

    def _may_be_burst(self, connection: Connection) -> bool:
        now = time.monotonic()
        since, newest = self._counted_from or (now, None)
        if newest is None:
            number, enough = 0, 1
        else:
            enough = max(1, int(FAST * max(_WINDOW_SECONDS, now - since)))
            new = {"first": newest + 1, "limit": enough}
            number = connection.execute(_COUNT, new).scalar_one()
        if number == enough:
            self._come = "fast"
        elif now >= since + _WINDOW_SECONDS:
            self._come = "slowly" if number else "not"
        elif number or self._come != "not":  # nothing new is known of how they come
            return self._come != "slowly"
        self._counted_from = now, connection.execute(_NEWEST).scalar() or 0
        return self._come == "fast"
