"""The consistency model of `SpanStore`, where two writes meet: in one process, in two, and where a
process is killed."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

from spanloom.model import EventQuery, Feedback, Filter, Span
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

ROUNDS = 60
TARGETS = ("span", "trace", "conversation")
KILLS = 12

# Children of a server that has the store imported already: they start in a moment.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.store.test_consistency"])


def event(event_id: str = "e", trace_id: str = "s", **fields: Any) -> Span:
    return a_span(event_id, trace_id, kind="model", **fields)


def with_id(event_id: str) -> EventQuery:
    return EventQuery(filters=[Filter(field="event_id", operator="is", value=event_id)])


def trace(trace_id: str, name: str, logs: int = 3) -> list[Span]:
    """A root and logs that all bear the name, as ids of their own."""
    root = a_span(trace_id, trace_id, kind="session", name=name)
    return [root] + [
        a_span(f"{name}-{n}", trace_id, parent_id=trace_id, name=name) for n in range(logs)
    ]


@asynccontextmanager
async def second(url: str) -> AsyncIterator[Store]:
    """Another store on the database, as another process has one."""
    store = await Store.open(url, migrate=False)
    yield store
    await store.close()


@asynccontextmanager
async def reading(read: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Any]]:
    """What a read gives, again and again meanwhile."""
    seen: list[Any] = []
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            seen.append(await read())

    readers = [asyncio.create_task(go_on()) for _ in range(2)]
    yield seen
    stop.set()
    await asyncio.gather(*readers)
    assert len(seen) > 2


def test_an_update_is_seen_while_its_event_is_created_again(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        await store.write_spans(project, [event()], events=True)
        await store.patch_event(project, "e", {"name": "updated"})
        async with second(url) as other, reading(lambda: store.find_event(project, "e")) as seen:
            for _ in range(ROUNDS):
                for writer in (store, other):
                    await writer.write_spans(project, [event()], events=True)
        assert {span.name for span in seen} == {"updated"}

    run(main())


def test_an_update_and_a_create_at_once_leave_the_update(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        async with second(url) as other:
            for n in range(ROUNDS):
                await asyncio.gather(
                    other.write_spans(project, [event(f"e{n}"), event(f"f{n}")], events=True),
                    store.patch_event(project, f"e{n}", {"name": "first"}),
                    other.patch_event(project, f"e{n}", {"outputs": {"a": 1}}),
                    store.write_spans(project, [event(f"f{n}"), event(f"e{n}")], events=True),
                )
                found = await store.find_event(project, f"e{n}")
                assert found is not None
                assert found.name == "first"
                query = EventQuery(
                    filters=[
                        *with_id(f"e{n}").filters,
                        Filter(field="outputs.a", operator="is", value=1, type="number"),
                    ]
                )
                assert (await other.find_events(project, query)).total == 1

    run(main())


def test_updates_of_one_event_at_once_are_all_kept(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        await store.write_spans(project, [event()], events=True)
        async with second(url) as other:
            await asyncio.gather(
                *(
                    writer.patch_event(project, "e", {"metrics": {f"m{number}": number}})
                    for number, writer in zip(range(40), itertools.cycle((store, other)))
                )
            )
        for number in range(40):
            query = Filter(field=f"metrics.m{number}", operator="is", value=number, type="number")
            assert (await store.find_events(project, EventQuery(filters=[query]))).total == 1
        found = await store.find_event(project, "e")
        assert found
        assert found.io.metrics == {f"m{number}": number for number in range(40)}

    run(main())


def test_a_create_that_was_cancelled_loses_no_update(
    store: Store, run: Run[Any], project: str
) -> None:
    moments = random.Random(2)

    async def main() -> None:
        await store.write_spans(project, [event()], events=True)
        await store.patch_event(project, "e", {"name": "updated"})
        for _ in range(ROUNDS):
            creating = asyncio.create_task(store.write_spans(project, [event()], events=True))
            await asyncio.sleep(moments.uniform(0, 0.003))
            creating.cancel()
            await asyncio.wait([creating])
            found = await store.find_event(project, "e")
            assert found is not None
            assert found.name == "updated"

    run(main())


def test_an_event_that_moves_is_seen_in_one_session(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        await store.write_spans(project, [event()], events=True)

        async def places() -> int:
            return (await store.find_events(project, with_id("e"))).total

        async with second(url) as other, reading(places) as seen:
            for n in range(ROUNDS):
                await asyncio.gather(
                    store.write_spans(project, [event("e", f"s{n}")], events=True),
                    other.write_spans(project, [event("e", f"u{n}")], events=True),
                )
        assert set(seen) == {1}
        last = (await store.find_events(project, with_id("e"))).items[0]
        assert last.session_id in (f"s{ROUNDS - 1}", f"u{ROUNDS - 1}")
        # The sessions that it left are gone, but for the last.
        listed = await store.list_traces(project, limit=1_000)
        assert [t.trace_id for t in listed] == [last.trace_id]

    run(main())


def test_of_two_replacements_at_once_one_is_stored(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        async with second(url) as other:
            for n in range(ROUNDS):
                trace_id = f"t{n}"
                await asyncio.gather(
                    *(
                        writer.write_trace(project, trace(trace_id, name), replace=True)
                        for name, writer in zip("ABCD", (store, other, store, other), strict=True)
                    )
                )
                names = [span.name for span in await store.trace_spans(project, trace_id)]
                assert names in [[name] * 4 for name in "ABCD"]

    run(main())


def test_what_was_deleted_stays_deleted_whatever_is_updated_at_once(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    moments = random.Random(5)

    async def delete(writer: Store, event_id: str) -> bool:
        await asyncio.sleep(moments.uniform(0, 0.004))
        return await writer.delete_event(project, event_id)

    async def main() -> None:
        async with second(url) as other:
            for n in range(ROUNDS):
                event_id = f"e{n}"
                await store.write_spans(project, [event(event_id)], events=True)
                deleted, *_ = await asyncio.gather(
                    delete(other, event_id),
                    *(
                        writer.patch_event(project, event_id, {"name": "updated"})
                        for writer in (store, other, store, other, store)
                    ),
                )
                assert deleted is True
                assert await store.find_event(project, event_id) is None

    run(main())


def test_a_deletion_that_finds_nothing_deletes_nothing(
    store: Store, run: Run[Any], project: str
) -> None:
    on = {target: Feedback(id=target, target=target, target_id="s") for target in TARGETS}

    async def main() -> None:
        await store.patch_event(project, "s", {"metadata": {"a": 1}})
        for feedback in on.values():
            await store.write_feedback(project, feedback)
        for delete in (store.delete_session, store.delete_trace, store.delete_event):
            assert await delete(project, "s") is False
        assert await store.event_patch(project, "s") == {"metadata": {"a": 1}}
        assert (await store.find_feedback(project, limit=9)).total == len(TARGETS)
        await store.write_spans(project, [a_span("s", "s", kind="session")], events=True)
        assert await store.delete_session(project, "s") is True
        assert await store.event_patch(project, "s") == {}
        assert (await store.find_feedback(project, limit=9)).total == 0

    run(main())


def test_a_session_without_spans_is_the_trace_of_its_id(
    store: Store, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        await store.write_spans(project, [event("e", "t", session_id="another")])
        await store.write_feedback(project, Feedback(id="f", target="conversation", target_id="t"))
        assert await store.delete_session(project, "t") is True
        assert await store.trace_spans(project, "t") == []
        assert (await store.find_feedback(project, limit=9)).total == 0

    run(main())


def test_of_sessions_started_by_two_processes_at_once_one_is_stored(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        async with second(url) as other:
            for n in range(20):
                session = a_span(f"s{n}", f"s{n}", kind="session")
                started = await asyncio.gather(
                    *(writer.start_session(project, session) for writer in (store, other) * 2)
                )
                assert sorted(started) == [False, False, False, True]

    run(main())


def test_a_session_started_again_while_it_is_deleted_leaves_no_update(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    again = {"metadata": {"started": "again"}}

    async def main() -> None:
        async with second(url) as other:
            for n in range(ROUNDS):
                session = a_span(f"s{n}", f"s{n}", kind="session")
                await store.start_session(project, session)
                started, deleted = await asyncio.gather(
                    store.start_session(project, session, again=again),
                    other.delete_session(project, f"s{n}"),
                )
                assert deleted is True
                found = await store.find_event(project, f"s{n}")
                assert (found is not None) == started
                assert await store.event_patch(project, f"s{n}") == {}

    run(main())


def test_the_deletion_of_a_session_that_is_not_there_deletes_nothing(
    store: Store, run: Run[Any], project: str
) -> None:
    run(store.patch_event(project, "s", {"name": "updated"}))
    feedback = Feedback(id="f", target="conversation", target_id="s")
    run(store.write_feedback(project, feedback))
    assert run(store.delete_session(project, "s")) is False
    assert run(store.event_patch(project, "s")) == {"name": "updated"}
    assert run(store.feedback_on(project, [("conversation", "s")])) == [feedback]


def test_a_session_and_the_trace_of_its_id_are_deleted_in_one_transaction(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def main() -> None:
        async with second(url) as other:
            for n in range(ROUNDS):
                trace_id = f"t{n}"
                await store.patch_event(project, trace_id, {"name": "updated"})
                tagged = [a_span(trace_id, trace_id, session_id="another")]
                deleted, _ = await asyncio.gather(
                    other.delete_session(project, trace_id),
                    store.write_trace(project, tagged, replace=True),
                )
                names = [span.name for span in await store.trace_spans(project, trace_id)]
                assert names == ([] if deleted else ["updated"])

    run(main())


@pytest.mark.parametrize("deleted", ["trace", "session"])
def test_updates_of_an_event_are_kept_while_another_trace_holds_it(
    store: Store, run: Run[Any], project: str, deleted: str
) -> None:
    kept, other = a_span("e", "kept"), a_span("e", "other")
    run(store.write_spans(project, [kept, other]))
    run(store.patch_event(project, "e", {"name": "updated"}, trace_id="kept"))
    delete = store.delete_trace if deleted == "trace" else store.delete_session
    assert run(delete(project, "other")) is True
    run(store.write_spans(project, [kept]))
    assert [span.name for span in run(store.trace_spans(project, "kept"))] == ["updated"]
    assert run(delete(project, "kept")) is True
    assert run(store.event_patch(project, "e")) == {}


def test_a_clock_that_is_set_back_changes_nothing(
    store: Store, url: str, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(writer: Store, said: str) -> None:
        await writer.write_spans(project, [event("e", "s", name=said)], events=True)
        await writer.write_spans(project, [event("moving", said)], events=True)
        await writer.write_spans(project, [event("updated")], events=True)
        await writer.patch_event(project, "updated", {"name": said})
        await writer.write_trace(project, trace("t", said), replace=True)
        await writer.write_feedback(project, Feedback(id="f", creator=said))

    async def check(said: str) -> None:
        names = {}
        for event_id in ("e", "updated"):
            found = await store.find_event(project, event_id)
            assert found is not None
            names[event_id] = found.name
        assert names == {"e": said, "updated": said}
        moving = (await store.find_events(project, with_id("moving"))).items
        assert [span.session_id for span in moving] == [said]
        assert {span.name for span in await store.trace_spans(project, "t")} == {said}
        feedback = await store.find_feedback(project, limit=9)
        assert [one.creator for one in feedback.items] == [said]

    async def main() -> None:
        await write(store, "before")
        await check("before")
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
        await write(store, "an hour before")
        await check("an hour before")
        async with second(url) as restarted:
            await write(restarted, "after a restart")
            await check("after a restart")

    run(main())


# Updates that cannot be applied


@pytest.mark.parametrize("comes", ["before its event", "after its event"])
def test_an_update_past_the_end_of_time_ends_there(
    store: Store, run: Run[Any], project: str, comes: str
) -> None:
    """Its own times are in range, and their sum is not."""
    late = {"start_ns": 9_000_000_000_000_000_000, "duration_ms": 4e12}

    async def main() -> None:
        events = [event("late"), event("other")]
        if comes == "after its event":
            await store.write_spans(project, events, events=True)
        await store.patch_event(project, "late", late)
        await store.patch_event(project, "other", {"name": "updated"})
        await store.write_spans(project, events, events=True)
        await store.patch_event(project, "late", {"name": "updated"})
        found = {e.event_id: e for e in await store.trace_spans(project, "s")}
        assert {e.name for e in found.values()} == {"updated"}
        assert found["late"].end_ns == 2**63 - 1
        assert found["late"].duration_ms == 4e12

    run(main())


def test_an_update_that_cannot_be_applied_holds_up_nothing_else(
    store: Store, run: Run[Any], project: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        await store.patch_event(project, "bad", {"start_ns": "soon"})
        await store.patch_event(project, "bad", {"name": "updated"})
        await store.patch_event(project, "other", {"name": "updated"})
        await store.write_spans(project, [event("bad"), event("other")], events=True)
        names = {e.event_id: e.name for e in await store.trace_spans(project, "s")}
        assert names == {"bad": "", "other": "updated"}

    run(main())
    logged = [r.getMessage() for r in caplog.records if r.name == "spanloom.store"]
    assert logged
    assert all("'bad'" in message for message in logged)


# A process that is killed


async def _change(store: Store, project: str, name: str, number: int) -> None:
    """Some change of an object that is this caller's alone; each names itself."""
    kind, key = number % 5, f"{name}-{number % 3}"
    if kind == 0:
        await store.write_spans(project, [event(key, f"{key}-{number}")], events=True)
    elif kind in (1, 2):
        await store.patch_event(project, key, {"name": str(number)})
    elif kind == 3:
        await store.write_spans(project, [event(key, f"{key}-here")], events=True)
    else:
        await store.write_trace(project, trace(f"trace-{key}", str(number)), replace=True)


