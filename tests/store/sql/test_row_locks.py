"""A lock of one row that another program holds keeps those calls waiting that need it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from spanloom.model.api_keys import new_key
from spanloom.model.caller import CALLER
from spanloom.store.store import Store
from tests.databases import new_url
from tests.store.conftest import Run
from tests.store.samples import a_span


def test_other_callers_do_not_wait_for_it(tmp_path: Path, run: Run[Any]) -> None:
    url = new_url("postgresql", tmp_path)
    plain = make_url(url).set(drivername="postgresql").render_as_string(False)

    async def spans(store: Store, caller: str, name: str) -> None:
        CALLER.set(caller)
        await store.write_spans("p", [a_span(name)])

    async def write() -> None:
        store = await Store.open(url)
        key, _ = new_key("p", "read")
        await store.create_key(key)
        with psycopg.connect(plain) as other:
            other.execute("UPDATE keys SET name = 'by hand'")
            uses = asyncio.create_task(store.note_key_uses({key.id: 5}))
            later = asyncio.create_task(spans(store, CALLER.get(), "later"))
            await asyncio.gather(*(spans(store, f"caller {n}", f"{n}") for n in range(3)))
            # Calls of one caller are written in their order.
            assert not uses.done()
            assert not later.done()
            assert {span.span_id for span in await store.trace_spans("p", "t")} == {"0", "1", "2"}
            cancelled = asyncio.create_task(spans(store, "", "cancelled"))
            await spans(store, "caller 0", "3")
            cancelled.cancel()
            other.rollback()
        await asyncio.gather(uses, later)
        found = await store.find_key(key.id)
        assert found is not None
        assert found.last_used_ns == 5
        await store.close()
        assert store._write._queue.rows == 0

    run(write())


def test_closing_refuses_what_is_stuck(tmp_path: Path, run: Run[Any]) -> None:
    url = new_url("postgresql", tmp_path)
    plain = make_url(url).set(drivername="postgresql").render_as_string(False)

    async def write() -> None:
        store = await Store.open(url)
        key, _ = new_key("p", "read")
        await store.create_key(key)
        with psycopg.connect(plain) as other:
            other.execute("UPDATE keys SET name = 'by hand'")
            uses = asyncio.create_task(store.note_key_uses({key.id: 5}))
            CALLER.set("p")
            await store.write_spans("p", [a_span("0")])
            await store.close()
            [refused] = await asyncio.gather(uses, return_exceptions=True)
        assert "not available" in str(refused)

    run(write())
