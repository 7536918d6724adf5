"""Sums over spans: what is read from them is what all spans add up to, at every moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from spanloom.errors import SpanloomError
from spanloom.model import MAX_TIME_NS, AgentQuery, Chart, ChartPoint, EventQuery, Filter, Span
from spanloom.model.span import Party, TraceFacts
from spanloom.model.usage import HOUR_NS, USAGE_FIELDS, UsageQuery
from spanloom.store.sql.usage import chart as usage_chart
from spanloom.store.sql.usage import follower
from spanloom.store.sql.usage.changes import Window
from spanloom.store.sql.usage.follower import Follower
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url, select
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"
DAY_NS = 24 * HOUR_NS
ALWAYS = (0, 40 * DAY_NS)
COSTS = st.none() | st.sampled_from([0.0, 1e-12, 0.00021, 0.1, 0.2, 0.3, 17.25])
TOKENS = st.none() | st.sampled_from([0, 1, 10, 16, 20, 30, 1000])


@st.composite
def spans_of_traces(draw: st.DrawFn) -> list[Span]:
    """Some spans of few traces, whose parents may be missing, later, or in a cycle."""
    found = []
    for span_id in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5)):
        start = draw(st.sampled_from([0, 1, HOUR_NS - 1, HOUR_NS, 30 * HOUR_NS, 31 * HOUR_NS + 5]))
        duration = draw(st.none() | st.sampled_from([0.0, 1.0, 1.5, 250.0, 1e20]))
        user = draw(st.sampled_from(["", "ann", "bob"]))
        found.append(
            replace(
                a_span(
                    span_id,
                    draw(st.sampled_from(["t1", "t2"])),
                    parent_id=draw(st.sampled_from(["", "a", "b", "c", "x"])),
                    name=draw(st.sampled_from(["n1", "n2"])),
                    kind=draw(st.sampled_from(["model", "chain", "tool"])),
                    operation=draw(st.sampled_from(["", "chat", "invoke_agent", "execute_tool"])),
                    status=draw(st.sampled_from(["OK", "ERROR"])),
                    start_ns=start,
                    end_ns=None if duration is None else start + int(min(duration, 1e9)),
                    duration_ms=duration,
                    agent_name=draw(st.sampled_from(["", "", "A", "B"])),
                    provider=draw(st.sampled_from(["openai", "OpenAI", ""])),
                    model=draw(st.sampled_from(["m1", "m2", ""])),
                    input_tokens=draw(TOKENS),
                    output_tokens=draw(TOKENS),
                    cost=draw(COSTS),
                ),
                trace=TraceFacts(
                    user=Party(id=user) if user else None,
                    feature_slug=draw(st.sampled_from([None, "search"])),
                ),
            )
        )
    return found


STEPS = st.lists(
    st.tuples(st.just("write"), spans_of_traces())
    | st.tuples(st.just("replace"), spans_of_traces())
    | st.tuples(st.just("delete"), st.sampled_from(["t1", "t2"]))
    | st.tuples(st.just("event"), st.sampled_from("abc"))
    | st.tuples(st.just("update"), st.sampled_from("abcdef"))
    | st.tuples(st.just("follow"), st.none())
    | st.tuples(st.just("follow"), st.none())
    | st.tuples(st.just("renew"), st.none()),
    max_size=8,
)
QUERIES = [
    UsageQuery(edges=(0, *range(DAY_NS, 41 * DAY_NS, DAY_NS))),
    *(UsageQuery(edges=ALWAYS, group_by=(name,)) for name in USAGE_FIELDS),
    UsageQuery(edges=tuple(range(0, 40 * HOUR_NS, HOUR_NS)), group_by=("kind", "name")),
    UsageQuery(edges=ALWAYS, group_by=("agent_name", "agent_version")),
    UsageQuery(edges=ALWAYS, group_by=("model", "feature"), where={"agent_name": "A"}),
    UsageQuery(edges=ALWAYS, group_by=("user_id", "model"), where={"provider": "OPENAI"}),
    UsageQuery(edges=(HOUR_NS, 30 * HOUR_NS, 60 * HOUR_NS), group_by=("name",), most_groups=1),
    UsageQuery(edges=ALWAYS, group_by=("user_id",), most_groups=1),
    UsageQuery(edges=ALWAYS, group_by=("model",), where={"agent_name": "A"}, most_groups=1),
]


async def do(store: Store, step: str, of: Any) -> None:
    if step == "write":
        await store.write_spans(PROJECT, of)
    elif step == "replace":
        spans = [replace(span, trace_id="t1", session_id="t1") for span in of]
        await store.write_trace(PROJECT, spans, replace=True)
    elif step == "delete":
        await store.delete_trace(PROJECT, of)
    elif step == "event":
        await store.delete_event(PROJECT, of)
    elif step == "update":
        await store.patch_event(PROJECT, of, {"name": "n3", "metadata": {"cost": 2.5}})
    elif step == "follow":
        await store.follower.step()
    else:
        await store.follower.renew()


async def from_all_spans(store: Store) -> list[Any]:
    """All answers of a store that has summed nothing up: it goes through all spans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spanloom.store.sql.usage.totals.READER", -1)
        return await from_sums(store)


