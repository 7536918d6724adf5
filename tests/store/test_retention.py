"""Retention: whole traces by their newest span, project by project, one process at a time."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model import Feedback
from spanloom.model.usage import UsageQuery
from spanloom.store.sql.erasure import parts, retention
from spanloom.store.sql.erasure.retention import DAY_NS
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

NOW_NS = 1_000 * DAY_NS


async def listed(store: Store, project: str) -> set[str]:
    return {trace.trace_id for trace in await store.list_traces(project, limit=1000)}


async def write(store: Store, project: str, **days_ago: float) -> None:
    """Traces by the ages of their spans: `t_1_2` has one of a day and one of two."""
    await store.ensure_project(project)
    for name, days in days_ago.items():
        spans = [
            a_span("new", name, start_ns=NOW_NS - int(days * DAY_NS)),
            a_span("old", name, start_ns=NOW_NS - 900 * DAY_NS, parent_id="new"),
        ]
        await store.write_spans(project, spans)


def test_a_trace_is_kept_whole_until_its_newest_span_is_old(
    store: Store, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        await write(store, project, a=9.99, b=10.01, c=0, d=400)
        await store.write_feedback(
            project,
            *(Feedback(id=t, target="trace", target_id=t) for t in ("a", "b")),
            Feedback(id="conversation", target="conversation", target_id="b"),
        )
        await store.follower.catch_up()
        await store.erasure.set_retention(project, 10)
        gone = await store.erasure.expire(0, NOW_NS)
        assert gone == {"spans": 4, "traces": 2, "feedback": 2}
        assert await listed(store, project) == {"a", "c"}
        assert len(await store.trace_spans(project, "a")) == 2
        # Sums are those of the spans that are left.
        query = UsageQuery(edges=[0, NOW_NS + DAY_NS])
        assert sum(point.spans for point in await store.usage(project, query)) == 4
        assert not await store.erasure.expire(0, NOW_NS)

    run(go())


def test_a_projects_own_retention_precedes_that_of_the_server(
    store: Store, run: Run[Any], project: str
) -> None:
    names = {days: f"{project}-{days}" for days in (None, 0, 5, 50)}

    async def go() -> None:
        for days, name in names.items():
            await write(store, name, a=1, b=10, c=100)
            await store.erasure.set_retention(name, days)
            assert await store.erasure.retention(name) == days
        found = {name: days for name, _, days, _ in await store.list_projects(limit=1000)}
        assert {found[name] for name in names.values()} == {None, 0, 5, 50}
        await store.erasure.expire(20, NOW_NS)
        kept = {days: await listed(store, name) for days, name in names.items()}
        assert kept == {None: {"a", "b"}, 0: {"a", "b", "c"}, 5: {"a"}, 50: {"a", "b"}}
        for name in names.values():
            await store.erasure.set_retention(name, 0)

    run(go())


def test_many_traces_and_a_large_one_are_deleted_in_parts(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 5)
    monkeypatch.setattr(parts, "LARGEST_TRACE", 8)
    monkeypatch.setattr(retention, "_SPANS", 3)

    async def go() -> None:
        await write(store, project, **{f"old{n}": 20 + n for n in range(9)}, new=1, newer=0)
        large = [a_span(str(n), "large", start_ns=n) for n in range(30)]
        await store.write_spans(project, large)
        await store.erasure.set_retention(project, 10)
        assert (await store.erasure.expire(0, NOW_NS))["spans"] == 2 * 9 + 30
        assert await listed(store, project) == {"new", "newer"}

    run(go())


def test_one_process_does_it_at_a_time(
    store: Store, url: str, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        await write(store, project, a=100)
        await store.erasure.set_retention(project, 10)
        assert await store._connections.write(lambda t: retention.take("another", t))
        assert not await store.erasure.expire(0, NOW_NS)
        assert await listed(store, project) == {"a"}
        monkeypatch.setattr(retention, "_LEASE_NS", -1)
        await store._connections.write(lambda t: retention.hold("another", t))  # it died
        monkeypatch.undo()
        assert (await store.erasure.expire(0, NOW_NS))["spans"] == 2
        assert await store._connections.write(lambda t: retention.take("another", t))
        await store._connections.write(lambda t: retention.release("another", t))

    run(go())


def test_who_has_lost_the_lease_deletes_nothing_more(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        await write(store, project, a=100)
        await store.erasure.set_retention(project, 10)
        oldest = retention.oldest

        def lost_meanwhile(*arguments: Any) -> Any:
            found = oldest(*arguments)
            monkeypatch.setattr(store.erasure, "_owner", "who was too slow")
            return found

        monkeypatch.setattr(retention, "oldest", lost_meanwhile)
        assert not await store.erasure.expire(0, NOW_NS)
        assert await listed(store, project) == {"a"}

    run(go())
