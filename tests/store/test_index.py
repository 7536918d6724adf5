"""The index of terms: what it finds is what a look at every span finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanloom.adapters.otlp.read import briefs_from
from spanloom.adapters.restore import restore
from spanloom.chat.spoken import spoken
from spanloom.codec import otlp_json
from spanloom.genai.json import messages_from_json
from spanloom.model import EventQuery, Filter, Json, Span, SpokenQuery, TraceQuery
from spanloom.model.genai import Tool
from spanloom.model.span import GenAi
from spanloom.store.sql import predicates
from spanloom.store.sql.index import match, search, sieve, table, terms
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span
from tests.store.test_filters import SPANS, cases, holds

PROJECT = "p"
# Words, parts of words, escapes, texts in texts, and letters that have no spaces between them.
PIECES = st.sampled_from(
    [
        *("kumquat", "Kumquat", "quat", "n", "x_1", "a", "7", "\n", "\t", "\0", "\x01", "\\", '"'),
        *(" ", ".", "-", "/", "é", "É", "ß", "İ", "Σ", "漢", "字", "仮名", "カナ", "🙂", "𠀀"),
        *("\\n", "\\u6f22", "\\u0041", "\\ud840\\udc00", '{"q":"x\\ny"}', "u0000", "z" * 65),
    ]
)
SAID = st.lists(PIECES, max_size=6).map("".join)


def spelled(found: terms.Terms) -> set[str]:
    return {word.decode() for word in found.words} | {f"{terms.MARK}{m:x}" for m in found.marks}


def has(found: set[str], condition: table.Condition) -> bool:
    return any(of <= found for of in condition)


def meets(found: set[str], text: str) -> bool:
    """As `sieve.text_conditions`, with the span's words for those of the database."""
    needle = terms.needle(text)
    if terms.WIDE in found:
        return True
    return needle.terms <= found and any(
        needle.part in term for term in found if not term.startswith(terms.MARK) or not needle.part
    )


@given(st.lists(SAID, max_size=3).map(" ".join), st.data())
def test_a_text_has_the_words_of_every_part_of_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    once = orjson.dumps(text).decode()
    for outer in (text, once, orjson.dumps([once]).decode()):
        found = {word.decode() for word in terms.words_of({outer, "other"})}
        if any(len(word.encode()) > terms.LONGEST_WORD for word in found):
            continue  # its span is found by any text
        assert meets(found | {terms.MARK}, part)
        assert meets(found | {terms.MARK}, part.swapcase() if part.isascii() else part)


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system", "tool"]),
            "parts": st.lists(
                st.builds(lambda text: {"type": "text", "content": text}, SAID)
                | st.builds(
                    lambda value: {
                        "type": "tool_call",
                        "id": "1",
                        "name": "f",
                        "arguments": value,
                    },
                    st.dictionaries(SAID, SAID, max_size=2) | SAID,
                ),
                max_size=2,
            ),
        }
    ),
    max_size=2,
)
TALKING = st.builds(
    lambda span, messages, answers, tool: replace(
        span,
        genai=GenAi(
            input_messages=messages_from_json(messages),
            output_messages=messages_from_json(answers),
            tool=tool,
        ),
    ),
    SPANS,
    MESSAGES,
    MESSAGES,
    st.none() | st.builds(lambda text: Tool(name=text, arguments=text), SAID),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TALKING, st.data())
def test_a_span_has_the_words_of_all_it_says(span: Span, data: st.DataObject) -> None:
    found = spelled(terms.span_terms(PROJECT, span))
    for said in spoken(span):
        start = data.draw(st.integers(0, len(said.text)))
        part = said.text[start : data.draw(st.integers(start, len(said.text)))]
        assert meets(found, part), (said, part)


@given(cases())
def test_a_span_that_a_filter_finds_has_the_terms_of_the_filter(
    case: tuple[list[Span], list[Filter]],
) -> None:
    spans, asked = case
    for condition in asked:
        if not predicates.is_field(condition.field):
            continue
        for span in spans:
            if holds(span, condition):
                found = spelled(terms.span_terms(PROJECT, span))
                needed = match.needed(PROJECT, condition)
                assert needed is None or has(found, needed), (condition, span)
                assert meets(found, match.contained(condition)), (condition, span)


# Histories


