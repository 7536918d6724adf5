"""Writing: committed together, yet each call all or nothing; bounded; never in the way of reads."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from spanloom.errors import SpanloomError
from spanloom.model import Feedback, Key, Span
from spanloom.model.caller import CALLER
from spanloom.store.sql import rows, tables, writer
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.write_queue import Work
from spanloom.store.store import Store
from tests.databases import select as select_from
from tests.store.conftest import Run
from tests.store.samples import a_span

SOON = (
    5.0  # seconds; far more than anything here takes unless it waits for what it must not wait for
)


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[None]:
    """The writer is inside a transaction meanwhile; what is written waits, and becomes one
    group."""
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        entered.set()
        assert leave.wait(SOON)

    holding = asyncio.create_task(store._write(wait, rows=0))
    assert await asyncio.to_thread(entered.wait, SOON)
    yield
    leave.set()
    await holding


async def waiting(store: Store, *calls: Any) -> list[asyncio.Task[Any]]:
    """The calls, each in the queue, in this order."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    assert len(store._write._queue) == len(calls)
    return tasks


@contextmanager
def commits(store: Store) -> Iterator[list[None]]:
    """Counts the writer's commits."""
    seen: list[None] = []

    def count(_: Connection) -> None:
        seen.append(None)

    event.listen(store._connections._write_engine, "commit", count)
    yield seen
    event.remove(store._connections._write_engine, "commit", count)


def test_calls_that_wait_are_committed_together(store: Store, run: Run[Any], project: str) -> None:
    async def write() -> int:
        with commits(store) as seen:
            async with held(store):
                calls = await waiting(
                    store, *(store.write_spans(project, [a_span(str(n))]) for n in range(50))
                )
            await asyncio.gather(*calls)
            return len(seen)

    assert run(write()) == 2  # the one that held the writer, and the group
    assert len(run(store.trace_spans(project, "t"))) == 50


def poison(project: str) -> Work:
    """Two rows, of which no database takes the second: its name is NULL."""
    made = rows.span_rows(project, [a_span("poison 1"), a_span("poison 2")])
    _, bad = made.spans
    bad[tables.spans.columns.keys().index("name")] = None
    return lambda transaction: transaction.write(made.by_table())


def half(project: str) -> Work:
    """Work that fails after it has written."""

    def work(transaction: Transaction) -> None:
        transaction.write({tables.projects: [[f"{project}-half", 1, *[None] * 5]]})
        transaction.connection.execute(select(tables.projects.c.name))
        raise RuntimeError("a mistake")

    return work


