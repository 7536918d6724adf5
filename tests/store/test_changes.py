"""The log of changes: what a reader is shown, while several processes write."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from spanloom.store.sql import changes, deletes, rows
from spanloom.store.sql.transaction import Transaction
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span


async def read_log(store: Store, project: str, after: int, limit: int = 100) -> tuple[Any, int]:
    """The (trace id, span id) of all that the log has, and the position at its end."""
    found = []
    while True:
        part = await store.summaries.changes(project, after, limit=limit)
        found += [(change.span.trace_id, change.span.span_id) for change in part.spans]
        after = part.reached
        if not part.more:
            return found, after


def write(project: str, *span_ids: str) -> Any:
    """Work of a writer that stores spans; of other projects, too, they are numbered in order."""
    made = rows.span_rows(project, [a_span(span_id) for span_id in span_ids])
    return partial(Transaction.write, rows=made.by_table())


def test_the_log_has_what_was_stored_since_in_its_order(
    store: Store, project: str, run: Run[Any]
) -> None:
    run(store.write_spans(project, [a_span("before")]))
    start = run(store.summaries.present())
    run(store.write_spans(project, [a_span("b"), a_span("a")]))
    run(store.write_spans(project + "-other", [a_span("foreign")]))
    run(store.write_spans(project, [a_span("c", "u")]))
    found, end = run(read_log(store, project, start))
    assert found == [("t", "b"), ("t", "a"), ("u", "c")]
    assert run(read_log(store, project, end)) == ([], end)
    assert run(read_log(store, project, start, limit=1)) == (found, end)


def test_a_span_that_is_stored_again_moves_to_its_new_place(
    store: Store, project: str, run: Run[Any]
) -> None:
    start = run(store.summaries.present())
    run(store.write_spans(project, [a_span("a"), a_span("b")]))
    run(store.patch_event(project, "a", {"error": "late"}))
    found, _ = run(read_log(store, project, start))
    assert found == [("t", "b"), ("t", "a")]


def test_a_deletion_does_not_break_the_log(store: Store, project: str, run: Run[Any]) -> None:
    start = run(store.summaries.present())
    run(store.write_spans(project, [a_span("a", "t"), a_span("b", "u")]))
    _, middle = run(read_log(store, project, start))
    run(store.delete_trace(project, "u"))
    run(store.write_spans(project, [a_span("c", "v")]))
    assert run(read_log(store, project, middle))[0] == [("v", "c")]
    assert run(read_log(store, project, start))[0] == [("t", "a"), ("v", "c")]


def test_deletions_are_in_the_log(store: Store, project: str, run: Run[Any]) -> None:
    session: dict[str, Any] = {"session_id": "s"}
    run(store.write_spans(project, [a_span("a", "t"), a_span("b", "t"), a_span("c", "u")]))
    run(store.write_spans(project, [a_span("d", "v", **session), a_span("e", "w", **session)]))
    start = run(store.summaries.present())
    run(store.delete_event(project, "a"))
    run(store.delete_trace(project, "u"))
    run(store.delete_session(project, "s"))
    run(store.write_trace(project, [a_span("n", "t")], replace=True))
    run(store.write_spans(project, [a_span("moved", "x")], events=True))
    run(store.write_spans(project, [a_span("moved", "y")], events=True))
    part = run(store.summaries.changes(project, start, limit=100))
    gone = [(deletion.trace_id, deletion.span_id) for deletion in part.deleted]
    assert gone[:2] == [("t", "a"), ("u", "c")]
    assert set(gone) == {
        *(("t", "a"), ("t", "b"), ("u", "c"), ("v", "d"), ("w", "e"), ("x", "moved")),
    }
    versions = [deletion.version for deletion in part.deleted]
    assert versions == sorted(versions)
    assert all(deletion.deleted_ns > 0 for deletion in part.deleted)
    again = run(store.summaries.changes(project, part.reached, limit=100))
    assert (again.spans, again.deleted, again.reached) == ([], [], part.reached)
    # Also where a part of the log is cut by its limit.
    seen, after = set(), start
    for _ in range(20):
        part = run(store.summaries.changes(project, after, limit=1))
        seen |= {(deletion.trace_id, deletion.span_id) for deletion in part.deleted}
        after = part.reached
    assert seen == set(gone)


def test_a_deletion_behind_a_full_part_of_the_log_passes_no_span(
    store: Store, project: str, run: Run[Any]
) -> None:
    start = run(store.summaries.present())
    others = [a_span(str(number)) for number in range(changes.SCANNED - 1)]
    run(store.write_spans(project + "-other", others))
    run(store.write_spans(project, [a_span("a")]))
    run(store.write_spans(project, [a_span("b"), a_span("gone", "u")]))
    run(store.delete_trace(project, "u"))
    # The page is full by the very last entry of the part.
    found, _ = run(read_log(store, project, start, limit=1))
    assert found == [("t", "a"), ("t", "b")]


def test_deletions_that_no_valid_cursor_asks_for_are_dropped(
    store: Store, project: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(project, [a_span("a", "t"), a_span("b", "u")]))
    start = run(store.summaries.present())
    run(store.delete_trace(project, "t"))
    monkeypatch.setattr(deletes, "DELETIONS_KEPT_NS", -1)
    run(store.delete_trace(project, "u"))
    part = run(store.summaries.changes(project, start, limit=100))
    assert [deletion.trace_id for deletion in part.deleted] == ["u"]


class Slow:
    """A write that waits before it commits."""

    def __init__(self, work: Any) -> None:
        self.has_written, self.may_commit = threading.Event(), threading.Event()
        self._work = work

    def __call__(self, transaction: Transaction) -> None:
        self._work(transaction)
        self.has_written.set()
        assert self.may_commit.wait(30)


async def with_slow_writer(url: str, project: str) -> None:
    """Of two processes the one that takes its versions first commits last."""
    first, second = await Store.open(url), await Store.open(url)
    try:
        await first.write_spans(project, [a_span("z", "before")])
        start = await second.summaries.present()
        slow = Slow(write(project, "slow"))
        writing = asyncio.create_task(first._write(slow, rows_only=True))
        await asyncio.to_thread(slow.has_written.wait, 30)
        quick = asyncio.create_task(second.write_spans(project, [a_span("quick")]))
        together = first._database.writes_together
        if together:
            await quick  # committed, and has the higher version
            assert [s.span_id for s in await second.trace_spans(project, "t")] == ["quick"]
        seen, place = await read_log(second, project, start)
        assert seen == []  # it would be passed by
        assert await second.summaries.present() == start
        slow.may_commit.set()
        await asyncio.gather(writing, quick)
        seen, _ = await read_log(second, project, place)
        assert seen == [("t", "slow"), ("t", "quick")]
    finally:
        slow.may_commit.set()
        await first.close()
        await second.close()


def test_a_writer_that_is_slow_to_commit_is_not_passed(
    url: str, project: str, run: Run[Any]
) -> None:
    run(with_slow_writer(url, project))


async def follow_two_writers(url: str, project: str) -> None:
    stores = [await Store.open(url) for _ in range(2)]
    reader = await Store.open(url)
    place = await reader.summaries.present()

    async def fill(number: int) -> None:
        for n in range(60):
            await stores[number].write_spans(
                project, [a_span(f"{number}-{n}-{k}", f"t{n}") for k in range(3)]
            )

    seen: list[Any] = []
    writing = asyncio.gather(fill(0), fill(1))
    while not writing.done():
        part, place = await read_log(reader, project, place, limit=7)
        seen += part
        await asyncio.sleep(0.001)
    await writing
    part, place = await read_log(reader, project, place)
    seen += part
    try:
        wanted = {(f"t{n}", f"{w}-{n}-{k}") for w in range(2) for n in range(60) for k in range(3)}
        assert len(seen) == len(wanted)
        assert set(seen) == wanted
    finally:
        for store in (*stores, reader):
            await store.close()


def test_who_follows_two_writers_sees_each_span_once(url: str, project: str, run: Run[Any]) -> None:
    run(follow_two_writers(url, project))


async def read_whole(store: Store, projects: list[str], after: int, **bounds: int) -> Any:
    """What `stored` gives of a log, part by part: (project, span id) and the deleted spans' ids."""
    found, deleted, parts = [], [], 0
    while True:
        part = await store.summaries.stored(
            projects, after, **{"limit": 100, "size": 1 << 20, **bounds}
        )
        found += [(one.project, one.span.span_id) for one in part.spans]
        assert [one.span.version for one in part.spans] == sorted(
            one.span.version for one in part.spans
        )
        deleted += [(of, one.span_id) for of, one in part.deleted]
        after, parts = part.reached, parts + 1
        if not part.more:
            return found, deleted, after, parts


def test_several_projects_are_read_at_once_with_whole_spans(
    store: Store, project: str, run: Run[Any]
) -> None:
    other, third = f"{project}-b", f"{project}-c"
    start = run(store.summaries.present())
    run(store.write_spans(project, [a_span("a"), a_span("b")]))
    run(store.write_spans(third, [a_span("foreign")]))
    run(store.write_spans(other, [a_span("c")]))
    run(store.write_spans(project, [a_span("d")]))
    run(store.delete_event(project, "b"))
    projects = [project, other]
    wanted = [(project, "a"), (other, "c"), (project, "d")]
    found, deleted, end, _ = run(read_whole(store, projects, start))
    assert (found, deleted) == (wanted, [(project, "b")])
    assert run(read_whole(store, projects, end)) == ([], [], end, 1)
    for bounds in ({"limit": 1}, {"size": 1}):
        found, deleted, reached, parts = run(read_whole(store, projects, start, **bounds))
        assert (found, deleted, reached) == (wanted, [(project, "b")], end)
        assert parts >= 3
    part = run(store.summaries.stored([project], start, limit=1, size=1))
    assert part.spans[0].span == run(store.find_span(project, "t", "a"))
