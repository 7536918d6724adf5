"""The native methods over REST: canonical JSON, masks, and names that no field has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers import LiveServer

SPAN = {
    "traceId": "t",
    "spanId": "a",
    "startTime": "2026-01-01T00:00:00.5Z",
    "duration": "1.250s",
    "model": {"inputTokens": "9007199254740993"},
    "attributes": {"raw": {"bytesValue": "AP/+"}, "none": {}},
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    file = tmp_path_factory.mktemp("native") / "spanloom.db"
    with LiveServer(database=f"sqlite:///{file}", log_level="error") as live:
        headers = {"authorization": f"Bearer {live.key('p')}"}
        address = f"http://{live.running.http_address}"
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            assert client.post("/v1/spans:write", json={"spans": [SPAN]}).status_code == 200
            yield client


def test_a_span_is_canonical_json(http: httpx.Client) -> None:
    span = http.get("/v1/traces/t/spans/a").json()["span"]
    assert span["startTime"] == "2026-01-01T00:00:00.500Z"
    assert (span["endTime"], span["duration"]) == ("2026-01-01T00:00:01.750Z", "1.250s")
    assert span["kind"] == "SPAN_KIND_MODEL"
    assert span["model"]["inputTokens"] == "9007199254740993"
    assert "outputTokens" not in span["model"]
    assert span["attributes"] == {"raw": {"bytesValue": "AP/+"}, "none": {}}
    # Without presence: always printed.
    assert (span["parentSpanId"], span["events"], span["feature"]) == ("", [], "")


def test_a_mask_is_text_in_the_query(http: httpx.Client) -> None:
    url = "/v1/traces/t/spans/a"
    body = {"name": "new", "output": {"o": [1]}, "metadata": {"k": 1}}
    answer = http.patch(url, params={"updateMask": "output,metadata"}, json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    span = http.get(url).json()["span"]
    assert (span["name"], span["output"], span["metadata"]) == ("unknown", {"o": [1]}, {"k": 1})
    refused = http.patch(url, params={"updateMask": "output,spanId"}, json={})
    assert refused.status_code == 400
    assert "cannot be updated" in refused.json()["message"]


def violations(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400
    body = answer.json()
    assert body["errorCode"] == "ERROR_REASON_UNKNOWN_FIELD"
    found: list[dict[str, str]] = [
        violation for detail in body["details"] for violation in detail.get("fieldViolations", ())
    ]
    return {one["field"]: one["description"] for one in found}


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "nearest"),
    [
        ("GET", "/v1/spans?pagesize=1", None, "pagesize", "pageSize"),
        ("GET", "/v1/spans?filter.agent=Ada", None, "filter.agent", "agentName"),
        ("GET", "/v1/traces/t/spans/a?nothing=1", None, "nothing", ""),
        ("POST", "/v1/spans:write", {"span": []}, "span", "spans"),
        ("POST", "/v1/spans:write", {"spans": [{"trace": "t"}]}, "spans.trace", "traceId"),
        ("PATCH", "/v1/traces/t/spans/a", {"outputs": 1}, "outputs", "output"),
        ("GET", "/v1/messages:search?txt=a", None, "txt", "text"),
    ],
)
def test_a_name_that_no_field_has_is_refused_with_the_nearest(
    http: httpx.Client, method: str, path: str, body: Any, field: str, nearest: str
) -> None:
    found = violations(http.request(method, path, json=body))
    hint = f"; the nearest is {nearest}" if nearest else ""
    assert found == {field: f"not a field of the request{hint}"}


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/traces/t/spans/a?spanId=b", "spanId"),
        ("POST", "/v1/spans:write?spans=b", "spans"),
    ],
)
def test_a_field_of_the_path_or_the_body_is_refused_in_the_query(
    http: httpx.Client, method: str, path: str, field: str
) -> None:
    found = violations(http.request(method, path))
    why = "is given by the path or the body, so the query must not have it"
    assert found == {field: why}


def test_only_writes_in_a_shape_of_another_product_ignore_names(http: httpx.Client) -> None:
    assert http.get("/v1/traces?pagesize=1").status_code == 400
    answer = http.post("/monitor/trace", json={"featureSlug": "f", "pagesize": 1})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "pagesize"
