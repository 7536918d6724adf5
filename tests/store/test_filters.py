"""Filters on events, against the same conditions in plain Python: every field, type and operator,
on each database."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.adapters.honeyhive.write import event_message
from spanloom.codec import json_codec
from spanloom.model import EVENT_TYPES, STATUSES, EventQuery, Filter, Json, Span
from spanloom.model.span import EVENT_FIELDS, SHOWN_COLUMNS, TOTAL_TOKENS
from spanloom.store.sql.predicates import value_at
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

OPERATORS = {
    "string": ("exists", "not exists", "is", "is not", "contains", "not contains"),
    "number": ("exists", "not exists", "is", "is not", "greater than", "less than"),
    "boolean": ("exists", "not exists", "is"),
    "datetime": ("exists", "not exists", "is", "is not", "after", "before"),
}


class Nanoseconds(int):
    """The time of a column, which no floating point rounds."""


COLUMNS: dict[str, Callable[[Span], Json]] = {
    "event_id": lambda span: span.event_id,
    "event_type": lambda span: span.kind,
    "event_name": lambda span: span.name,
    "session_id": lambda span: span.session_id,
    "parent_id": lambda span: (
        span.parent_id
        if span.parent_id or span.kind == "session" or span.event_id == span.session_id
        else span.session_id
    ),
    "start_time": lambda span: Nanoseconds(span.start_ns),
    "end_time": lambda span: None if span.end_ns is None else Nanoseconds(span.end_ns),
    "duration": lambda span: span.duration_ms,
}
# What fields that are columns can be compared as; the others as anything.
TYPES = {
    **dict.fromkeys(COLUMNS, ("string",)),
    **dict.fromkeys(("start_time", "end_time"), ("number", "datetime")),
    "duration": ("number",),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{3})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def time_ms(value: Json) -> float | None:
    """Milliseconds since 1970 of a number of them or of a time's text."""
    if not isinstance(value, str):
        return float(value) if is_number(value) else None
    if not ISO.fullmatch(value):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (time.replace(tzinfo=time.tzinfo or UTC) - EPOCH) / timedelta(milliseconds=1)


def is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def at(value: Json, steps: list[str]) -> Json:
    """What stands at a path: a number is a place in a list, all else a key."""
    for step in steps:
        place = re.fullmatch("0|[1-9][0-9]{0,8}", step)
        if isinstance(value, list):
            value = value[int(step)] if place and int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) and not place else None
    return value


def value_of(span: Span, field: str) -> Json:
    """A field as the event shows it."""
    if field in COLUMNS:
        return COLUMNS[field](span)
    head, *steps = field.split(".")
    found = getattr(span.io, head)
    if (
        steps
        and steps[0] == {"inputs": "input", "outputs": "output"}.get(head)
        and not isinstance(found, dict)
    ):
        steps = steps[1:]
    elif field == "error" and found is None and span.status == "ERROR":
        found = span.status_message or None
    shown = columns_of(span)
    if not steps and found is None:
        return {key: value for (of, key), value in shown.items() if of == head} or None
    told = at(found, steps)
    return shown.get((head, *steps)) if told is None else told


def columns_of(span: Span) -> dict[tuple[str, ...], Json]:
    """What an event shows in its objects because a column holds it."""
    shown: dict[tuple[str, ...], Json] = {
        at: value
        for at, name in SHOWN_COLUMNS.items()
        if (value := getattr(span, name)) not in (None, "")
    }
    tokens = [n for n in (span.input_tokens, span.output_tokens) if n is not None]
    return shown | ({TOTAL_TOKENS: sum(tokens)} if tokens else {})


def holds(span: Span, asked: Filter) -> bool:
    """What a condition says, without SQL."""
    value, wanted = value_of(span, asked.field), asked.value
    if asked.operator in ("exists", "not exists") or wanted is None:
        is_there = value is not None and (value != "" or asked.field not in COLUMNS)
        return is_there == (asked.operator in ("exists", "is not"))
    if isinstance(value, Nanoseconds):
        ms = time_ms(wanted)
        wanted = int(Decimal(str(wanted if ms is None else ms)) * 1_000_000)
    elif asked.type == "number":
        value, wanted = float(value) if is_number(value) else None, float(wanted)
    elif asked.type == "datetime":
        value, wanted = time_ms(value), time_ms(wanted)
    elif asked.type == "boolean":
        value = value if isinstance(value, bool) else None
        wanted = {"true": True, "false": False}.get(wanted, wanted)
    else:
        value = value.replace("\0", "\ufffd") if isinstance(value, str) else None
        wanted = wanted.replace("\0", "\ufffd")
    compare: dict[str, Callable[[], bool]] = {
        "is": lambda: value == wanted,
        "is not": lambda: value != wanted,
        "contains": lambda: value is not None and wanted in value,
        "not contains": lambda: value is None or wanted not in value,
        "greater than": lambda: value is not None and value > wanted,
        "less than": lambda: value is not None and value < wanted,
        "after": lambda: value is not None and value > wanted,
        "before": lambda: value is not None and value < wanted,
    }
    return compare[asked.operator]()


