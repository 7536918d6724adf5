"""Lists of traces and conversations: what is found in slices of time is what is found at once."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import Feedback, Span
from spanloom.model.summaries import ConversationQuery, SummaryQuery, TracePosition
from spanloom.store.sql import conversations, span_groups, trace_lists
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span


def some_spans(seed: int, number: int = 120) -> list[Span]:
    """Spans of traces and conversations, with equal starts, cycles of parents and lost roots."""
    dice = random.Random(seed)
    spans = []
    for n in range(number):
        trace_id = f"t{dice.randrange(25)}"
        is_named = dice.random() < 0.6
        spans.append(
            a_span(
                f"s{n}",
                trace_id,
                parent_id=dice.choice(["", f"s{n}", f"s{n - 1}", f"s{n + 1}"]),
                session_id=f"c{dice.randrange(6)}" if is_named else trace_id,
                start_ns=dice.randrange(1, 40),
                status=dice.choice(["OK", "OK", "OK", "ERROR"]),
                model=dice.choice(["", "m", "n"]),
                cost=dice.choice([None, 0.1, 0.5]),
                input_tokens=dice.choice([None, 3, 5]),
            )
        )
    return spans


async def all_traces(store: Store, project: str, limit: int, **query: Any) -> list[str]:
    found: list[str] = []
    after: TracePosition | None = None
    for _ in range(1_000):
        page = await store.summaries.traces(
            project, SummaryQuery(**query), limit=limit, after=after
        )
        assert len(page.rows) <= limit
        found += [row.trace.trace_id for row in page.rows]
        if page.after is None:
            return found
        assert page.after != after  # it goes on
        after = page.after
    raise AssertionError("the list does not end")


async def all_conversations(store: Store, project: str, limit: int, **query: Any) -> list[str]:
    found: list[str] = []
    after: tuple[int, str] | None = None
    for _ in range(1_000):
        page = await store.summaries.conversations(
            project, ConversationQuery(**query), limit=limit, after=after
        )
        found += [row.conversation_id for row in page.rows]
        if page.after is None:
            return found
        assert page.after != after
        after = page.after
    raise AssertionError("the list does not end")


QUERIES: Sequence[dict[str, Any]] = (
    {},
    {"has_error": True},
    {"has_error": False, "model": "m"},
    {"min_cost": 1.0},
    {"min_tokens": 20, "has_feedback": True},
    {"has_feedback": False},
    {"conversation_id": "c1"},
    {"of_root": [lambda span: span.model == "m"]},
    {"of_spans": [lambda span: span.model == "m", lambda span: span.cost == 0.5]},
    {"since_ns": 5, "before_ns": 20},
)


@pytest.mark.parametrize("order", ["start", "duration", "cost", "tokens", "errors"])
@pytest.mark.parametrize("query", range(len(QUERIES)))
def test_slices_of_a_list_of_traces_are_the_list(
    store: Store,
    project: str,
    run: Run[Any],
    monkeypatch: pytest.MonkeyPatch,
    query: int,
    order: str,
) -> None:
    run(store.write_spans(project, some_spans(query)))
    for n in range(0, 120, 9):
        on = Feedback(id=f"f{n}", target="span", target_id=f"s{n}", created_ns=1)
        run(store.write_feedback(project, on))
    asked = {"order": order, **QUERIES[query]}
    at_once = run(all_traces(store, project, 1_000, **asked))
    if not query:
        assert len(at_once) == 25
    assert len(set(at_once)) == len(at_once)
    monkeypatch.setattr(trace_lists, "PART", 3)
    monkeypatch.setattr(trace_lists, "_GROUPS", 2)
    assert run(all_traces(store, project, 4, **asked)) == at_once
    monkeypatch.setattr(trace_lists, "SECONDS", -1)
    assert run(all_traces(store, project, 4, **asked)) == at_once


def conversations_of(spans: Sequence[Span]) -> list[str]:
    """The conversations by their latest span, as the API defines them."""
    named = defaultdict(set)
    for span in spans:
        if span.session_id != span.trace_id:
            named[span.trace_id].add(span.session_id)
    latest: dict[str, int] = {}
    for span in spans:
        if span.session_id != span.trace_id or not named[span.trace_id]:
            latest[span.session_id] = max(latest.get(span.session_id, 0), span.start_ns)
    return sorted(latest, key=lambda c: (latest[c], c), reverse=True)


@pytest.mark.parametrize("seed", range(6))
def test_slices_of_a_list_of_conversations_are_the_list(
    store: Store, project: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    spans = some_spans(seed, 90)
    run(store.write_spans(project, spans))
    expected = conversations_of(spans)
    assert run(all_conversations(store, project, 1_000)) == expected
    monkeypatch.setattr(conversations, "_PART", 4)
    assert run(all_conversations(store, project, 2)) == expected
    monkeypatch.setattr(conversations, "SECONDS", -1)
    assert run(all_conversations(store, project, 2)) == expected
    failing = run(all_conversations(store, project, 2, has_error=True))
    assert failing == [c for c in expected if c in set(failing)]


def test_a_conversation_has_what_its_traces_do_not_name(
    store: Store, project: str, run: Run[Any]
) -> None:
    run(
        store.write_spans(
            project,
            [
                a_span("a", "t", session_id="c"),
                a_span("b", "t"),  # names none
                a_span("d", "t", session_id="another"),
                a_span("e", "u", session_id="c"),
            ],
        )
    )
    row = run(store.summaries.conversation(project, "c"))
    assert [span.span_id for span in row.group.spans] == ["a", "b", "e"]
    assert row.group.count == 3
    assert run(store.summaries.conversation(project, "t")) is None


def test_of_a_conversation_of_many_traces_the_first_and_the_latest_are_read(
    store: Store, project: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_groups, "MOST_FIGURED", 3)
    spans = [a_span(f"s{n}", f"t{n}", session_id="c", start_ns=n + 1) for n in range(9)]
    run(store.write_spans(project, spans))
    row = run(store.summaries.conversation(project, "c"))
    assert row.trace_count == 9
    assert [trace.trace_id for trace in row.traces] == ["t0", "t6", "t7", "t8"]
    assert row.group.count == 4  # more than are added up, so the figures are lower bounds


def test_too_many_traces_are_sorted_by_start_alone(
    store: Store, project: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(project, [a_span(str(n), f"t{n}") for n in range(4)]))
    monkeypatch.setattr(trace_lists, "MOST_SORTED", 3)
    assert len(run(all_traces(store, project, 2))) == 4
    with pytest.raises(SpanloomError) as refused:
        run(all_traces(store, project, 2, order="cost"))
    assert [violation.field for violation in refused.value.violations] == ["order"]
    assert run(all_traces(store, project, 2, order="cost", name="x")) == []


@pytest.mark.parametrize("root_first", [False, True])
def test_of_a_large_trace_some_spans_are_read_and_the_root_among_them(
    store: Store,
    project: str,
    run: Run[Any],
    monkeypatch: pytest.MonkeyPatch,
    root_first: bool,
) -> None:
    monkeypatch.setattr(span_groups, "MOST_FIGURED", 3)
    spans = [a_span(f"s{n}", parent_id="zz", status="ERROR", start_ns=n + 2) for n in range(9)]
    root = a_span("zz", name="root", start_ns=1)
    run(store.write_spans(project, [root, *spans] if root_first else [*spans, root]))
    row = run(store.summaries.trace(project, "t"))
    assert (row.group.count, row.group.errors) == (10, 9)
    assert len(row.group.spans) == 3
    assert ("t", "zz") in row.group.whole


def test_a_count_that_runs_out_of_time_says_so(
    store: Store, project: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.write_spans(project, [a_span(str(n), f"t{n}") for n in range(10)]))
    monkeypatch.setattr("spanloom.store.sql.trace_counts.PART", 4)
    monkeypatch.setattr(trace_lists, "PART", 4)

    def counted(seconds: float) -> tuple[int, bool]:
        asked: dict[str, Any] = {"facets": [], "of_root": {}, "buckets": 0, "seconds": seconds}
        counts = run(store.summaries.count(project, SummaryQuery(), **asked))
        return counts.total, counts.complete

    assert counted(10) == (10, True)
    assert counted(-1) == (4, False)