def change(url: str, project: str, name: str, acknowledged: Connection) -> None:
    """Change objects one after the other, and say of each change when it begins and when it is
    stored."""

    async def main() -> None:
        store = await Store.open(url, migrate=False)
        for number in range(1_000_000):
            acknowledged.send((number, False))
            await _change(store, project, name, number)
            acknowledged.send((number, True))

    asyncio.run(main())


def _last(said: list[tuple[int, bool]], key: int, kinds: set[int]) -> tuple[int, int]:
    """Of the changes of one object: the last that was acknowledged, and the last that was begun; -1
    for none."""
    mine = [(n, done) for n, done in said if n % 3 == key and n % 5 in kinds]
    return (
        max((n for n, done in mine if done), default=-1),
        max((n for n, _ in mine), default=-1),
    )


async def _check(store: Store, project: str, name: str, said: list[tuple[int, bool]]) -> None:
    for key in range(3):
        event_id = f"{name}-{key}"
        stored, begun = _last(said, key, {0, 3})
        places = (await store.find_events(project, with_id(event_id))).items
        sessions = {
            n: f"{event_id}-here" if n % 5 == 3 else f"{event_id}-{n}" for n in (stored, begun)
        }
        if stored >= 0:
            assert [span.session_id for span in places] in [[s] for s in sessions.values()]
        assert len(places) <= 1
        stored, begun = _last(said, key, {1, 2})
        for span in places:
            names = {str(n) if n >= 0 else "" for n in (stored, begun)}
            assert span.name in names
        stored, begun = _last(said, key, {4})
        replaced = {span.name for span in await store.trace_spans(project, f"trace-{event_id}")}
        assert replaced in [{str(n)} if n >= 0 else set() for n in (stored, begun)]


