"""Spans of one trace that come in several exports, in any order and again: one result an evaluator
and target in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from spanloom.adapters.restore import restore
from spanloom.evaluation import runner
from spanloom.evaluation.kinds import Kind
from spanloom.evaluation.subject import Result, Subject
from spanloom.model import EVALUATION, Evaluator
from spanloom.model.evaluations import requested_evaluations
from spanloom.model.sampling import is_sampled
from spanloom.services.context import CallContext
from spanloom.services.otlp import OtlpTraceService
from spanloom.store.sql import rows
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url
from tests.evaluators.queue import evaluate_all
from tests.ingest.otlp.requests import pairs

P = "p"
CALL = CallContext(request_id="r", key_project=P, role="ingest", received_ns=1)
TRACE = bytes(range(16))
IDS = {name: bytes([n] * 8) for n, name in enumerate(("root", "early", "late", "tool"), 1)}
YES: dict[str, Any] = {"basalt.span.should_evaluate": True}

Spans = dict[str, dict[str, Any]]
ROOT = {"basalt.span.kind": "basalt_trace", "basalt.span.evaluators": ["short"], **YES}
SPANS: Spans = {
    "root": {**ROOT, "basalt.span.output": "yes"},
    "early": {"basalt.span.kind": "generation", "basalt.span.output": "a"},
    "late": {"basalt.span.kind": "generation", "basalt.span.output": "too long"},
    "tool": {"basalt.span.kind": "tool", "basalt.span.evaluators": ["json"]},
}
EXPECTED = {("trace", "short"): 1, ("early", "short"): 1, ("late", "short"): 0, ("tool", "json"): 0}


def request(spans: Spans, trace_id: bytes = TRACE) -> Any:
    made = trace_service_pb2.ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for name, facts in spans.items():
        span = scope.spans.add(trace_id=trace_id, span_id=IDS[name], name=name)
        span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
        if name != "root":
            span.parent_span_id = IDS["root"]
        span.attributes.extend(pairs(facts))
    return made


class Server:
    """A store, its OTLP adapter and its evaluation."""

    def __init__(self, url: str, store: Store) -> None:
        self.url, self.store = url, store
        self.service = OtlpTraceService(store)

    async def export(self, *names: str, **changed: dict[str, Any]) -> None:
        spans = {name: {**SPANS[name], **changed.get(name, {})} for name in names}
        await self.service.export(request(spans), CALL)

    async def register(self, slug: str, kind: str, **settings: Any) -> None:
        await self.store.catalog.register_evaluator(
            P, Evaluator(slug=slug, kind=kind, body=settings)
        )

    async def evaluate(self) -> None:
        await evaluate_all(self.url, self.store)

    async def results(self) -> dict[tuple[str, str], Any]:
        """Scores by (span's name or "trace", evaluator); two of one pair fail."""
        found = (await self.store.find_feedback(P, type=EVALUATION, limit=1000)).items
        names = {span_id.hex(): name for name, span_id in IDS.items()} | {TRACE.hex(): "trace"}
        pairs = [(names[f.target_id], f.creator) for f in found]
        assert len(set(pairs)) == len(pairs)
        return dict(zip(pairs, [f.body["payload"]["score"] for f in found], strict=True))


@pytest.fixture(params=DATABASES)
def on_server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Server], Coroutine[Any, Any, None]]], None]:
    monkeypatch.setattr(rows, "SCAN_AFTER_NS", 0)

    def run(work: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            url = new_url(request.param, tmp_path)
            store = await Store.open(url, restore=restore)
            try:
                server = Server(url, store)
                await server.register("short", "length", max=3)
                await server.register("json", "json_valid")
                await work(server)
            finally:
                await store.close()

        asyncio.run(main())

    return run


@pytest.mark.parametrize(
    "order",
    [
        ("root", "early late", "tool"),
        ("early tool", "late", "root"),
        ("tool", "root early", "late"),
    ],
)
def test_spans_may_come_in_any_order(on_server: Any, order: Sequence[str]) -> None:
    async def work(server: Server) -> None:
        for batch in order:
            await server.export(*batch.split())
            await server.evaluate()
        assert await server.results() == EXPECTED

    on_server(work)


def test_what_comes_again_is_not_run_again(on_server: Any) -> None:
    async def work(server: Server) -> None:
        for _ in range(2):
            await server.export("root", "early")
            await server.evaluate()
        first = {f.id: f.created_ns for f in (await server.store.find_feedback(P, limit=9)).items}
        await server.export("late")
        await server.evaluate()
        await server.export("late", "tool")
        await server.evaluate()
        assert await server.results() == EXPECTED
        again = {f.id: f.created_ns for f in (await server.store.find_feedback(P, limit=9)).items}
        assert first.items() <= again.items()

    on_server(work)


def test_another_version_of_an_evaluator_replaces_its_result(on_server: Any) -> None:
    async def work(server: Server) -> None:
        await server.export(*SPANS)
        await server.evaluate()
        await server.register("short", "length", max=100)
        await server.evaluate()
        assert await server.results() == EXPECTED  # what was found stays
        await server.export(*SPANS)
        await server.evaluate()
        assert await server.results() == {**EXPECTED, ("late", "short"): 1}

    on_server(work)


def test_a_span_that_is_completed_is_judged_as_it_is_in_the_end(on_server: Any) -> None:
    async def work(server: Server) -> None:
        await server.export("root", "late", late={"basalt.span.output": "a"})
        await server.evaluate()
        assert (await server.results())["late", "short"] == 1
        await server.export("late")
        await server.evaluate()
        assert (await server.results())["late", "short"] == 0

    on_server(work)


def test_what_was_retrieved_late_is_judged_by(on_server: Any) -> None:
    async def work(server: Server) -> None:
        judged: list[Subject] = []
        await server.export("root")
        await server.evaluate()
        retrieval = {"basalt.span.kind": "retrieval", "basalt.span.output": "found"}
        with pytest.MonkeyPatch.context() as patch:
            kind = Kind(lambda subject, _: judged.append(subject) or Result(1.0))  # type: ignore[func-returns-value]
            patch.setattr(runner, "kinds", lambda: {"length": kind, "json_valid": kind})
            await server.export("tool", tool={**retrieval, "basalt.span.evaluators": []})
            await server.evaluate()
        assert [subject.context for subject in judged] == [["found"]]
        assert await server.results() == {("trace", "short"): 1}

    on_server(work)


def test_what_comes_while_it_is_judged_is_judged_anew(on_server: Any) -> None:
    async def work(server: Server) -> None:
        await server.export("root", "late", late={"basalt.span.output": "a"})
        queue = server.store.evaluations
        (scan,) = await queue.take("scanner", lease_ns=10**12, limit=10)
        asked = requested_evaluations(await server.store.trace_spans(P, TRACE.hex()))
        await queue.finish("scanner", results={}, later={}, more={scan: asked})
        jobs = await queue.take("slow", lease_ns=10**12, limit=10)
        assert len(jobs) == 2
        await server.export("late")
        await server.evaluate()
        found = await server.results()
        await queue.finish("slow", results={}, later=dict.fromkeys(jobs, 0))
        await server.evaluate()
        assert await server.results() == found == {("trace", "short"): 1, ("late", "short"): 0}

    on_server(work)


def test_an_evaluator_registered_late_gets_every_span(on_server: Any) -> None:
    async def work(server: Server) -> None:
        names = {"root": {"basalt.span.evaluators": ["other"]}}
        await server.export("root", "early", **names)
        await server.evaluate()
        await server.export("late")
        await server.evaluate()
        assert await server.results() == {}
        await server.register("other", "length", max=3)
        await server.evaluate()
        assert await server.results() == {
            ("trace", "other"): 1,
            ("early", "other"): 1,
            ("late", "other"): 0,
        }

    on_server(work)


@pytest.mark.parametrize(
    ("facts", "chosen"),
    [
        ({"basalt.span.should_evaluate": False}, False),
        ({"basalt.span.should_evaluate": False, "basalt.experiment.id": "e"}, True),
        ({"basalt.span.evaluation.sample_rate": 0}, False),
        ({"basalt.span.evaluation.sample_rate": 1}, True),
        ({"basalt.span.evaluation.sample_rate": 0, "basalt.experiment.id": "e"}, True),
        ({}, is_sampled(TRACE.hex(), 0.1)),
    ],
)
def test_the_root_decides_for_spans_that_come_alone(
    on_server: Any, facts: dict[str, Any], chosen: bool
) -> None:
    async def work(server: Server) -> None:
        no_flag = {key: value for key, value in ROOT.items() if key not in YES}
        await server.service.export(request({"root": {**no_flag, **facts}}), CALL)
        await server.evaluate()
        await server.export("early", "tool")
        await server.evaluate()
        found = set(await server.results())
        expected = {("trace", "short"), ("early", "short"), ("tool", "json")}
        assert found == (expected if chosen else set())

    on_server(work)


def test_a_basalt_trace_inside_another_is_judged_with_its_generations(on_server: Any) -> None:
    async def work(server: Server) -> None:
        inner = {**SPANS["root"], "basalt.span.kind": "basalt_trace"}
        made = request({"root": {}, "early": inner, "late": SPANS["late"], "tool": {}})
        spans = made.resource_spans[0].scope_spans[0].spans
        spans[2].parent_span_id = IDS["tool"]
        spans[3].parent_span_id = IDS["early"]
        await server.service.export(made, CALL)
        await server.evaluate()
        assert set(await server.results()) == {("early", "short"), ("late", "short")}

    on_server(work)


def test_a_slug_that_nothing_can_have_is_passed_over(on_server: Any) -> None:
    async def work(server: Server) -> None:
        slugs = {"basalt.span.evaluators": ["", "x" * 257, "nul\0", "short"]}
        await server.export("root", root=slugs)
        await server.evaluate()
        assert await server.results() == {("trace", "short"): 1}

    on_server(work)
