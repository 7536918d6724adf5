"""The evaluation loop: sampling, several workers, a worker that dies, evaluators that fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any, cast

import httpx
import pytest

from spanloom.adapters.restore import restore
from spanloom.evaluation import kinds, runner
from spanloom.evaluation.kinds import Kind
from spanloom.evaluation.sandbox import RunKilledError
from spanloom.evaluation.subject import Result
from spanloom.model import (
    EVALUATION,
    Evaluation,
    Evaluator,
    Feedback,
    Io,
    Span,
    TraceFacts,
    trace_scan,
)
from spanloom.model.evaluations import requested_evaluations
from spanloom.model.sampling import is_sampled, sampling_decision
from spanloom.store.sql import rows
from spanloom.store.store import Store
from tests.clients import until
from tests.databases import DATABASES, new_url
from tests.evaluators.endpoint import JudgeEndpoint
from tests.evaluators.queue import evaluate_all, waiting
from tests.server.test_kill import Process

RATE, TRACES = 0.25, 10_000
P = "default"


def a_trace(trace_id: str) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=trace_id,
        event_id=trace_id,
        session_id=trace_id,
        kind="session",
        io=Io(outputs="x"),
    )


async def write(store: Store, count: int, evaluator: str = "e") -> None:
    await store.ensure_project(P)
    for n in range(count):
        job = Evaluation(trace_id=f"t{n}", span_id="", evaluator=evaluator)
        await store.write_trace(P, [a_trace(f"t{n}")], evaluations=[job])


async def results(store: Store) -> list[Feedback]:
    return list((await store.find_feedback(P, type=EVALUATION, limit=10_000)).items)


@pytest.fixture
def judge_endpoint() -> Iterator[JudgeEndpoint]:
    """One that answers when it is let."""
    with JudgeEndpoint() as endpoint:
        endpoint.answers.clear()
        yield endpoint


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_url(request.param, tmp_path)


def on_store(url: str, work: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        store = await Store.open(url, restore=restore)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_quarter_is_a_quarter_and_stays_the_same() -> None:
    ids = [f"trace-{n}" for n in range(TRACES)]
    chosen = [is_sampled(trace_id, RATE) for trace_id in ids]
    assert chosen == [is_sampled(trace_id, RATE) for trace_id in ids]
    deviation = (TRACES * RATE * (1 - RATE)) ** 0.5
    assert abs(sum(chosen) - TRACES * RATE) <= 3 * deviation
    assert all(is_sampled(trace_id, 1) for trace_id in ids)
    assert not any(is_sampled(trace_id, 0) for trace_id in ids)


def test_a_quarter_of_what_comes_by_opentelemetry_is_a_quarter() -> None:
    ids = [Random(n).randbytes(16).hex() for n in range(TRACES)]
    facts = TraceFacts(sample_rate=RATE)
    chosen = [sampling_decision(trace_id, facts, is_root=False) for trace_id in ids]
    assert chosen == [is_sampled(trace_id, RATE) for trace_id in ids]
    deviation = (TRACES * RATE * (1 - RATE)) ** 0.5
    assert abs(sum(map(bool, chosen)) - TRACES * RATE) <= 3 * deviation
    assert sampling_decision(ids[0], TraceFacts(sample_rate=0, experiment_id="e"), is_root=True)
    assert sampling_decision(ids[0], TraceFacts(), is_root=True) is None


def test_two_workers_share_the_work_and_one_that_died_is_replaced(url: str) -> None:
    async def work(store: Store) -> None:
        await write(store, 50)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="length"))
        # A worker takes some and dies.
        taken = await store.evaluations.take("dead", lease_ns=500_000_000, limit=10)
        assert len(taken) == 10
        other = await Store.open(url, restore=restore)
        stop = asyncio.Event()
        workers = [asyncio.create_task(runner.evaluate_until(stop, s)) for s in (store, other)]
        async with asyncio.timeout(20):
            while await asyncio.to_thread(waiting, url):  # noqa: ASYNC110 - the loop tells nobody
                await asyncio.sleep(0.05)
        found = await results(store)
        assert sorted(f.target_id for f in found) == sorted(f"t{n}" for n in range(50))
        # The dead one comes back to life and ends what is no longer its own.
        late = Feedback(id="late", type=EVALUATION)
        await store.evaluations.finish("dead", results=dict.fromkeys(taken, late), later={})
        assert len(await results(store)) == 50
        stop.set()
        await asyncio.gather(*workers)
        await other.close()

    on_store(url, work)


@pytest.mark.parametrize("by", ["delete_trace", "delete_event", "delete_session"])
def test_a_deleted_trace_gets_no_result(url: str, by: str) -> None:
    async def work(store: Store) -> None:
        await write(store, 1)
        (job,) = await store.evaluations.take("me", lease_ns=10**10, limit=10)
        assert await getattr(store, by)(P, "t0")
        assert not waiting(url)
        late = Feedback(id="late", type=EVALUATION)
        await store.evaluations.finish("me", results={job: late}, later={})
        assert not await results(store)

    on_store(url, work)


def test_an_evaluator_that_fails_is_tried_again_then_told(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(*_: Any) -> Result:
        calls.append(1)
        raise RuntimeError("secret")

    monkeypatch.setattr(runner, "kinds", lambda: {"fails": Kind(fail)})
    monkeypatch.setattr(runner, "_SECOND_NS", 1_000_000)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 1)

    async def work(store: Store) -> None:
        await write(store, 1)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="fails"))
        await evaluate_all(url, store, 10_000)
        (found,) = await results(store)
        assert found.body["payload"]["label"] == "error"
        assert "secret" not in str(found.body)
        assert len(calls) == runner.MOST_FAILURES

    on_store(url, work)


def test_runs_that_killed_servers_left_behind_are_no_failures(url: str) -> None:
    async def work(store: Store) -> None:
        await write(store, 1)
        for owner in ("killed", "killed too", "mine"):  # and the lease of each expires
            (job,) = await store.evaluations.take(owner, lease_ns=0, limit=1)
            assert job.failures == 0
        failed = replace(job, failures=1)
        await store.evaluations.finish("mine", results={}, later={failed: 0})
        assert await store.evaluations.take("next", lease_ns=0, limit=1) == [failed]

    on_store(url, work)


def test_an_evaluator_that_ends_its_process_is_set_aside_the_second_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    async def killed(*_: Any) -> Result:
        runs.append(1)
        raise RunKilledError

    monkeypatch.setattr(runner, "_SECOND_NS", 1_000_000)

    async def work(store: Store) -> None:
        await write(store, 1)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="length"))
        # A server that was killed had it before.
        assert await store.evaluations.take("killed", lease_ns=0, limit=1)
        await evaluate_all(url, store, evaluate=killed)
        (found,) = await results(store)
        assert "set aside" in found.body["payload"]["explanation"]
        assert len(runs) == 2

    on_store(url, work)


def test_a_slow_evaluator_keeps_no_other_waiting(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def slow(*_: Any) -> Result:
        await go_on.wait()
        return Result(1.0)

    async def work(store: Store) -> None:
        kinds = {"slow": Kind(slow), "quick": Kind(lambda *_: Result(0.0))}
        for kind in kinds:
            await store.catalog.register_evaluator(P, Evaluator(slug=kind, kind=kind))
        stop = asyncio.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "kinds", lambda: kinds)
            await write(store, 20, "slow")
            task = asyncio.create_task(runner.evaluate_until(stop, store))
            await asyncio.sleep(0)
            await write(store, 20, "quick")
            async with asyncio.timeout(20):
                while len(await results(store)) < 20:  # noqa: ASYNC110 - the loop tells nobody
                    await asyncio.sleep(0.01)
            assert {f.creator for f in await results(store)} == {"quick"}
            go_on.set()
            stop.set()
            await task
        # Stopped, it has ended what it had begun.
        assert len(await results(store)) == 40

    on_store(new_url("sqlite", tmp_path), work)


@pytest.mark.parametrize(
    ("found", "stored"),
    [
        (
            Result(cast(float, Fraction(1, 2)), "\ud800", "why"),
            {"score": 0.5, "label": "?", "explanation": "why"},
        ),
        (Result(float("nan")), {"label": "error"}),
        (Result(1.0, cast(str, 5)), {"label": "error"}),
        ("no result", {"label": "error"}),
    ],
)
def test_whatever_an_evaluator_gives_its_trace_gets_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Any, stored: dict[str, Any]
) -> None:
    monkeypatch.setattr(runner, "kinds", lambda: {"odd": Kind(lambda *_: found)})
    monkeypatch.setattr(runner, "MOST_FAILURES", 1)

    url = new_url("sqlite", tmp_path)

    async def work(store: Store) -> None:
        await write(store, 1)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="odd"))
        await evaluate_all(url, store)
        (result,) = await results(store)
        assert stored.items() <= result.body["payload"].items()

    on_store(url, work)


def test_a_plug_in_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the entry points of a package that is installed."""
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    points = (
        "mine = plug:mine",
        "regex = plug:mine",
        "broken = plug:nothing",
        "wrong = plug:print",
    )
    (info / "entry_points.txt").write_text("\n".join(["[spanloom.evaluators]", *points]))
    (tmp_path / "plug.py").write_text(
        "from spanloom.evaluation.kinds import Kind\n"
        "from spanloom.evaluation.subject import Result\n"
        "mine = Kind(lambda subject, settings: Result(0.25, 'mine', subject.output))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kinds.kinds.cache_clear()

    url = new_url("sqlite", tmp_path)

    async def work(store: Store) -> None:
        await write(store, 1)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="mine"))
        await evaluate_all(url, store)
        (result,) = await results(store)
        payload = result.body["payload"]
        assert (payload["score"], payload["label"], payload["explanation"]) == (0.25, "mine", "x")

    try:
        assert set(kinds.kinds()) == {*kinds.BUILT_IN, "mine"}
        on_store(url, work)
    finally:
        kinds.kinds.cache_clear()


