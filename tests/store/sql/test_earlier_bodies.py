"""Rows that earlier versions wrote, with bodies in the layout of before: they are read as what is
written now.

Each line of tests/data/earlier_bodies.jsonl is a client's message (of OTLP also the name of a
recorded one) and the rows that the version before the typed parts made of it: the columns of a
span, and the body as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf import json_format

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.honeyhive.read import read_batch
from spanloom.adapters.otlp.read import spans_from
from spanloom.codec import otlp_json
from spanloom.model import EventQuery, Filter, Span
from spanloom.store.sql import tables
from spanloom.store.sql.compression import compressed
from spanloom.store.sql.lift import lifted
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from spanloom.v1 import event_service_pb2, trace_pb2
from tests.parts import READER, through_a_row
from tests.store.conftest import Run
from tests.store.samples import a_span

DATA = Path("tests/data")
RECEIVED_NS = 1_800_000_000 * 10**9
# Of what these say, the conventions have made more since: a Basalt trace is a session and a turn.
IMPROVED = ("basalt.json",)
EARLIER = [json.loads(line) for line in (DATA / "earlier_bodies.jsonl").read_text().splitlines()]


def basalt(message: Any) -> Sequence[Span]:
    trace = json_format.ParseDict(message, trace_pb2.Trace(), ignore_unknown_fields=True)
    return read_trace(trace, trace_id=trace.id or "t", received_ns=RECEIVED_NS).spans


def honeyhive(message: Any) -> Sequence[Span]:
    batch = json_format.ParseDict(
        message, event_service_pb2.CreateEventBatchRequest(), ignore_unknown_fields=True
    )
    return read_batch(batch, received_ns=RECEIVED_NS).spans


def otlp(message: Any) -> Sequence[Span]:
    data = (
        (DATA / "otlp" / message).read_bytes()
        if isinstance(message, str)
        else json.dumps(message).encode()
    )
    return spans_from(otlp_json.parse(data), received_ns=RECEIVED_NS).spans


READ: dict[str, Callable[[Any], Sequence[Span]]] = {
    "basalt": basalt,
    "honeyhive": honeyhive,
    "otlp": otlp,
}


def row_of(earlier: list[Any]) -> list[Any]:
    [sent] = compressed([orjson.dumps(earlier[-1])])
    return [*earlier[:-1], "", sent, None, None, 1, False, 0]


@pytest.mark.parametrize(
    "case", EARLIER, ids=[f"{n}-{case['adapter']}" for n, case in enumerate(EARLIER)]
)
def test_an_earlier_row_is_read_as_what_is_written_now(case: dict[str, Any]) -> None:
    found = [READER.to_span(row_of(earlier)) for earlier in case["rows"]]
    expected = [through_a_row(span) for span in READ[case["adapter"]](case["message"])]
    for span, wanted in zip(found, expected, strict=True):
        assert span.sent == wanted.sent
        if case["message"] in IMPROVED:
            span = replace(span, kind=wanted.kind, genai=wanted.genai)
        assert (span.io, span.genai, span.trace) == (wanted.io, wanted.genai, wanted.trace)
        assert span == wanted


@pytest.mark.parametrize(
    ("body", "ids", "adapter"),
    [
        ({}, ("t", "s"), ""),
        ({}, ("0" * 31 + "1", "0" * 15 + "1"), "otlp"),
        ({"unset": ["start_time"]}, ("0" * 31 + "1", "0" * 15 + "1"), "otlp"),
        ({"source": "unknown"}, ("0" * 31 + "1", "0" * 15 + "1"), "honeyhive"),
        ({"log_type": "tool"}, ("t", "s"), "basalt"),
        ({"log_type": "tool", "scope": {}}, ("t", "s"), "otlp"),
        ({"sampled": True, "sample_rate": 1.0}, ("t", "t"), "basalt"),
    ],
)
def test_the_adapter_of_an_earlier_body_follows_from_its_keys(
    body: dict[str, Any], ids: tuple[str, str], adapter: str
) -> None:
    assert lifted(body, *ids, "")["sent"]["adapter"] == adapter


def test_a_part_that_a_newer_version_knows_more_of_is_read() -> None:
    body = {
        "genai": {"tool": {"name": "look", "colour": "red"}, "mood": 1},
        "sent": {"adapter": "x"},
    }
    row = row_of([*EARLIER[0]["rows"][0][:-1], body])
    assert READER.to_span(row).genai == a_span(body={"tool": {"name": "look"}}).genai


def test_earlier_rows_are_found_changed_and_kept(empty_url: str, run: Run[Any]) -> None:
    [event] = [c for c in EARLIER if c["adapter"] == "honeyhive"][1]["rows"]
    trace_id, span_id, event_id, *rest, adapter, sent, _, _, _, _, _ = row_of(event)
    store = run(Store.open(empty_url))
    of_url = database(empty_url)
    engine = of_url.engine(writer=True, connections=1)
    with engine.begin() as connection:
        row = ["p", trace_id, span_id, 1, event_id, *rest, "", 0, 0, 0]
        of_url.upsert(connection, tables.spans, [row])
        connection.execute(tables.bodies.insert().values((1, adapter, sent, None, None)))
    engine.dispose()
    check_earlier(store, run, event_id)
    run(store.close())


def check_earlier(store: Store, run: Run[Any], event_id: str) -> None:
    same = EventQuery(
        filters=[Filter(field="metadata.cost", operator="is", value=0.1, type="number")]
    )
    for _ in range(2):
        assert run(store.find_events("p", same)).total == 1
        run(store.indexer.catch_up())
    run(store.patch_event("p", event_id, {"metadata": {"k": 1}, "name": "new"}))
    span = run(store.find_event("p", event_id))
    assert (span.name, span.updated) == ("new", ("name",))
    assert span.io.metadata == {"cost": 0.1, "k": 1}
    assert (span.io.inputs, span.sent.adapter) == ({"q": "hi"}, "honeyhive")
    assert run(store.find_events("p", same)).total == 1
