"""The columns of a span that are read when it comes are those of the whole span, which is restored
when somebody looks at it."""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp import brief, draft, read
from spanloom.adapters.otlp.convention import COLUMNS as OF_COLUMNS
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
    assert [row[:-2] for row in brief_rows.spans] == [row[:-2] for row in whole_rows.spans]
    for row, exact in zip(brief_rows.spans, whole_rows.spans, strict=True):
        # The bits of `apart`: a brief read may not know, and sets one too many.
        assert row[-2] | exact[-2] == row[-2]
    assert brief_rows.traces == whole_rows.traces
    assert brief_rows.refused == whole_rows.refused
    assert as_read(brief_rows) == as_read(whole_rows)


@pytest.mark.parametrize("path", FIXTURES, ids=str)
def test_recorded_spans_have_the_columns_of_the_whole_read(path: Path) -> None:
    check(otlp_json.parse(path.read_bytes()))


def test_nearly_all_recorded_spans_are_read_for_their_columns_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_whole = 0

    def counted(*arguments: Any) -> Span:
        nonlocal read_whole
        read_whole += 1
        return whole_read(*arguments)

    whole_read = read._span
    monkeypatch.setattr(read, "_span", counted)
    total = sum(len(briefs(otlp_json.parse(path.read_bytes())).spans) for path in FIXTURES)
    assert total > 500
    assert read_whole < total / 10


