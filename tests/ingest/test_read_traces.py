"""The Basalt adapter and its view: what was sent is returned, and bad input is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings

from spanloom.adapters.basalt.read import ParsedTrace, read_trace
from spanloom.adapters.basalt.write import trace_message
from spanloom.errors import SpanloomError
from spanloom.model import uuid7
from spanloom.model.patch import patched
from spanloom.model.sampling import is_sampled
from spanloom.store.sql.bodies import body_of
from spanloom.v1 import trace_pb2
from tests.ingest.strategies import stored, traces

DATA = Path("tests/data")
RECEIVED_NS = 1_800_000_000 * 10**9


def parse(fields: dict[str, Any]) -> trace_pb2.Trace:
    return json_format.ParseDict(fields, trace_pb2.Trace(), ignore_unknown_fields=True)


def read(fields: dict[str, Any] | trace_pb2.Trace) -> ParsedTrace:
    trace = parse(fields) if isinstance(fields, dict) else fields
    return read_trace(trace, trace_id=trace.id or "made", received_ns=RECEIVED_NS)


def given_back(result: ParsedTrace) -> trace_pb2.Trace:
    return trace_message(result.spans[0].trace_id, stored(result.spans))


def as_sent(trace: trace_pb2.Trace) -> trace_pb2.Trace:
    """Without what only the server says, and with null read as unset."""
    trace = trace_pb2.Trace.FromString(trace.SerializeToString())
    for name in ("status", "session_id", "sampled"):
        trace.ClearField(name)
    trace.logs.sort(key=lambda log: log.id)
    for message in (trace, *trace.logs):
        if isinstance(message, trace_pb2.Log):
            message.ClearField("status")
        for name in ("input", "output", "ideal_output"):
            if getattr(message, name).WhichOneof("kind") in (None, "null_value"):
                message.ClearField(name)
    return trace


@settings(max_examples=60)
@given(trace=traces())
def test_a_trace_is_given_back_as_sent(trace: trace_pb2.Trace) -> None:
    assert as_sent(given_back(read(trace))) == as_sent(trace)


def test_the_documented_trace_is_given_back_as_sent() -> None:
    sent = json.loads((DATA / "documented/create_trace.json").read_text())["request"]
    back = given_back(read(sent))
    assert json_format.MessageToDict(as_sent(back)) == {"id": "made", **sent}
    assert (back.status, back.session_id) == ("UNSET", "made")


@pytest.mark.parametrize("path", sorted((DATA / "basalt").iterdir()), ids=lambda path: path.stem)
def test_what_the_real_sdk_sent_is_given_back(path: Path) -> None:
    body = json.loads(path.read_text())["body"]
    for times in (body, *body["logs"]):
        times["startTime"] += "Z"
        times["endTime"] += "Z"
    sent = parse({"id": "made", **body})
    assert as_sent(given_back(read(sent))) == as_sent(sent)


def test_a_trace_is_a_session_with_its_logs_below() -> None:
    root, *logs = read(
        {
            "id": "t",
            "featureSlug": "f",
            "logs": [
                {"id": name, "type": name}
                for name in ("span", "generation", "function", "tool", "retrieval", "event")
            ],
        }
    ).spans
    assert (root.span_id, root.event_id, root.session_id) == ("t", "t", "t")
    assert (root.parent_id, root.kind, root.operation, root.name) == (
        "",
        "session",
        "invoke_agent",
        "f",
    )
    assert [(s.span_id, s.kind, s.operation) for s in logs] == [
        ("span", "chain", ""),
        ("generation", "model", "chat"),
        ("function", "tool", "execute_tool"),
        ("tool", "tool", "execute_tool"),
        ("retrieval", "tool", "execute_tool"),
        ("event", "chain", ""),
    ]
    assert {(s.trace_id, s.session_id, s.parent_id) for s in logs} == {("t", "t", "t")}
    assert all(s.event_id == s.span_id and s.end_ns is None for s in logs)


def test_numbers_of_a_generation_are_columns() -> None:
    log = {"id": "g", "type": "generation", "inputTokens": 3, "outputTokens": 0, "cost": 0.5}
    span = read({"logs": [log]}).spans[1]
    assert (span.input_tokens, span.output_tokens, span.cost) == (3, 0, 0.5)
    bare = read({"logs": [{"id": "g", "type": "generation"}]}).spans[1]
    assert (bare.input_tokens, bare.output_tokens, bare.cost) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "slug", "name"),
    [
        ({}, "", ""),
        ({"featureSlug": "f"}, "f", "f"),
        ({"chainSlug": "c"}, "c", "c"),
        ({"featureSlug": "f", "chainSlug": "c", "name": "n"}, "f", "n"),
    ],
)
def test_the_feature_is_the_feature_slug_else_the_chain_slug(
    fields: dict[str, Any], slug: str, name: str
) -> None:
    root = read(fields).spans[0]
    assert (root.trace.feature_slug or "") == slug
    assert root.name == name


SECOND = 10**9


@pytest.mark.parametrize(
    ("start", "end", "logs", "expected"),
    [
        (None, None, [], (RECEIVED_NS, RECEIVED_NS)),
        (None, 50, [], (50 * SECOND, 50 * SECOND)),
        (None, None, [(5, 9), (3, None), (None, 20)], (3 * SECOND, 20 * SECOND)),
        (4, None, [(5, 9)], (4 * SECOND, 9 * SECOND)),
        (4, None, [], (4 * SECOND, 4 * SECOND)),
        (4, 6, [(5, 9)], (4 * SECOND, 6 * SECOND)),
        (6, 4, [], (6 * SECOND, 6 * SECOND)),
    ],
)
def test_unset_times_have_the_documented_defaults(
    start: int | None, end: int | None, logs: list[tuple[int | None, int | None]], expected: Any
) -> None:
    trace = trace_pb2.Trace()
    for log_start, log_end in logs:
        log = trace.logs.add(id=str(len(trace.logs)), type="span")
        if log_start is not None:
            log.start_time.seconds = log_start
        if log_end is not None:
            log.end_time.seconds = log_end
    if start is not None:
        trace.start_time.seconds = start
    if end is not None:
        trace.end_time.seconds = end
    root, *spans = read(trace).spans
    assert (root.start_ns, root.end_ns) == expected
    for span, (log_start, _) in zip(spans, logs, strict=True):
        assert span.start_ns == (root.start_ns if log_start is None else log_start * SECOND)


def test_an_end_before_the_start_is_duration_0_and_told() -> None:
    times = {"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}
    result = read(
        {**times, "logs": [{"id": "l-1", "type": "tool", **times}, {"id": "ok", "type": "tool"}]}
    )
    assert [span.duration_ms for span in result.spans] == [0, 0, None]
    assert len(result.warnings) == 2
    assert "trace" in result.warnings[0]
    assert "l-1" in result.warnings[1]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("boom", "ERROR", "boom"),
        ({"message": "m", "code": 1}, "ERROR", "m"),
        ({"code": 1}, "ERROR", None),
        (True, "ERROR", None),
        (7, "ERROR", None),
        ("", "UNSET", None),
        (None, "UNSET", None),
        (False, "UNSET", None),
    ],
)
def test_an_error_in_the_metadata_is_the_status(
    error: Any, status: str, message: str | None
) -> None:
    fields = {"metadata": {"error": error}}
    for span in read({**fields, "logs": [{"id": "1", "type": "span", **fields}]}).spans:
        assert (span.status, span.status_message) == (status, message or "")


def test_cycles_are_cut_at_their_earliest_log_and_lost_logs_hang_under_the_trace() -> None:
    def log(log_id: str, parent: str, second: int) -> dict[str, Any]:
        return {
            "id": log_id,
            "type": "span",
            "parentId": parent,
            "startTime": f"2026-01-01T00:00:0{second}Z",
        }

    logs = [
        log("a", "c", 3),
        log("b", "a", 1),
        log("c", "b", 1),
        log("self", "self", 1),
        log("x", "a", 1),
        log("y", "nobody", 1),
    ]
    parents = {span.span_id: span.parent_id for span in read({"id": "t", "logs": logs}).spans[1:]}
    assert parents == {"a": "c", "b": "t", "c": "b", "self": "t", "x": "a", "y": "t"}


def test_a_long_cycle_is_no_trouble() -> None:
    count = 5_000
    logs = [
        trace_pb2.Log(id=str(n), type="span", parent_id=str((n + 1) % count)) for n in range(count)
    ]
    spans = read(trace_pb2.Trace(id="t", logs=logs)).spans[1:]
    assert [span.span_id for span in spans if span.parent_id == "t"] == ["0"]


@pytest.mark.parametrize(
    ("fields", "kept", "rate"),
    [
        ({}, None, 0.1),
        ({"evaluationConfig": {}}, {}, 0.1),
        ({"evaluationConfig": {"sampleRate": 0.5}}, {"sample_rate": 0.5}, 0.5),
        ({"evaluationConfig": {"sampleRate": 0}}, {"sample_rate": 0}, 0),
        (
            {"evaluationConfig": {"sampleRate": 0}, "experiment": {"id": "x"}},
            {"sample_rate": 0},
            1,
        ),
    ],
)
def test_the_sample_rate_is_kept_as_sent_and_as_decided(
    fields: dict[str, Any], kept: dict[str, float] | None, rate: float
) -> None:
    result = read({"id": "t", **fields})
    back = given_back(result)
    config = back.evaluation_config if back.HasField("evaluation_config") else None
    assert config == (None if kept is None else trace_pb2.EvaluationConfig(**kept))
    said = result.spans[0].trace
    assert (said.sample_rate, said.sampled) == (rate, is_sampled("t", rate))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_sample_rate_is_the_share_of_traces(rate: float) -> None:
    count = 10_000
    chosen = sum(is_sampled(f"{uuid7()}{number}", rate) for number in range(count))
    assert abs(chosen - rate * count) <= 3 * math.sqrt(count * rate * (1 - rate)) + 1e-9
    assert is_sampled("the same", rate) == is_sampled("the same", rate)


LOG = {"id": "x", "type": "span"}


@pytest.mark.parametrize(
    ("fields", "named", "reason"),
    [
        ({"id": "x" * 257}, {"id"}, "INVALID_FIELD"),
        ({"id": "a\0b"}, {"id"}, "INVALID_FIELD"),
        ({"name": "a\0"}, {"name"}, "INVALID_FIELD"),
        ({"featureSlug": "\0", "chainSlug": "\0"}, {"featureSlug", "chainSlug"}, "INVALID_FIELD"),
        (
            {"user": {"id": "\0"}, "organization": {"id": "\0"}, "experiment": {"id": "\0"}},
            {"user.id", "organization.id", "experiment.id"},
            "INVALID_FIELD",
        ),
        (
            {"evaluationConfig": {"sampleRate": 1.01}},
            {"evaluationConfig.sampleRate"},
            "INVALID_FIELD",
        ),
        (
            {"evaluationConfig": {"sampleRate": -0.1}},
            {"evaluationConfig.sampleRate"},
            "INVALID_FIELD",
        ),
        (
            {"evaluationConfig": {"sampleRate": "NaN"}},
            {"evaluationConfig.sampleRate"},
            "INVALID_FIELD",
        ),
        ({"startTime": "1969-12-31T23:59:59Z"}, {"startTime"}, "INVALID_FIELD"),
        (
            {"evaluators": [{}], "logs": [{**LOG, "evaluators": [{"slug": "x" * 257}]}]},
            {"evaluators[0].slug", "logs[0].evaluators[0].slug"},
            "INVALID_FIELD",
        ),
        ({"endTime": "2263-01-01T00:00:00Z"}, {"endTime"}, "INVALID_FIELD"),
        ({"logs": [{}]}, {"logs[0].id", "logs[0].type"}, "INVALID_FIELD"),
        ({"logs": [LOG, {"id": "y", "type": "Span"}]}, {"logs[1].type"}, "INVALID_FIELD"),
        (
            {"logs": [{"id": "x" * 257, "type": "span", "name": "\0"}]},
            {"logs[0].id", "logs[0].name"},
            "INVALID_FIELD",
        ),
        (
            {"logs": [{**LOG, "inputTokens": -1, "outputTokens": -1}]},
            {"logs[0].inputTokens", "logs[0].outputTokens"},
            "INVALID_FIELD",
        ),
        ({"logs": [{**LOG, "cost": -0.1}]}, {"logs[0].cost"}, "INVALID_FIELD"),
        ({"logs": [{**LOG, "cost": "NaN"}]}, {"logs[0].cost"}, "INVALID_FIELD"),
        ({"logs": [{**LOG, "cost": "Infinity"}]}, {"logs[0].cost"}, "INVALID_FIELD"),
        (
            {"logs": [{**LOG, "startTime": "0001-01-01T00:00:00Z"}]},
            {"logs[0].startTime"},
            "INVALID_FIELD",
        ),
        (
            {"logs": [{**LOG, "prompt": {}, "variables": [{"label": "l"}, {}]}]},
            {"logs[0].prompt.slug", "logs[0].variables[1].label"},
            "INVALID_FIELD",
        ),
        ({"logs": [LOG, {"id": "y", "type": "span"}, LOG]}, {"logs[2].id"}, "DUPLICATE_ID"),
        ({"id": "x", "logs": [LOG]}, {"logs[0].id"}, "DUPLICATE_ID"),
        ({"name": "\0", "logs": [LOG, LOG]}, {"name", "logs[1].id"}, "INVALID_FIELD"),
    ],
)
def test_bad_input_is_named(fields: dict[str, Any], named: set[str], reason: str) -> None:
    with pytest.raises(SpanloomError) as refused:
        read(fields)
    assert {violation.field for violation in refused.value.violations} == named
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", reason)


def test_at_most_a_hundred_violations_are_told() -> None:
    with pytest.raises(SpanloomError) as refused:
        read(trace_pb2.Trace(logs=[trace_pb2.Log()] * 1000))
    assert len(refused.value.violations) == 100


def test_what_an_update_says_is_given_back_in_place_of_what_was_not_sent() -> None:
    """Names and times that a client left unset stay unset until an update of the event says
    them."""
    start, end = "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"
    result = read(
        {
            "id": "t",
            "featureSlug": "f",
            "logs": [
                {"id": "a", "type": "tool"},
                {"id": "b", "type": "tool", "startTime": start, "endTime": end},
            ],
        }
    )
    update = {"name": "said", "start_ns": 5 * SECOND, "end_ns": 7 * SECOND}
    changed = [patched(span, update) for span in result.spans]
    assert [patched(span, update) for span in changed] == changed
    trace = trace_message("t", stored(changed))
    for message in (trace, *trace.logs):
        assert message.name == "said"  # type: ignore[attr-defined]
        assert message.start_time.seconds == 5  # type: ignore[attr-defined]
        assert message.end_time.seconds == 7  # type: ignore[attr-defined]
    untouched = given_back(result)
    assert not any(m.HasField("name") for m in (untouched, *untouched.logs))
    assert not untouched.HasField("start_time")
    sent = {log.id: log for log in untouched.logs}
    assert not sent["a"].HasField("start_time")
    assert sent["b"].end_time.ToJsonString() == end


def test_an_update_merges_objects_replaces_values_and_leaves_the_rest() -> None:
    [_, log] = read(
        {
            "id": "t",
            "logs": [
                {"id": "a", "type": "generation", "input": "q", "metadata": {"a": 1, "b": 2}},
            ],
        }
    ).spans
    update = {"metadata": {"b": None, "c": 3}, "config": {"model": "m"}, "outputs": {"o": 1}}
    new = patched(log, update)
    assert (new.io.metadata, new.io.config) == ({"a": 1, "c": 3}, {"model": "m"})
    assert (new.io.inputs, new.io.outputs, new.model) == ("q", {"o": 1}, "m")
    assert (new.sent, new.updated) == (log.sent, ())
    assert log.io.metadata == {"a": 1, "b": 2}  # the span before is as it was


def test_what_was_said_is_kept_once_a_span() -> None:
    texts = {name: f"TEXT-{name}" for name in ("input", "output", "idealOutput")}
    prompt = {"prompt": {"slug": "s"}, "variables": [{"label": "v", "value": "TEXT-variable"}]}
    logs: list[dict[str, Any]] = [
        {"id": "generation", "type": "generation", **texts, **prompt},
        {"id": "tool", "type": "tool", **texts},
        {"id": "span", "type": "span", **texts},
    ]
    for span in read({"id": "t", **texts, "metadata": {"m": "TEXT-m"}, "logs": logs}).spans:
        kept = json.dumps(body_of(span))
        said = {"TEXT-input", "TEXT-output", "TEXT-idealOutput"}
        said |= {"TEXT-variable"} if span.span_id == "generation" else set()
        assert {text for text in said if kept.count(f'"{text}"') == 1} == said, kept