async def from_sums(store: Store) -> list[Any]:
    usage = [await store.usage(PROJECT, query) for query in QUERIES]
    order = [("cost", True), ("spans", False)]
    queries = [AgentQuery(by_version=by_version, order=order) for by_version in (False, True)]
    return [*usage, *[await store.find_agents(PROJECT, query) for query in queries]]


@pytest.fixture(params=DATABASES)
def own(
    request: pytest.FixtureRequest, tmp_path: Path, run: Run[Any]
) -> Iterator[tuple[Store, str]]:
    """A store of a database that no other test uses, and its URL."""
    url = new_url(request.param, tmp_path)
    store = run(Store.open(url))
    yield store, url
    run(store.close())


# With the second a trace of three spans is a large one.
@pytest.mark.parametrize("most_spans", [10_000, 2])
def test_the_sums_are_those_of_all_spans_at_every_moment(
    own: tuple[Store, str], run: Run[Any], monkeypatch: pytest.MonkeyPatch, most_spans: int
) -> None:
    store, url = own
    for module in ("parts", "changes"):
        monkeypatch.setattr(f"spanloom.store.sql.usage.{module}.MOST_SPANS", most_spans)

    async def play(steps: list[tuple[str, Any]]) -> None:
        for step, of in (*steps, ("follow", None), ("follow", None)):
            await do(store, step, of)
            assert await from_sums(store) == await from_all_spans(store)
        for trace_id in ("t1", "t2"):
            await store.delete_trace(PROJECT, trace_id)
        await store.follower.catch_up()
        assert await store.usage(PROJECT, QUERIES[0]) == []

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def holds(steps: list[tuple[str, Any]]) -> None:
        run(play(steps))
        assert select(url, "SELECT count(*) FROM usage_cells") == [(0,)]

    holds()


