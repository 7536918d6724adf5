"""What is done behind the writer gives way to bursts of spans, and to no more than so many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from spanloom.store.sql import pace
from spanloom.store.sql.index import indexer
from spanloom.store.sql.pace import Pace
from spanloom.store.sql.tables import term_cursor, usage_cursor
from spanloom.store.sql.usage import follower
from spanloom.store.store import Store
from tests import databases
from tests.clients import until
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"
MOST = 30


class Clock:
    """A clock that goes on when the test says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(pace, "FAST", 10)
    return clock


async def write(store: Store, start: int, end: int) -> None:
    made = [a_span(f"s{n}", f"t{n % 3}") for n in range(start, end)]
    await store.write_spans(PROJECT, made)


def test_work_gives_way_while_spans_come_fast_until_too_many_wait(
    empty_url: str, run: Run[Any], clock: Clock
) -> None:
    async def look_and_write() -> list[bool]:
        store = await Store.open(empty_url)
        of_sums = Pace(select(usage_cursor.c.reached), MOST)
        seen = []
        written = 0
        # Spans of each second; the last is 0 in the second after.
        for number in (0, 3, 12, 12, 3, 12, 0):
            await write(store, written, written + number)
            written += number
            clock.now += 1
            seen.append(await store._read(of_sums.gives_way))
        await store.follower.catch_up()
        await write(store, written, written + 12)
        clock.now += 1
        seen.append(await store._read(of_sums.gives_way))
        await store.close()
        return seen

    # 42 wait in the sixth second; all are done before the last.
    assert run(look_and_write()) == [False, False, True, True, False, False, False, True]


def test_the_beginning_of_a_burst_is_noticed_at_once_and_its_end_after_a_while(
    empty_url: str, run: Run[Any], clock: Clock
) -> None:
    async def look_and_write() -> list[bool]:
        store = await Store.open(empty_url)
        of_terms = Pace(select(term_cursor.c.reached), MOST)
        seen = []
        written = 0
        # Tenths of a second, and spans that come in them.
        for tenths, number in ((9, 0), (1, 8), (2, 0), (1, 4), (8, 0), (1, 0), (1, 0), (1, 2)):
            await write(store, written, written + number)
            written += number
            clock.now += tenths / 10
            seen.append(await store._read(of_terms.gives_way))
        await store.close()
        return seen

    # The 8 may be the beginning of a burst; the 4 make it one.
    assert run(look_and_write()) == [False, True, True, True, True, True, False, True]


def test_what_comes_slowly_is_done_a_second_after_the_first_came(
    empty_url: str, run: Run[Any], clock: Clock
) -> None:
    async def look_and_write() -> list[bool]:
        store = await Store.open(empty_url)
        of_terms = Pace(select(term_cursor.c.reached), MOST)
        seen = []
        for n in range(8):
            seen.append(await store._read(of_terms.gives_way))
            await write(store, n, n + 1)
            clock.now += 0.4
        await store.close()
        return seen

    assert run(look_and_write()) == [False, True, True, False, False, False, False, False]


@pytest.mark.parametrize("most", [0, 10**6])
def test_all_is_done_during_a_burst_of_too_many_and_after_any_burst(
    empty_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Where `most` is large, the work begins when no more spans come."""
    monkeypatch.setattr(pace, "FAST", 1)
    monkeypatch.setattr(pace, "_WINDOW_SECONDS", 0.01)
    for module in (indexer, follower):
        monkeypatch.setattr(module, "MOST_WAITING", most)

    async def follow() -> None:
        store = await Store.open(empty_url)
        stop = asyncio.Event()
        following = asyncio.create_task(store.follow_until(stop))
        for n in range(20):
            await write(store, n, n + 1)
        await asyncio.to_thread(until, lambda: not _waiting(empty_url), 60)
        stop.set()
        await following
        await store.close()

    run(follow())


def _waiting(url: str) -> int:
    [(number,)] = databases.select(
        url,
        "SELECT count(*) FROM spans, term_cursor, usage_cursor "
        "WHERE version >= least(term_cursor.reached, usage_cursor.reached)"
        if "postgresql" in url
        else "SELECT count(*) FROM spans, term_cursor, usage_cursor "
        "WHERE version >= min(term_cursor.reached, usage_cursor.reached)",
    )
    return int(number)
