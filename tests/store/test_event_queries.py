"""Finding events: filters, the date range, order and pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import EventQuery, Filter, Span
from spanloom.store.store import Store
from tests.parts import parts
from tests.store.conftest import Run
from tests.store.samples import BODY, FULL, a_span


def is_(field: str, value: Any, *, type: str = "string", operator: str = "is") -> EventQuery:
    return EventQuery(filters=[Filter(field=field, operator=operator, value=value, type=type)])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "event"),
        ("event_type", "model"),
        ("event_name", "Model Completion"),
        ("session_id", "session"),
        ("inputs.chat_history.0.role", "user"),
        ("inputs.chat_history.0.content", "What?\n\0"),
        ("outputs.0", "a"),
        ("metadata.πéè 🙂", "🙂"),
        ("metadata.", ""),
        ('metadata.a"b\\c', "\x01"),
        ("config.a.b", "c"),
        ("metrics.m", "good"),
        ("feedback.ground_truth", "Paris"),
        ("user_properties.user", "google-oauth2|1"),
        ("error", "Traceback"),
        ("source", "playground"),
        ("project", "Simple RAG"),
        ("children_ids.1", "child-2"),
    ],
)
def test_a_string_is_found_in_every_field_of_an_event(
    store: Store, run: Run[Any], project: str, field: str, value: str
) -> None:
    body = {
        **BODY,
        "config": {"a": {"b": "c"}},
        "metrics": {"m": "good"},
        "feedback": {"ground_truth": "Paris"},
        "user_properties": {"user": "google-oauth2|1"},
        "error": "Traceback",
        "source": "playground",
        "project": "Simple RAG",
        "children_ids": ["child-1", "child-2"],
    }
    event = replace(FULL, **parts(body))
    run(store.write_spans(project, [event, a_span(body={"error": None, "metadata": {"0": "a"}})]))
    assert run(store.find_events(project, is_(field, value))).items == [event]
    assert run(store.find_events(project, is_(field, value + "x"))).items == []
    assert run(store.find_events(project, is_(field, value.swapcase() + " "))).items == []


def test_the_parent_of_a_root_in_a_session_is_the_session(
    store: Store, run: Run[Any], project: str
) -> None:
    session = a_span("s", "s", kind="session")
    child = a_span("child", "s", parent_id="s", start_ns=2)
    root_elsewhere = a_span("root", "other", session_id="s", start_ns=3)
    grandchild = a_span("grandchild", "other", session_id="s", parent_id="root", start_ns=4)
    run(store.write_spans(project, [session, child, root_elsewhere, grandchild, a_span()]))

    def ids(query: EventQuery) -> list[str]:
        return [e.event_id for e in run(store.find_events(project, query)).items]

    assert ids(is_("parent_id", "s")) == ["root", "child"]
    assert ids(is_("parent_id", "root")) == ["grandchild"]
    assert ids(is_("parent_id", "t")) == ["a"]
    assert ids(is_("parent_id", None)) == ["s"]
    assert ids(is_("event_type", "session")) == ["s"]


def test_the_date_range_includes_both_ends(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_spans(project, [a_span(str(n), start_ns=n) for n in range(1, 7)]))
    page = run(store.find_events(project, EventQuery(since_ns=2, until_ns=4)))
    assert ([e.event_id for e in page.items], page.total) == (["4", "3", "2"], 3)
    assert run(store.find_events(project, EventQuery(since_ns=6))).total == 1
    assert run(store.find_events(project, EventQuery(until_ns=2))).total == 2
    assert run(store.find_events(project, EventQuery(since_ns=7))).total == 0


@pytest.mark.parametrize("limit", [1, 3, 4, 12, 100])
def test_pages_hold_each_event_once_newest_first(
    store: Store, run: Run[Any], project: str, limit: int
) -> None:
    events = [
        a_span(f"{n:02}", f"t{n % 3}", start_ns=n // 5, kind="tool", name="xy"[n % 2])
        for n in range(24)
    ]
    run(store.write_spans(project, events))
    seen: list[Span] = []
    for page in range(1, 26):
        found = run(
            store.find_events(project, replace(is_("event_name", "x"), limit=limit, page=page))
        )
        assert found.total == 12
        seen += found.items
    assert seen == [event for event in reversed(events) if event.name == "x"]
    beyond = run(store.find_events(project, EventQuery(limit=7, page=2**70)))
    assert (beyond.items, beyond.total) == ([], 24)


def test_all_filters_hold(store: Store, run: Run[Any], project: str) -> None:
    for n in range(8):
        body = {"metadata": {"env": "prod" if n & 1 else "test"}}
        span = a_span(
            str(n), kind="tool" if n & 2 else "model", name="x" if n & 4 else "y", body=body
        )
        run(store.write_spans(project, [span]))
    wanted = [("metadata.env", "prod"), ("event_type", "tool"), ("event_name", "x")]
    filters = [Filter(field=f, operator="is", value=v) for f, v in wanted]
    assert [
        e.event_id for e in run(store.find_events(project, EventQuery(filters=filters))).items
    ] == ["7"]


@pytest.mark.parametrize(
    ("filter", "part", "says"),
    [
        (Filter(field="nonsense", operator="is", value="x"), "field", "event_id"),
        (Filter(field="session_id.x", operator="is", value="x"), "field", "event_id"),
        (Filter(field="\ud800", operator="is", value="x"), "field", "surrogate"),
        (Filter(field="inputs.\ud800", operator="is", value="x"), "field", "surrogate"),
        (Filter(field="event_id", operator="like", value="x"), "operator", "not contains"),
        (Filter(field="event_id", operator="greater than", value="x"), "operator", "string"),
        (Filter(field="error", operator="is", value="x", type="id"), "type", "datetime"),
        (Filter(field="event_id", operator="is", value=1, type="number"), "type", "string"),
        (
            Filter(field="duration", operator="after", value="2024", type="datetime"),
            "type",
            "number",
        ),
        (Filter(field="event_id", operator="is", value=5), "value", "string"),
        (Filter(field="error", operator="contains", value=None), "value", "string"),
        (Filter(field="error", operator="is", value="\udfff"), "value", "surrogate"),
        (Filter(field="duration", operator="is", value="many", type="number"), "value", "number"),
        (Filter(field="duration", operator="is", value="nan", type="number"), "value", "number"),
        (Filter(field="duration", operator="is", value=True, type="number"), "value", "number"),
        (Filter(field="duration", operator="is", value=10**400, type="number"), "value", "number"),
        (
            Filter(field="metadata.x", operator="is", value="yes", type="boolean"),
            "value",
            "boolean",
        ),
        (Filter(field="metadata.x", operator="is", value=1, type="boolean"), "value", "boolean"),
        (
            Filter(field="end_time", operator="after", value="soon", type="datetime"),
            "value",
            "datetime",
        ),
        (
            Filter(field="end_time", operator="after", value=[], type="datetime"),
            "value",
            "datetime",
        ),
        (
            Filter(field="end_time", operator="is", value="nan", type="datetime"),
            "value",
            "datetime",
        ),
    ],
)
def test_a_filter_that_means_nothing_is_refused_by_name(
    store: Store, run: Run[Any], project: str, filter: Filter, part: str, says: str
) -> None:
    with pytest.raises(SpanloomError, match=says) as refused:
        run(store.find_events(project, EventQuery(filters=[replace(filter, position=3)])))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert [v.field for v in refused.value.violations] == [f"filters[3].{part}"]


TIME = datetime(2024, 5, 6, 6, 59, 24, 301_000, tzinfo=UTC)
TIME_MS = 1_714_978_764_301


@pytest.mark.parametrize(
    ("field", "operator", "type", "value", "matches"),
    [
        ("start_time", "is", "number", TIME_MS, True),
        ("start_time", "is", "number", f"{TIME_MS}.0", True),
        ("start_time", "is", "number", TIME_MS + 1, False),
        ("start_time", "greater than", "number", TIME_MS - 0.001, True),
        ("start_time", "greater than", "number", TIME_MS, False),
        ("start_time", "less than", "number", 1e300, True),
        ("start_time", "is", "datetime", TIME.isoformat(), True),
        ("start_time", "is", "datetime", "2024-05-06T06:59:24.301Z", True),
        ("start_time", "is", "datetime", "2024-05-06 06:59:24.301", True),
        ("start_time", "is", "datetime", "2024-05-06T08:59:24.301+02:00", True),
        ("start_time", "is not", "datetime", TIME_MS, False),
        ("start_time", "after", "datetime", "2024-05-06", True),
        ("start_time", "before", "datetime", "2024-05-06", False),
        ("end_time", "exists", "datetime", None, False),
        ("end_time", "after", "datetime", "2024-05-06", False),
        ("end_time", "is not", "datetime", "2024-05-06", True),
        ("duration", "is", "number", "999.8056", True),
        ("duration", "less than", "number", 999.8056, False),
        ("duration", "not exists", "string", None, False),
    ],
)
def test_times_and_duration_compare_as_numbers_and_times(
    store: Store,
    run: Run[Any],
    project: str,
    field: str,
    operator: str,
    type: str,
    value: Any,
    matches: bool,
) -> None:
    span = a_span(start_ns=TIME_MS * 1_000_000, duration_ms=999.8056)
    run(store.write_spans(project, [span]))
    query = is_(field, value, type=type, operator=operator)
    assert run(store.find_events(project, query)).total == int(matches)
