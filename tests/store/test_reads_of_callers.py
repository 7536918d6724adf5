"""Reads wait for none that is slower, and a caller ends those that it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import Connection, text

from spanloom.model.caller import CALLER
from spanloom.store.sql.connections import Connections
from spanloom.store.store import Store

# A statement that ends by itself only after hours.
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT max(x) FROM n",
    "postgresql": "SELECT pg_sleep(10000)",
}


@pytest.fixture
def connections(store: Store) -> Connections:
    return store._connections


def endless(connections: Connections, began: list[int]) -> Callable[[Connection], Any]:
    statement = text(ENDLESS[connections.database.url.get_backend_name()])

    def run(connection: Connection) -> Any:
        began.append(1)
        return connection.execute(statement).all()

    return run


async def becomes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_read_that_is_left_is_interrupted(
    connections: Connections, run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    async def work() -> None:
        began: list[int] = []
        for _ in range(10):  # more than there are threads: each one ends
            task = asyncio.ensure_future(connections.read(endless(connections, began)))
            await becomes(lambda: bool(began))
            began.clear()
            await ended(task)
        assert await connections.read(lambda c: c.execute(text("SELECT 1")).scalar()) == 1
        await becomes(lambda: not connections.read._running)

    run(work())


def test_a_caller_that_reads_slowly_keeps_no_other_waiting(
    connections: Connections, run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    async def work() -> None:
        began: list[int] = []
        CALLER.set("a")
        slow = [
            asyncio.ensure_future(readers(endless(connections, began)))
            for readers in (connections.read, connections.scan)
            for _ in range(20)
        ]
        try:
            await becomes(lambda: bool(began))
            CALLER.set("b")
            for readers in (connections.read, connections.scan, connections.look_up):
                assert await readers(lambda c: c.execute(text("SELECT 1")).scalar()) == 1
            assert await connections.ready()
        finally:
            for task in slow:
                task.cancel()
            await asyncio.wait(slow)
        await becomes(lambda: not connections.read._running and not connections.scan._running)

    run(work())
