"""What calls may take of a worker: bytes of its memory, of which a key has a part, and time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model.caller import CALLER
from spanloom.model.held import HELD

# The present message of a stream is in memory so often: as what it is made of, twice, as a message,
# as bytes, and as what the connection has not sent.
STREAM_COPIES = 5
_SMALL = 64 << 10
_WINDOW_SECONDS = 0.25
_BEAT_SECONDS = 0.05
# A call that has waited for this part of the time shows that others will be late.
_EARLY = 0.25
# So many calls are always let in: fewer would leave the database idle.
_LEAST = 64
# Messages of streams at one turn of the event loop: some 2 ms.
_MESSAGES_A_TURN = 4
# Bulk streams take one part in so many of the process's time; a turn comes after so many seconds
# at the latest.
_PARTS = 3
_MOST_PAUSE_SECONDS = 0.02

T = TypeVar("T")


class Held:
    """The bytes that one call holds: those of its request, of what it reads, of its answer."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._of = ""
        self._lock = threading.Lock()
        self._is_over = False
        self.size = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more, until the call has ended.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if there are no more, at once.
        """
        with self._lock:
            if self._is_over:  # a thread works for a call that has ended
                return
            if not self.size:
                self._of = CALLER.get()
            self._budget.take(size, self._of, self.size)
            self.size += size

    def keep(self, size: int) -> None:
        """Hold so many bytes in all, no longer what was held before.

        Raises:
            SpanloomError: As `take`.
        """
        if size > self.size:
            self.take(size - self.size)
            return
        with self._lock:
            self._budget.give_back(self.size - size, self._of)
            self.size = size

    def end(self) -> None:
        """Hold nothing from now on."""
        self.keep(0)
        self._is_over = True


class ByteBudget:
    """The bytes that all calls of a process hold. Safe in any thread.

    Args:
        most: In all. One request is always accepted when there is no other.
        share: The part of it that one caller (`spanloom.model.caller`) may have.
    """

    def __init__(self, most: int, share: float = 0.5) -> None:
        self.most = most
        self._most_of_one = int(most * share)
        self._taken = 0
        self._of: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """The bytes that calls hold now."""
        return self._taken

    @contextmanager
    def held(self) -> Iterator[Held]:
        """What a call holds while the block runs."""
        held = Held(self)
        before = HELD.set(held)
        try:
            yield held
        finally:
            HELD.reset(before)
            held.end()

    def take(self, size: int, of: str, own: int = 0) -> None:
        """Count bytes. Small requests cost so little that they are never refused.

        Args:
            own: The call has so many already.
        """
        with self._lock:
            if size > _SMALL:
                if self._taken > own and self._taken + size > self.most:
                    raise _no_room("", self.most)
                if of and self._of[of] > own and self._of[of] + size > self._most_of_one:
                    raise _no_room(" of this key", self._most_of_one)
            self._taken += size
            self._of[of] += size

    def give_back(self, size: int, of: str) -> None:
        with self._lock:
            self._taken -= size
            self._of[of] -= size
            if not self._of[of]:
                del self._of[of]


class Places:
    """How many calls of a kind there may be at once, and are.

    When all places are taken, a caller that has less than an equal part of them is let in
    nevertheless: no caller, with any number of keys, keeps the others out.

    Args:
        of: What they are, in words.
        name: The name of the limit.
        most: So many there may be.
    """

    def __init__(self, of: str, name: str, most: int) -> None:
        self.of, self.name, self.most = of, name, most
        # With those whose caller is not known yet.
        self.come = 0
        self._inside = 0
        self._of_caller: Counter[str] = Counter()
        self._of_key: Counter[str] = Counter()

    def check(self) -> None:
        """Refuse a call that has come, before its caller is known, if far too many have.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED.
        """
        if self.come > 2 * self.most:
            raise too_many(self.of, self.name, self.most)

    def refusal(
        self, caller: str, key_id: str, most: int, most_of_key: int
    ) -> SpanloomError | None:
        """Why there is no place for the caller or the key; None if there is one. As `taken`."""
        if self._inside >= most:
            callers = len(self._of_caller) + (caller not in self._of_caller)
            if self._of_caller[caller] >= max(1, most // callers):
                return too_many(self.of, self.name, most)
        if key_id and self._of_key[key_id] >= most_of_key:
            return too_many(f"{self.of} of this key", f"{self.name}_per_key", most_of_key)
        return None

    @property
    def inside(self) -> int:
        """How many there are."""
        return self._inside

    @contextmanager
    def taken(self, caller: str, key_id: str, most: int, most_of_key: int) -> Iterator[None]:
        """A call has a place while the block runs.

        Args:
            caller: As `spanloom.model.caller`.
            key_id: "" without authentication.
            most: So many places there are now.
            most_of_key: So many of them a key may have.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if there is no place for the caller or the key.
        """
        if refusal := self.refusal(caller, key_id, most, most_of_key):
            raise refusal
        self._inside += 1
        self._of_caller[caller] += 1
        self._of_key[key_id] += 1
        try:
            yield
        finally:
            self._inside -= 1
            for counted, name in ((self._of_caller, caller), (self._of_key, key_id)):
                counted[name] -= 1
                if not counted[name]:
                    del counted[name]


def too_many(what: str, name: str, most: int) -> SpanloomError:
    """RESOURCE_EXHAUSTED: so many calls of a kind are in progress."""
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the server has too many {what} in progress; retry later",
        metadata={f"limit_{name}": str(most)},
        retry_after=1.0,
    )


def _no_room(whose: str, most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the calls in progress{whose} have more than {most} bytes; retry later",
        metadata={"limit_bytes_in_flight": str(most)},
        retry_after=1.0,
    )


class Turns:
    """Lets few streams go on at each turn of the event loop, those of each caller in turn.

    Thousands that are ready at once would otherwise come between any two steps of every other call.

    Args:
        yields: Whether the streams leave most of the process's time to others now. More than have a
            turn at once then pause between two turns, by the CPU time of the whole process: threads
            read what they send, and gRPC's core sends it.
        used: The CPU time of the process so far, in seconds.
    """

    def __init__(
        self,
        yields: Callable[[], bool] = lambda: False,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._yields = yields
        self._used = used
        self._used_before = 0.0
        # By caller, the one whose turn is next first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def next(self, answers: AsyncIterator[T]) -> T | None:
        """The next answer of a stream; None after the last."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            self._used_before = self._used()
            loop.call_soon(self._give, loop)
        self._waiting.setdefault(CALLER.get(), deque()).append(turn)
        await turn
        return await anext(answers, None)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        left = _MESSAGES_A_TURN
        while left and self._waiting:
            of = next(iter(self._waiting))
            turns = self._waiting.pop(of)
            turn = turns.popleft()
            if turns:
                self._waiting[of] = turns  # behind the others
            if not turn.done():  # cancelled
                turn.set_result(None)
                left -= 1
        if self._waiting and self._yields():
            used = self._used()
            pause = min(_PARTS * (used - self._used_before), _MOST_PAUSE_SECONDS)
            self._used_before = used
            loop.call_later(pause, self._give, loop)
        elif self._waiting:
            loop.call_soon(self._give, loop)


