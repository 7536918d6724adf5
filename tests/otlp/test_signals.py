"""Logs and metrics over HTTP, as exporters send them beside spans."""

from __future__ import annotations

import json
import urllib.request

import httpx
import pytest

from spanloom.app import methods
from spanloom.server.http.router import Router, bindings
from tests.servers import LiveServer

# Ids in hex, as OTLP's JSON has them.
LOGS = {
    "resourceLogs": [
        {
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "body": {"stringValue": "cut \ud83d"},
                        }
                    ]
                }
            ]
        }
    ]
}


@pytest.mark.parametrize(
    "path", ["/v1/logs", "/v1/metrics", "/otel/v1/logs", "/otel/v1/metrics", "//v1/logs/"]
)
@pytest.mark.parametrize(
    ("media_type", "body", "answer"),
    [
        ("application/json", json.dumps(LOGS).encode(), b"{}"),
        ("application/x-protobuf", b"", b""),
    ],
)
def test_other_signals_are_accepted_over_http(
    server: LiveServer, path: str, media_type: str, body: bytes, answer: bytes
) -> None:
    request = urllib.request.Request(
        f"http://{server.running.http_address}{path}",
        body,
        {"Authorization": f"Bearer {server.key()}", "Content-Type": media_type},
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == media_type
        assert response.read() == answer


def test_slashes_too_many_are_taken_in_the_paths_of_otlp_alone(server: LiveServer) -> None:
    router = Router([b for m in methods(server.running.store) for b in bindings(m.descriptor)])
    for path in ("/v1/traces/", "//v1/traces", "/v1//traces//", "/opentelemetry//v1/traces"):
        assert router.match("POST", path) is not None, path
    assert router.match("GET", "/v1/usage") is not None
    assert router.match("GET", "/v1/usage/") is None


def test_the_switch_leaves_them_out(server: LiveServer) -> None:
    names = {method.full_name for method in methods(server.running.store, logs_and_metrics=False)}
    assert "opentelemetry.proto.collector.trace.v1.TraceService/Export" in names
    assert not [name for name in names if "LogsService" in name or "MetricsService" in name]


def test_log_records_in_json_join_their_span(server: LiveServer) -> None:
    record = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "00f067aa0ba902b7",
        "eventName": "gen_ai.user.message",
        "body": {
            "kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "How many?"}}]}
        },
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    key = {"authorization": f"Bearer {server.key('logs in json')}"}
    url = f"http://{server.running.http_address}"
    assert httpx.post(f"{url}/v1/logs", json=logs, headers=key).status_code == 200
    [span] = httpx.get(f"{url}/v1/spans", headers=key).json()["spans"]
    assert span["spanId"] == record["spanId"]
    assert [event["name"] for event in span["events"]] == ["gen_ai.user.message"]
