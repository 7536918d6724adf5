"""The columns of a span that are read when it comes are those of the whole span, which is restored
when somebody looks at it."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp import draft
from spanloom.adapters.otlp.conventions.otel_genai import FIELDS
from spanloom.adapters.otlp.draft import CONVENTIONS
from spanloom.adapters.otlp.read import Received, briefs_from, spans_from
from spanloom.codec import otlp_json
from spanloom.model import Span
from spanloom.model.evaluations import traces_requesting_evaluation
from spanloom.store.sql import rows
from tests.ingest.otlp import requests as r
from tests.parts import as_read, tool_of

FIXTURES = sorted(Path("tests/data/otlp").rglob("*.json"))
RECEIVED_NS = 1_700_000_000 * 10**9
COLUMNS = attrgetter(
    *(
        field.name
        for field in fields(Span)
        if field.name
        not in (
            *("status_message", "error_type", "instrumentation", "conversation_name", "updated"),
            *("io", "genai", "trace", "sent"),
        )
    )
)


def briefs(request: Any, *, most: int = 7) -> Received:
    whole = Received([], [])
    for part in briefs_from(request, received_ns=RECEIVED_NS, most=most):
        assert len(part.spans) <= most
        whole.spans.extend(part.spans)
        whole.rejected.extend(part.rejected)
    return whole


def check(request: Any) -> None:
    whole, brief = spans_from(request, received_ns=RECEIVED_NS), briefs(request)
    assert brief.rejected == whole.rejected
    for one, other in zip(brief.spans, whole.spans, strict=True):
        assert COLUMNS(one) == COLUMNS(other)
        assert one.trace == other.trace
        agents = [span.genai.agent and span.genai.agent.version for span in (one, other)]
        assert (agents[0] or "") == (agents[1] or "")
    assert traces_requesting_evaluation(brief.spans) == traces_requesting_evaluation(whole.spans)
    brief_rows = rows.span_rows("p", brief.spans, partial=True)
    whole_rows = rows.span_rows("p", whole.spans, partial=True)
    assert brief_rows.spans == whole_rows.spans
    assert brief_rows.traces == whole_rows.traces
    assert brief_rows.refused == whole_rows.refused
    assert as_read(brief_rows) == as_read(whole_rows)


@pytest.mark.parametrize("path", FIXTURES, ids=str)
def test_recorded_spans_have_the_columns_of_the_whole_read(path: Path) -> None:
    check(otlp_json.parse(path.read_bytes()))


KEYS = st.sampled_from(
    [
        *(key for convention in CONVENTIONS for key, _, _ in convention.rules),
        *(prefix + "x" for convention in CONVENTIONS for prefix in convention.prefixes),
        *(f"gen_ai.{key}" for key, _, _ in FIELDS),
        *("", "other", "gen_ai.conversation.name"),
    ]
)
TEXTS = st.sampled_from(
    [
        *("", "chat", "chain", "execute_tool", "openai", "gpt-4o", "0.5", "true", "a\0b", "null"),
        *('[{"role": "user", "content": "hi"}]', '{"id": "x", "slug": "y"}', "[" * 300),
    ]
)
VALUES = st.one_of(
    TEXTS, st.integers(-1, 2**62), st.booleans(), st.floats(allow_nan=False), st.lists(TEXTS)
)
NAMES = st.sampled_from(["", "chat x", "invoke_agent Ada", "execute_tool look", "step", "a\0"])
SCOPES = [scope for convention in CONVENTIONS for scope in convention.scopes]


@st.composite
def requests(draw: st.DrawFn) -> trace_pb2.TracesData:
    request = trace_pb2.TracesData()
    group = request.resource_spans.add(schema_url=draw(st.sampled_from(["", "u"])))
    scoped = group.scope_spans.add()
    scoped.scope.name = draw(st.sampled_from(["", "other", *SCOPES]))
    for number in range(draw(st.integers(1, 3))):
        span = scoped.spans.add(
            trace_id=b"\1" * 16,
            span_id=bytes([number + 1]) * 8,
            name=draw(NAMES),
            parent_span_id=draw(st.sampled_from([b"", b"\0" * 8, b"\1" * 8])),
            start_time_unix_nano=draw(st.sampled_from([0, 5, RECEIVED_NS])),
            end_time_unix_nano=draw(st.sampled_from([0, 1, RECEIVED_NS + 1])),
        )
        for key, value in draw(st.lists(st.tuples(KEYS, VALUES), max_size=6)):
            pair = span.attributes.add(key=key)
            pair.value.CopyFrom(r.value(value))
        if draw(st.booleans()):
            span.status.CopyFrom(trace_pb2.Status(code=draw(st.sampled_from([0, 1, 2]))))  # type: ignore[arg-type]
        for name in draw(st.lists(st.sampled_from(["exception", "gen_ai.choice"]), max_size=2)):
            span.events.add(name=name)
    return request


@given(requests())
@settings(max_examples=300)
def test_any_span_has_the_columns_of_the_whole_read(request: trace_pb2.TracesData) -> None:
    check(request)


def test_what_an_older_reader_stored_is_read_by_the_one_of_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "gen_ai.tool.call.result"
    span = r.span_message(
        "execute_tool look", {"gen_ai.operation.name": "execute_tool", key: "found", "own": "x"}
    )
    with monkeypatch.context() as older:
        older.setitem(draft._RULES, key, [])
        for cache in (draft._routes, draft._brief_routes):
            cache.clear()
        stored = rows.span_rows("p", briefs(r.request_of(span)).spans)
        [read_then] = as_read(stored)
        assert read_then.io.outputs is None
    for cache in (draft._routes, draft._brief_routes):
        cache.clear()
    [read_now] = as_read(stored)
    assert read_now.io.outputs == {"result": "found"}
    assert tool_of(read_now).result == "found"
