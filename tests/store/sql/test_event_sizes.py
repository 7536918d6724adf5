"""A large update costs the writer little: what is too large never comes to it, and others have
their turns between two large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from spanloom.errors import SpanloomError
from spanloom.model.caller import CALLER
from spanloom.store.sql import event_sizes, patches, reading
from spanloom.store.sql.event_sizes import LARGE, MOST_UPDATE_BYTES, EventSizes
from spanloom.store.sql.write_queue import PendingWrite
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span
from tests.store.sql.test_writer import held

MB = 1 << 20


@contextmanager
def groups(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[PendingWrite]]]:
    """The groups that the writer commits meanwhile."""
    seen: list[list[PendingWrite]] = []
    commit = store._write._commit

    def note(group: list[PendingWrite]) -> Any:
        seen.append(list(group))
        return commit(group)

    with monkeypatch.context() as patched:
        patched.setattr(store._write, "_commit", note)
        yield seen


def test_what_is_too_large_never_comes_to_the_writer(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(project, [a_span("e")]))
    run(store.patch_event(project, "e", {"metadata": {"a": "a" * 3 * MB}}))
    with groups(store, monkeypatch) as seen:
        for patch in ({"b": "b" * 3 * MB}, {"b": "b" * 5 * MB}):
            with pytest.raises(SpanloomError) as caught:
                run(store.patch_event(project, "e", {"metadata": patch}))
            assert caught.value.metadata == {"limit_event_bytes": str(MOST_UPDATE_BYTES)}
        with pytest.raises(SpanloomError):
            run(store.patch_span(project, "t", "e", {"metadata": {"b": "b" * 3 * MB}}))
    assert seen == []
    assert set(run(store.find_event(project, "e")).io.metadata) == {"a"}


def test_an_event_that_is_large_as_it_was_sent_takes_no_large_update(
    empty_url: str, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = run(Store.open(empty_url, max_event_bytes=MB))
    run(store.write_spans(project, [a_span("e", body={"inputs": "i" * 900_000})]))
    run(store.patch_event(project, "e", {"metadata": {"a": 1}}))
    with groups(store, monkeypatch) as seen, pytest.raises(SpanloomError) as caught:
        run(store.patch_event(project, "e", {"metadata": {"b": "b" * 300_000}}))
    assert caught.value.metadata == {"limit_event_bytes": str(MB)}
    # It is known by now: a small update is refused by what the event has.
    with groups(store, monkeypatch) as of_small, pytest.raises(SpanloomError):
        run(store.patch_event(project, "e", {"metadata": {"b": "b" * 200_000}}))
    assert seen == of_small == []
    run(store.close())


def test_others_have_their_turn_between_two_updates_of_large_events(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [f"e{number}" for number in range(3)]
    run(store.write_spans(project, [a_span(event) for event in events]))
    for event in events:
        run(store.patch_event(project, event, {"metadata": {"a": "a" * 3 * MB}}))

    async def small_update(event: str) -> None:
        CALLER.set("large")
        await store.patch_event(project, event, {"metadata": {"b": 1}})

    async def other(number: int) -> None:
        CALLER.set("other")
        await store.write_spans(project, [a_span(f"other {number}")])

    async def write() -> None:
        async with held(store):
            calls = [small_update(event) for event in events] + [other(n) for n in range(3)]
            tasks = [asyncio.create_task(call) for call in calls]
            while len(store._write._queue) < len(calls):  # noqa: ASYNC110 - the queue has no event
                await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    with groups(store, monkeypatch) as seen:
        run(write())
    large = [of_group for group in seen if (of_group := [c for c in group if c.caller == "large"])]
    assert [len(of_group) for of_group in large] == [1, 1, 1]
    assert all(call.size > 3 * MB for of_group in large for call in of_group)


def test_the_json_of_updates_is_read_once(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(project, [a_span("e")]))
    for name in "ab":
        run(store.patch_event(project, "e", {"metadata": {name: name * 300_000}}))
    read: list[int] = []

    def loads(text: str | bytes) -> Any:
        read.append(len(text))
        return orjson.loads(text)

    counting = SimpleNamespace(loads=loads, dumps=orjson.dumps)
    with monkeypatch.context() as patched:
        patched.setattr(patches, "orjson", counting)
        patched.setattr(reading, "orjson", counting)
        run(store.patch_event(project, "e", {"metadata": {"c": 1}}))
    # The two large updates, and both together as they are beside the span.
    assert len([size for size in read if size > 200_000]) == 3


def test_an_update_that_replaces_others_may_be_repeated_for_ever(
    store: Store, run: Run[Any], project: str
) -> None:
    run(store.write_spans(project, [a_span("e")]))
    for number in range(8):
        run(store.patch_event(project, "e", {"metadata": {"a": f"{number}" * MB}}))
    assert run(store.find_event(project, "e")).io.metadata["a"][0] == "7"


def test_few_events_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_sizes, "_MOST_REMEMBERED", 2)
    sizes = EventSizes(MB)
    for event in ("a", "b", "a", "c"):
        sizes.note("p", event, LARGE + 1)
    sizes.note("p", "d", LARGE)
    assert [event for event in "abcd" if sizes.may_be_large("p", event, 1)] == ["a", "c"]
    assert sizes.may_be_large("p", "d", LARGE + 1)