def test_conventions_offer_columns_where_columns_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that `contents` offered, or a field that others ask for and that `tells` does not
    name, would be missed when a span comes."""
    offered: dict[str, set[str]] = {}
    asked: set[str] = set()

    class Watched(dict[str, Any]):
        def __contains__(self, field: object) -> bool:
            asked.add(str(field))
            return super().__contains__(field)

        def get(self, field: str, default: Any = None) -> Any:
            asked.add(field)
            return super().get(field, default)

    for rank, convention in draft.OWNERS.items():

        def contents(source: Any, found: Any, so_far: Any, of: Any = convention) -> Any:
            offers = of.contents(source, found, so_far)
            said = {name for name, value in offers.items() if value is not None}
            offered.setdefault(of.name, set()).update(said)
            return offers

        def columns(source: Any, so_far: Any, of: Any = convention) -> Any:
            watched = Watched(so_far)
            offers = of.columns(source, watched)
            so_far.update(watched)
            return offers

        changed: dict[str, Any] = {}
        if convention.contents:
            changed["contents"] = contents
        if convention.columns:
            changed["columns"] = columns
        monkeypatch.setitem(draft.OWNERS, rank, replace(convention, **changed))
    for path in FIXTURES:
        spans_from(otlp_json.parse(path.read_bytes()), received_ns=RECEIVED_NS)
    asked |= {"input_messages", "output_messages", "prompt", "completion", "tool_name"}
    asked |= {"input_value", "output_value"}
    assert len(offered) > 8
    for convention in CONVENTIONS:
        said = offered.get(convention.name, set())
        assert not said & OF_COLUMNS
        assert said & asked <= set(convention.tells)


KEYS = st.sampled_from(
    [
        *(key for convention in CONVENTIONS for key, _, _ in convention.rules),
        *(prefix + "x" for convention in CONVENTIONS for prefix in convention.prefixes),
        *(f"gen_ai.{key}" for key, _, _ in FIELDS),
        *("", "other", "gen_ai.conversation.name", "recipient_agent_class", "message"),
        *("messaging.operation", "request_data", "final_result", "gcp.vertex.agent.llm_request"),
        *("openinference.span.kind", "llm.input_messages.0.message.content", "group_id", "name"),
        *("langsmith.metadata.usage_metadata", "mlflow.chat.tokenUsage", "input.value"),
        *("langfuse.observation.usage_details", "llamaindex.step.input_summary", "koog.node.id"),
        *("basalt.meta.cost", "traceloop.association.properties.total_tokens", "metadata"),
    ]
)
TEXTS = st.sampled_from(
    [
        *("", "chat", "chain", "execute_tool", "openai", "gpt-4o", "0.5", "true", "a\0b", "null"),
        *("process", "GroupChatManager", "llm", "agent", "tool", "basalt_trace", "(merged tools)"),
        *('{"message": {"source": "Ada", "content": "hi"}}', '{"model": "m", "messages": []}'),
        *('{"input_tokens": 3, "output": 4, "total": 0.5}', "x current_agent_name='Ada' y"),
        *('[{"role": "user", "content": "hi"}]', '{"id": "x", "slug": "y"}', "[" * 300),
    ]
)
VALUES = st.one_of(
    TEXTS, st.integers(-1, 2**62), st.booleans(), st.floats(allow_nan=False), st.lists(TEXTS)
)
NAMES = st.sampled_from(
    [
        *("", "chat x", "invoke_agent Ada", "execute_tool look", "step", "a\0", "handoff to Bo"),
        *(
            "agent_run [Ada]",
            "Function: x",
            "Agent run: {name}",
            "w.call_tool",
            "w.run",
            "(merged tools)",
        ),
    ]
)
EVENTS = st.sampled_from(
    ["exception", "gen_ai.choice", "gen_ai.tool.input", "LLMChatEndEvent", "x.output"]
)
EVENT_KEYS = st.sampled_from(
    [
        *("content", "message", "exception.message", "output", "response.raw.model"),
        *("response.raw.usage.prompt_tokens", "model_dict.model", "messages", "input"),
    ]
)
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
        for name in draw(st.lists(EVENTS, max_size=2)):
            event = span.events.add(name=name)
            for key, value in draw(st.lists(st.tuples(EVENT_KEYS, VALUES), max_size=3)):
                event.attributes.add(key=key).value.CopyFrom(r.value(value))
    return request


@given(requests())
@settings(max_examples=300)
def test_any_span_has_the_columns_of_the_whole_read(request: trace_pb2.TracesData) -> None:
    check(request)


def forget_keys() -> None:
    draft._routes.clear()
    brief._plans.clear()


def test_plans_of_keys_that_clients_choose_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_keys()
    monkeypatch.setattr(brief, "_MOST_PLANS", 3)
    long = {"k" * 1999: "v"}
    shapes: list[dict[str, Any]] = [{f"k{n}": "v"} for n in range(10)]
    for keys in (*shapes, {}, {"a": 1, "k1": "v"}):
        assert briefs(r.request_of(r.span_message("call", keys))).rejected == []
        assert 0 < len(brief._plans) <= 3
    known = dict(brief._plans)
    briefs(r.request_of(r.span_message("call", {"k" * 2000: "v"})))
    assert brief._plans == known
    briefs(r.request_of(r.span_message("call", long)))
    assert tuple(long) in brief._plans
    forget_keys()


def test_what_an_older_reader_stored_is_read_by_the_one_of_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "gen_ai.tool.call.result"
    span = r.span_message(
        "execute_tool look", {"gen_ai.operation.name": "execute_tool", key: "found", "own": "x"}
    )
    with monkeypatch.context() as older:
        older.setitem(draft._RULES, key, [])
        forget_keys()
        stored = rows.span_rows("p", briefs(r.request_of(span)).spans)
        [read_then] = as_read(stored)
        assert read_then.io.outputs is None
    forget_keys()
    [read_now] = as_read(stored)
    assert read_now.io.outputs == {"result": "found"}
    assert tool_of(read_now).result == "found"


@pytest.mark.parametrize(
    "key",
    [
        *("basalt.meta.cost", "langfuse.trace.metadata.cost", "honeyhive_metadata.total_tokens"),
        *("traceloop.association.properties.cost", "ai.telemetry.metadata.agent_name"),
        "honeyhive_config.model",
    ],
)
def test_a_span_that_tells_a_value_beside_its_columns_is_marked(key: str) -> None:
    check(request := r.request_of(r.span_message("call", {key: "x"})))
    [span] = briefs(request).spans
    assert span.sent.apart


def test_of_most_recorded_spans_columns_tell_what_they_show() -> None:
    found = [
        span.sent.apart
        for path in FIXTURES
        for span in briefs(otlp_json.parse(path.read_bytes())).spans
    ]
    assert found.count(0) > 0.75 * len(found)