@pytest.mark.parametrize("database", DATABASES)
def test_kill_9_leaves_each_trace_with_one_result(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge_endpoint: JudgeEndpoint
) -> None:
    monkeypatch.setenv("SPANLOOM_EVALUATION_LEASE", "3")
    monkeypatch.setenv("SPANLOOM_JUDGE_BASE_URL", judge_endpoint.url)
    monkeypatch.setenv("SPANLOOM_JUDGE_MODEL", "small")
    url = new_url(database, tmp_path)
    servers = []
    for name in ("first", "second"):
        monkeypatch.setenv("SPANLOOM_JUDGE_API_KEY", name)
        servers.append(Process(url))
    first, second = servers
    http = httpx.Client(headers={"authorization": f"Bearer {first.key}"}, trust_env=False)

    def post(server: Process, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = http.post(f"http://{server.http}{path}", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def targets() -> list[str]:
        query = {"project_id": P, "feedback_type": EVALUATION, "limit": 1000}
        found = post(second, "/feedback/query", query)["result"]
        return sorted(f["weave_ref"].rpartition("/")[2] for f in found)

    trace = {"evaluators": [{"slug": "a"}], "evaluationConfig": {"sampleRate": 1}, "output": "x"}
    post(second, "/v1/evaluators", {"slug": "a", "kind": "relevance"})
    ids = [post(first, "/monitor/trace", trace)["trace"]["id"] for _ in range(30)]
    # Both run some, and none is answered: what the first has taken dies with it.
    until(lambda: judge_endpoint.asked_by >= {"Bearer first", "Bearer second"}, 20)
    first.kill()
    judge_endpoint.answers.set()
    try:
        until(lambda: targets() == sorted(ids), 20)
        time.sleep(0.3)
        assert targets() == sorted(ids)
    finally:
        http.close()
        assert second.stop() == 0


def test_what_cannot_be_looked_at_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(spans: Sequence[Span]) -> list[Evaluation]:
        if spans[0].trace_id == "t0":
            raise RuntimeError
        return requested_evaluations(spans)

    monkeypatch.setattr(runner, "requested_evaluations", fails_for_one)
    monkeypatch.setattr(rows, "SCAN_AFTER_NS", 0)

    url = new_url("sqlite", tmp_path)

    async def work(store: Store) -> None:
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="length"))
        facts = TraceFacts(sampled=True, evaluators=("e",))
        spans = [replace(a_trace(f"t{n}"), trace=facts) for n in range(3)]
        await store.write_spans(P, spans, evaluations=[trace_scan(span.trace_id) for span in spans])
        stop = asyncio.Event()
        task = asyncio.create_task(runner.evaluate_until(stop, store))
        async with asyncio.timeout(20):
            while len(await results(store)) < 2:  # noqa: ASYNC110 - the loop tells nobody
                await asyncio.sleep(0.01)
        stop.set()
        await task
        assert {f.target_id for f in await results(store)} == {"t1", "t2"}
        assert waiting(url) == 1

    on_store(url, work)


def test_a_stop_ends_what_is_begun_and_gives_back_the_rest(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> Result:
        begun.set()
        go_on.wait(20)
        return Result(1.0)

    async def work(store: Store) -> None:
        await write(store, 1)
        await store.catalog.register_evaluator(P, Evaluator(slug="e", kind="slow"))
        stop = asyncio.Event()
        task = asyncio.create_task(runner.evaluate_until(stop, store))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        await asyncio.wait([task])
        # Another may have it at once, whatever the lease.
        task = asyncio.create_task(runner.evaluate_until(stop, store))
        begun.clear()
        await asyncio.to_thread(begun.wait, 20)
        stop.set()
        go_on.set()
        await asyncio.wait_for(task, 20)
        assert [f.body["payload"]["score"] for f in await results(store)] == [1.0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "kinds", lambda: {"slow": Kind(slow)})
        on_store(new_url("sqlite", tmp_path), work)