class Kept:
    """What the store should hold of one project: spans by trace and span id."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, str], Span] = {}


def small_span(trace: str, span: str, value: Json, text: str, start: int) -> Span:
    body = {"metadata": {"k": value, "said": text}, "inputs": {"q": [text, value]}}
    return a_span(span, trace, body, event_id=f"{trace}.{span}", start_ns=start, name=text[:20])


WRITES = st.tuples(
    st.just("write"),
    st.lists(
        st.builds(
            small_span,
            st.sampled_from("abc"),
            st.sampled_from("123"),
            st.sampled_from([None, True, 1, 1.5, "", "kumquat", [], {"in": 1}]),
            SAID.filter(lambda text: "\0" not in text),
            st.integers(1, 5),
        ),
        min_size=1,
        max_size=4,
    ),
)
STEPS = st.one_of(
    WRITES,
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("patch"), st.sampled_from(["a.1", "b.2", "c.3"])),
    st.just(("index", None)),
)
ASKED: list[tuple[str, str, Json, str]] = [
    *(("metadata.k", "is", v, "string") for v in ("kumquat", "")),
    *(("metadata.k", "is", v, "number") for v in (1, 1.5)),
    ("metadata.k", "is", True, "boolean"),
    *(("metadata.k", op, None, "string") for op in ("exists", "not exists")),
    *(("metadata.said", op, "quat", "string") for op in ("contains", "not contains")),
    ("metadata.said", "contains", "字", "string"),
    ("inputs.q.1", "greater than", 1, "number"),
    ("metadata.patched", "is", "yes", "string"),
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12), st.lists(SAID, min_size=1, max_size=3))
def test_the_index_finds_what_a_look_at_every_span_finds(
    store: Store, run: Run[Any], steps: list[tuple[str, Any]], texts: list[str]
) -> None:
    project = "index histories"
    for trace in "abc":
        run(store.delete_trace(project, trace))
    for step, what in steps:
        match step:
            case "write":
                run(store.write_spans(project, what))
            case "delete":
                run(store.delete_trace(project, what))
            case "patch":
                run(store.patch_event(project, what, {"metadata": {"patched": "yes"}}))
            case "index":
                run(store.indexer.catch_up())
    spans = [span for trace in "abc" for span in run(store.trace_spans(project, trace))]
    for field, operator, value, kind in ASKED:
        asked = Filter(field=field, operator=operator, value=value, type=kind)
        expected = sorted(
            (span for span in spans if holds(span, asked)),
            key=lambda span: (-span.start_ns, -span.sequence, span.event_id),
        )
        found = run(store.find_events(project, EventQuery(filters=[asked])))
        assert [span.event_id for span in found.items] == [s.event_id for s in expected], asked
        assert found.total == len(expected)
        first = run(store.next_events(project, EventQuery(filters=[asked], limit=1)))
        assert first == list(found.items[:1])
    for text in texts:
        check_text(store, run, project, spans, text)


def check_text(store: Store, run: Run[Any], project: str, spans: list[Span], text: str) -> None:
    if "\0" in text:
        return
    saying = [span for span in spans if text in str(span.io.metadata and span.io.metadata["said"])]
    found = run(store.speaking_spans(project, SpokenQuery(text=text), limit=100))
    assert {s.event_id for s in saying} <= {s.event_id for s in found}
    assert [s.start_ns for s in found] == sorted((s.start_ns for s in found), reverse=True)
    if not text:
        return
    holder = terms.holder(text)
    expected = {span.trace_id for span in spans if holder(span)}
    assert {s.trace_id for s in saying} <= expected
    listed = run(store.list_traces(project, TraceQuery(text=text), limit=10))
    assert {trace.trace_id for trace in listed} == expected


# Candidates, not scans


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many spans were read by searches since the last call."""
    read: list[Span] = []
    in_order = search.in_order

    def noting(*arguments: Any, **named: Any) -> Any:
        for step in in_order(*arguments, **named):
            if step.span is not None:
                read.append(step.span)
            yield step

    monkeypatch.setattr(search, "in_order", noting)

    def count() -> int:
        number = len(read)
        read.clear()
        return number

    return count


RARE = small_span("rare", "1", "one of a kind", "a tangerine in 漢字仮名", 3)
CANDIDATES: dict[str, Filter] = {
    "is": Filter(field="metadata.k", operator="is", value="one of a kind"),
    "exists": Filter(field="metadata.only", operator="exists", value=None),
    "contains a word": Filter(field="metadata.said", operator="contains", value="a tangerine in"),
    "contains a part": Filter(field="metadata.said", operator="contains", value="angerin"),
    "contains letters": Filter(field="metadata.said", operator="contains", value="字仮"),
    "contains a letter": Filter(field="metadata.said", operator="contains", value="名"),
    "compares where few have it": Filter(
        field="metadata.only", operator="greater than", value=1, type="number"
    ),
}


@pytest.mark.parametrize("kind", CANDIDATES)
def test_what_few_spans_have_is_found_without_reading_the_others(
    store: Store, run: Run[Any], project: str, counted: Callable[[], int], kind: str
) -> None:
    many = [small_span(f"t{n}", str(n), n, f"word{n} and others", n) for n in range(300)]
    rare = replace(RARE, io=replace(RARE.io, metadata={**(RARE.io.metadata or {}), "only": 2}))
    run(store.write_spans(project, [*many, rare]))
    run(store.indexer.catch_up())
    found = run(store.find_events(project, EventQuery(filters=[CANDIDATES[kind]])))
    assert [span.span_id for span in found.items] == ["1"]
    assert counted() == 1
    if "contains" in kind:
        text = str(CANDIDATES[kind].value)
        assert len(run(store.list_traces(project, TraceQuery(text=text), limit=5))) == 1
        assert counted() == 1
        assert len(run(store.speaking_spans(project, SpokenQuery(text=text), limit=5))) == 1