def check(store: Store, run: Run[Any], project: str, spans: list[Span], asked: Filter) -> None:
    found = run(store.find_events(project, EventQuery(filters=[asked])))
    expected = sorted(span.span_id for span in spans if holds(span, asked))
    assert sorted(span.span_id for span in found.items) == expected, asked
    assert found.total == len(expected)


DAY_MS = 1_714_953_600_000  # 2024-05-06
DAY_NS = DAY_MS * 1_000_000
SCALARS: list[Json] = [
    *(None, True, False, "", "a", "A", "true", "1", 0, 1, 1.5, -2, 2**53, float(DAY_MS)),
    *("2024-05-06", "2024-05-06T00:00:00.000Z", "2024-05-06T02:00:00+02:00", "2024-13-06", "now"),
    *([], {}, ["a", {"b": "2024-05-06 00:00"}], {"a": [None, 1]}),
]
EVENTS = [
    *(
        a_span(
            f"b{n}",
            body=dict.fromkeys(("metadata", "inputs", "outputs", "error"), value)
            | {"config": {"x": value, "list": [0, value]}}
            | ({"status_message": value} if isinstance(value, str) else {}),
            status=STATUSES[n % 3],
        )
        for n, value in enumerate(SCALARS)
    ),
    a_span("c1", kind="model", provider="a", model="a", input_tokens=1, cost=1.5),
    a_span(
        "c2",
        kind="model",
        provider="openai",
        model="s",
        input_tokens=3,
        output_tokens=2,
        cost=0.0,
        body={
            "config": {"model": "a", "provider": 1},
            "metadata": {"cost": 1, "prompt_tokens": "a"},
        },
    ),
    a_span("c3", output_tokens=1, body={"config": {}, "metadata": {"total_tokens": DAY_MS}}),
    a_span("s", "s", kind="session", name="a", start_ns=DAY_NS, end_ns=DAY_NS),
    a_span("in s", "s", parent_id="s", kind="tool", start_ns=DAY_NS + 1, duration_ms=1.0),
    a_span(
        "elsewhere", "u", session_id="s", kind="model", end_ns=DAY_NS + 1_000_000, duration_ms=0.0
    ),
    a_span("below", "u", session_id="s", parent_id="elsewhere", name="2024-05-06", duration_ms=1.5),
]
FIELDS = [
    *COLUMNS,
    *("metadata", "metadata.1.b", "metadata.a.1", "config.x", "config.list.1"),
    *("inputs.input.1.b", "outputs.output", "outputs.0", "error"),
    *("config", *(".".join(path) for path in (*SHOWN_COLUMNS, TOTAL_TOKENS))),
]
ASKED: dict[str, list[Json]] = {
    "string": ["a", "", "s", None],
    "number": ["1.5", DAY_MS, None],
    "boolean": [True, "false"],
    "datetime": ["2024-05-06", "2024-05-06T02:00:00.001+02:00"],
}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("field", FIELDS)
def test_every_operator_of_every_type_says_what_plain_code_says(
    store: Store, run: Run[Any], field: str, indexed: bool
) -> None:
    project = "filters"
    if not run(store.find_events(project, EventQuery(limit=1))).items:
        run(store.write_spans(project, EVENTS))
    if indexed:
        run(store.indexer.catch_up())
    for kind in TYPES.get(field, OPERATORS):
        for operator, value in itertools.product(OPERATORS[kind], ASKED[kind]):
            if value is not None or operator in ("exists", "not exists", "is", "is not"):
                asked = Filter(field=field, operator=operator, value=value, type=kind)
                check(store, run, project, EVENTS, asked)


def leaves(value: Json, path: str = "") -> dict[str, Json]:
    """What stands at the end of each path."""
    if not isinstance(value, (dict, list)):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[str, Json] = {}
    for key, inner in items:
        found |= leaves(inner, f"{path}.{key}" if path else str(key))
    return found


def typed(span: Span) -> list[tuple[Json, type]]:
    return [(span.io.error, str), (span.io.metadata, dict)]


def test_a_field_is_what_the_event_shows() -> None:
    for span in EVENTS:
        if any(value is not None and not isinstance(value, kind) for value, kind in typed(span)):
            continue  # no adapter stores such
        event = event_message(span)
        shown = {
            **leaves(json.loads(json_codec.to_json(event))),
            "start_time": span.start_ns,
            **({"end_time": span.end_ns} if event.HasField("end_time") else {}),
        }
        assert shown.keys() > {"event_id", "parent_id", "start_time"}
        for path, value in shown.items():
            if path.split(".")[0] not in ("metadata", "org_id") or not path.endswith(".1"):
                assert (value_of(span, path) or "") == (value or ""), path


