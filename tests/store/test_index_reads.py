"""Reads that the index of terms narrows, over what adapters restore: they find what a look at every
span finds, and end in time where the index does not help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanloom.adapters.honeyhive.read import read_batch
from spanloom.adapters.otlp.read import briefs_from
from spanloom.adapters.restore import restore
from spanloom.chat.spoken import spoken
from spanloom.codec import json_codec, otlp_json
from spanloom.model import EventQuery, Filter, Json, Span, SpanQuery, SpokenQuery, TraceQuery
from spanloom.model.folding import folded
from spanloom.model.span import EVENT_FIELDS
from spanloom.store.sql.index import look, search, sieve, terms
from spanloom.store.sql.index.values import shown_values
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from spanloom.v1 import event_service_pb2
from tests.store.conftest import Run
from tests.store.samples import a_span
from tests.store.test_filters import OPERATORS, holds

PROJECT = "p"
SQLITE = database("sqlite:///not-there.db")


@pytest.fixture
def restoring(empty_url: str, run: Run[Any]) -> Iterator[Store]:
    store = run(Store.open(empty_url, restore=restore))
    yield store
    run(store.close())


def nodes(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Every path of a tree that a filter can name, and its value, but null."""
    if value is None:
        return
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            if "." not in key and not key.isdigit():
                yield from nodes(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from nodes(f"{path}.{place}", inner)


def conditions(path: str, value: Json) -> Iterator[Filter]:
    """Filters that a value fulfils."""
    yield Filter(field=path, operator="exists", value=None)
    if isinstance(value, str):
        text = value.replace("\0", "")
        yield Filter(field=path, operator="is", value=value)
        yield Filter(field=path, operator="contains", value=text[len(text) // 3 :][:40])
    elif isinstance(value, bool):
        yield Filter(field=path, operator="is", value=value, type="boolean")
    elif isinstance(value, (int, float)):
        yield Filter(field=path, operator="is", value=value, type="number")
        yield Filter(field=path, operator="less than", value=value + 1, type="number")


def corpus() -> Iterator[Span]:
    """What a store keeps of messages that instrumentations sent."""
    for file in sorted(Path("tests/data/otlp").rglob("*.json")):
        request = otlp_json.parse(file.read_bytes())
        for part in briefs_from(request, received_ns=5, most=100):
            yield from part.spans


def shown(span: Span) -> Iterator[Filter]:
    """Filters that a span passes: of every value that it shows."""
    for head in EVENT_FIELDS:
        for tree in shown_values(span, head):
            for path, value in nodes(head, tree):
                yield from (asked for asked in conditions(path, value) if holds(span, asked))


def test_no_look_at_the_bytes_leaves_out_a_span_that_passes() -> None:
    looked = 0
    for brief in corpus():
        sent = brief.sent
        if not sent.message:  # kept as JSON
            continue
        span = restore(sent.adapter, sent.message, sent.envelope, brief)
        columns = "\n".join([span.name, span.agent_name, span.provider, span.model])
        seen = look.Sent(sent.adapter, sent.message, sent.envelope, "")
        for asked in shown(span):
            if (may_pass := look.for_filter(asked)) is not None:
                assert may_pass.sent(seen), (asked, span)
                looked += 1
        for said in spoken(span):
            for part in (said.text, said.text[1:-1], said.text[5:40]):
                may_say = look.for_text(SQLITE, part)
                if may_say is not None and not may_say.sent(seen):
                    assert folded(part) in folded(columns), (part, span)
    assert looked > 500


def test_every_value_that_adapters_restore_is_found(restoring: Store, run: Run[Any]) -> None:
    run(restoring.write_spans(PROJECT, list(corpus()), partial=True))
    run(restoring.indexer.catch_up())
    spans = run(restoring.next_events(PROJECT, EventQuery(limit=10_000)))
    asked: dict[tuple[str, str], tuple[Span, Filter]] = {}
    for span in spans:
        for condition in shown(span):
            place = re.sub(r"\.[0-9]+", "", condition.field)
            asked.setdefault((place, condition.operator), (span, condition))
    assert len(asked) > 500
    for span, condition in list(asked.values())[::10]:
        found = run(restoring.find_events(PROJECT, EventQuery(filters=[condition])))
        assert span in found.items, condition


KEYS = st.sampled_from(["cost", "k", "a key", "é", "0", "漢字", 'quo"te', "back\\slash", "n\nl"])
TEXTS = st.lists(
    st.sampled_from(
        [
            "kumquat",
            "KUMQUAT",
            "quat",
            "gpt4o",
            "8f3afeed99",
            " ",
            "-",
            "\n",
            "\\",
            "漢字仮",
            "é",
            "’",
        ]
    ),
    max_size=4,
).map("".join)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"event_type": st.just("model"), "event_id": st.sampled_from("abcd")},
        optional={
            "metadata": st.dictionaries(KEYS, TREES, max_size=3),
            "outputs": st.dictionaries(KEYS, TREES, max_size=2),
            "inputs": st.dictionaries(KEYS, TREES, max_size=2),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda event: str(event["event_id"]),
)
PATHS = st.builds(
    lambda head, steps: ".".join([head, *steps]),
    st.sampled_from(["metadata", "inputs", "outputs"]),
    st.lists(KEYS, min_size=1, max_size=2),
)
ASKED = st.one_of(
    st.builds(
        lambda field, operator, value: Filter(field=field, operator=operator, value=value),
        PATHS,
        st.sampled_from(OPERATORS["string"]),
        TEXTS,
    ),
    st.builds(
        lambda field, operator, value: Filter(
            field=field, operator=operator, value=value, type="number"
        ),
        PATHS,
        st.sampled_from(OPERATORS["number"]),
        st.integers(-3, 3),
    ),
)
STEPS = st.lists(
    st.tuples(st.just("write"), EVENTS)
    | st.tuples(st.just("patch"), st.dictionaries(KEYS, TREES, max_size=2))
    | st.tuples(st.just("index"), st.none()),
    max_size=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.lists(ASKED, min_size=1, max_size=6), st.lists(TEXTS, max_size=3))
def test_the_index_and_a_scan_find_the_same_events(
    restoring: Store,
    run: Run[Any],
    steps: list[tuple[str, Any]],
    asked: list[Filter],
    texts: list[str],
) -> None:
    for event_id in "abcd":
        run(restoring.delete_event(PROJECT, event_id))
    for step, what in steps:
        match step:
            case "write":
                request = json_codec.parse(
                    {"events": [{**event, "session_id": "s"} for event in what]},
                    event_service_pb2.CreateEventBatchRequest,
                ).message
                read = read_batch(request, received_ns=5, field="events", brief=True)
                run(restoring.write_spans(PROJECT, read.spans, events=True))
            case "patch":
                run(restoring.patch_event(PROJECT, "a", {"metadata": what}))
            case "index":
                run(restoring.indexer.catch_up())
    spans = run(restoring.next_events(PROJECT, EventQuery()))
    for condition in asked:
        found = run(restoring.find_events(PROJECT, EventQuery(filters=[condition])))
        assert list(found.items) == [span for span in spans if holds(span, condition)], condition
        assert found.total == len(found.items)
        assert not found.is_lower_bound
    for text in filter(None, texts):
        holder = terms.holder(text)
        listed = run(restoring.list_traces(PROJECT, TraceQuery(text=text), limit=10))
        assert {trace.trace_id for trace in listed} == {s.trace_id for s in spans if holder(s)}


def test_a_column_in_place_of_what_was_not_sent_decides_without_the_span(
    restoring: Store, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", 60)
    spans = [
        a_span("cheap", "t1", cost=0.5, start_ns=1),
        a_span("dear", "t2", cost=2.0, start_ns=2),
        a_span("sent", "t3", {"metadata": {"cost": 3.0}}, cost=0.1, start_ns=3),
        a_span("patched", "t4", cost=0.1, start_ns=4),
    ]
    run(restoring.write_spans(PROJECT, spans))
    run(restoring.patch_event(PROJECT, spans[3].event_id, {"metadata": {"cost": 4.0}}))
    read = noted_reads(restoring, monkeypatch)
    asked = Filter(field="metadata.cost", operator="greater than", value=1, type="number")
    found = run(restoring.find_events(PROJECT, EventQuery(filters=[asked])))
    assert [span.span_id for span in found.items] == ["patched", "sent", "dear"]
    assert len(read) == 3
    read.clear()
    found = run(restoring.find_events(PROJECT, EventQuery(filters=[asked], limit=1)))
    assert ([span.span_id for span in found.items], found.total) == (["patched"], 3)
    read.clear()
    asked = Filter(field="metadata.cost", operator="less than", value=1, type="number")
    many_cheap = [a_span(f"c{n}", f"c{n}", cost=0.2, start_ns=9 + n) for n in range(200)]
    run(restoring.write_spans(PROJECT, many_cheap))
    found = run(restoring.find_events(PROJECT, EventQuery(filters=[asked], limit=3, page=2)))
    assert [span.span_id for span in found.items] == ["c196", "c195", "c194"]
    assert (found.total, found.is_lower_bound) == (201, False)
    # Those that columns tell of are counted by SQL.
    assert len(read) < 60


def noted_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows that are read whole from now on."""
    read: list[Any] = []
    to_span = store._reader.to_span

    def noting(row: Any) -> Span:
        read.append(row)
        return to_span(row)

    monkeypatch.setattr(store._reader, "to_span", noting)
    return read


# In slices of time


def many(number: int) -> list[Span]:
    return [
        a_span(str(n), f"t{n:04}", {"metadata": {"n": n}}, event_id=f"e{n}", start_ns=n)
        for n in range(number)
    ]


def test_a_list_whose_time_is_over_says_where_to_go_on(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(sieve, "MOST_YOUNG", 0)
    run(store.write_spans(project, [*many(7), a_span("x", "t", name="a kumquat", start_ns=3)]))
    looked, found, after = 0, [], None
    while True:
        page = run(store.list_traces(project, TraceQuery(text="umquat"), limit=2, after=after))
        found += [trace.trace_id for trace in page]
        if page.resume is None:
            break
        assert after is None or page.resume < after
        after = page.resume
        looked += 1
    # A trace each: what makes no progress would never end.
    assert (looked, found) == (8, ["t"])


def test_a_list_of_spans_whose_time_is_over_says_how_far_it_came(
    restoring: Store, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_SLICE", 2)
    monkeypatch.setattr(search, "_LARGEST_SLICE", 2)
    run(restoring.write_spans(PROJECT, [*many(7), a_span("x", "t", name="a kumquat", start_ns=1)]))
    read = noted_reads(restoring, monkeypatch)
    found: list[str] = []
    place, calls, looked = None, 0, 0
    while calls == 0 or place is not None:
        place, number = run(
            restoring.list_spans(
                *(PROJECT, SpanQuery(text="umquat")),
                lambda span: not found.append(span.span_id),  # type: ignore[func-returns-value]
                after=place,
                seconds=0,
            )
        )
        calls, looked = calls + 1, looked + number
    assert (found, looked) == (["x"], 8)
    assert calls > 3
    assert len(read) == 1


def test_a_total_is_a_lower_bound_where_counting_takes_long(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", 60)
    run(store.write_spans(project, many(9)))
    asked = Filter(field="metadata.n", operator="greater than", value=2, type="number")
    exact = run(store.find_events(project, EventQuery(filters=[asked], limit=2)))
    assert (len(exact.items), exact.total, exact.is_lower_bound) == (2, 6, False)
    monkeypatch.setattr(search, "SLICE_SECONDS", -1.0)
    cut = run(store.find_events(project, EventQuery(filters=[asked], limit=2)))
    assert (list(cut.items), cut.total, cut.is_lower_bound) == (list(exact.items), 2, True)
    # The page itself is read to its end.
    whole = run(store.find_events(project, EventQuery(filters=[asked], limit=7)))
    assert (len(whole.items), whole.total, whole.is_lower_bound) == (6, 6, False)


def test_more_matches_than_are_counted_are_a_lower_bound(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", 60)
    monkeypatch.setattr("spanloom.store.sql.spans.MOST_COUNTED", 5)
    run(store.write_spans(project, many(6)))
    asked = [Filter(field="metadata.n", operator="exists", value=None)]
    page = run(store.find_events(project, EventQuery(filters=asked, limit=2)))
    assert (page.total, page.is_lower_bound) == (5, True)
    run(store.delete_event(project, "e0"))
    page = run(store.find_events(project, EventQuery(filters=asked, limit=2)))
    assert (page.total, page.is_lower_bound) == (5, False)


# A look at the bytes


def test_spans_without_the_key_or_the_text_are_not_read(
    restoring: Store, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(restoring.write_spans(PROJECT, [*many(9), a_span("x", "t", {"metadata": {"rare": 5}})]))
    read = noted_reads(restoring, monkeypatch)
    asked = Filter(field="metadata.rare", operator="greater than", value=4, type="number")
    found = run(restoring.find_events(PROJECT, EventQuery(filters=[asked])))
    assert [span.span_id for span in found.items] == ["x"]
    assert len(read) == 1
    read.clear()
    assert run(restoring.speaking_spans(PROJECT, SpokenQuery(text="a kumquat"), limit=5)) == []
    assert read == []


@pytest.mark.parametrize("text", ["12345", "true", "\\n", "ab", "漢字"])
def test_the_bytes_do_not_tell_of_a_text_without_letters(text: str) -> None:
    assert look.for_text(SQLITE, text) is None


@pytest.mark.parametrize(
    "field",
    ["metadata.total_tokens", "metadata.cost", "inputs.k", "error", "metadata.0", "metadata.é"],
)
def test_the_bytes_do_not_tell_of_what_is_derived_or_spelled_in_ways(field: str) -> None:
    assert look.for_filter(Filter(field=field, operator="exists", value=None)) is None
