"""RecordSpans and ImportSpans, by their promises in span_service.proto."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spanloom.v1 import error_reason_pb2
from spanloom.v1 import span_service_pb2 as pb
from tests.clients import CallError, DirectClient, GrpcClient, HttpClient, headers
from tests.contract.conftest import Project, request_of
from tests.contract.test_span_service import get, listed
from tests.streams import stream

RECORD = "SpanService/RecordSpans"
IMPORT = "/v1/spans:import"


def a_span(span_id: str, **fields: Any) -> dict[str, Any]:
    return {"traceId": "t", "spanId": span_id, "startTime": "2026-01-01T00:00:01Z", **fields}


def a_request(sequence: int, *spans: dict[str, Any]) -> Any:
    return request_of(RECORD, {"sequence": sequence, "spans": list(spans)})


@pytest.fixture
def rpc(project: Project) -> Iterator[GrpcClient]:
    """gRPC, which has streams in both directions."""
    client = GrpcClient(project.server.running.grpc_address)
    yield client
    client.close()


@pytest.fixture
def http(project: Project) -> Iterator[HttpClient]:
    client = HttpClient(project.server.running.http_address)
    yield client
    client.close()


@pytest.fixture
def recording(project: Project, rpc: GrpcClient) -> Callable[..., Any]:
    """Opens a stream of requests: by direct calls, or over gRPC, for REST has none."""
    client = project.client if isinstance(project.client, DirectClient) else rpc

    def opened(*requests: Any, more: Any = (), key: str = project.key) -> Any:
        return stream(client, RECORD, *requests, key=key, more=more)

    return opened


def settled(responses: Iterator[Any]) -> tuple[int, int, list[Any]]:
    """All of a stream that ends: the last sequence, the number of spans, all rejections."""
    sequence = stored = 0
    rejections: list[Any] = []
    for response in responses:
        assert response.acknowledged_sequence >= sequence
        sequence, stored = response.acknowledged_sequence, response.stored_count
        rejections += response.rejections
    return sequence, stored, rejections


def test_record_spans_acknowledges_what_is_stored(project: Project, recording: Any) -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    with recording(more=iter(waiting.get, None)) as responses:
        for sequence in (1, 2, 7):
            waiting.put(a_request(sequence, a_span(f"a{sequence}"), a_span(f"b{sequence}")))
            response = next(responses)
            assert response.acknowledged_sequence == sequence
            assert get(project.direct(), f"a{sequence}").span_id == f"a{sequence}"
        assert response.stored_count == 6
        waiting.put(None)
        assert settled(responses) == (0, 0, [])


def test_requests_are_acknowledged_in_groups(project: Project, recording: Any) -> None:
    requests = [a_request(n, a_span(f"s{n}", name=f"n{n}")) for n in range(1, 401)]
    again = [a_request(n + 400, a_span(f"s{n}", name="again")) for n in range(1, 401)]
    with recording(*requests, *again) as responses:
        responses = list(responses)
    assert len(responses) < 400
    assert settled(iter(responses)) == (800, 800, [])
    direct = project.direct()
    assert len(listed(direct, traceId="t")) == 400
    assert listed(direct, filter={"name": "n1"}) == []


def test_a_bad_request_is_reported_and_the_stream_goes_on(project: Project, recording: Any) -> None:
    bad = a_request(2, a_span("x"), {"traceId": "t"})
    twice = a_request(3, a_span("z"), a_span("z"))
    with recording(
        a_request(1, a_span("a")), bad, twice, a_request(4), a_request(5, a_span("b"))
    ) as responses:
        sequence, stored, rejections = settled(responses)
    assert (sequence, stored) == (5, 2)
    found = [(one.sequence, list(one.fields)) for one in rejections]
    assert found == [(2, ["spans[1].spanId"]), (3, ["spans[1].spanId"]), (4, ["spans"])]
    assert rejections[0].reason == error_reason_pb2.ERROR_REASON_INVALID_FIELD
    assert all(one.message for one in rejections)
    assert sorted(listed(project.direct(), traceId="t")) == ["a", "b"]


def test_a_sequence_that_does_not_grow_ends_the_stream(project: Project, recording: Any) -> None:
    def all_of(*sequences: int) -> list[Any]:
        found = []
        with recording(*(a_request(n, a_span(f"s{n}")) for n in sequences)) as responses:
            found.extend(responses)
        return found

    for sequences in ((2, 2), (3, 1), (0,), (-1,)):
        with pytest.raises(CallError) as refused:
            all_of(*sequences)
        assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert "sequence" in refused.value.violations
    assert sorted(listed(project.direct(), traceId="t")) == ["s2", "s3"]


def test_a_key_that_only_ingests_replaces_no_span_of_another_api(
    project: Project, recording: Any, http: HttpClient
) -> None:
    event = {"event": {"event_id": "e", "session_id": "t", "event_type": "tool", "project": "p"}}
    answer = http.http.post("/events", json=event, headers=headers(project.key, None))
    assert answer.status_code == 200, answer.text
    [span] = project.direct().send("SpanService/ListSpans").spans
    key = project.server.key(project.name, "ingest")
    foreign = a_span(span.span_id, traceId=span.trace_id)
    with recording(
        a_request(1, a_span("own")), a_request(2, foreign), a_request(3, a_span("too")), key=key
    ) as responses:
        sequence, stored, [rejection] = settled(responses)
    assert (sequence, stored, rejection.sequence) == (3, 2, 2)
    body = "\n".join(json.dumps(one) for one in (a_span("x"), foreign, a_span("y")))
    answer = http.http.post(IMPORT, content=body, headers=headers(key, None))
    found = answer.json()
    assert (found["storedCount"], found["rejectedCount"]) == ("2", "1")
    assert found["rejections"][0]["position"] == "2"
    assert found["rejections"][0]["reason"] == "ERROR_REASON_WRITTEN_BY_ANOTHER_API"


def test_an_import_stores_lines_and_rejects_what_is_no_span(
    project: Project, http: HttpClient
) -> None:
    lines = [
        json.dumps(a_span("a", name="x")),
        "",
        "nonsense",
        json.dumps({"traceId": "t"}),
        json.dumps(a_span("b", startTime="soon")),
        json.dumps(a_span("c", unknown=1)),
        *(json.dumps(a_span(f"s{n}")) for n in range(1200)),
        json.dumps(a_span("a", name="y")),
    ]
    answer = http.http.post(IMPORT, content="\n".join(lines), headers=headers(project.key, None))
    found = answer.json()
    assert answer.status_code == 200, found
    assert (found["storedCount"], found["rejectedCount"]) == ("1202", "4")
    reasons = [(one["position"], one["reason"]) for one in found["rejections"]]
    assert reasons == [
        ("2", "ERROR_REASON_MALFORMED_BODY"),
        ("3", "ERROR_REASON_INVALID_FIELD"),
        ("4", "ERROR_REASON_INVALID_FIELD"),
        ("5", "ERROR_REASON_UNKNOWN_FIELD"),
    ]
    assert "spanId: is required" in found["rejections"][1]["message"]
    direct = project.direct()
    assert sum(len(page) for page in [listed(direct, traceId="t", pageSize=1000)]) == 1201
    assert get(direct, "a").name == "y"


def test_import_spans_over_grpc(project: Project, rpc: GrpcClient) -> None:
    method = "SpanService/ImportSpans"
    requests = [request_of(method, {"span": a_span(f"s{n}")}) for n in range(700)]
    requests.insert(3, pb.ImportSpansRequest())
    with stream(rpc, method, *requests, key=project.key) as responses:
        [response] = responses
    assert (response.stored_count, response.rejected_count) == (700, 1)
    assert response.rejections[0].position == 4
