"""The conditions of ListTraces, and a trace that replaces another."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import trace_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project
from tests.contract.test_traces import create_request, get

TRACES: dict[str, dict[str, Any]] = {
    "a": {"featureSlug": "qa", "name": "Ask", "user": {"id": "u1"}, "input": "Wo ist das Café?"},
    "b": {"featureSlug": "qa", "organization": {"id": "o1"}, "metadata": {"error": "boom"}},
    "c": {
        "featureSlug": "bot",
        "experiment": {"id": "e1"},
        "logs": [{"id": "l", "type": "tool", "name": "find", "output": {"say": 'a "quoted" 50%'}}],
    },
}
SPANS = {"a": ("01", "01"), "b": ("02", "02.5"), "c": ("03", "05")}

CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "abc"),
    ({"featureSlug": "qa"}, "ab"),
    ({"name": "Ask"}, "a"),
    ({"userId": "u1"}, "a"),
    ({"organizationId": "o1"}, "b"),
    ({"experimentId": "e1"}, "c"),
    ({"status": "ERROR"}, "b"),
    ({"minDurationMs": 400}, "bc"),
    ({"minDurationMs": 2000}, "c"),
    ({"startTimeFrom": "2026-01-01T00:00:02Z"}, "bc"),
    ({"startTimeBefore": "2026-01-01T00:00:02Z"}, "a"),
    ({"text": "café"}, "a"),
    ({"text": "CAFé"}, "a"),
    ({"text": "BOOM"}, "b"),
    ({"text": 'a "quoted" 50%'}, "c"),
    ({"text": "FIND"}, "c"),
    ({"text": "nowhere"}, ""),
    ({"featureSlug": "qa", "status": "ERROR", "text": "boom"}, "b"),
    ({"featureSlug": "QA"}, ""),
]


def listed(project: Project, **conditions: Any) -> list[str]:
    request = json_format.ParseDict(conditions, trace_service_pb2.ListTracesRequest())
    return [trace.id for trace in project("TraceService/ListTraces", request).traces]


def test_every_condition_chooses_its_traces(project: Project) -> None:
    for trace_id, fields in TRACES.items():
        start, end = (f"2026-01-01T00:00:{second}Z" for second in SPANS[trace_id])
        request = create_request(id=trace_id, startTime=start, endTime=end, **fields)
        project("TraceService/CreateTrace", request)
    for conditions, expected in CONDITIONS:
        assert listed(project, **conditions) == sorted(expected, reverse=True), conditions


def test_a_token_belongs_to_its_conditions(project: Project) -> None:
    for n in range(3):
        project("TraceService/CreateTrace", create_request(id=f"t{n}", featureSlug="qa"))
    request = trace_service_pb2.ListTracesRequest(page_size=1, feature_slug="qa")
    token = project("TraceService/ListTraces", request).next_page_token
    request.page_token = token
    assert project("TraceService/ListTraces", request).traces
    request.feature_slug = "other"
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project("TraceService/ListTraces", request)


def test_bad_conditions_are_named(project: Project) -> None:
    request = trace_service_pb2.ListTracesRequest(
        status="BAD", min_duration_ms=-1, name="a\0", text="b\0"
    )
    with pytest.raises(CallError) as refused:
        project("TraceService/ListTraces", request)
    assert set(refused.value.violations) == {"status", "minDurationMs", "name", "text"}


def test_a_trace_that_replaces_another_leaves_nothing_of_it(project: Project) -> None:
    logs = [{"id": name, "type": "span"} for name in "abc"]
    project("TraceService/CreateTrace", create_request(id="t", name="one", logs=logs))
    project("TraceService/CreateTrace", create_request(id="t", name="two", logs=logs[1:2]))
    trace = get(project, "t")
    assert trace.name == "two"
    assert [log.id for log in trace.logs] == ["b"]
    assert listed(project) == ["t"]
