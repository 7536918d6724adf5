"""One logged prompt call as a trace with one generation."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings

from spanloom.adapters.basalt.read import read_log, trace_around_log
from spanloom.errors import SpanloomError
from spanloom.v1 import trace_pb2, trace_service_pb2
from tests.ingest.strategies import logged_calls
from tests.ingest.test_read_traces import RECEIVED_NS, SECOND, as_sent, given_back


def log_request(**fields: Any) -> trace_service_pb2.CreateLogRequest:
    return json_format.ParseDict(fields, trace_service_pb2.CreateLogRequest())


def logged(**fields: Any) -> trace_pb2.Trace:
    request = log_request(**fields)
    trace = trace_around_log(request, "the-log")
    return given_back(read_log(request, trace, trace_id="the-trace", received_ns=RECEIVED_NS))


def test_a_logged_call_is_a_trace_with_one_generation() -> None:
    call = {
        "input": "q",
        "output": {"a": 1},
        "idealOutput": [],
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:00:01Z",
        "metadata": {"error": "e"},
    }
    of_log = {
        "variables": [{"label": "l", "value": "v"}],
        "inputTokens": 1,
        "outputTokens": 2,
        "cost": 0.1,
    }
    of_trace = {"organization": {"id": "o"}, "user": {}}
    trace = logged(slug="s", version="1", tag="t", **call, **of_log, **of_trace)
    back = json_format.MessageToDict(trace)
    (log,) = back.pop("logs")
    status = {"status": "ERROR"}
    assert log == {
        "id": "the-log",
        "type": "generation",
        "name": "s",
        **call,
        **of_log,
        **status,
        "prompt": {"slug": "s", "version": "1", "tag": "t"},
    }
    back.pop("sampled")
    assert back == {
        "id": "the-trace",
        "name": "s",
        "featureSlug": "s",
        **call,
        **of_trace,
        **status,
        "sessionId": "the-trace",
    }


@settings(max_examples=40)
@given(request=logged_calls)
def test_a_logged_call_is_given_back_as_the_trace_around_it(
    request: trace_service_pb2.CreateLogRequest,
) -> None:
    trace = trace_around_log(request, "the-log")
    trace.id = "the-trace"
    back = given_back(read_log(request, trace, trace_id=trace.id, received_ns=RECEIVED_NS))
    assert as_sent(back) == as_sent(trace)
    # Both the trace and its log say what went in and came out.
    messages: list[Any] = [back, *back.logs]
    for message in messages:
        assert message.output == request.output
        assert message.metadata == request.metadata


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ({}, 0, 0),  # not sent, not given back
        ({"startTime": "1970-01-01T00:00:05Z"}, 5 * SECOND, 5 * SECOND),
        ({"endTime": "1970-01-01T00:00:05Z"}, 5 * SECOND, 5 * SECOND),
    ],
)
def test_a_logged_call_has_the_documented_times(
    times: dict[str, str], start: int, end: int
) -> None:
    trace = logged(slug="s", output="o", **times)
    assert (trace.start_time.ToNanoseconds(), trace.end_time.ToNanoseconds()) == (start, end)
    assert trace.logs[0].start_time.ToNanoseconds() == start


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"slug", "output"}),
        ({"slug": "s", "output": None}, {"output"}),
        ({"slug": "a\0", "output": "o"}, {"slug"}),
        ({"slug": "s", "name": "\0", "output": "o"}, {"name"}),
        ({"slug": "s", "output": "o", "inputTokens": -1, "cost": -1}, {"inputTokens", "cost"}),
        ({"slug": "s", "output": "o", "variables": [{}]}, {"variables[0].label"}),
        ({"slug": "s", "output": "o", "startTime": "1960-01-01T00:00:00Z"}, {"startTime"}),
        ({"slug": "s", "output": "o", "endTime": "1960-01-01T00:00:00Z"}, {"endTime"}),
    ],
)
def test_bad_logged_calls_are_named(fields: dict[str, Any], named: set[str]) -> None:
    with pytest.raises(SpanloomError) as refused:
        logged(**fields)
    assert {violation.field for violation in refused.value.violations} == named
    assert len(refused.value.violations) == len(named)