def test_kill_9_loses_no_change_and_leaves_none_half_done(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    moments = random.Random(3)
    changes = 0
    for number in range(KILLS):
        children: list[tuple[str, Any, Connection, list[tuple[int, bool]]]] = []
        for name in ("a", "b"):
            here, there = _processes.Pipe(duplex=False)
            arguments = (url, project, f"{number}{name}", there)
            process = _processes.Process(target=change, args=arguments)
            process.start()
            there.close()
            children.append((f"{number}{name}", process, here, []))
        _, _, pipe, said = children[0]
        for _ in range(moments.randint(20, 60)):
            assert pipe.poll(30)
            said.append(pipe.recv())
        for _, process, _, _ in children:
            process.kill()
        for name, process, pipe, said in children:
            process.join()
            try:
                while pipe.poll(30):
                    said.append(pipe.recv())
            except EOFError:
                pass
            pipe.close()
            changes += sum(done for _, done in said)
            run(_check(store, project, name, said))
    assert changes > KILLS * 10


def test_a_read_that_fails_in_the_middle_leaves_no_old_state(
    store: Store, project: str, run: Run[Any]
) -> None:
    """While its error is kept, and with it all that the read had open."""

    def fail(connection: Any) -> None:
        found = connection.exec_driver_sql("SELECT span_id FROM spans")
        for _ in found:
            raise ValueError

    run(store.write_spans(project, [a_span(str(number)) for number in range(3)]))
    kept = []
    for _ in range(20):
        with pytest.raises(ValueError) as raised:
            run(store._read(fail))
        kept.append(raised)
    run(store.write_spans(project, [a_span("new")]))
    for _ in kept:
        assert run(store.find_span(project, "t", "new"))
