"""The queue of evaluations as a test sees it: how many wait, and a run of the loop until none
does."""

from __future__ import annotations

import asyncio

import pytest

from spanloom.evaluation import runner
from spanloom.store.evaluations import NEVER_NS
from spanloom.store.store import Store
from tests.databases import select


def waiting(url: str) -> int:
    """How many evaluations wait or are being run, but for those whose evaluator is not
    registered."""
    counted = "SELECT count(*) FROM evaluations WHERE due_ns < :never"
    [(found,)] = select(url, counted, never=NEVER_NS)
    return int(found)


async def evaluate_all(
    url: str,
    store: Store,
    lease_seconds: float = runner.LEASE_SECONDS,
    evaluate: runner.Evaluate = runner.in_this_process,
) -> None:
    """Evaluate until nothing waits."""
    stop = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_POLL_SECONDS", 0.01)
        task = asyncio.create_task(runner.evaluate_until(stop, store, lease_seconds, evaluate))
        async with asyncio.timeout(20):
            while await asyncio.to_thread(waiting, url):  # noqa: ASYNC110 - the loop reports nothing
                await asyncio.sleep(0.01)
        stop.set()
        await task
