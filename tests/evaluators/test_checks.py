"""The evaluators that need nothing but the subject, and what a judge's answer is read as."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spanloom.evaluation import checks, judge
from spanloom.evaluation.kinds import BUILT_IN, SettingError, checked_settings, version
from spanloom.evaluation.subject import Result, Subject, subjects
from spanloom.model import Io, Span

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


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"$ref": "other.json"},
        {"pattern": "("},
        {"type": "nonsense"},
    ],
)
def test_a_schema_must_stand_alone(schema: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"^schema: is not a valid JSON schema"):
        checked_settings(BUILT_IN["json_schema"], {"schema": schema})


def test_an_error_of_a_schema_tells_where() -> None:
    schema = {"properties": {"a": {"items": {"$ref": "#/$defs/n"}}}, "$defs": {"n": {"minimum": 3}}}
    result = checks.json_schema(of(output={"a": [5, 1]}), {"schema": schema})
    assert result == Result(0.0, "fail", "$.a[1]: 1 is less than the minimum of 3")


def test_no_pattern_and_no_text_takes_long() -> None:
    text = "a" * 50_000 + "!"  # years, by backtracking
    assert checks.regex(of(output=text), {"pattern": r"^(a+)+$"}).score == 0
    schema = {"pattern": "^(a|a)*$", "patternProperties": {"^(a+)+$": False}}
    assert checks.json_schema(of(output=f'"{text}"'), {"schema": schema}).score == 0
    near = checks.edit_similarity(of(output=text, ideal_output=text[1:]), {})
    assert near.score == pytest.approx(1, abs=1e-4)
    with pytest.raises(SettingError, match=r"pattern: .*RE2"):
        checked_settings(BUILT_IN["regex"], {"pattern": "(?=a)"})


def test_a_version_is_of_kind_and_settings() -> None:
    assert version("regex", {"a": 1, "b": 2}) == version("regex", {"b": 2, "a": 1})
    assert len({version("regex", {}), version("regex", {"a": 1}), version("length", {})}) == 3


def test_a_setting_that_is_null_is_not_given() -> None:
    assert checked_settings(BUILT_IN["length"], {"max": None}) == {}
    with pytest.raises(SettingError, match="pattern: is required"):
        checked_settings(BUILT_IN["regex"], {"pattern": None})


def test_a_trace_is_judged_by_all_its_steps() -> None:
    ids: dict[str, Any] = {"trace_id": "t", "session_id": "t"}
    root = Span(span_id="t", event_id="t", io=Io(inputs="q", outputs="a"), **ids)
    steps = [
        Span(span_id=n, event_id=n, parent_id="t", cost=0.5, input_tokens=2, **ids) for n in "ab"
    ]
    found = Span(
        span_id="r",
        event_id="r",
        parent_id="t",
        log_type="retrieval",
        io=Io(outputs=[{"doc": 1}]),
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
