"""ProjectService.UpdateLimits, and what the limits refuse in each API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from spanloom.v1 import error_reason_pb2
from tests.clients import CallError, DirectClient, GrpcClient, until
from tests.contract.calls import create_events, create_trace, list_traces
from tests.contract.conftest import Project, request_of
from tests.streams import stream

UPDATE = "ProjectService/UpdateLimits"
WRITE = "SpanService/WriteSpans"
RECORD = "SpanService/RecordSpans"
EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"


# What a limit refuses is the same whatever a call comes by.
direct = pytest.mark.parametrize("client", ["direct"], indirect=True)


def spans(number: int, trace_id: str = "t") -> list[dict[str, str]]:
    return [{"traceId": trace_id, "spanId": str(n)} for n in range(number)]


def limits(message: Any) -> dict[str, int]:
    return {field.name: value for field, value in message.ListFields()}


def refused(call: Callable[[], Any]) -> CallError | None:
    try:
        call()
    except CallError as error:
        return error
    return None


def look(project: Project) -> None:
    """What the servers do by themselves each second."""
    running = project.server.running
    project.server.run(running.store.follower.catch_up())
    project.server.run(running.rates.look())


def exhausted(project: Project, **limit: int) -> CallError:
    """The refusal of a write, after a limit was set."""
    project.send(UPDATE, limits={name: str(number) for name, number in limit.items()})
    look(project)
    project.send(WRITE, spans=spans(1000))
    look(project)
    with pytest.raises(CallError) as error:
        project.send(WRITE, spans=spans(1000))
    return error.value


def test_update_limits_changes_what_it_names(project: Project) -> None:
    def listed() -> dict[str, int]:
        [found] = project.send("QueryService/ListProjects").projects
        return limits(found.limits)

    assert listed() == {}
    answer = project.send(UPDATE, limits={"spansPerSecond": "50", "storedSpans": "0"})
    assert limits(answer.limits) == {"spans_per_second": 50, "stored_spans": 0}
    project.send(UPDATE, limits={"bytesPerSecond": "7000000"})
    given = {"spans_per_second": 50, "stored_spans": 0, "bytes_per_second": 7_000_000}
    assert listed() == given
    assert limits(project.send(UPDATE).limits) == given
    answer = project.send(
        UPDATE, limits={"requestsPerSecond": "9"}, updateMask="spansPerSecond,storedSpans"
    )
    assert limits(answer.limits) == {"bytes_per_second": 7_000_000}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"limits": {"storedSpans": "-1"}}, "limits.storedSpans"),
        ({"updateMask": "projectId"}, "updateMask"),
    ],
)
def test_update_limits_names_what_is_wrong(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as error:
        project.send(UPDATE, **fields)
    assert list(error.value.violations) == [named]


@direct
def test_no_api_writes_more_spans_than_a_project_may(project: Project) -> None:
    error = exhausted(project, spansPerSecond=1)
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert "1 spans a second (the limit spans_per_second)" in error.message
    assert error.retry_seconds
    otlp = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {"traceId": "AAAAAAAAAAAAAAAAAAAAAQ==", "spanId": "AAAAAAAAAAE="},
                        ]
                    }
                ]
            }
        ]
    }
    for write in (
        lambda: create_trace(project, id="basalt", featureSlug="f"),
        lambda: create_events(project, {"event_id": "e", "session_id": "s"}),
        lambda: project.send("SessionService/StartSession", session={"session_id": "s"}),
        lambda: project.send(EXPORT, **otlp),
        lambda: project.send(WRITE, spans=spans(1, "another")),
    ):
        error_of = refused(write)
        assert error_of is not None
        assert error_of.reason == "RATE_LIMITED"
    assert list_traces(project) == ["t"]
    # Neither a read nor a deletion is one of the calls that write; nor is another project limited.
    project.send("SpanService/DeleteTraceSpans", traceId="t")
    assert list_traces(project) == []
    create_trace(project.neighbour(), id="t", featureSlug="f")


@direct
def test_a_key_of_all_projects_is_limited_by_project(project: Project) -> None:
    exhausted(project, spansPerSecond=1)
    key = project.server.key()

    def write(name: str) -> None:
        request = request_of(WRITE, {"spans": spans(1)})
        project.client.call(WRITE, request, key=key, project=name)

    error = refused(lambda: write(project.name))
    assert error is not None
    assert error.reason == "RATE_LIMITED"
    write(project.neighbour().name)


@direct
def test_calls_are_counted_whatever_they_do(project: Project) -> None:
    project.send(UPDATE, limits={"requestsPerSecond": "1"})
    found: list[CallError] = []

    def is_refused() -> bool:
        found.extend(error for _ in range(3) if (error := refused(lambda: list_traces(project))))
        return bool(found)

    until(is_refused)  # the server looks by itself
    assert found[0].reason == "RATE_LIMITED"
    assert "1 requests a second (the limit requests_per_second)" in found[0].message


@direct
def test_bytes_are_those_of_what_is_written(project: Project) -> None:
    error = exhausted(project, bytesPerSecond=10)
    assert "10 bytes a second (the limit bytes_per_second)" in error.message
    review = {"reviewId": "r", "target": {"conversationId": "c"}, "name": "n", "score": 1}
    error_of = refused(lambda: project.send("ReviewService/WriteReview", review=review))
    assert error_of is not None
    assert error_of.reason == "RATE_LIMITED"
    assert list_traces(project) == ["t"]


@pytest.fixture
def recording(project: Project) -> Iterator[DirectClient | GrpcClient]:
    """A client that has streams in both directions."""
    if isinstance(project.client, DirectClient):
        yield project.client
        return
    client = GrpcClient(project.server.running.grpc_address)
    yield client
    client.close()


def test_record_spans_answers_each_message(
    project: Project, recording: DirectClient | GrpcClient
) -> None:
    exhausted(project, spansPerSecond=1)
    requests = [
        request_of(RECORD, {"sequence": n, "spans": spans(1, f"recorded-{n}")}) for n in (1, 2)
    ]
    rejections: list[Any] = []
    with stream(recording, RECORD, *requests, key=project.key) as responses:
        for response in responses:
            rejections += response.rejections
            assert response.stored_count == 0
    assert [each.sequence for each in rejections] == [1, 2]
    assert {each.reason for each in rejections} == {error_reason_pb2.ERROR_REASON_RATE_LIMITED}
    assert "the limit spans_per_second" in rejections[0].message
    assert all(each.retry_delay.ToTimedelta() > timedelta(0) for each in rejections)


@direct
def test_a_full_project_refuses_spans_until_some_are_deleted(project: Project) -> None:
    error = exhausted(project, storedSpans=1000)
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    assert "may store 1000 spans (the limit stored_spans)" in error.message
    assert error.retry_seconds is None
    project.send(
        "ReviewService/WriteReview",
        review={"reviewId": "r", "target": {"traceId": "t"}, "name": "n", "score": 1},
    )
    assert list_traces(project) == ["t"]
    assert project.send("SpanService/DeleteTraceSpans", traceId="t").deleted_count == 1000
    look(project)
    create_trace(project, id="new", featureSlug="f")
    assert list_traces(project) == ["new"]


@direct
def test_a_limit_is_429_with_retry_after(project: Project) -> None:
    exhausted(project, spansPerSecond=1)
    url = f"http://{project.server.running.http_address}"
    headers = {"authorization": f"Bearer {project.key}"}
    for path in ("/v1/spans:write", "/spanloom.v1.SpanService/WriteSpans"):
        answer = httpx.post(f"{url}{path}", json={"spans": spans(1)}, headers=headers)
        assert answer.status_code == 429
        assert b'"limit_spans_per_second":"1"' in answer.content.replace(b" ", b"")
        assert path.startswith("/spanloom") or int(answer.headers["retry-after"]) > 100


def imported(project: Project, span_id: str) -> httpx.Response:
    url = f"http://{project.server.running.http_address}/v1/spans:import"
    headers = {
        "authorization": f"Bearer {project.key}",
        "content-type": "application/x-ndjson",
    }
    line = f'{{"traceId": "imported", "spanId": "{span_id}"}}\n'
    return httpx.post(url, content=line, headers=headers, timeout=60)


@direct
def test_import_spans_waits_for_a_rate_and_ends_at_the_quota(project: Project) -> None:
    exhausted(project, spansPerSecond=600)  # and owes 400
    answer = imported(project, "1")
    assert (answer.status_code, answer.json()["storedCount"]) == (200, "1")
    project.send(UPDATE, limits={"storedSpans": "5"})
    look(project)
    answer = imported(project, "2")
    assert answer.status_code == 429
    assert answer.json()["errorCode"] == "ERROR_REASON_QUOTA_EXCEEDED"
