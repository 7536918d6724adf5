"""On SQLite, the ids of events are noted with their spans and moved later: at every moment the
tables hold exactly the ids and versions of the spans that are there."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.errors import SpanloomError
from spanloom.store.sql import sqlite
from spanloom.store.store import Store
from tests.databases import new_url
from tests.store.samples import a_span


@pytest.fixture(autouse=True)
def moved_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_MOST_RECENT", 4)
    monkeypatch.setattr(sqlite, "_COMMITS_A_COUNT", 1)
    monkeypatch.setattr(sqlite, "_MOVED_AT_ONCE", 3)


def placed(directory: Path) -> tuple[int, int]:
    """How many ids are recent, and how many were moved; all of them are those of the spans."""
    [file] = directory.glob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN")
        recent, moved, spans = (
            connection.execute(f"SELECT event_id, version FROM {table}").fetchall()
            for table in ("recent_event_ids", "event_ids", "spans")
        )
    assert sorted(recent + moved) == sorted(spans)
    return len(recent), len(moved)


IDS = st.sampled_from("abcdefgh")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(IDS, min_size=1, max_size=6), st.sampled_from("tu")),
        st.tuples(st.just("create"), st.lists(IDS, min_size=1, max_size=6), st.sampled_from("tu")),
        st.tuples(st.just("patch"), IDS, st.just("")),
        st.tuples(st.just("delete"), IDS, st.just("")),
        st.tuples(st.just("delete trace"), st.just(""), st.sampled_from("tu")),
    ),
    max_size=12,
)


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_the_ids_are_those_of_the_spans_whatever_is_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any, str]]
) -> None:
    directory = tmp_path_factory.mktemp("ids")

    async def run() -> None:
        store = await Store.open(new_url("sqlite", directory))
        known: dict[tuple[str, str], None] = {}
        for step, of, trace_id in steps:
            match step:
                case "write" | "create":
                    ids = list(dict.fromkeys(of))
                    made = [a_span(event_id, trace_id) for event_id in ids]
                    await store.write_spans("p", made, events=step == "create")
                    if step == "create":
                        known = {place: None for place in known if place[1] not in ids}
                    known.update(dict.fromkeys((trace_id, event_id) for event_id in ids))
                case "patch" | "delete" if sum(place[1] == of for place in known) > 1:
                    with pytest.raises(SpanloomError, match="several traces"):
                        await store.delete_event("p", of)
                case "patch":
                    await store.patch_event("p", of, {"error": "x"})
                case "delete":
                    await store.delete_event("p", of)
                    known = {place: None for place in known if place[1] != of}
                case "delete trace":
                    await store.delete_trace("p", trace_id)
                    known = {place: None for place in known if place[0] != trace_id}
            placed(directory)
            for event_id in "abcdefgh":
                found = await store.find_event("p", event_id)
                assert (found is not None) == any(of == event_id for _, of in known)
        await store.close()

    asyncio.run(run())


def test_ids_are_moved_while_two_stores_write(tmp_path: Path) -> None:
    async def run() -> None:
        url = new_url("sqlite", tmp_path)
        stores = [await Store.open(url) for _ in range(2)]

        async def write(store: Store, name: str) -> None:
            for n in range(40):
                made = [a_span(f"{n * 7919 % 97:02}{name}{i}", f"t{name}{n}") for i in range(3)]
                await store.write_spans("p", made, events=True)

        await asyncio.gather(*(write(s, str(n)) for n, s in enumerate(stores)))
        for n in range(40):
            for name in "01":
                assert await stores[0].find_event("p", f"{n * 7919 % 97:02}{name}2")
        for store in stores:
            await store.close()

    asyncio.run(run())
    recent, moved = placed(tmp_path)
    assert recent + moved == 240
    assert moved > recent


def test_a_move_that_fails_leaves_all_ids_where_they_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, delete = sqlite._MOVE[1:3]
    monkeypatch.setattr(sqlite, "_MOVE", ("BEGIN IMMEDIATE", insert, delete, "no statement"))

    async def run() -> None:
        store = await Store.open(new_url("sqlite", tmp_path))
        for n in range(10):
            await store.write_spans("p", [a_span(f"{n}", "t")])
            assert await store.find_event("p", f"{n}")
        await store.close()

    asyncio.run(run())
    assert placed(tmp_path) == (10, 0)


def test_ids_of_different_length_and_alphabet_are_moved_in_one_order(tmp_path: Path) -> None:
    ids = ["", "a", "aa", "ä", "日本", "Z", "~", "0" * 200, "a\x7f", "�"]

    async def run() -> None:
        store = await Store.open(new_url("sqlite", tmp_path))
        for n in range(3):
            await store.write_spans("p", [a_span(i or "x", f"t{n}") for i in ids])
        for _ in range(20):
            await store.write_spans("p", [a_span("last", "t")])
        for event_id in ids:
            assert await store.find_event("p", event_id or "x")
        await store.close()

    asyncio.run(run())
    recent, moved = placed(tmp_path)
    assert moved > recent
