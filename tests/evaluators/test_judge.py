"""Judges against a live endpoint that speaks chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from spanloom.evaluation import judge
from spanloom.evaluation.subject import Result, Subject
from tests.evaluators.endpoint import JudgeEndpoint

SUBJECT = Subject(input="Capital of France?", output="Paris", context=["France: Paris"])


@pytest.fixture
def endpoint() -> Iterator[JudgeEndpoint]:
    """Judges are on, and ask this."""
    with JudgeEndpoint() as endpoint:
        judge.configure(endpoint.url, "secret", "small")
        yield endpoint
        judge.configure("", "", "")


@pytest.fixture
def asked(endpoint: JudgeEndpoint) -> list[dict[str, Any]]:
    return endpoint.asked


@pytest.mark.parametrize("name", ["hallucination", "relevance", "faithfulness", "custom_prompt"])
def test_a_judge_asks_the_endpoint(asked: list[dict[str, Any]], name: str) -> None:
    settings = {"prompt": "Is {{output}} right for {{ input }}?", "model": "large"}
    if name != "custom_prompt":
        settings = {}
    result = asyncio.run(getattr(judge, name)(SUBJECT, settings))
    assert result == Result(0.75, "fine", "it says so")
    request = asked[0]
    assert (request["path"], request["key"]) == ("/v1/chat/completions", "Bearer secret")
    assert request["model"] == ("large" if settings else "small")
    material = request["messages"][1]["content"]
    if settings:
        assert material == "Is Paris right for Capital of France??"
    else:
        assert "<context>\nFrance: Paris\n</context>" in material


def test_a_model_that_takes_no_temperature_is_asked_without(endpoint: JudgeEndpoint) -> None:
    endpoint.reasons = True
    assert asyncio.run(judge.relevance(SUBJECT, {})) == Result(0.75, "fine", "it says so")
    assert ["temperature" in request for request in endpoint.asked] == [True, False]


def test_faithfulness_needs_a_context(asked: list[dict[str, Any]]) -> None:
    result = asyncio.run(judge.faithfulness(Subject(output="x"), {}))
    assert result.label == "not_applicable"
    assert not asked
