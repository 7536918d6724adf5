"""How much keys and projects take in a time, and how much projects store, against their limits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from spanloom import metrics
from spanloom.errors import SpanloomError, quota_exceeded, rate_limited
from spanloom.model.limits import Limits
from spanloom.store.limits import LimitStore

# How often a process looks at the limits of projects, and at what those store that write.
_LOOK_SECONDS: Final = 1.0
# So long after a project wrote its spans are looked at.
_FORGET_SECONDS: Final = 60.0
# More buckets are not kept of those who take nothing.
_MOST_BUCKETS: Final = 10_000
NO_LIMITS: Final = Limits()
# What is counted, as the limits name it.
_REQUESTS, _BYTES, _SPANS = "requests", "bytes", "spans"
_RATES: Final = (_REQUESTS, _BYTES, _SPANS)


class Bucket:
    """A bucket of tokens that fills up in one second.

    Whoever comes may take any number of tokens while there is one: what is taken beyond is owed,
    and the bucket is empty until it is paid. So what is larger than the bucket is never refused for
    ever.
    """

    __slots__ = ("_at", "_level", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._level = max(1.0, rate)
        self._at = now

    def wait(self, rate: float, now: float) -> float:
        """The seconds until there is a token, 0 if there is one. The rate may change."""
        filled = self._level + max(0.0, now - self._at) * rate
        self._level = min(filled, max(1.0, rate))
        self._rate, self._at = rate, now
        return max(0.0, (1.0 - self._level) / rate)

    def take(self, number: int) -> None:
        self._level -= number

    def is_full(self, now: float) -> bool:
        return self._level + (now - self._at) * self._rate >= max(1.0, self._rate)


class Rates:
    """The buckets of a process, and what it knows of the projects' limits. For one event loop.

    Args:
        store: Has the limits of projects; None where they have none of their own.
        of_projects: The limits of a project where it has none of its own.
        of_keys: The limits of a key.
        processes: Among so many the limits are divided, so that each has a part of a rate.
    """

    def __init__(
        self,
        store: LimitStore | None = None,
        of_projects: Limits = NO_LIMITS,
        of_keys: Limits = NO_LIMITS,
        processes: int = 1,
    ) -> None:
        self._store = store
        self._of_projects, self._of_keys = of_projects, of_keys
        self._processes = processes
        self._own: Mapping[str, Limits] = {}
        self._buckets: dict[tuple[str, str, str], Bucket] = {}
        # Of projects with a quota that have written: the spans at the last look, and those written
        # since. And when each project wrote last, or got limits; those that are full are kept.
        self._stored: dict[str, int] = {}
        self._written: Counter[str] = Counter()
        self._wrote_at: dict[str, float] = {}

    def take(
        self, key_id: str, project: str, amounts: Mapping[str, int], *, is_accepted: bool = False
    ) -> None:
        """Take of the key's and of the project's buckets; either may be "".

        Args:
            amounts: By "requests", "bytes" and "spans". An amount of 0 is only tried.
            is_accepted: Take also where a bucket is empty.

        Raises:
            SpanloomError: A bucket is empty. Nothing was taken.
        """
        now = time.monotonic()
        found = list(self._buckets_of(key_id, project, amounts, now))
        for whose, what, most, bucket in found:
            wait = bucket.wait(most / self._processes, now)
            if wait and not is_accepted:
                name = f"{'key_' if whose == 'key' else ''}{what}_per_second"
                metrics.LIMITED.labels(name, metrics.label(project)).inc()
                raise rate_limited(whose, what, name, most, wait)
        for _, what, _, bucket in found:
            bucket.take(amounts[what])

    def give_back(self, key_id: str, project: str, amounts: Mapping[str, int]) -> None:
        """Undo `take` of what was not done."""
        for _, what, _, bucket in self._buckets_of(key_id, project, amounts, time.monotonic()):
            bucket.take(-amounts[what])

    def check_quota(self, project: str) -> None:
        """Refuse spans of a project that has as many as it may store.

        Raises:
            SpanloomError: QUOTA_EXCEEDED.
        """
        if self._is_full(project):
            most = self._limit(project, "stored_spans")
            metrics.LIMITED.labels("stored_spans", metrics.label(project)).inc()
            raise quota_exceeded(project, most)

    def wrote(self, project: str, spans: int) -> None:
        """Count spans that are being written."""
        self._wrote_at[project] = time.monotonic()
        if self._limit(project, "stored_spans"):
            self._written[project] += spans

    async def look(self) -> None:
        """Learn the limits of projects, and how many spans those have that write here.

        Raises:
            SpanloomError: The database cannot be read.
        """
        if self._store is None:
            return
        own = await self._store.own()
        now = time.monotonic()
        self._wrote_at |= dict.fromkeys(own.keys() - self._own.keys(), now)
        self._own = own
        self._wrote_at = {
            project: at
            for project, at in self._wrote_at.items()
            if at > now - _FORGET_SECONDS or self._is_full(project)
        }
        limited = [project for project in self._wrote_at if self._limit(project, "stored_spans")]
        counted = Counter(self._written)
        self._stored = await self._store.stored_spans(limited) if limited else {}
        self._written -= counted
        for project, number in self._stored.items():
            metrics.STORED_SPANS.labels(metrics.label(project)).set(number)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            with contextlib.suppress(SpanloomError):  # the store has logged it
                await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_full(self, project: str) -> bool:
        most = self._limit(project, "stored_spans")
        return 0 < most <= self._stored.get(project, 0) + self._written[project]

    def _buckets_of(
        self, key_id: str, project: str, amounts: Mapping[str, int], now: float
    ) -> Iterator[tuple[str, str, int, Bucket]]:
        """Whose, what, the limit and the bucket of each limit that applies."""
        for what in _RATES:
            if what not in amounts:
                continue
            name = f"{what}_per_second"
            if key_id and (most := getattr(self._of_keys, name)):
                yield "key", what, most, self._bucket(("key", key_id, what), most, now)
            if project and (most := self._limit(project, name)):
                yield "project", what, most, self._bucket(("project", project, what), most, now)

    def _bucket(self, place: tuple[str, str, str], most: int, now: float) -> Bucket:
        found = self._buckets.get(place)
        if found is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                kept = {p: bucket for p, bucket in self._buckets.items() if not bucket.is_full(now)}
                self._buckets = kept
            found = self._buckets[place] = Bucket(most / self._processes, now)
        return found

    def _limit(self, project: str, name: str) -> int:
        own = getattr(self._own.get(project, NO_LIMITS), name)
        return getattr(self._of_projects, name) or 0 if own is None else int(own)


class CallMeter:
    """What one call takes (`spanloom.model.limits.Meter`).

    A call with one request is written whole when its first part was accepted: else a retry of a
    large one would begin again for ever. Of a stream each message is accepted or refused.

    Args:
        key_id: "" without authentication.
        writes: Whether the call may write spans. Such a call is refused before its request is read
            where none would be accepted.
    """

    def __init__(self, rates: Rates, key_id: str, *, is_stream: bool, writes: bool) -> None:
        self._rates, self._key_id = rates, key_id
        self._is_stream = is_stream
        self._begins = {_REQUESTS: 1, _BYTES: 0, _SPANS: 0} if writes else {_REQUESTS: 1}
        self._entered: set[str] = set()
        self._writes_in: set[str] = set()

    def begin(self) -> None:
        """The call is one of its key.

        Raises:
            SpanloomError: RATE_LIMITED.
        """
        self._rates.take(self._key_id, "", self._begins)

    def enter(self, project: str) -> None:
        """The call is one in a project. Entering again does nothing.

        Raises:
            SpanloomError: RATE_LIMITED.
        """
        if project not in self._entered:
            self._rates.take("", project, self._begins)
            self._entered.add(project)

    def charge(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        is_accepted = not self._is_stream and project in self._writes_in
        if spans and not is_accepted:
            self._rates.check_quota(project)
        amounts = {_BYTES: size, _SPANS: spans} if spans else {_BYTES: size}
        self._rates.take(self._key_id, project, amounts, is_accepted=is_accepted)
        if spans:
            self._rates.wrote(project, spans)
        self._writes_in.add(project)

    def refund(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        self._rates.give_back(self._key_id, project, {_BYTES: size, _SPANS: spans})
        if spans:
            self._rates.wrote(project, -spans)
