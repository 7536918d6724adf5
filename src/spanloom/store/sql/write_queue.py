"""The calls that wait for the writer, and how much room they have."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spanloom import metrics
from spanloom.store.sql.transaction import Transaction
from spanloom.tracing import OwnSpan

# What a call does in the transaction. It refuses by returning the exception to raise, before it has
# written anything.
Work = Callable[[Transaction], Any]


@dataclass(slots=True, eq=False)
class PendingWrite:
    """What one call does and for whom, its weight in the queue, and who waits for the result.

    `is_stuck` is whether it alone has not got its locks.
    """

    work: Work
    caller: str
    rows_only: bool
    rows: int
    size: int
    until: float  # then its patience is over
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    span: OwnSpan | None
    is_stuck: bool = False


@dataclass(slots=True)
class _Weight:
    """Rows and bytes."""

    rows: int = 0
    size: int = 0

    def add(self, call: PendingWrite, sign: int) -> None:
        self.rows += sign * call.rows
        self.size += sign * call.size


class WriteQueue:
    """The calls that wait: those of a caller in the order in which they came, and callers in turns.

    A caller (`spanloom.model.caller`) is a project, or a key of all projects, or the server itself:
    whoever sends much waits behind the own calls, and others do not. A call weighs until it is
    answered, also while it is being written.

    Args:
        rows, size: so many rows and bytes there is room for.
    """

    def __init__(self, rows: int, size: int) -> None:
        self._most = _Weight(rows, size)
        self._weight = _Weight()
        self._weight_of: dict[str, _Weight] = {}
        self._waiting_of: dict[str, deque[PendingWrite]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting_of.values()))

    def __bool__(self) -> bool:
        return bool(self._waiting_of)

    @property
    def rows(self) -> int:
        """The rows of all calls that are not answered."""
        return self._weight.rows

    def has_room(self, call: PendingWrite) -> bool:
        """Whether there is room for a call. In a full queue a caller still has its equal part, and
        one call where it has none, of any size."""
        own = self._weight_of.get(call.caller, _Weight())
        if not own.rows or self._fits(self._weight, call, 1):
            return True
        return self._fits(own, call, len(self._weight_of))

    def _fits(self, weight: _Weight, call: PendingWrite, parts: int) -> bool:
        most_rows, most_size = self._most.rows // parts, self._most.size // parts
        return weight.rows + call.rows <= most_rows and weight.size + call.size <= most_size

    def add(self, call: PendingWrite) -> None:
        """Have a call wait."""
        self._waiting_of.setdefault(call.caller, deque()).append(call)
        self._weigh(call, 1)

    def put_back(self, call: PendingWrite) -> None:
        """Have a call that was taken wait again, before all of its caller."""
        self._waiting_of.setdefault(call.caller, deque()).appendleft(call)

    def next(self) -> PendingWrite:
        """The call whose turn it is."""
        return next(iter(self._waiting_of.values()))[0]

    def take(self) -> PendingWrite:
        """The same, which waits no longer. The next turn is that of another caller."""
        caller, waiting = next(iter(self._waiting_of.items()))
        del self._waiting_of[caller]
        call = waiting.popleft()
        if waiting:
            self._waiting_of[caller] = waiting
        return call

    def remove(self, call: PendingWrite) -> bool:
        """Forget a call that still waits; whether it did."""
        waiting = self._waiting_of.get(call.caller, deque())
        if call not in waiting:
            return False
        waiting.remove(call)
        if not waiting:
            del self._waiting_of[call.caller]
        self._weigh(call, -1)
        return True

    def answered(self, call: PendingWrite) -> None:
        """A call that was taken weighs nothing any more."""
        self._weigh(call, -1)

    def _weigh(self, call: PendingWrite, sign: int) -> None:
        own = self._weight_of.setdefault(call.caller, _Weight())
        for weight in (self._weight, own):
            weight.add(call, sign)
        if not own.rows:
            del self._weight_of[call.caller]
        metrics.QUEUE_ROWS.set(self._weight.rows)
        metrics.QUEUE_BYTES.set(self._weight.size)
