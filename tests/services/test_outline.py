"""The outline of a trace while it is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spanloom.errors import Code, SpanloomError
from spanloom.model.outline import OutlineRead
from spanloom.services.queries.outline import outline
from spanloom.store.store import Store
from tests.services.callers import Caller


class Reconnected:
    """A store that loses its connection after a read, and reads again over a new one."""

    def __init__(self, store: Store) -> None:
        self._summaries = store.summaries

    async def outline(self, *of: Any, make: Any, **which: Any) -> Any:
        def twice(read: OutlineRead) -> Any:
            rows = list(read.shown)
            make(read._replace(shown=iter(rows)))
            return make(read._replace(shown=iter(rows)))

        return await self._summaries.outline(*of, make=twice, **which)


def test_what_was_sent_is_not_sent_again(caller: Caller, store: Store) -> None:
    summaries: Any = Reconnected(store)
    sizes = []

    async def read() -> None:
        async for _, chunk, _ in outline(summaries, caller.key_project, "t", 0):
            sizes.append(len(chunk.span_ids))

    events = [{"event_id": str(n), "session_id": "t", "event_type": "tool"} for n in range(600)]
    caller.create_batch(*events)
    with pytest.raises(SpanloomError) as failure:
        asyncio.run(read())
    assert failure.value.code is Code.UNAVAILABLE
    assert sizes == [500]