def test_a_key_with_dots_is_found() -> None:
    metadata = {"user.id": 1, "a": {"b.c": {"d.e.f": 2}, "x": 0}, "a.x": 3, "n": None, "n.m": 4}
    span = a_span(body={"metadata": metadata})
    for path, value in (
        ("user.id", 1),
        ("a.b.c.d.e.f", 2),
        ("a.x", 0),  # of two ways that with the shorter keys
        ("n.m", 4),
        ("a.b.c.d", None),
        ("user", None),
    ):
        assert value_at(f"metadata.{path}")(span) == value, path


ODD_KEYS = [
    *('a"b', "a\\b", "a'b", "a b", "$", "[0]", "#", "🙂", "", "0x", "\n", "\0", "%s", ":p", "-1"),
]
KEYS = st.sampled_from(["a", "b", "0", "1", "01", *ODD_KEYS])
TEXTS = st.text(st.sampled_from('aAb"\\/\0\n%_\x01é🙂u0'), max_size=4)
NUMBERS = st.sampled_from([0, 1, -1, 2**53, 2**62]) | st.floats(-2, 2) | st.floats(-1e300, 1e300)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - the offset is drawn, too
    lambda time: time.isoformat(timespec="milliseconds")
)
TIMES = st.builds(str.__add__, TIMES, st.sampled_from(["", "Z", "+05:30", "-11:00"]))
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS | TIMES
TREES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(["metadata", "inputs", "error"]), TREES, max_size=3)
IDS = st.sampled_from(["a", "b", "t"])
NANOSECONDS = st.integers(0, 3) | st.integers(0, 2**62)
SPANS = st.builds(
    a_span,
    event_id=IDS,
    session_id=IDS,
    parent_id=st.just("") | IDS,
    kind=st.sampled_from(EVENT_TYPES),
    name=TEXTS.filter(lambda text: "\0" not in text),
    status=st.sampled_from(STATUSES),
    start_ns=NANOSECONDS,
    end_ns=st.none() | NANOSECONDS,
    duration_ms=st.none() | st.floats(0, 1e9),
    model=st.sampled_from(["", "a", "%"]),
    input_tokens=st.none() | st.sampled_from([0, 1, 2**53]),
    cost=st.none() | st.floats(0, 2),
    body=BODIES,
)


def paths_of(value: Json, path: str = "") -> list[str]:
    """Every path in a tree."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    deeper = [
        p for key, inner in items for p in paths_of(inner, f"{path}.{key}" if path else str(key))
    ]
    return [path, *deeper] if path else deeper


def said(span: Span) -> dict[str, Json]:
    return {name: value for name in EVENT_FIELDS if (value := getattr(span.io, name)) is not None}


SHOWN = {"error", *(".".join(path) for path in (*SHOWN_COLUMNS, TOTAL_TOKENS))}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Span], list[Filter]]:
    spans = [
        replace(span, span_id=str(n))
        for n, span in enumerate(draw(st.lists(SPANS, min_size=1, max_size=4)))
    ]
    known = sorted({path for span in spans for path in paths_of(said(span))} | SHOWN)
    made = st.lists(KEYS, max_size=2).map(lambda keys: ".".join(["metadata", *keys]))
    values = {
        "string": TEXTS,
        "number": NUMBERS | NUMBERS.map(repr),
        "boolean": st.booleans(),
        "datetime": TIMES | st.integers(0, 2**53),
    }
    asked = []
    for position in range(draw(st.integers(1, 6))):
        field = draw(st.sampled_from(known) | made | st.sampled_from(sorted(COLUMNS)))
        kind = draw(st.sampled_from(TYPES.get(field, tuple(OPERATORS))))
        operator = draw(st.sampled_from(OPERATORS[kind]))
        value = draw(values[kind] | st.none() if operator in ("is", "is not") else values[kind])
        asked.append(
            Filter(field=field, operator=operator, value=value, type=kind, position=position)
        )
    return spans, asked


@settings(max_examples=30)
@given(cases(), st.booleans())
def test_filters_say_what_plain_code_says(
    store: Store,
    run: Run[Any],
    project: str,
    case: tuple[list[Span], list[Filter]],
    indexed: bool,
) -> None:
    spans, filters = case
    run(store.delete_trace(project, "t"))
    run(store.write_spans(project, spans))
    if indexed:
        run(store.indexer.catch_up())
    for asked in filters:
        check(store, run, project, spans, asked)
