"""What is counted against the limits of projects and keys is what was accepted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model.limits import METER
from spanloom.store.sql.transaction import Transaction
from spanloom.store.store import Store
from tests.databases import new_url
from tests.store.conftest import Run
from tests.store.samples import a_span

SECONDS = 30


class Counting:
    """Adds up what is charged."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def charge(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        self.taken += Counter(spans=spans, size=size)

    def refund(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        self.taken -= Counter(spans=spans, size=size)


def test_what_a_full_queue_refuses_is_not_counted(
    tmp_path: Path, run: Run[Any], project: str
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        entered.set()
        assert leave.wait(SECONDS)

    async def write() -> None:
        meter = Counting()
        METER.set(meter)
        store = await Store.open(new_url("sqlite", tmp_path), queue_rows=10)
        holding = asyncio.create_task(store._write(hold, rows=0))
        try:
            assert await asyncio.to_thread(entered.wait, SECONDS)
            spans = [a_span(str(n)) for n in range(6)]
            first = asyncio.create_task(store.write_spans(project, spans))
            await asyncio.sleep(0)
            accepted = +meter.taken
            assert accepted["spans"] == 6
            for _ in range(3):
                with pytest.raises(SpanloomError, match="queue"):
                    await store.write_spans(project, spans)
                assert meter.taken == accepted
        finally:
            leave.set()
        await holding
        await first
        await store.write_spans(project, spans)
        assert meter.taken["spans"] == 12
        await store.close()

    run(write())
