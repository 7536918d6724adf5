"""Readers who follow the same, and the responses that they share.

A reader has a position in the log, and no buffer. The responses behind its position are in the
window of its group; a reader that is behind the window reads the log by itself, as fast as its
client takes the responses.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, NamedTuple

from spanloom.errors import reader_too_slow
from spanloom.model.changes import StoredSpans

# A reader whose client has not taken the last so many spans, or bytes, is too slow.
MOST_SPANS: Final = 10_000
MOST_BYTES: Final = 16 << 20
# At least every 15 seconds a client gets a response; a second is for delays.
QUIET_SECONDS: Final = 14.0
# Responses that are kept for each reader, and for all of a group.
_WINDOW: Final = 64 << 10
_LARGEST_WINDOW: Final = 1 << 20
_RETRY_SECONDS: Final = 0.1


class Behind(NamedTuple):
    """How much was stored: since a group began, or since a reader was at a position."""

    spans: int = 0
    bytes: int = 0

    def plus(self, part: StoredSpans, project: str) -> Behind:
        sizes = [one.size for one in part.spans if one.project == project]
        return Behind(self.spans + len(sizes), self.bytes + sum(sizes))


NOTHING: Final = Behind()


class Piece(NamedTuple):
    """Responses that a reader gets as a whole.

    Attributes:
        reached: The position after them.
        places: The version of each span in a single response; empty if no part of it is of use.
        size: In bytes.
        stored: How much had been stored at that position, since the group began.
    """

    reached: int
    responses: Sequence[Any]
    size: int
    places: Sequence[int] = ()
    stored: Behind = NOTHING


class _Reader:
    """A client's stream: its position, and how much had been stored when it was there.

    `passed` is None until the reader has come to the present for the first time: who resumes may be
    as far behind as it likes.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.passed: Behind | None = None


class Group(ABC):
    """The readers of one project who ask for the same.

    Attributes:
        reached: The position up to which all responses were made; None before the first.
        stored: How much was stored since the group began, spans of its project.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self.reached: int | None = None
        self.users = 0  # calls, those that do not read yet included
        self.failure: Exception | None = None
        self.stored = NOTHING
        self._begins = 0  # the position at which the window begins
        self._window: deque[Piece] = deque()
        self._size = 0
        self._readers: set[_Reader] = set()
        self._waiting: set[asyncio.Future[None]] = set()

    @abstractmethod
    async def take(self, part: StoredSpans) -> None:
        """Make responses of the next part of the log."""

    @abstractmethod
    async def missed(self, position: int, stored: Behind) -> tuple[list[Piece], int, Behind]:
        """What follows a position that the window does not reach: responses, and the position
        after them; and how much had been stored there, if it was `stored` at the first."""

    @abstractmethod
    def response(self, position: int) -> Any:
        """A response that only has the cursor of a position."""

    @abstractmethod
    def without(self, piece: Piece, position: int) -> Any:
        """The response of a piece without what is not behind a position."""

    def start(self, position: int) -> None:
        """Begin at a position: `take` gets all that follows it."""
        self.reached = self._begins = position
        self._wake()

    def stop(self) -> None:  # noqa: B027 - most groups do nothing by themselves
        """End what the group does by itself; nobody reads any more."""

    def fail(self, error: Exception) -> None:
        """End all readers with an error."""
        self.failure = error
        self._wake()

    @property
    def readers(self) -> int:
        return len(self._readers)

    async def read(self, position: int | None) -> AsyncGenerator[Any, None]:
        """A response at once, those behind a position (None: where the group is), and one without
        content after each quiet time.

        Raises:
            SpanloomError: ABORTED, if the reader is too slow.
        """
        reader = _Reader(-1 if position is None else position)
        self._readers.add(reader)
        clock = asyncio.get_running_loop().time
        try:
            if position is None:
                await self._started()
            if position is None and self.reached is not None:
                reader.position = self.reached
            yield self.response(reader.position)
            due = clock() + QUIET_SECONDS
            while True:
                if self.failure:
                    raise self.failure
                found: Sequence[Any] = ()
                reached = reader.position
                if self.reached is None or reached >= self.reached:
                    await self._moved(due - clock())
                    reader.passed = self.stored
                elif reached < self._begins:
                    self._check(reader)
                    found, reached = await self._read_missed(reader)
                elif piece := self._next(reached):
                    self._check(reader)
                    found, reached, reader.passed = piece.responses, piece.reached, piece.stored
                    if piece.places and piece.places[0] <= reader.position:
                        found = [self.without(piece, reader.position)]
                else:
                    reached, reader.passed = self.reached, self.stored
                for response in found:
                    yield response
                reader.position = reached
                if found:
                    due = clock() + QUIET_SECONDS
                elif clock() >= due:
                    if not self._next(reached) and reached >= self._begins:
                        reader.position = max(reached, self.reached or 0)
                    yield self.response(reader.position)
                    due = clock() + QUIET_SECONDS
        finally:
            self._readers.discard(reader)

    async def _started(self) -> None:
        while self.reached is None and not self.failure:
            await self._moved(QUIET_SECONDS)

    async def _read_missed(self, reader: _Reader) -> tuple[Sequence[Any], int]:
        pieces, reached, stored = await self.missed(reader.position, reader.passed or NOTHING)
        if reached <= reader.position:
            await asyncio.sleep(_RETRY_SECONDS)  # a transaction of another process is still open
        if reader.passed is not None:
            reader.passed = stored
        return [response for piece in pieces for response in piece.responses], reached

    def _check(self, reader: _Reader) -> None:
        if reader.passed is None:
            return
        behind = self.stored.spans - reader.passed.spans
        size = self.stored.bytes - reader.passed.bytes
        if behind > MOST_SPANS or size > MOST_BYTES:
            raise reader_too_slow(behind, MOST_SPANS, size)

    def _next(self, position: int) -> Piece | None:
        """The first piece of the window that is behind a position."""
        found = None
        for piece in reversed(self._window):
            if piece.reached <= position:
                break
            found = piece
        return found

    @property
    def is_read(self) -> bool:
        """Whether any reader is in the window, or at its end."""
        return any(reader.position >= self._begins for reader in self._readers)

    def publish(self, pieces: Sequence[Piece], reached: int) -> None:
        """Put responses into the window, and move its end."""
        for piece in pieces:
            self._window.append(piece._replace(stored=self.stored))
            self._size += piece.size
        most = min(_WINDOW * len(self._readers), _LARGEST_WINDOW)
        while self._window and self._size > most and len(self._window) > 1:
            gone = self._window.popleft()
            self._size -= gone.size
            self._begins = gone.reached
        self.reached = reached
        if pieces:
            self._wake()

    def skip(self, reached: int) -> None:
        """Move the window behind a part of the log of which no responses were made."""
        self._window.clear()
        self._size = 0
        self.reached = self._begins = reached
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            _end(waiting)
        self._waiting.clear()

    async def _moved(self, seconds: float) -> None:
        """Wait for something new, at most so many seconds."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), _end, waiting)
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
