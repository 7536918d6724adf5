"""Spans and the traces they make: what is written is what is read, once, and in its project
alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.errors import SpanloomError
from spanloom.model import (
    MAX_ID_LENGTH,
    EventQuery,
    Feedback,
    Filter,
    Span,
    SpanQuery,
    Trace,
    TraceQuery,
)
from spanloom.model.projects import MAX_PROJECT_LENGTH
from spanloom.model.span import Party, TraceFacts
from spanloom.store.store import Store
from tests.parts import parts
from tests.store.conftest import Run
from tests.store.samples import FULL, a_span

ODD_IDS = [
    *("x", "X", "x ", " x", "a|b", "50%", "_", "a/b", "'; --", '"q"', "\\", "🙂", "\t"),
    *("\u00e9", "e\u0301"),  # alike to the eye
]


def test_a_span_comes_back_as_it_was_written(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_spans(project, [FULL]))
    assert run(store.trace_spans(project, "trace")) == [FULL]
    assert run(store.session_spans(project, "session")) == [FULL]
    assert run(store.find_event(project, "event")) == FULL


def test_a_span_with_nothing_but_ids_comes_back(store: Store, run: Run[Any], project: str) -> None:
    span = Span(trace_id="t", span_id="s", event_id="e", session_id="t")
    run(store.write_spans(project, [span]))
    assert run(store.trace_spans(project, "t")) == [span]


def test_unknown_ids_find_nothing(store: Store, run: Run[Any], project: str) -> None:
    assert run(store.trace_spans(project, "t")) == []
    assert run(store.session_spans(project, "t")) == []
    assert run(store.find_event(project, "t")) is None
    assert run(store.list_traces(project, limit=10)) == []
    assert run(store.delete_trace(project, "t")) is False


def test_writing_nothing_changes_nothing(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_spans(project, [FULL]))
    run(store.write_spans(project, []))
    assert run(store.trace_spans(project, "trace")) == [FULL]


def test_the_same_span_again_replaces_the_whole_row(
    store: Store, run: Run[Any], project: str
) -> None:
    run(store.write_spans(project, [FULL]))
    later = Span(trace_id="trace", span_id="span", event_id="event", session_id="session")
    run(store.write_spans(project, [later]))
    assert run(store.trace_spans(project, "trace")) == [later]


def test_the_last_of_one_identity_in_a_call_wins(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_spans(project, [a_span(name="first"), a_span("b"), a_span(name="last")]))
    assert [(s.span_id, s.name) for s in run(store.trace_spans(project, "t"))] == [
        ("a", "last"),
        ("b", ""),
    ]


def test_calls_at_once_leave_each_span_once(store: Store, run: Run[Any], project: str) -> None:
    async def write() -> None:
        await asyncio.gather(
            *(
                store.write_spans(project, [a_span(str(n), name=str(call)) for n in range(30)])
                for call in range(20)
            )
        )

    run(write())
    spans = run(store.trace_spans(project, "t"))
    assert sorted(s.span_id for s in spans) == sorted(str(n) for n in range(30))
    assert {s.name for s in spans} == {"19"}  # the last committed


def test_spans_come_by_start_then_id(store: Store, run: Run[Any], project: str) -> None:
    spans = [a_span(i, start_ns=n) for i, n in [("c", 1), ("B", 2), ("a", 2), ("b", 2), ("d", -5)]]
    run(store.write_spans(project, spans))
    for read in (store.trace_spans, store.session_spans):
        assert [s.span_id for s in run(read(project, "t"))] == ["d", "c", "B", "a", "b"]


def test_a_session_spans_its_traces(store: Store, run: Run[Any], project: str) -> None:
    spans = [a_span("a", t, session_id="s", start_ns=n) for n, t in enumerate(["t1", "t2"])]
    run(store.write_spans(project, [*spans, a_span("a", "t3")]))
    assert run(store.session_spans(project, "s")) == spans


def test_projects_are_walls(store: Store, run: Run[Any], project: str) -> None:
    mine, other = f"{project}-mine", f"{project}-other"
    run(store.write_spans(mine, [a_span(name="mine")]))
    run(store.write_spans(other, [a_span(name="other", kind="tool")]))
    assert [s.name for s in run(store.trace_spans(mine, "t"))] == ["mine"]
    assert [s.name for s in run(store.session_spans(mine, "t"))] == ["mine"]
    assert run(store.find_event(mine, "a")).name == "mine"
    assert [t.name for t in run(store.list_traces(mine, limit=10))] == ["mine"]
    assert [s.name for s in run(store.find_events(mine, EventQuery())).items] == ["mine"]
    assert run(store.delete_trace(project, "t")) is False
    assert run(store.delete_trace(mine, "t")) is True
    assert [s.name for s in run(store.trace_spans(other, "t"))] == ["other"]
    assert [t.name for t in run(store.list_traces(other, limit=10))] == ["other"]


def test_ids_are_told_apart_by_bytes(store: Store, run: Run[Any], project: str) -> None:
    for project_id in (project, project.upper()):
        spans = [a_span(i, i) for i in ODD_IDS]
        run(store.write_spans(project_id, spans))
        for span in spans:
            assert run(store.trace_spans(project_id, span.trace_id)) == [span]
            assert run(store.session_spans(project_id, span.trace_id)) == [span]
            assert run(store.find_event(project_id, span.event_id)) == span
            same = Filter(field="event_id", operator="is", value=span.event_id)
            assert run(store.find_events(project_id, EventQuery(filters=[same]))).items == [span]
        listed = [t.trace_id for t in run(store.list_traces(project_id, limit=100))]
        assert listed == sorted(ODD_IDS, key=str.encode, reverse=True)


@pytest.mark.parametrize("at", ["trace_id", "span_id", "event_id", "session_id", "parent_id"])
def test_the_longest_ids_fit(store: Store, run: Run[Any], project: str, at: str) -> None:
    ids: dict[str, Any] = {
        name: f"{name} " + "🙂" * (255 - len(name)) for name in ("trace_id", "span_id", at)
    }
    span = replace(a_span(), **ids)
    run(store.write_spans(project, [span]))
    assert run(store.trace_spans(project, span.trace_id)) == [span]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trace_id", "a\0b"),
        ("span_id", "x" * 257),
        ("event_id", "\ud800"),
        ("session_id", "🙂" * 257),
        ("kind", "k" * 257),
        ("name", "a\0b"),
        ("name", "\udfff"),
        ("operation", "\0"),
        ("agent_name", "\0"),
        ("start_ns", 2**63),
        ("end_ns", -(2**63) - 1),
        ("input_tokens", 2**64),
        ("body.inputs", "\ud800"),
        ("body.outputs", {"a": [2**64]}),
        ("body.metadata", {1: 2}),
        ("body.metrics", object()),
    ],
)
def test_what_no_database_can_hold_is_refused_by_name(
    store: Store, run: Run[Any], project: str, field: str, value: Any
) -> None:
    head, _, name = field.partition(".")
    bad = replace(a_span("b", start_ns=0), **(parts({name: value}) if name else {field: value}))
    with pytest.raises(SpanloomError) as refused:
        run(store.write_spans(project, [a_span(), bad]))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert [v.field for v in refused.value.violations] == [f"spans[1].{name or head}"]
    assert run(store.trace_spans(project, "t")) == []  # all or nothing


def test_what_can_be_stored_of_a_call_is_stored_and_the_rest_is_returned(
    store: Store, run: Run[Any], project: str
) -> None:
    spans = [
        a_span("a"),
        a_span("b", name="nul\0"),
        a_span("c", body={"inputs": {"a": [2**64]}}),
        a_span("d"),
        a_span("e", trace_id="x" * 257),
    ]
    refused = run(store.write_spans(project, spans, partial=True))
    assert [(one.index, one.field) for one in refused] == [
        (1, "name"),
        (2, "inputs"),
        (4, "trace_id"),
    ]
    assert refused[0].description == "holds a NUL character"
    assert [span.span_id for span in run(store.trace_spans(project, "t"))] == ["a", "d"]
    refused = run(store.write_spans(project, spans[1:3], partial=True))
    assert [one.index for one in refused] == [0, 1]
    assert list(run(store.write_spans(project, spans[:1], partial=True))) == []


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 257])
def test_what_cannot_be_an_id_is_refused_by_name_when_reading(
    store: Store, run: Run[Any], value: str
) -> None:
    for name, read in {
        "project": store.list_traces(value, limit=1),
        "trace_id": store.trace_spans("p", value),
        "session_id": store.session_spans("p", value),
        "event_id": store.find_event("p", value),
    }.items():
        with pytest.raises(SpanloomError) as refused:
            run(read)
        assert [v.field for v in refused.value.violations] == [name]


def test_a_large_body_survives(store: Store, run: Run[Any], project: str) -> None:
    span = a_span(body={"inputs": {"text": "0123456789🙂" * 300_000}})
    run(store.write_spans(project, [span]))
    assert run(store.trace_spans(project, "t")) == [span]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TIME = st.integers(-(2**63) + 1, 2**63 - 1)
SPANS = st.builds(
    a_span,
    span_id=TEXT,
    event_id=TEXT,
    parent_id=TEXT,
    name=TEXT,
    kind=TEXT,
    start_ns=TIME,
    end_ns=st.none() | TIME,
    cost=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    input_tokens=st.none() | st.integers(0, 2**63 - 1),
    body=st.dictionaries(
        st.sampled_from(["inputs", "metadata", "error", "input_messages", "tool_definitions"]), JSON
    ),
)


@settings(max_examples=25)
@given(st.lists(SPANS, max_size=5))
def test_whatever_is_text_and_json_survives(
    store: Store, run: Run[Any], project: str, spans: list[Span]
) -> None:
    run(store.delete_trace(project, "t"))
    run(store.write_spans(project, spans))
    last = {span.span_id: span for span in spans}
    expected = sorted(last.values(), key=lambda s: (s.start_ns, s.span_id.encode()))
    assert run(store.trace_spans(project, "t")) == expected


def test_the_event_written_last_is_found_where_traces_share_its_id(
    store: Store, run: Run[Any], project: str
) -> None:
    older, newer = a_span("e", "t2", start_ns=9), a_span("e", "t1", start_ns=1)
    run(store.write_spans(project, [older]))
    run(store.write_spans(project, [newer]))
    assert run(store.find_event(project, "e")) == newer


def test_a_trace_is_told_by_its_root(store: Store, run: Run[Any], project: str) -> None:
    child = a_span("child", "trace", parent_id="span", start_ns=1, session_id="session")
    run(store.write_spans(project, [child, FULL]))
    assert run(store.list_traces(project, limit=10)) == [
        Trace(
            trace_id="trace",
            name="Model Completion",
            feature_slug="search",
            start_ns=FULL.start_ns,
            end_ns=FULL.end_ns,
            status="ERROR",
            session_id="session",
            user_id="user-1",
            organization_id="org-1",
            experiment_id="exp-1",
        )
    ]


def test_of_several_roots_in_a_call_the_earliest_tells(
    store: Store, run: Run[Any], project: str
) -> None:
    roots = [a_span(i, name=i, start_ns=n) for i, n in [("b", 5), ("a", 3), ("c", 4)]]
    run(store.write_spans(project, [a_span("d", start_ns=1, parent_id="a"), *roots]))
    assert [t.name for t in run(store.list_traces(project, limit=10))] == ["a"]


def test_the_earliest_span_stands_in_until_the_root_comes(
    store: Store, run: Run[Any], project: str
) -> None:
    def names() -> list[str]:
        return [t.name for t in run(store.list_traces(project, limit=10))]

    run(
        store.write_spans(
            project, [a_span(i, name=i, parent_id="r", start_ns=n) for i, n in [("b", 2), ("a", 1)]]
        )
    )
    assert names() == ["a"]
    run(store.write_spans(project, [a_span("c", name="c", parent_id="r", start_ns=0)]))
    assert names() == ["a"]
    run(store.write_spans(project, [a_span("r", name="root", start_ns=7)]))
    assert names() == ["root"]
    run(store.write_spans(project, [a_span("d", name="d", parent_id="r", start_ns=0)]))
    assert names() == ["root"]
    run(store.write_spans(project, [a_span("r", name="root, renamed", start_ns=7)]))
    assert names() == ["root, renamed"]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (TraceFacts(feature_slug="a\0b"), "feature_slug"),
        (TraceFacts(user=Party(id="\ud800")), "user.id"),
        (TraceFacts(organization=Party(id="\0")), "organization.id"),
        (TraceFacts(experiment_id="\0"), "experiment.id"),
    ],
)
def test_what_a_traces_row_cannot_hold_is_refused_by_name(
    store: Store, run: Run[Any], project: str, said: TraceFacts, name: str
) -> None:
    with pytest.raises(SpanloomError) as refused:
        run(store.write_spans(project, [a_span(trace=said)]))
    assert [v.field for v in refused.value.violations] in ([f"spans[0].{name}"], ["spans[0].trace"])


def test_what_is_said_of_a_trace_without_ids_leaves_its_row_empty(
    store: Store, run: Run[Any], project: str
) -> None:
    said = TraceFacts(feature_slug="", user=Party(name="ada"), organization=Party())
    run(store.write_spans(project, [a_span(trace=said)]))
    [trace] = run(store.list_traces(project, limit=10))
    assert trace == Trace(trace_id="t", start_ns=1, session_id="t")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_traces_are_listed_page_by_page_newest_first(
    store: Store, run: Run[Any], project: str, limit: int
) -> None:
    starts = {"a": 5, "b": 7, "B": 7, "c": 7, "d": -1, "e": 7, "f": 2**62}
    run(store.write_spans(project, [a_span("s", t, start_ns=n) for t, n in starts.items()]))
    seen: list[str] = []
    after = None
    while page := run(store.list_traces(project, limit=limit, after=after)):
        assert len(page) <= limit
        seen += [t.trace_id for t in page]
        after = (page[-1].start_ns, page[-1].trace_id)
    assert seen == ["f", "e", "c", "b", "B", "a", "d"]


def test_a_trace_is_deleted_with_feedback_on_it(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_spans(project, [a_span("a"), a_span("b", parent_id="a"), a_span("a", "other")]))
    on = {
        "trace": Feedback(id="1", target="trace", target_id="t"),
        "span": Feedback(id="2", target="span", target_id="a", trace_id="t"),
        "span, no trace said": Feedback(id="3", target="span", target_id="b"),
        "span of another": Feedback(id="4", target="span", target_id="a", trace_id="other"),
        "another trace": Feedback(id="5", target="trace", target_id="other"),
        "conversation": Feedback(id="6", target="conversation", target_id="t"),
    }
    for feedback in on.values():
        run(store.write_feedback(project, feedback))
    assert run(store.delete_trace(project, "t")) is True
    assert run(store.trace_spans(project, "t")) == []
    assert run(store.find_event(project, "b")) is None
    assert [t.trace_id for t in run(store.list_traces(project, limit=10))] == ["other"]
    assert {f.id for f in run(store.find_feedback(project, limit=10)).items} == {"4", "5", "6"}
    assert run(store.delete_trace(project, "t")) is False
    run(store.write_spans(project, [a_span("a")]))  # and may come anew
    assert run(store.trace_spans(project, "t")) == [a_span("a")]


def test_of_sessions_started_at_once_one_is_stored(
    store: Store, run: Run[Any], project: str, url: str
) -> None:
    sessions = [a_span("s", "s", kind="session", name=str(n)) for n in range(8)]

    async def start() -> list[bool]:
        other = await Store.open(url, migrate=False)
        try:
            starts = zip(sessions, [store, other] * 4, strict=True)
            return await asyncio.gather(*(at.start_session(project, span) for span, at in starts))
        finally:
            await other.close()

    stored = run(start())
    assert sorted(stored) == [False] * 7 + [True]
    assert run(store.find_event(project, "s")) == sessions[stored.index(True)]


def random_text(length: int, first: int, last: int) -> str:
    """A text that no compression makes short."""
    random = Random(length)
    return "".join(chr(random.randint(first, last)) for _ in range(length))


FREE_TEXTS = ("name", "operation", "status", "agent_name", "provider", "model")


@pytest.mark.parametrize("column", [*FREE_TEXTS, "feature_slug", "user", "experiment_id"])
def test_a_text_of_any_length_is_stored_and_found(
    store: Store, project: str, run: Run[Any], column: str
) -> None:
    long = random_text(3_000_000 if column == "name" else 20_000, ord("!"), ord("~"))
    facts: dict[str, Any] = {column: {"id": long} if column == "user" else long}
    span = a_span("x", **facts) if column in FREE_TEXTS else a_span("x", body=facts)
    run(store.write_spans(project, [span, a_span("y")]))
    assert run(store.trace_spans(project, "t")) == [span, a_span("y")]
    if column in ("name", "agent_name"):
        found: list[Span] = []

        def take(span: Span) -> bool:
            found.append(span)
            return True

        asked_of: dict[str, Any] = {column: long}
        run(store.list_spans(project, SpanQuery(**asked_of), take, seconds=60))
        assert found == [span]
    if column == "name":
        asked = [Filter(field="event_name", operator="is", value=long)]
        assert run(store.find_events(project, EventQuery(filters=asked))).items == [span]
    if column == "experiment_id":
        [trace] = run(store.list_traces(project, TraceQuery(experiment_id=long), limit=5))
        assert trace.experiment_id == long


def test_ids_of_the_widest_characters_are_stored(store: Store, project: str, run: Run[Any]) -> None:
    ids = [random_text(MAX_ID_LENGTH, 0x10000 + n, 0x1F000) for n in range(4)]
    wide = project + random_text(MAX_PROJECT_LENGTH - len(project), 0x10000, 0x1F000)
    span = a_span(ids[0], ids[1], session_id=ids[2], event_id=ids[3], kind=ids[2], parent_id=ids[1])
    run(store.write_spans(wide, [span]))
    run(store.patch_event(wide, ids[3], {"name": "n"}))
    run(store.patch_span(wide, ids[1], ids[0], {"error": "x"}))
    run(store.follower.catch_up())
    found = run(store.find_event(wide, ids[3]))
    assert (found.name, found.status) == ("n", "ERROR")
    assert run(store.delete_session(wide, ids[2]))
    assert run(store.find_event(wide, ids[3])) is None