def test_a_call_that_fails_leaks_into_no_other(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def write() -> list[Any]:
        with commits(store) as seen:
            async with held(store):
                calls = await waiting(
                    store,
                    store.write_spans(project, [a_span("a"), a_span("b")]),
                    store._write(poison(project), rows=2),
                    store.write_spans(project, [a_span("c")]),
                    store._write(half(project)),
                    store.write_feedback(project, Feedback(id="f")),
                    store._write(lambda t: t.write({tables.projects: [[project, 1, *[None] * 5]]})),
                )
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert (
            len(seen) == 2
        )  # the one that held the writer, and all of these that could be written
        return results

    a, poisoned, c, halved, feedback, ensured = run(write())
    assert (a, c, feedback, ensured) == ([], [], None, None)
    # Both are mistakes in the program, which no repetition makes good.
    assert isinstance(poisoned, IntegrityError)
    assert isinstance(halved, RuntimeError)
    assert [s.span_id for s in run(store.trace_spans(project, "t"))] == ["a", "b", "c"]
    assert run(store.find_feedback(project, limit=9)).total == 1
    names = "SELECT name FROM projects WHERE name LIKE :names"
    assert select_from(url, names, names=f"{project}%") == [(project,)]


def test_a_call_that_refuses_holds_up_no_other(store: Store, run: Run[Any], project: str) -> None:
    key = Key(id=f"{project}-key", project=project, role="read", digest="d", created_ns=1)

    async def write() -> tuple[list[Any], int]:
        with commits(store) as seen:
            async with held(store):
                calls = await waiting(
                    store,
                    store.create_key(key),
                    store.create_key(replace(key, digest="another")),
                    store.write_spans(project, [a_span()]),
                )
            return await asyncio.gather(*calls, return_exceptions=True), len(seen)

    (first, second, spans), number = run(write())
    assert (first, spans, number) == (None, [], 2)
    assert isinstance(second, SpanloomError)
    assert second.violations[0].field == "id"
    assert run(store.find_key(key.id)) == key


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationalError("", None, Exception("secret")), "UNAVAILABLE"),
        (OSError("secret"), "UNAVAILABLE"),
        (DataError("", None, Exception("secret")), "INVALID_ARGUMENT"),
        (OverflowError("secret"), "INVALID_ARGUMENT"),
        (ProgrammingError("", None, Exception("secret")), None),
        (ZeroDivisionError(), None),
        (KeyError("secret"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_of_the_database_is_reported_and_a_mistake_is_raised(
    store: Store,
    run: Run[Any],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: str | None,
) -> None:
    def fail(_: object) -> None:
        raise error

    for call in (store._read, store._write):
        caplog.clear()
        with pytest.raises(Exception) as raised:
            run(call(fail))
        logged = [
            r.exc_info[1] for r in caplog.records if r.name == "spanloom.store" and r.exc_info
        ]
        if code is None:
            assert raised.value is error
            assert logged == []
        else:
            assert isinstance(raised.value, SpanloomError)
            assert raised.value.code == code
            assert "secret" not in raised.value.message
            assert logged == [error]
    assert run(store.ready()) is True


@pytest.mark.parametrize(
    ("rows_bound", "bytes_bound"), [(10, 1 << 30), (1 << 30, 10_000)], ids=["rows", "bytes"]
)
def test_a_full_queue_refuses_at_once_and_stores_nothing(
    url: str, run: Run[Any], project: str, rows_bound: int, bytes_bound: int
) -> None:
    def six(start: int) -> list[Span]:
        # Random, so that the queue counts all of it.
        return [
            a_span(str(n), body={"inputs": {"text": secrets.token_hex(600)}})
            for n in range(start, start + 6)
        ]

    async def write() -> None:
        store = await Store.open(url, queue_rows=rows_bound, queue_bytes=bytes_bound)
        async with held(store):
            [first] = await waiting(store, store.write_spans(project, six(0)))
            began = time.monotonic()
            with pytest.raises(SpanloomError) as refused:
                await store.write_spans(project, six(6))
            assert time.monotonic() - began < SOON / 2
            assert (refused.value.code, refused.value.reason) == (
                "RESOURCE_EXHAUSTED",
                "QUEUE_FULL",
            )
            assert refused.value.retry_after is not None
            # It stores the result of work that is done.
            step = asyncio.create_task(store._write(lambda _: "done", rows=0))
            await asyncio.sleep(0)
        await first
        assert await step == "done"
        assert len(await store.trace_spans(project, "t")) == 6
        await store.write_spans(project, six(6))  # there is room again
        await store.write_spans(project, six(12) + six(18))  # more than the queue, which is empty
        assert len(await store.trace_spans(project, "t")) == 24
        await store.close()

    run(write())


def test_callers_have_their_turns_and_their_parts_of_a_full_queue(
    url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_GROUP_ROWS", 4)

    async def write() -> None:
        store = await Store.open(url, queue_rows=8)
        done: list[str] = []

        async def call(caller: str, name: str, rows: int = 2) -> None:
            CALLER.set(caller)
            await store._write(lambda _: done.append(name), rows=rows)

        def flooded(name: str, rows: int = 2) -> Any:
            return call("flood", name, rows)

        async with held(store):
            calls = await waiting(
                store,
                *(flooded(f"flood {n}") for n in range(4)),
                call("other", "large", 100),  # of any size, where the caller has nothing there
                call("third", "third", 1),
                call("third", "third again", 1),
            )
            for refused in (flooded("too much", 1), call("other", "too much")):
                with pytest.raises(SpanloomError, match="the write queue is full"):
                    await refused
        await asyncio.gather(*calls)
        assert done == [
            *("flood 0", "large", "third", "flood 1", "third again", "flood 2", "flood 3"),
        ]
        await flooded("room")  # again
        await store.close()

    run(write())


def test_reads_do_not_wait_for_a_write_and_do_not_see_it_half_done(
    store: Store, run: Run[Any], project: str
) -> None:
    entered, leave = threading.Event(), threading.Event()
    work = rows.span_rows(project, [a_span("b")]).by_table()

    def slow(transaction: Transaction) -> None:
        transaction.write(work)
        transaction.flush()
        entered.set()
        assert leave.wait(SOON)

    async def read() -> list[str]:
        await store.write_spans(project, [a_span("a")])
        writing = asyncio.create_task(store._write(slow))
        await asyncio.to_thread(entered.wait, SOON)
        seen = await asyncio.wait_for(store.trace_spans(project, "t"), SOON / 2)
        leave.set()
        await writing
        return [s.span_id for s in seen]

    assert run(read()) == ["a"]
    assert [s.span_id for s in run(store.trace_spans(project, "t"))] == ["a", "b"]


def test_one_read_sees_one_state(store: Store, run: Run[Any], project: str) -> None:
    async def read() -> tuple[int, int]:
        loop = asyncio.get_running_loop()

        def counts(connection: Connection) -> tuple[int, int]:
            query = select(tables.spans.c.span_id).where(tables.spans.c.project == project)
            before = len(connection.execute(query).all())
            writing = store.write_spans(project, [a_span()])
            asyncio.run_coroutine_threadsafe(writing, loop).result(SOON)
            return before, len(connection.execute(query).all())

        return await store._read(counts)

    assert run(read()) == (0, 0)


def test_closing_finishes_what_was_accepted(url: str, run: Run[Any], project: str) -> None:
    async def write() -> None:
        store = await Store.open(url)
        async with held(store):
            calls = await waiting(
                store, *(store.write_spans(project, [a_span(str(n))]) for n in range(20))
            )
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0.05)
            with pytest.raises(SpanloomError, match="not available"):
                await store.write_spans(project, [a_span("late")])
        await asyncio.gather(*calls)
        await closing
        for call in (store.write_spans(project, [a_span()]), store.trace_spans(project, "t")):
            with pytest.raises(SpanloomError) as refused:
                await call
            assert refused.value.code == "UNAVAILABLE"
        assert await store.ready() is False
        await store.close()
        store = await Store.open(url)
        assert len(await store.trace_spans(project, "t")) == 20
        await store.close()

    run(write())


def test_a_caller_that_went_away_harms_nobody(store: Store, run: Run[Any], project: str) -> None:
    async def write() -> None:
        async with held(store):
            gone, other = await waiting(
                store,
                store.write_spans(project, [a_span("a")]),
                store.write_spans(project, [a_span("b")]),
            )
            gone.cancel()
        await other
        with pytest.raises(asyncio.CancelledError):
            await gone

    run(write())
    assert {s.span_id for s in run(store.trace_spans(project, "t"))} >= {"b"}


def test_event_loops_that_end_do_not_stop_the_writer(
    store: Store, run: Run[Any], project: str
) -> None:
    async def leave() -> None:
        leaving = store._write(lambda _: time.sleep(0.1))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(leaving, 0.01)

    thread = threading.Thread(target=asyncio.run, args=(leave(),))
    thread.start()
    thread.join()
    run(store.write_spans(project, [a_span()]))
    assert run(store.ready()) is True


def test_a_project_that_exists_is_not_written_again(
    store: Store, run: Run[Any], project: str
) -> None:
    async def ensure() -> int:
        with commits(store) as seen:
            await store.ensure_project(project)
            await store.ensure_project(project)
        return len(seen)

    assert run(ensure()) == 1


def test_a_writer_that_dies_leaves_nobody_waiting(
    empty_url: str, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = run(Store.open(empty_url))
    died = threading.Event()

    def fail(_: object) -> Any:
        raise MemoryError("a fault that nobody expected")

    async def work() -> None:
        store.when_writer_dies(died.set)
        async with held(store):
            calls = await waiting(
                store, *(store.write_spans(project, [a_span(str(n))]) for n in range(3))
            )
            monkeypatch.setattr(store._write, "_commit", fail)
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, SpanloomError)
            assert answer.code == "UNAVAILABLE"
        assert await asyncio.to_thread(died.wait, SOON)
        assert store.has_dead_writer
        assert not await store.ready()
        with pytest.raises(SpanloomError, match="not available"):
            await store.write_spans(project, [a_span("later")])
        assert await store.trace_spans(project, "t") == []  # reads go on
        at_once: list[None] = []
        store.when_writer_dies(lambda: at_once.append(None))
        assert at_once == [None]

    run(work())
    run(store.close())


def test_calls_whose_commit_cannot_be_counted_are_answered_and_not_repeated(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Full:  # each of several processes counts in a file
        def observe(self, _: float) -> None:
            raise OSError(28, "No space left on device")

    async def work() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("spanloom.metrics.COMMIT_SECONDS", Full())
            with pytest.raises(SpanloomError, match="not available"):
                await store._write(lambda _: done.append("first"))
        await store._write(lambda _: done.append("second"))

    run(work())
    assert done == ["first", "second"]
    assert store._write._queue.rows == 0
