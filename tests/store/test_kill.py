"""What was acknowledged outlives the process; processes share a database."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from typing import Any

from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

KILLS = 20
CALLERS = 4
SPANS = 3

# Children of a server that has the store imported already: they start in a moment.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.store.test_kill"])


def write(url: str, project: str, name: str, calls: int, acknowledged: Connection) -> None:
    """Write traces of SPANS spans from several callers at once, and say of each when it is
    stored."""

    async def caller(store: Store, number: int) -> None:
        for call in range(calls):
            trace_id = f"{name}-{number}-{call}"
            await store.write_spans(project, [a_span(str(n), trace_id) for n in range(SPANS)])
            acknowledged.send(trace_id)

    async def main() -> None:
        store = await Store.open(url)
        await asyncio.gather(*(caller(store, number) for number in range(CALLERS)))
        await store.close()

    asyncio.run(main())


def start(url: str, project: str, name: str, calls: int) -> tuple[Any, Connection]:
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=write, args=(url, project, name, calls, there))
    process.start()
    there.close()
    return process, here


def heard(acknowledged: Connection, until: float) -> list[str]:
    """What a process said until then, or until it ended."""
    said = []
    try:
        while acknowledged.poll(max(0.0, until - time.monotonic())):
            said.append(acknowledged.recv())
    except EOFError:
        pass
    return said


def assert_stored_once(run: Run[Any], store: Store, project: str, acknowledged: list[str]) -> None:
    listed = [trace.trace_id for trace in run(store.list_traces(project, limit=1_000_000))]
    assert len(listed) == len(set(listed))
    assert set(acknowledged) <= set(listed)
    spans = [span for t in listed for span in run(store.trace_spans(project, t))]
    assert len(spans) == len(listed) * SPANS  # of those not acknowledged, all or nothing too


def test_kill_9_loses_nothing_acknowledged(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    moments = random.Random(9)
    acknowledged: list[str] = []
    for number in range(KILLS):
        process, pipe = start(url, project, str(number), 1_000_000)
        assert pipe.poll(30)
        acknowledged += heard(pipe, time.monotonic() + moments.uniform(0.0, 0.04))
        process.kill()
        process.join()
        acknowledged += heard(pipe, time.monotonic() + 30)
        pipe.close()
    assert len(acknowledged) >= KILLS
    assert_stored_once(run, store, project, acknowledged)


def test_processes_write_one_database_at_once(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    writers = [start(url, project, str(number), 25) for number in range(2)]
    for number in range(25):  # and this process, too
        run(store.write_spans(project, [a_span(str(n), f"here-{number}") for n in range(SPANS)]))
    acknowledged = [f"here-{number}" for number in range(25)]
    for process, pipe in writers:
        acknowledged += heard(pipe, time.monotonic() + 30)
        process.join()
        pipe.close()
        assert process.exitcode == 0
    assert len(acknowledged) == 25 + 2 * CALLERS * 25
    assert_stored_once(run, store, project, acknowledged)
