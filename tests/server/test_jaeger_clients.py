"""Jaeger's query API as its clients use it: the requests of Grafana's data source (grafana/grafana,
pkg/tsdb/jaeger, client.go and grpc_client.go) and of Jaeger UI (src/api/jaeger.ts, src/api/v3), and
the fields that they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.otlp.requests import START, TRACE_ID, request
from tests.servers import LiveServer

US, MS = START // 1000, START // 10**6
AROUND = f"start={US - 1000}&end={US + 5_000_000}"
TIMES = "2026-09-21T13:00:00Z", "2026-09-21T17:00:00Z"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    database = f"sqlite:///{tmp_path_factory.mktemp('jaeger')}/spanloom.db"
    with LiveServer(database=database, log_level="error") as live:
        base = f"http://{live.running.http_address}"
        # As Grafana does where basic authentication is chosen.
        sent = request(
            {"id": 1, "name": "GET /a b", "kind": 2, "attributes": {"http__status": 200}},
            {"id": 2, "parent": 1, "name": "chat", "status": {"code": 2}},
            host__name="box",
        ).SerializeToString()
        headers = {
            "content-type": "application/x-protobuf",
            "authorization": f"Bearer {live.key('jaeger', 'ingest')}",
        }
        httpx.post(f"{base}/v1/traces", content=sent, headers=headers).raise_for_status()
        with httpx.Client(base_url=base, auth=("any", live.key("jaeger", "read"))) as client:
            yield client


def get(http: httpx.Client, path: str) -> Any:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_grafana_lists_services_and_operations(http: httpx.Client) -> None:
    found = get(http, "/api/services")
    assert found == {"data": ["bot", "jaeger"], "total": 2, "limit": 0, "offset": 0, "errors": []}
    assert get(http, "/api/services/bot/operations")["data"] == ["GET /a b", "chat"]
    assert get(http, "/api/services/a%20service%2Fx/operations")["data"] == []


@pytest.mark.parametrize(
    ("conditions", "number"),
    [
        (f"limit=20&service=bot&{AROUND}", 1),
        (f"limit=20&operation=GET+%2Fa+b&service=bot&{AROUND}", 1),
        (f"maxDuration=5s&minDuration=100ms&service=bot&{AROUND}", 1),
        (f"maxDuration=5ms&service=bot&{AROUND}", 0),
        (f"service=bot&tags=%7B%22http.status%22%3A%22200%22%7D&{AROUND}", 1),
        (f"service=bot&tags=%7B%22error%22%3A%22true%22%7D&{AROUND}", 1),
        (f"service=bot&tags=%7B%22error%22%3A%22false%22%7D&{AROUND}", 0),
    ],
)
def test_grafana_searches(http: httpx.Client, conditions: str, number: int) -> None:
    assert len(get(http, f"/api/traces?{conditions}")["data"]) == number


def test_jaeger_ui_searches(http: httpx.Client) -> None:
    asked = f"{AROUND}&limit=20&lookback=custom&maxDuration&minDuration&service=bot&raw=true"
    assert len(get(http, f"/api/traces?{asked}")["data"]) == 1


@pytest.mark.parametrize("more", ["", f"?start={US}&end={US + 9}", "?prettyPrint=true"])
def test_a_trace_has_what_clients_read(http: httpx.Client, more: str) -> None:
    [trace] = get(http, f"/api/traces/{TRACE_ID}{more}")["data"]
    assert trace["traceID"] == TRACE_ID
    root, failed = trace["spans"]
    assert isinstance(root["startTime"], int)
    assert (root["startTime"], root["duration"]) == (US, 1_000_000)
    assert root["processID"] in trace["processes"]
    assert trace["processes"][root["processID"]] == {
        "serviceName": "bot",
        "tags": [{"key": "host.name", "type": "string", "value": "box"}],
    }
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in root["tags"]}
    assert tags["http.status"] == ("int64", 200)
    assert tags["span.kind"] == ("string", "server")
    assert {"key": "error", "type": "bool", "value": True} in failed["tags"]
    [reference] = failed["references"]
    assert reference == {"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": root["spanID"]}
    names = {
        *("traceID", "spanID", "processID", "operationName", "startTime", "duration", "logs"),
        *("references", "tags", "warnings", "flags"),
    }
    assert set(root) == names


def test_grafana_draws_the_graph_of_services(http: httpx.Client) -> None:
    asked = f"endTs={MS + 1000}&lookback=3600000"
    assert get(http, f"/api/dependencies?{asked}")["data"] == []


def test_grafana_and_jaeger_ui_ask_version_3(http: httpx.Client) -> None:
    assert get(http, "/api/v3/services") == {"services": ["bot", "jaeger"]}
    assert get(http, "/api/v3/operations?service=bot") == {
        "operations": [
            {"name": "GET /a b", "spanKind": "internal"},
            {"name": "chat", "spanKind": "internal"},
        ]
    }
    snake = f"query.start_time_min={TIMES[0]}&query.start_time_max={TIMES[1]}"
    camel = f"query.startTimeMin={TIMES[0]}&query.startTimeMax={TIMES[1]}"
    for asked in (
        f"query.service_name=bot&query.duration_min=10ms&{snake}",
        f"query.serviceName=bot&query.searchDepth=20&{camel}",
        f"query.service_name=bot&query.num_traces=20&{snake}",
    ):
        found = get(http, f"/api/v3/traces?{asked}")
        assert found["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"]
        [summary] = get(http, f"/api/v3/trace-summaries?{asked}")["summaries"]
        assert summary == {
            "traceId": TRACE_ID,
            "rootServiceName": "bot",
            "rootOperationName": "GET /a b",
            "minStartTimeUnixNano": str(START),
            "maxEndTimeUnixNano": str(START + 10**9),
            "spanCount": 2,
            "errorSpanCount": 1,
            "orphanSpanCount": 0,
            "services": [{"name": "bot", "spanCount": 2, "errorSpanCount": 1}],
        }
    found = get(http, f"/api/v3/traces/{TRACE_ID}?start_time={TIMES[0]}&end_time={TIMES[1]}")
    [group] = found["result"]["resourceSpans"]
    assert {span["traceId"] for span in group["scopeSpans"][0]["spans"]} == {TRACE_ID}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/traces/{'f' * 32}", 404),
        ("/api/traces?service=bot&minDuration=soon", 400),
        ("/api/traces?service=bot&start=now", 400),
        ("/api/traces", 400),
    ],
)
def test_errors_are_in_jaegers_form(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    body = answer.json()
    assert [error["code"] for error in body["errors"]] == [status]
    assert body["errors"][0]["msg"] == body["message"]
    answer = http.get(path.replace("/api/", "/api/v3/"))
    assert answer.json()["error"]["httpCode"] == answer.status_code
    assert answer.json()["error"]["message"]


def test_strangers_are_refused_in_the_same_form(http: httpx.Client) -> None:
    for path in ("/api/services", "/api/traces?service=bot"):
        answer = httpx.get(f"{http.base_url}{path}".replace("//api", "/api"))
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == 401
