"""The evaluators that need nothing but the subject, and what a judge's answer is read as."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.evaluators import judge
from spanloom.evaluators.checks import edit_distance
from spanloom.evaluators.kinds import BUILT_IN, SettingError, checked_settings, version
from spanloom.evaluators.subject import Result, Subject, subjects
from spanloom.model import Span

SCHEMA = {"type": "object", "required": ["a"]}


def of(**fields: Any) -> Subject:
    return Subject(**fields)


@pytest.mark.parametrize(
    ("kind", "settings", "judged", "score"),
    [
        ("exact_match", {}, of(output=" a ", ideal_output="a"), 1),
        ("exact_match", {}, of(output="A", ideal_output="a"), 0),
        ("exact_match", {"ignore_case": True}, of(output="A", ideal_output="a"), 1),
        ("exact_match", {}, of(output='{"b":1,"a":2}', ideal_output={"a": 2, "b": 1}), 1),
        ("exact_match", {}, of(output="a"), None),
        ("edit_similarity", {}, of(output="kitten", ideal_output="sitting"), 1 - 3 / 7),
        ("edit_similarity", {}, of(output="", ideal_output=""), 1),
        ("edit_similarity", {}, of(output="a"), None),
        ("json_valid", {}, of(output='{"a": 1}'), 1),
        ("json_valid", {}, of(output={"a": 1}), 1),
        ("json_valid", {}, of(output="{a}"), 0),
        ("json_valid", {}, of(), 0),
        ("json_schema", {"schema": SCHEMA}, of(output='{"a": 1}'), 1),
        ("json_schema", {"schema": SCHEMA}, of(output={"b": 1}), 0),
        ("json_schema", {"schema": SCHEMA}, of(output="text"), 0),
        ("regex", {"pattern": r"^\d+$"}, of(output="12"), 1),
        ("regex", {"pattern": "x"}, of(output="X"), 0),
        ("regex", {"pattern": "x", "ignore_case": True}, of(output="X"), 1),
        ("contains", {"texts": ["a", "b"]}, of(output="ab"), 1),
        ("contains", {"texts": ["a", "b"]}, of(output="a"), 0),
        ("contains", {"texts": ["a", "b"], "any": True}, of(output="a"), 1),
        ("contains", {"texts": ["a"], "any": True}, of(output="b"), 0),
        ("latency", {"max_ms": 10}, of(latency_ms=10.0), 1),
        ("latency", {"max_ms": 10}, of(latency_ms=10.1), 0),
        ("latency", {"max_ms": 10}, of(), None),
        ("cost", {"max": 0.5}, of(cost=0.1), 1),
        ("cost", {"max": 0.5}, of(cost=0.6), 0),
        ("length", {"min": 2, "max": 3}, of(output="abc"), 1),
        ("length", {"max": 3}, of(output="abcd"), 0),
        ("length", {"min": 2}, of(output="a"), 0),
        ("refusal", {}, of(output="I\u2019m sorry, but I can't help with that."), 0),
        ("refusal", {}, of(output="Paris."), 1),
        ("refusal", {"texts": ["non"]}, of(output="NON"), 0),
    ],
)
def test_a_check_scores(
    kind: str, settings: dict[str, Any], judged: Subject, score: float | None
) -> None:
    checked = checked_settings(BUILT_IN[kind], settings)
    result = BUILT_IN[kind].evaluate(judged, checked)
    assert isinstance(result, Result)
    assert result.score == (None if score is None else pytest.approx(score))
    assert (result.label == "not_applicable") == (score is None)


@given(st.text(max_size=12), st.text(max_size=12))
def test_the_edit_distance_is_a_distance(a: str, b: str) -> None:
    distance = edit_distance(a, b)
    assert distance == edit_distance(b, a)
    assert (distance == 0) == (a == b)
    assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))


def test_a_schema_fetches_nothing() -> None:
    schema = {"$ref": "http://127.0.0.1:1/schema.json"}
    kind = BUILT_IN["json_schema"]
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        kind.evaluate(of(output={}), checked_settings(kind, {"schema": schema}))


def test_a_version_is_of_kind_and_settings() -> None:
    assert version("regex", {"a": 1, "b": 2}) == version("regex", {"b": 2, "a": 1})
    assert len({version("regex", {}), version("regex", {"a": 1}), version("length", {})}) == 3


def test_a_setting_that_is_null_is_not_given() -> None:
    assert checked_settings(BUILT_IN["length"], {"max": None}) == {}
    with pytest.raises(SettingError, match="pattern: is required"):
        checked_settings(BUILT_IN["regex"], {"pattern": None})


def test_a_trace_is_judged_by_all_its_steps() -> None:
    ids: dict[str, Any] = {"trace_id": "t", "session_id": "t"}
    root = Span(span_id="t", event_id="t", body={"inputs": "q", "outputs": "a"}, **ids)
    steps = [
        Span(span_id=n, event_id=n, parent_id="t", cost=0.5, input_tokens=2, **ids) for n in "ab"
    ]
    found = Span(
        span_id="r",
        event_id="r",
        parent_id="t",
        body={"log_type": "retrieval", "outputs": [{"doc": 1}]},
        **ids,
    )
    judged = subjects(["", "a", "none"], [root, *steps, found])
    assert set(judged) == {"", "a"}
    whole = judged[""]
    assert (whole.input, whole.output, whole.cost, whole.input_tokens) == ("q", "a", 1.0, 4)
    assert whole.context == ['[{"doc":1}]']
    assert judged["a"].cost == 0.5


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 0.5, "label": "ok", "explanation": "why"}',
        '```json\n{"score": 0.5, "label": "ok", "explanation": "why"}\n```',
    ],
)
def test_a_verdict_is_read_wherever_it_stands(text: str) -> None:
    assert judge.verdict(text) == Result(0.5, "ok", "why")


@pytest.mark.parametrize("text", ["", "no", "{}", '{"score": 2}', '{"score": true}', "{x}", "[1]"])
def test_what_is_no_verdict_is_refused(text: str) -> None:
    with pytest.raises(judge.VerdictError):
        judge.verdict(text)


def test_a_judge_without_an_endpoint_is_off() -> None:
    judge.configure("", "", "")
    with pytest.raises(judge.JudgeOffError):
        asyncio.run(judge.relevance(of(output="a"), {}))
