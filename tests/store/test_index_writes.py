"""The index of terms beside writers: nothing that was acknowledged is passed or found twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from spanloom.model import EventQuery, Filter, Span, TraceQuery
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url, select
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"


def test_the_process_that_indexes_does_not_wait_for_the_disk(empty_url: str, run: Run[Any]) -> None:
    setting = "PRAGMA synchronous" if "sqlite" in empty_url else "SHOW synchronous_commit"

    async def settings_of(durable: bool) -> str:
        store = await Store.open(empty_url, durable=durable)
        try:
            return str(
                await store._write(lambda t: t.connection.exec_driver_sql(setting).scalar_one())
            )
        finally:
            await store.close()

    found = [run(settings_of(durable)) for durable in (True, False)]
    assert found == (["2", "1"] if "sqlite" in empty_url else ["on", "off"])


# Two writers at once


def test_an_open_write_is_not_passed_by_the_index(empty_url: str, run: Run[Any]) -> None:
    """Its versions are taken, and its rows come later than others with higher versions."""

    async def write_both() -> tuple[bool, list[str], int]:
        slow, other = await Store.open(empty_url), await Store.open(empty_url)
        database = slow._connections.database
        upsert, taken, go_on = database.upsert, threading.Event(), threading.Event()

        def waiting(*arguments: Any, **named: Any) -> None:
            taken.set()
            go_on.wait(20)
            upsert(*arguments, **named)

        database.upsert = waiting  # type: ignore[method-assign]
        first = asyncio.create_task(slow.write_spans(PROJECT, [named("low")]))
        await asyncio.to_thread(taken.wait, 20)
        second = asyncio.create_task(other.write_spans(PROJECT, [named("high")]))
        indexing = asyncio.create_task(other.indexer.catch_up())
        await asyncio.sleep(0.5)
        passed = indexing.done()
        go_on.set()
        await asyncio.gather(first, second, indexing)
        await other.indexer.catch_up()
        asked = [Filter(field="metadata.low", operator="exists", value=None)]
        found = await other.find_events(PROJECT, EventQuery(filters=asked))
        await slow.close()
        await other.close()
        young = "SELECT count(*) FROM spans, term_cursor WHERE version >= reached"
        return passed, [span.span_id for span in found.items], select(empty_url, young)[0][0]

    assert run(write_both()) == (False, ["low"], 0)


def named(key: str) -> Span:
    return a_span(key, f"t-{key}", {"metadata": {key: 1}})


CHANGES: dict[str, Callable[[Store], Any]] = {
    "patch": lambda store: store.patch_event(PROJECT, "old", {"metadata": {"new": 1}}),
    "delete": lambda store: store.delete_event(PROJECT, "old"),
    "rewrite": lambda store: store.write_spans(
        PROJECT, [a_span("old", "t-old", {"metadata": {"new": 1}})]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_span_that_changes_while_it_is_indexed_is_found_as_it_is(
    empty_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store = run(Store.open(empty_url))
    run(store.write_spans(PROJECT, [named("old"), named("stays")]))
    batch, changed = store.indexer._batch, threading.Event()

    async def make_change() -> None:
        other = await Store.open(empty_url)
        await CHANGES[change](other)
        await other.close()

    def then_change(*arguments: Any) -> Any:
        made = batch(*arguments)  # in a thread that reads
        if not changed.is_set():
            changed.set()
            asyncio.run(make_change())
        return made

    monkeypatch.setattr(store.indexer, "_batch", then_change)
    run(store.indexer.catch_up())
    for key, expected in (
        ("stays", {"stays"}),
        ("old", {"old"} if change == "patch" else set()),
        ("new", set() if change == "delete" else {"old"}),
    ):
        asked = [Filter(field=f"metadata.{key}", operator="exists", value=None)]
        for _ in range(2):
            found = run(store.find_events(PROJECT, EventQuery(filters=asked)))
            assert {span.span_id for span in found.items} == expected, key
            run(store.indexer.catch_up())
    run(store.close())


# One process at a time


@pytest.mark.parametrize("kind", DATABASES)
def test_one_process_indexes_at_a_time(kind: str, tmp_path: Any) -> None:
    url = new_url(kind, tmp_path)

    async def two() -> tuple[int, int, int]:
        first, second = await Store.open(url), await Store.open(url)
        try:
            await first.write_spans(PROJECT, [a_span(str(n)) for n in range(600)])
            await first.indexer.catch_up()
            await first.write_spans(PROJECT, [a_span("new")])
            await second.indexer.catch_up()
            reached = select(url, "SELECT reached FROM term_cursor")[0][0]
            await first.indexer.catch_up()
            moved = select(url, "SELECT reached FROM term_cursor")[0][0]
            number = select(url, "SELECT count(*) FROM spans, term_cursor WHERE version < reached")[
                0
            ][0]
            return reached, moved, number
        finally:
            await first.close()
            await second.close()

    reached, moved, number = asyncio.run(two())
    assert reached < moved
    assert number == 601


@pytest.mark.parametrize("kind", DATABASES)
def test_an_index_of_deleted_spans_is_made_anew(
    kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanloom.store.sql.index.indexer._FEW_ENTRIES", 10)
    url = new_url(kind, tmp_path)

    async def renew() -> tuple[int, int, list[Any], int]:
        store = await Store.open(url)
        try:
            for trace in ("gone", "gone too"):
                spans = [a_span(str(n), trace, name="quagga") for n in range(9)]
                await store.write_spans(PROJECT, spans)
            await store.write_spans(PROJECT, [a_span("stays", "stays", name="okapi")])
            await store.indexer.catch_up()
            await store.indexer.renew_if_dead()  # nothing is dead yet
            before = select(url, "SELECT entries FROM term_cursor")[0][0]
            for trace in ("gone", "gone too"):
                await store.delete_trace(PROJECT, trace)
            await store.indexer.renew_if_dead()
            await store.indexer.catch_up()
            after = select(url, "SELECT entries FROM term_cursor")[0][0]
            words = select(url, "SELECT word FROM words WHERE word IN ('quagga', 'okapi')")
            found = await store.list_traces(PROJECT, TraceQuery(text="okapi"), limit=5)
            return before, after, words, len(found)
        finally:
            await store.close()

    assert asyncio.run(renew()) == (19, 1, [("okapi",)], 1)
