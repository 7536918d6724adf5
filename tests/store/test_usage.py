"""Sums over spans: what is read from them is what all spans add up to, at every moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanloom.model import AgentQuery, Span
from spanloom.model.span import Party, TraceFacts
from spanloom.model.usage import HOUR_NS, USAGE_FIELDS, UsagePoint, UsageQuery
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


@pytest.mark.parametrize("kind", DATABASES)
def test_the_sums_are_those_of_all_spans_at_every_moment(
    kind: str, tmp_path_factory: pytest.TempPathFactory, run: Run[Any]
) -> None:
    url = new_url(kind, tmp_path_factory.mktemp("usage"))
    store: Store = run(Store.open(url))

    async def check() -> None:
        # A store that never summed anything up goes through all spans.
        for query in QUERIES:
            assert await store.usage(PROJECT, query) == await from_all(query)
        for by_version in (False, True):
            asked = AgentQuery(by_version=by_version, order=[("cost", True), ("spans", False)])
            assert await store.find_agents(PROJECT, asked) == await agents_of_all(asked)

    async def from_all(query: UsageQuery) -> list[UsagePoint]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spanloom.store.sql.usage.totals.READER", -1)
            return await store.usage(PROJECT, query)

    async def agents_of_all(query: AgentQuery) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spanloom.store.sql.usage.totals.READER", -1)
            return await store.find_agents(PROJECT, query)

    async def play(steps: list[tuple[str, Any]]) -> None:
        for trace_id in ("t1", "t2"):
            await store.delete_trace(PROJECT, trace_id)
        for step, of in steps:
            await do(store, step, of)
            await check()
        await store.follower.catch_up()
        await check()
        for trace_id in ("t1", "t2"):
            await store.delete_trace(PROJECT, trace_id)
        await store.follower.catch_up()
        assert await store.usage(PROJECT, QUERIES[0]) == []

    @settings(
        max_examples=40 if kind == "sqlite" else 15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def holds(steps: list[tuple[str, Any]]) -> None:
        run(play(steps))
        assert select(url, "SELECT count(*) FROM usage_cells") == [(0,)]

    try:
        holds()
    finally:
        run(store.close())