def test_what_adapters_restore_is_found_by_what_it_says(
    empty_url: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = run(Store.open(empty_url, restore=restore))
    files = sorted(Path("tests/data/otlp").rglob("*.json"))
    for file in files:
        request = otlp_json.parse(file.read_bytes())
        for part in briefs_from(request, received_ns=5, most=100):
            run(store.write_spans(PROJECT, part.spans, partial=True))
    run(store.indexer.catch_up())
    spans = run(store.next_events(PROJECT, EventQuery(limit=1000)))
    texts = 0
    for span in spans:
        for text in {said.text[1:60] for said in spoken(span)} - {""}:
            texts += 1
            query = SpokenQuery(text=text, trace_id=span.trace_id)
            found = run(store.speaking_spans(PROJECT, query, limit=1000))
            assert span.span_id in {other.span_id for other in found}, text
    assert len(spans) > len(files)
    assert texts > 20
    assert "could not be indexed" not in caplog.text
    run(store.close())


def test_a_span_that_cannot_be_restored_keeps_no_other_from_the_index(
    empty_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = run(Store.open(empty_url))
    run(store.write_spans(PROJECT, [a_span("bad", "t1"), a_span("good", "t2", name="okapi")]))
    span_terms = terms.span_terms

    def failing(project: str, span: Span) -> terms.Terms:
        if span.span_id == "bad":
            raise ValueError
        return span_terms(project, span)

    monkeypatch.setattr(terms, "span_terms", failing)
    run(store.indexer.catch_up())
    assert select(empty_url, "SELECT entries FROM term_cursor") == [(2,)]
    found = run(store.list_traces(PROJECT, TraceQuery(text="okapi"), limit=5))
    assert [trace.trace_id for trace in found] == ["t2"]
    run(store.close())


LIMITS: dict[str, dict[Any, dict[str, float]]] = {
    "all candidates": {},
    "too many candidates": {sieve: {"MOST_CANDIDATES": 2}},
    "too many young spans": {sieve: {"MOST_YOUNG": 2}},
    "small slices": {
        sieve: {"MOST_CANDIDATES": 2},
        search: {"_SLICE": 3, "_LARGEST_SLICE": 4, "_TRACES": 3, "_WHOLE": 2, "_LOOKED_AT": 2},
    },
    "no time before the list": {search: {"_BEFORE_SECONDS": -1}},
}


@pytest.mark.parametrize("limits", LIMITS)
def test_a_read_that_the_index_does_not_narrow_finds_the_same(
    store: Store, run: Run[Any], project: str, monkeypatch: pytest.MonkeyPatch, limits: str
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", 60)  # totals are exact on a slow machine, too
    for module, of_module in LIMITS[limits].items():
        for name, limit in of_module.items():
            monkeypatch.setattr(module, name, limit)
    spans = [
        small_span(f"t{n}", str(n), "k" if n % 3 else None, f"word {'kumquat' * (n % 2)}", n % 7)
        for n in range(30)
    ]
    run(store.write_spans(project, spans[:20]))
    run(store.indexer.catch_up())
    run(store.write_spans(project, spans[20:]))
    asked = [
        Filter(field="metadata.k", operator="is", value="k"),
        Filter(field="metadata.said", operator="contains", value="umqua"),
    ]
    expected = sorted(
        (span for span in spans if all(holds(span, of) for of in asked)),
        key=lambda span: (-span.start_ns, -int(span.span_id)),
    )
    pages = [
        run(store.find_events(project, EventQuery(filters=asked, limit=4, page=page)))
        for page in (1, 2, 3)
    ]
    assert [span for page in pages for span in page.items] == expected
    assert {page.total for page in pages} == {len(expected)} == {10}
    traces = run(store.list_traces(project, TraceQuery(text="KUMQUAT"), limit=6))
    last = (traces[-1].start_ns, traces[-1].trace_id)
    traces += run(store.list_traces(project, TraceQuery(text="KUMQUAT"), limit=60, after=last))
    saying = sorted((span.start_ns, span.trace_id) for span in spans if "kumquat" in span.name)
    assert [(trace.start_ns, trace.trace_id) for trace in traces] == saying[::-1]
    spoken_of = run(store.speaking_spans(project, SpokenQuery(text="kumquat"), limit=100))
    assert {(span.start_ns, span.trace_id) for span in spoken_of} >= set(saying)