class Pace:
    """How many calls that write may be under way, so that each is answered in time.

    As long as they are, any number up to `most`. When most of them take longer, or one has waited
    for a quarter of the time, as many as have been answered in that time; the others are refused at
    once.

    Args:
        seconds: The time; 0 for no such limit.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._ceiling = self.most = most
        self._seconds = seconds
        self._since = time.monotonic()
        self._ended = self._late = 0
        self._lag = 0.0
        # Since when each call is under way, oldest first.
        self._under_way: dict[int, float] = {}
        self._begun = self._answered = 0
        # How many had been answered at each look in the time before now, oldest first.
        self._looks: deque[tuple[float, int]] = deque()

    def begin(self) -> int:
        """The request of a call has been read; a number for `end`."""
        self._begun += 1
        self._under_way[self._begun] = time.monotonic()
        return self._begun

    def end(self, number: int) -> None:
        """A call has been answered."""
        now = time.monotonic()
        took = now - self._under_way.pop(number)
        self._answered += 1
        self._ended += 1
        self._late += took + self._lag > self._seconds
        passed = now - self._since
        if passed < _WINDOW_SECONDS or not self._seconds:
            return
        if 2 * self._late > self._ended:
            answered_in_time = int(self._ended / passed * self._seconds)
            self.most = min(self.most, max(_LEAST, answered_in_time))
        else:
            self.most = min(self._ceiling, self.most + max(8, self.most // 4))
        self._since += passed
        self._ended = self._late = 0

    def look(self) -> None:
        """Let fewer calls in as soon as the oldest one has waited too long, answered or not: until
        it is, hundreds could come that are late as well."""
        now = time.monotonic()
        self._looks.append((now, self._answered))
        while self._looks[0][0] < now - self._seconds:
            self._looks.popleft()
        oldest = next(iter(self._under_way.values()), now)
        if self._seconds and now - oldest > self._seconds * _EARLY:
            answered_in_time = self._answered - self._looks[0][1]
            self.most = min(self.most, max(_LEAST, answered_in_time))

    async def watch(self) -> None:
        """Look again and again, until cancelled; and measure how late the event loop is: a request
        waits so long before it is read."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._lag = max(loop.time() - due, self._lag / 2)
            self.look()
