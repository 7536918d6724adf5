"""Erasure of users and projects: gone from every read, counted, and finished after a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text

from spanloom.errors import Reason, SpanloomError
from spanloom.model import (
    Dataset,
    Evaluator,
    EventQuery,
    Experiment,
    Feedback,
    PromptVersion,
    Record,
    Span,
    trace_scan,
)
from spanloom.model.api_keys import new_key
from spanloom.model.catalog import DATAPOINT
from spanloom.model.files import Upload
from spanloom.model.usage import UsageQuery
from spanloom.store.once import Once
from spanloom.store.sql.erasure import owned, parts, work
from spanloom.store.sql.tables import erasures, metadata
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from spanloom.v1 import project_service_pb2
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span

ADA, BOB = "ada.lovelace", "bob"
HOUR_NS = 3600 * 10**9


def of(user: str = "", **body: Any) -> dict[str, Any]:
    return {**({"user": {"id": user}} if user else {}), **body}


def a_trace(trace_id: str, user: str = "", **body: Any) -> list[Span]:
    """A root that names the user, and a span below it that does not."""
    root = a_span(f"{trace_id}-root", trace_id, of(user, **body), session_id=f"s-{trace_id}")
    inner = a_span(
        *(f"{trace_id}-inner", trace_id, {"outputs": {"said": "zebra"}}),
        parent_id=root.span_id,
        session_id=root.session_id,
    )
    return [root, inner]


async def left(store: Store, project: str) -> set[str]:
    """The traces of a project, in whatever way they are read."""
    listed = {trace.trace_id for trace in await store.list_traces(project, limit=1000)}
    events = await store.find_events(project, EventQuery(limit=1000))
    assert {span.trace_id for span in events.items} == listed
    points = await store.usage(project, UsageQuery(edges=[0, HOUR_NS]))
    assert sum(point.spans for point in points) == events.total
    return listed


async def users(store: Store, project: str) -> Mapping[str, int]:
    points = await store.usage(project, UsageQuery(edges=[0, HOUR_NS], group_by=("user_id",)))
    return {point.group[0]: point.spans for point in points}


def rows_with(url: str, project: str) -> dict[str, int]:
    """How many rows of a project are in which table."""
    found = {}
    for table in metadata.tables.values():
        if "project" in table.c:
            query = f"SELECT count(*) FROM {table.name} WHERE project = :project"
            [(number,)] = select(url, query, project=project)
            if number:
                found[table.name] = number
    return found


def test_every_table_with_rows_of_projects_is_known() -> None:
    found = {table for table in metadata.tables.values() if "project" in table.c}
    own = {metadata.tables["usage_cells"], *owned.OF_FOLLOWER, *owned.OF_SPANS, erasures}
    assert found == {*owned.OF_PROJECT, *own}
    fields = project_service_pb2.DeletedCounts.DESCRIPTOR.fields_by_name
    counted = set(owned.OF_PROJECT.values()) - {""}
    assert {f"{name.removesuffix('s')}_count" for name in counted} == set(fields)


@pytest.mark.parametrize("is_followed", [True, False])
def test_a_user_is_gone_from_every_read(
    store: Store, run: Run[Any], project: str, is_followed: bool
) -> None:
    async def go() -> None:
        await store.write_spans(project, [*a_trace("t1", ADA), *a_trace("t2", BOB)])
        named = {"user_properties": {"user_id": ADA}}
        await store.write_spans(project, [a_span("e", "t3", named), a_span("f", "t3")])
        await store.write_spans(project, [a_span("g", "t4")])
        on = {"t1": "trace", "t1-root": "span", "s-t1": "conversation", "t2": "trace"}
        await store.write_feedback(
            project,
            *(Feedback(id=key, target=target, target_id=key) for key, target in on.items()),
        )
        if is_followed:
            await store.indexer.catch_up()
            await store.follower.catch_up()
        counts = await store.erasure.delete_user(project, ADA)
        assert counts == {"spans": 4, "traces": 2, "feedback": 3}
        assert await left(store, project) == {"t2", "t4"}
        assert await users(store, project) == {"": 1, BOB: 2}
        found = await store.feedback_on(project, [(target, key) for key, target in on.items()])
        assert [each.id for each in found] == ["t2"]
        await store.follower.catch_up()
        assert await users(store, project) == {"": 1, BOB: 2}
        again = await store.erasure.delete_user(project, ADA)
        assert not any(again.values())

    run(go())


def test_of_a_trace_of_several_users_the_others_keep_theirs(
    store: Store, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        trace = [
            a_span("root", "t", of(ADA), name="of Ada"),
            a_span("b", "t", of(BOB), parent_id="root", name="of Bob", start_ns=2),
            a_span("c", "t", parent_id="b", start_ns=3),
        ]
        await store.write_spans(project, trace)
        await store.erasure.delete_user(project, ADA)
        assert [span.span_id for span in await store.trace_spans(project, "t")] == ["b", "c"]
        [row] = await store.list_traces(project, limit=5)
        assert (row.name, row.user_id) == ("of Bob", BOB)
        assert await users(store, project) == {BOB: 2}

    run(go())


@pytest.mark.parametrize("user", ["42", "Ünïcode 🙂", 'q"uo\\te', "%_", "a" * 256, "李", "-"])
def test_any_id_is_found(store: Store, run: Run[Any], project: str, user: str) -> None:
    async def go() -> None:
        value: Any = int(user) if user == "42" else user
        await store.write_spans(project, [a_span("a", "t1", {"user_properties": {"id": value}})])
        await store.write_spans(project, [a_span("a", "t2", of(f"{user}x"))])
        await store.write_spans(project, [a_span("a", "t3", {"inputs": {"text": user}})])
        await store.indexer.catch_up()
        await store.write_spans(project, [a_span("a", "t4", of(user), parent_id="absent")])
        counts = await store.erasure.delete_user(project, user)
        assert counts["spans"] == 2
        assert await left(store, project) == {"t2", "t3"}

    run(go())


def test_updates_and_items_that_name_the_user_are_gone(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        await store.patch_event(project, "waits", {"user_properties": {"user_id": ADA}})
        await store.patch_event(project, "other", {"outputs": {"text": ADA}})
        await store.write_spans(project, [a_span("made-of", "t", of(ADA))])
        await store.datasets.write(project, Dataset(slug="d", name="", columns=["q"]))
        once = Once("CreateDatasetItem", "r", "requestId", "digest", "d", lambda _: ADA.encode())
        await store.datasets.add_row(project, "d", {"user_id": ADA, "q": "1"}, once)
        await store.datasets.add_row(project, "d", {"q": ADA})
        made: dict[str, dict[str, Any]] = {
            "linked": {"linked_event": "made-of"},
            "carries": {"inputs": {"user": {"id": ADA}}},
            "neither": {"linked_event": "another", "inputs": {"name": ADA}},
        }
        for record_id, body in made.items():
            await store.records.write(project, DATAPOINT, Record(record_id, 1, body))
        counts = await store.erasure.delete_user(project, ADA)
        assert counts == {"spans": 1, "traces": 1, "updates": 1, "dataset_items": 3}
        assert await store.event_patch(project, "waits") == {}
        assert await store.event_patch(project, "other") != {}
        assert await store.datasets.rows(project, "d") == [{"q": ADA}]
        assert [each.id for each in await store.records.all(project, DATAPOINT)] == ["neither"]
        assert rows_with(url, project).get("answers") is None

    run(go())


def test_many_spans_are_deleted_in_parts_that_divide_no_usual_trace(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 5)
    monkeypatch.setattr(parts, "LARGEST_TRACE", 8)
    seen: list[tuple[int, int]] = []

    async def go() -> None:
        sizes = {f"t{n}": n for n in range(1, 9)} | {"u": 20}
        for trace_id, number in sizes.items():
            spans = [a_span(str(n), trace_id, of(ADA)) for n in range(number)]
            await store.write_spans(project, spans)
        erasing = asyncio.create_task(store.erasure.delete_user(project, ADA))
        while not erasing.done():
            for trace_id, number in sizes.items():
                found = len(await store.trace_spans(project, trace_id))
                assert found in (0, number) or trace_id == "u"
                seen.append((found, number))
        assert (await erasing)["spans"] == sum(sizes.values())
        assert await left(store, project) == set()

    run(go())
    assert seen


@pytest.mark.parametrize(("seconds", "rows"), [(0.0, work._FEWEST_ROWS), (1e9, parts.AT_ONCE)])
def test_parts_are_as_large_as_their_time_allows(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch, seconds: float, rows: int
) -> None:
    pace = work.Pace()
    pace._rows = 100
    monkeypatch.setattr(work, "_PART_SECONDS", seconds)

    async def write(part: Any) -> Any:
        return part(None)

    async def go() -> list[Any]:
        return [await pace(write, lambda _: "deleted") for _ in range(10)]

    assert run(go()) == ["deleted"] * 10
    assert pace.rows == rows


def test_what_is_written_meanwhile_is_deleted_or_kept(
    store: Store, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        for n in range(20):
            await store.write_spans(project, a_trace(f"t{n}", ADA))
        erasing = asyncio.create_task(store.erasure.delete_user(project, ADA))
        written: list[str] = []
        while not erasing.done():
            trace_id = f"w{len(written)}"
            await store.write_spans(project, a_trace(trace_id, ADA))
            written.append(trace_id)
        await erasing
        found = await left(store, project)
        assert found <= set(written)
        for trace_id in found:
            assert len(await store.trace_spans(project, trace_id)) == 2

    run(go())


async def fill(store: Store, project: str) -> None:
    upload = Upload(f"file-{project}", "a.png", "image/png", 1, project, 2)
    await store.files.add(project, upload, most=10)
    """Something of each kind."""
    await store.ensure_project(project)
    spans = a_trace("t", ADA)
    await store.write_spans(project, spans, evaluations=[trace_scan("t")])
    await store.patch_event(project, "waits", {"outputs": {"a": 1}})
    await store.write_feedback(project, Feedback(id="f", target="trace", target_id="t"))
    await store.delete_spans(project, {("t", "t-inner")})
    await store.write_spans(project, spans[1:])
    await store.datasets.write(project, Dataset(slug="d", name="", columns=["q"]))
    once = Once("CreateDatasetItem", "r", "requestId", "digest", "d")
    await store.datasets.add_row(project, "d", {"q": 1}, once)
    await store.records.write(project, DATAPOINT, Record("r", 1, {}))
    catalog = store.catalog
    await catalog.create_experiment(
        project, Experiment(id="x", name="", feature_slug="f", created_ns=1)
    )
    prompt = PromptVersion(slug="p", version="1.0.0", name="p")
    await catalog.add_prompt_version(project, prompt, ["production"])
    await catalog.register_evaluator(project, Evaluator(slug="e", kind="k", created_ns=1, body={}))
    await store.create_key(new_key(project, "read")[0])


def test_a_project_is_gone_with_all_that_is_in_it(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    other = f"{project}-other"

    async def go() -> None:
        for name in (project, other):
            await fill(store, name)
        await store.follower.catch_up()
        await store.indexer.catch_up()
        before = rows_with(url, other)
        # What triggers and envelopes leave has no row here; everything else has one.
        absent = {"usage_retired", "usage_moved", "erasures", "envelopes"}
        absent |= {table.name for table in owned.OF_SPANS}
        tables = {table.name for table in metadata.tables.values() if "project" in table.c}
        assert tables - absent <= rows_with(url, project).keys()
        counts = await store.erasure.delete_project(project, settle_seconds=0.0)
        one = set(owned.OF_PROJECT.values()) - {""}
        assert counts == dict.fromkeys(one, 1) | {"spans": 2}
        assert rows_with(url, project) == {}
        assert rows_with(url, other) == before
        assert await left(store, project) == set()
        assert project not in [name for name, *_ in await store.list_projects(limit=1000)]
        assert await left(store, other) == {"t"}
        assert not store.erasure.is_deleting(project)

    run(go())


def test_a_project_that_is_being_deleted_takes_no_writes(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        await fill(store, project)
        deleting = asyncio.create_task(store.erasure.delete_project(project, settle_seconds=1.2))
        await asyncio.sleep(0)
        await store.write_feedback(project)  # the intent was written before
        second = await Store.open(url)  # a process that has not heard of it
        with pytest.raises(SpanloomError) as refused:
            await second.ensure_project(project)
        assert refused.value.reason == Reason.PROJECT_BEING_DELETED
        await second.close()
        # This process knew the project a moment ago: what it still writes is deleted, too.
        await store.write_spans(project, a_trace("late"))
        assert (await deleting)["spans"] == 4
        assert rows_with(url, project) == {}
        await store.ensure_project(project)  # a new one

    run(go())


def break_off(url: str, project: str, user_id: str, run: Run[Any]) -> None:
    """Begin an erasure as a process that died a while ago did."""

    async def begin() -> None:
        store = await Store.open(url)
        await store._connections.write(
            lambda transaction: parts.intend(project, user_id, transaction)
        )
        await store.close()

    run(begin())
    engine = database(url).engine(writer=True, connections=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE erasures SET touched_ns = touched_ns - 61000000000"))
    engine.dispose()


@pytest.mark.parametrize("user_id", [ADA, ""])
def test_what_a_crash_left_in_the_middle_is_finished(
    store: Store, url: str, run: Run[Any], project: str, user_id: str
) -> None:
    run(fill(store, project))
    break_off(url, project, user_id, run)
    stop = asyncio.Event()

    async def go() -> None:
        background = asyncio.create_task(store.erasure.run_until(stop, 0))
        until = time.monotonic() + 30
        while select(url, "SELECT 1 FROM erasures WHERE project = :p", p=project):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        stop.set()
        await background
        assert await left(store, project) == set()
        projects = [name for name, *_ in await store.list_projects(limit=1000)]
        assert (project in projects) == (user_id != "")

    run(go())


def test_an_erasure_that_is_left_alone_is_not_taken_over_at_once(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def go() -> None:
        await store._connections.write(lambda t: parts.intend(project, ADA, t))
        await store.erasure.continue_all()
        query = "SELECT user_id FROM erasures WHERE project = :p"
        assert select(url, query, p=project) == [(ADA,)]
        await store.erasure.delete_user(project, ADA)
        assert select(url, query, p=project) == []

    run(go())
