"""Columns derived anew: an adapter that improves also improves what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.adapters.honeyhive.read import read_batch
from spanloom.adapters.otlp.read import briefs_from
from spanloom.adapters.restore import reread, restore
from spanloom.model import Span
from spanloom.store.sql import rederive, rows
from spanloom.store.sql.rederive import Range
from spanloom.store.store import Store
from spanloom.v1 import event_service_pb2
from tests.databases import select
from tests.store.samples import a_span

Run = Callable[[Any], Any]
PROJECT = "p"
EVERYTHING = Range(also_current=True)


def otlp() -> list[Span]:
    message = ExportTraceServiceRequest()
    scoped = message.resource_spans.add().scope_spans.add()
    for number, start in ((1, 1_000), (2, 2_000), (3, 3_000)):
        span = scoped.spans.add(
            trace_id=bytes(15) + b"1",
            span_id=number.to_bytes(8),
            name="chat",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 1,
        )
        for key, value in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.request.model", "gpt-4o"),
            ("my.agent", "Ada"),
        ):
            span.attributes.add(key=key).value.string_value = value
    return [
        s for part in briefs_from(message.resource_spans, received_ns=9, most=9) for s in part.spans
    ]


def honeyhive() -> list[Span]:
    request = event_service_pb2.CreateEventBatchRequest()
    event = request.events.add(event_id="e", session_id="s", event_type="model", event_name="n")
    event.config.update({"model": "gpt-4o"})
    event.metadata.update({"prompt_tokens": 3})
    return read_batch(request, received_ns=7, brief=True).spans


def by_an_older_version(span: Span) -> Span:
    """As a version wrote it that did not know the model."""
    return replace(span, model="")


def better(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    """As `reread` of a later version, which knows one more attribute of agents."""
    span = reread(adapter, message, envelope, columns)
    attributes = span.sent.fields.get("attributes")
    if isinstance(attributes, dict) and isinstance(agent := attributes.get("my.agent"), str):
        span.agent_name = agent
    return span


@pytest.fixture
def store(empty_url: str, run: Run) -> Any:
    opened = run(Store.open(empty_url, restore=restore))
    yield opened
    run(opened.close())


def derive(store: Store, which: Range = EVERYTHING, by: Any = reread) -> int:
    async def all_of() -> int:
        return sum([written async for written in store.rederive(by, which)])

    return asyncio.run(all_of())


@pytest.mark.parametrize("spans", [otlp, honeyhive])
def test_columns_are_those_of_the_message(store: Store, run: Run, spans: Any) -> None:
    stored = spans()
    run(store.write_spans(PROJECT, [by_an_older_version(span) for span in stored]))
    run(store.patch_event(PROJECT, stored[0].event_id, {"metadata": {"cost": 2.0}, "name": "new"}))
    assert derive(store) == len(stored)
    found = run(store.trace_spans(PROJECT, stored[0].trace_id))
    assert {span.model for span in found} == {"gpt-4o"}
    assert found[0].name == "new"
    assert found[0].cost == 2.0
    if spans is honeyhive:
        assert found[0].input_tokens == 3


def test_a_convention_that_is_improved_improves_what_is_stored(store: Store, run: Run) -> None:
    run(store.write_spans(PROJECT, otlp()))
    assert derive(store, by=better) == 3
    found = run(store.trace_spans(PROJECT, otlp()[0].trace_id))
    assert [span.agent_name for span in found] == ["Ada"] * 3
    # What was sent is as it was.
    assert {span.sent.fields["attributes"]["my.agent"] for span in found} == {"Ada"}


def test_spans_that_this_version_read_are_left_alone(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(PROJECT, otlp()))
    assert derive(store, Range()) == 0
    monkeypatch.setattr(rows, "READER", rows.READER + 1)
    assert derive(store, Range()) == 3
    assert derive(store, Range()) == 0  # done: an interrupted run continues here


def test_a_range_of_starts_is_derived(store: Store, run: Run) -> None:
    run(store.write_spans(PROJECT, [by_an_older_version(span) for span in otlp()]))
    assert derive(store, Range(since_ns=2_000, until_ns=3_000, also_current=True)) == 1
    found = run(store.trace_spans(PROJECT, otlp()[0].trace_id))
    assert [span.model for span in found] == ["", "gpt-4o", ""]


def test_spans_that_are_kept_as_json_stay(store: Store, run: Run) -> None:
    run(store.write_spans(PROJECT, [a_span(model="mine")]))
    assert derive(store) == 0
    assert run(store.trace_spans(PROJECT, "t")) == [a_span(model="mine")]


def test_a_span_that_cannot_be_read_stays_and_keeps_no_other_back(
    store: Store, run: Run, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rederive, "_BATCH", 2)
    run(store.write_spans(PROJECT, otlp()))

    def failing(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
        if columns.start_ns == 2_000:
            raise ValueError
        return better(adapter, message, envelope, columns)

    assert derive(store, by=failing) == 2
    statement = "SELECT agent_name FROM spans ORDER BY start_ns"
    assert select(empty_url, statement) == [("Ada",), ("",), ("Ada",)]
    [(bodies,)] = select(empty_url, "SELECT count(*) FROM bodies")
    assert bodies == 3