BETWEEN: dict[str, tuple[str, Any]] = {
    "a new span": ("write", [a_span("n", "t1", parent_id="a", input_tokens=5)]),
    "a span that is not summed up again": ("write", [a_span("b", "t1", input_tokens=9)]),
    "a span that is summed up again": ("write", [a_span("a", "t1", input_tokens=9)]),
    "another user": (
        "write",
        [replace(a_span("a", "t1"), trace=TraceFacts(user=Party(id="bob")))],
    ),
    "an update": ("update", "a"),
    "a deletion": ("delete", "t1"),
    "another follower": ("follow", None),
    "all anew": ("renew", None),
    "nothing": ("write", [a_span("z", "t9")]),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_what_is_written_while_a_batch_is_worked_out_is_not_lost(
    own: tuple[Store, str], run: Run[Any], between: str
) -> None:
    store, url = own

    async def play() -> None:
        await store.write_spans(PROJECT, [a_span("a", "t1", input_tokens=30)])
        await store.follower.catch_up()
        await store.write_spans(PROJECT, [a_span("b", "t1", parent_id="a", input_tokens=30)])
        # So that the batch is worked out before the lock is held.
        slow = Follower(store._connections)
        slow._limit = store.follower._limit + 10**9
        batch = await slow._read(slow._prepare)
        assert batch is not None
        batch = replace(batch, window=Window(batch.window.reached, await newest() + 1))
        other = await Store.open(url)
        await do(other, *BETWEEN[between])
        await other.close()
        await slow._write(lambda transaction: slow._apply(batch, transaction), rows=0)
        assert await from_sums(store) == await from_all_spans(store)
        await store.follower.catch_up()
        assert await from_sums(store) == await from_all_spans(store)

    async def newest() -> int:
        [(version,)] = select(url, "SELECT max(version) FROM spans")
        return int(version)

    run(play())


@pytest.mark.parametrize("statement", ["INSERT", "DELETE FROM usage_moved", "UPDATE usage_cursor"])
def test_a_batch_that_fails_leaves_nothing(
    own: tuple[Store, str], run: Run[Any], statement: str
) -> None:
    store, url = own
    cells = "SELECT * FROM usage_cells ORDER BY id"

    def fail(_: Any, __: Any, sql: str, *___: Any) -> None:
        if sql.startswith(statement) and "sequences" not in sql:
            raise OSError("the power is gone")

    async def play() -> None:
        await store.write_spans(PROJECT, [a_span("a", "t1", input_tokens=30)])
        await store.follower.catch_up()
        await store.write_spans(PROJECT, [a_span("a", "t1", cost=0.5)])
        await store.write_spans(PROJECT, [a_span("b", "t1", parent_id="a", cost=0.5)])
        before = select(url, cells)
        engine = store._connections._write_engine
        event.listen(engine, "before_cursor_execute", fail)
        upsert = store._connections.database.upsert
        if statement == "INSERT":
            store._connections.database.upsert = fail_at_once  # type: ignore[method-assign]
        with pytest.raises((OSError, SpanloomError)):
            await store.follower.step()
        store._connections.database.upsert = upsert  # type: ignore[method-assign]
        event.remove(engine, "before_cursor_execute", fail)
        assert select(url, cells) == before
        assert await from_sums(store) == await from_all_spans(store)
        await store.follower.catch_up()
        assert select(url, cells) != before
        assert await from_sums(store) == await from_all_spans(store)

    def fail_at_once(*_: Any, **__: Any) -> None:
        raise OSError("the power is gone")

    run(play())


def test_spans_are_summed_up_a_batch_at_a_time(
    own: tuple[Store, str], run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = own
    monkeypatch.setattr(follower, "BATCH", 3)

    async def play() -> list[int]:
        await store.follower.catch_up()
        spans = [a_span(f"{n}", f"t{n % 2}", input_tokens=n) for n in range(7)]
        await store.write_spans(PROJECT, spans)
        found = []
        while number := await store.follower.step():
            found.append(number)
            assert await from_sums(store) == await from_all_spans(store)
        return found

    assert run(play()) == [3, 3, 1]


CHARTS = [
    (metric, aggregation, group_by)
    for metric in ("duration", "metadata.cost")
    for aggregation in ("count", "sum", "average", "min", "max", "p50", "p99")
    for group_by in ("", "event_name", "event_type")
]
RANGES: list[dict[str, Any]] = [
    {},
    {"since_ns": HOUR_NS - 1, "until_ns": 31 * HOUR_NS},
    {"since_ns": 1, "filters": [Filter(field="event_type", operator="is", value="model")]},
    {
        "until_ns": 30 * HOUR_NS + 7,
        "filters": [Filter(field="event_name", operator="is", value="n1")],
    },
]


def test_a_chart_of_many_events_is_that_of_their_columns(
    own: tuple[Store, str], run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = own

    def place(point: ChartPoint) -> tuple[int, str, int]:
        return point.start_ns, point.group, point.count

    async def play(first: list[Span], second: list[Span]) -> None:
        await store.write_spans(PROJECT, first)
        await store.follower.catch_up()
        await store.write_spans(PROJECT, second)
        for query in (EventQuery(**of) for of in RANGES):
            for metric, aggregation, group_by in CHARTS:
                for width in (HOUR_NS, DAY_NS, 5 * HOUR_NS):
                    chart = Chart(
                        metric=metric,
                        aggregation=aggregation,
                        group_by=group_by,
                        width_ns=width,
                        offset_ns=2 * HOUR_NS if width == 5 * HOUR_NS else 0,
                    )
                    monkeypatch.setattr(usage_chart, "FEW", 0)
                    found = await store.chart(PROJECT, query, chart)
                    monkeypatch.setattr(usage_chart, "FEW", math.inf)
                    wanted = await store.chart(PROJECT, query, chart)
                    assert list(map(place, found)) == list(map(place, wanted))
                    within = 0.0101 if aggregation.startswith("p") else 1e-9
                    assert [p.value for p in found] == [
                        None if p.value is None else pytest.approx(p.value, rel=within, abs=1e-6)
                        for p in wanted
                    ]
        for trace_id in ("t1", "t2"):
            await store.delete_trace(PROJECT, trace_id)

    # Durations past 1e15 ms are summed up as that.
    some = spans_of_traces().map(
        lambda spans: [
            span if (span.duration_ms or 0) < 1e15 else replace(span, duration_ms=3.0)
            for span in spans
        ]
    )

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(some, some)
    def holds(first: list[Span], second: list[Span]) -> None:
        run(play(first, second))

    holds()


def test_a_sum_of_another_version_of_the_code_is_made_anew(
    own: tuple[Store, str], run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, url = own

    async def play() -> None:
        await store.write_spans(PROJECT, [a_span("a", "t1", input_tokens=30)])
        await store.follower.catch_up()
        assert select(url, "SELECT count(*) FROM usage_cells WHERE spans = 1") != [(0,)]
        for module in ("totals", "follower"):
            monkeypatch.setattr(f"spanloom.store.sql.usage.{module}.READER", 2)
        assert (await store.usage(PROJECT, QUERIES[0]))[0].spans == 1
        await store.follower.catch_up()
        assert select(url, "SELECT reader FROM usage_cursor") == [(2,)]
        assert (await store.usage(PROJECT, QUERIES[0]))[0].spans == 1

    run(play())


def test_spans_at_the_ends_of_time_are_summed_up(store: Store, run: Run[Any]) -> None:
    project = "ends of time"
    ends = [(-MAX_TIME_NS, None), (-MAX_TIME_NS, MAX_TIME_NS), (MAX_TIME_NS, MAX_TIME_NS)]
    for number, (start_ns, end_ns) in enumerate(ends):
        one: dict[str, Any] = {
            "agent_name": "A",
            "start_ns": start_ns,
            "end_ns": end_ns,
            "input_tokens": MAX_TIME_NS,
            "cost": -1e300,
        }
        run(store.write_spans(project, [a_span("s", f"t{number}", **one)]))
        run(store.follower.catch_up())
        [agent] = run(store.find_agents(project, AgentQuery(order=[]))).items
        assert agent.spans == number + 1
    run(store.delete_trace(project, "t0"))
    run(store.follower.catch_up())
    [agent] = run(store.find_agents(project, AgentQuery(order=[]))).items
    assert (agent.spans, agent.first_ns, agent.last_ns) == (2, -MAX_TIME_NS, MAX_TIME_NS)
