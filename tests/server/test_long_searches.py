"""Searches that take long: what the answer says of a total, and the error of how to narrow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from spanloom.store.sql.index import search
from spanloom.v1 import event_service_pb2
from tests.clients import HttpClient, error_from_body
from tests.servers import LiveServer

LOWER_BOUND = "x-total-is-lower-bound"
ASKED = {"filters": [{"field": "metadata.n", "operator": "greater than", "value": 0}], "limit": 2}
EXPORT = "/spanloom.v1.EventService/ExportEvents"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    file = tmp_path_factory.mktemp("searches") / "store.db"
    with LiveServer(database=f"sqlite:///{file}", no_auth=True, request_timeout=1.0) as server:
        events = [
            {"event_type": "model", "event_id": f"e{n}", "session_id": "s", "metadata": {"n": n}}
            for n in range(1, 7)
        ]
        with rest(server) as client:
            client.post("/events/batch", json={"events": events}).raise_for_status()
        yield server


def rest(server: LiveServer) -> httpx.Client:
    return HttpClient(server.running.http_address).http


def test_a_total_that_is_a_lower_bound_is_marked(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = event_service_pb2.ExportEventsRequest(limit=2)
    request.filters.add(field="metadata.n", operator="greater than").value.number_value = 0
    with rest(live) as client, grpc.insecure_channel(live.running.grpc_address) as channel:
        call: Any = channel.unary_unary(EXPORT)
        for most, total in ((10_000, 6), (4, 4)):
            monkeypatch.setattr("spanloom.store.sql.spans.MOST_COUNTED", most)
            answer = client.post("/events/export", json=ASKED)
            assert answer.json()["totalEvents"] == total
            assert answer.headers.get(LOWER_BOUND) == (None if total == 6 else "true")
            body, outcome = call.with_call(request.SerializeToString())
            response = event_service_pb2.ExportEventsResponse.FromString(body)
            assert response.total_events == total
            trailers = dict(outcome.trailing_metadata())
            assert trailers.get(LOWER_BOUND) == (None if total == 6 else "true")
            assert trailers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "way"),
    [
        ("find_events", "/events/export", ASKED, "start times"),
        ("speaking_spans", "/agents/search", {"project_id": "p", "query": "x"}, "started_after"),
    ],
)
def test_a_search_past_its_deadline_says_how_to_narrow_it(
    live: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, Any],
    way: str,
) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(live.running.store, method, never)
    with rest(live) as client:
        error = error_from_body(client.post(path, json=body))
    assert error.code == "DEADLINE_EXCEEDED"
    assert way in error.message


def test_a_search_past_its_deadline_stops_reading(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads would go on through the whole store."""

    ended = threading.Event()

    def parts(*arguments: Any) -> Iterator[tuple[list[Any], int]]:
        watch = arguments[-1]
        try:
            while True:
                watch.check()
                yield [], 0
        finally:
            ended.set()

    monkeypatch.setattr(search, "_parts", parts)
    with rest(live) as client:
        answer = client.post("/events/export", json=ASKED)
    assert answer.status_code == 504
    assert ended.wait(5)


def test_pages_of_a_search_without_an_index_lead_to_what_it_finds(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(search, "_BEFORE_SECONDS", -1)  # whether they are indexed yet or not
    with rest(live) as client:
        for n in range(5):
            trace = {"id": f"t{n}", "input": f"number {n}", "startTime": f"2026-01-0{n + 1}"}
            client.post("/monitor/trace", json=trace).raise_for_status()
        found, token, pages = [], "", 0
        while True:
            query = {"text": "umber 2", "page_size": "3", "page_token": token}
            page = client.get("/v1/traces", params=query).raise_for_status().json()
            found += [trace["id"] for trace in page["traces"]]
            token, pages = page["nextPageToken"], pages + 1
            if not token:
                break
    assert found == ["t2"]
    assert pages > 3
