"""`Erasure` on a relational database: the intent, parts, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial as bound
from typing import Any

from sqlalchemy import func, select, update

from spanloom import errors
from spanloom.model import uuid7
from spanloom.store.erasure import Counts, Erasure
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.erasure import parts, retention
from spanloom.store.sql.erasure.users import Rows, UserReads, datapoints_of
from spanloom.store.sql.index.search import read_until_cancelled
from spanloom.store.sql.rows import checked
from spanloom.store.sql.tables import erasures, projects, usage_retired
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.usage.follower import Follower
from spanloom.store.sql.write_queue import Work

log = logging.getLogger("spanloom.store")

# All processes know after so many seconds that a project is being deleted: they look twice a
# second, and remember for one second that a project exists.
SETTLE_SECONDS = 1.6
_LOOK_SECONDS = 0.5
# So long may a part have the writers' lock before its commit, or the next one is smaller.
_PART_SECONDS = 0.03
_FEWEST_ROWS = 20
# An erasure that nobody has worked on for so long is taken over.
_LEFT_ALONE_NS = 60 * 10**9
# Rows that the follower of the sums has to read; more are not left to it, for it reads all of them
# with the writers' lock.
_MOST_NOTES = 2_000
_NOTES = select(func.count()).select_from(usage_retired)
_DELETING = select(erasures.c.project).where(erasures.c.user_id == "")
# How often what is old is deleted, and what was left in the middle is looked for.
_EXPIRE_SECONDS = 3600.0
_CONTINUE_SECONDS = 30.0


class Pace:
    """How many rows one transaction deletes, so that other writers wait for a short time only."""

    def __init__(self) -> None:
        self._rows = parts.AT_ONCE

    @property
    def rows(self) -> int:
        return min(self._rows, parts.AT_ONCE)

    async def __call__(self, write: Callable[[Work], Awaitable[Any]], work: Work) -> Any:
        """Write a part, and leave others as much time as it took with the lock."""
        took = 0.0

        def timed(transaction: Transaction) -> Any:
            nonlocal took
            began = time.perf_counter()
            result = work(transaction)
            took = time.perf_counter() - began
            return result

        result = await write(timed)
        if took > _PART_SECONDS:
            self._rows = max(_FEWEST_ROWS, self._rows // 2)
        elif took < _PART_SECONDS / 4:
            self._rows = min(parts.AT_ONCE, self._rows * 2)
        await asyncio.sleep(took)
        return result


class SqlErasure(Erasure):
    """Erasure in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections, follower: Follower) -> None:
        self._connections = connections
        self._database = connections.database
        self._read, self._write = connections.read, bound(connections.write, rows=0)
        self._follower = follower
        self._owner = uuid7()
        self._pace = Pace()
        self._deleting: frozenset[str] = frozenset()

    async def delete_user(self, project: str, user_id: str) -> Counts:
        checked(project=project, id=user_id)
        since = await self._write(bound(parts.intend, project, user_id))
        erased: set[str] = set()
        reads = UserReads(self._database, self._connections.reader, project, user_id, erased)
        for first in (None, since):
            links = await self._read(lambda c: datapoints_of(c, self._database, project))
            traces = bound(reads.traces, first)
            waiting: list[int] = []
            for trace_id in sorted(await read_until_cancelled(self._connections.scan, traces)):
                versions = await self._read(bound(reads.versions, trace_id))
                # No trace is divided that one transaction can delete.
                if len(waiting) + len(versions) > self._pace.rows:
                    erased |= await self._part(project, user_id, waiting, links)
                    waiting = []
                waiting += versions
                while len(waiting) > parts.LARGEST_TRACE:
                    rows = self._pace.rows
                    some, waiting = waiting[:rows], waiting[rows:]
                    erased |= await self._part(project, user_id, some, links)
            erased |= await self._part(project, user_id, waiting, links)
            left = await self._read(reads.rows)
            while any(left):
                rows = self._pace.rows
                part = Rows(*(of_table[:rows] for of_table in left))
                await self._pace(self._write, bound(parts.rows_of_user, project, user_id, part))
                left = Rows(*(of_table[rows:] for of_table in left))
        counts: Counts = await self._write(bound(parts.finish, project, user_id, since))
        return counts

    async def _part(
        self, project: str, user_id: str, versions: list[int], links: dict[str, list[str]]
    ) -> set[str]:
        """Delete spans; the traces that some of them were of."""
        if not versions:
            return set()
        part = bound(parts.of_user, project, user_id, versions, links)
        _, trace_ids = await self._pace(self._write, part)
        await self._let_follow()
        found: set[str] = trace_ids
        return found

    async def delete_project(
        self, project: str, *, settle_seconds: float = SETTLE_SECONDS
    ) -> Counts:
        checked(project=project)
        since = await self._write(bound(parts.intend, project, ""))
        self._deleting |= {project}
        await asyncio.sleep(settle_seconds)
        while True:
            part = bound(parts.of_project, project, self._pace.rows)
            left = await self._pace(self._write, part)
            if left is parts.Left.NOTHING:
                break
            if left is parts.Left.NOTES:
                await self._follower.step()
            await self._let_follow()
        counts: Counts = await self._write(bound(parts.finish, project, "", since))
        await self._look()
        return counts

    def is_deleting(self, project: str) -> bool:
        return project in self._deleting

    async def continue_all(self) -> None:
        before = time.time_ns() - _LEFT_ALONE_NS
        left = select(erasures.c.project, erasures.c.user_id).where(erasures.c.touched_ns < before)
        for project, user_id in await self._read(lambda c: c.execute(left).fetchall()):
            if user_id:
                await self.delete_user(project, user_id)
            else:
                await self.delete_project(project)
            log.info("an erasure was finished that was left in the middle")

    # Retention

    async def set_retention(self, project: str, days: int | None) -> None:
        checked(project=project)
        of_project = update(projects).where(projects.c.name == project)
        statement = of_project.values(retention_days=days)
        await self._write(lambda t: t.connection.execute(statement))

    async def retention(self, project: str) -> int | None:
        checked(project=project)
        query = select(projects.c.retention_days).where(projects.c.name == project)
        return await self._read(lambda c: c.execute(query).scalar())

    async def expire(self, default_days: int, now_ns: int) -> Counts:
        number: Counter[str] = Counter()
        kept = await self._read(lambda c: retention.kept_days(c, default_days))
        if not kept or not await self._write(bound(retention.take, self._owner)):
            return number
        try:
            for project, days in sorted(kept.items()):
                before_ns = now_ns - days * retention.DAY_NS
                number += await self._expire_project(project, before_ns)
        except retention.LeaseLostError:
            log.warning("another process deletes what is old")
        finally:
            await self._write(bound(retention.release, self._owner))
        return number

    async def _expire_project(self, project: str, before_ns: int) -> Counter[str]:
        number: Counter[str] = Counter()
        after: tuple[int, str] | None = None
        while True:
            look = bound(
                retention.oldest, self._database, project, before_ns, after, self._pace.rows
            )
            old = await self._read(look)
            for trace_ids in old.parts:
                delete = bound(retention.delete_part, self._owner, project, before_ns, trace_ids)
                while gone := await self._pace(self._write, delete):
                    number += gone
                    await self._let_follow()
            if old.after is None:
                return number
            after = old.after

    # In the background

    async def run_until(self, stop: asyncio.Event, retention_days: int) -> None:
        """Finish what was left in the middle, and delete what is old, until `stop`."""
        expire_at = time.monotonic()
        while not stop.is_set():
            try:
                await self.continue_all()
                if time.monotonic() >= expire_at:
                    expire_at = time.monotonic() + _EXPIRE_SECONDS
                    gone = await self.expire(retention_days, time.time_ns())
                    if gone:
                        log.info("deleted what was too old", extra=dict(gone))
            except errors.SpanloomError:
                pass  # the store has logged it
            except Exception:
                log.exception("what is to be erased could not be deleted")
            await _wait(stop, _CONTINUE_SECONDS)

    async def watch_until(self, stop: asyncio.Event) -> None:
        """Know which projects are being deleted, until `stop`."""
        while not stop.is_set():
            with contextlib.suppress(errors.SpanloomError):
                await self._look()
            await _wait(stop, _LOOK_SECONDS)

    async def _look(self) -> None:
        found = await self._connections.look_up(lambda c: c.execute(_DELETING).scalars().all())
        self._deleting = frozenset(found)

    async def _let_follow(self) -> None:
        """Have the sums follow before the next part."""
        while await self._read(lambda c: c.execute(_NOTES).scalar_one()) > _MOST_NOTES:
            if not await self._follower.step():
                return


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
