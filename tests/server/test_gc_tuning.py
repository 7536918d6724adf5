"""Large containers are freed in steps; full garbage collections wait for a quiet moment."""

from __future__ import annotations

import asyncio
import gc

import pytest

from spanloom.codec.gradual_release import release_gradually
from spanloom.server import gc_tuning


def test_containers_are_emptied() -> None:
    many, named = list(range(1_234)), {n: n for n in range(1_234)}
    release_gradually(many)
    release_gradually(named)
    assert not many
    assert not named


def test_full_collections_wait_until_no_call_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(gc_tuning, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(gc_tuning, "_MOST_SECONDS", 0.01)
    asked = 0

    def is_busy() -> bool:
        nonlocal asked
        asked += 1
        return asked != 3

    async def run() -> None:
        twice = asyncio.Event()

        def collect() -> None:
            looks.append(asked)
            if len(looks) == 2:
                twice.set()

        monkeypatch.setattr(gc, "collect", collect)
        collecting = asyncio.create_task(gc_tuning.collect_forever(is_busy))
        await twice.wait()
        collecting.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))
    assert looks[0] == 3
    assert looks[1] > 3
