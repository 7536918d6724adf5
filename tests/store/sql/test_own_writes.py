"""Waiting for what the same process writes."""

from __future__ import annotations

import asyncio
from typing import Any

from spanloom.store.sql.own_writes import OwnWrites
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

FOREVER = 3600.0


def test_a_write_ends_all_waits(store: Store, run: Run[Any], project: str) -> None:
    async def write_and_wait() -> None:
        before = store.summaries.own_writes()
        waits = [
            asyncio.create_task(store.summaries.wait_for_own_write(before, FOREVER))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        await store.write_spans(project, [a_span("a", "t")])
        await asyncio.gather(*waits)
        # A write between the look at the number and the wait is not missed.
        await store.summaries.wait_for_own_write(before, FOREVER)
        assert store.summaries.own_writes() > before

    run(write_and_wait())


def test_what_is_made_behind_the_writer_wakes_nobody(store: Store, run: Run[Any]) -> None:
    async def write() -> int:
        await store._write(lambda _: None, rows=0)
        before = store.summaries.own_writes()
        await store._write(lambda _: None, rows=0)
        return store.summaries.own_writes() - before

    assert run(write()) == 0


def test_a_wait_ends_by_itself_and_leaves_nothing() -> None:
    async def wait() -> None:
        writes = OwnWrites()
        await writes.after(0, 0.001)
        waiting = asyncio.create_task(writes.after(0, FOREVER))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not writes._waiting

    asyncio.run(wait())


def test_a_loop_that_ended_harms_nobody() -> None:
    writes = OwnWrites()

    async def wait() -> None:
        asyncio.get_running_loop().create_task(writes.after(0, FOREVER))
        await asyncio.sleep(0)
        kept.extend(writes._waiting)

    kept: list[asyncio.Future[None]] = []
    asyncio.run(wait())
    writes._waiting.update(kept)
    writes.add()
    assert writes.number == 1
