"""A condition that is misspelt does not find too much: the read is refused, with the near name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from spanloom import app
from spanloom.server.http.router import Binding, bindings
from spanloom.server.methods import Method
from tests.servers import LiveServer

READS = [method for method in app.methods(Mock()) if method.is_read]
# As docs/contracts/agent_chat.md, section 1.1, has it, and Jaeger's own server.
LENIENT = {
    "AgentChatService/GetTraceChat",
    "AgentChatService/GetConversationChat",
    "JaegerService/GetJaegerTrace",
    "JaegerService/ListJaegerServices",
    "JaegerV3Service/GetJaegerV3Trace",
    "JaegerV3Service/ListJaegerV3Services",
}


@pytest.fixture
def http(server: LiveServer) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {server.key('conditions')}"}
    url = f"http://{server.running.http_address}"
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        yield client


def misspelt(method: Method, binding: Binding) -> tuple[str, str]:
    """A name without its last letter, and the name."""
    fields = method.descriptor.input_type.fields
    names = [f.json_name for f in fields if f.name not in binding.variables] or ["limit"]
    name = max(names, key=len)
    return name[:-1], name


def violations(answer: httpx.Response) -> dict[str, str]:
    body = answer.json()
    details = body["details"]
    assert (answer.status_code, details[0]["reason"]) == (400, "ERROR_REASON_UNKNOWN_FIELD"), body
    return {
        violation["field"]: violation["description"]
        for detail in details
        for violation in detail.get("fieldViolations", ())
    }


@pytest.mark.parametrize("method", READS, ids=lambda method: method.full_name.rpartition(".")[2])
def test_every_read_refuses_it(http: httpx.Client, method: Method) -> None:
    name = method.full_name.removeprefix("spanloom.v1.")
    for binding in bindings(method.descriptor):
        path = binding.template
        for variable in binding.variables:
            path = path.replace(f"{{{variable}}}", "x")
        wrong, right = misspelt(method, binding)
        if binding.http_method == "GET":
            answer = http.get(path, params={wrong: "x"})
        else:
            answer = http.request(binding.http_method, path, json={wrong: "x"})
        if name in LENIENT:
            assert "UNKNOWN_FIELD" not in answer.text
            continue
        found = violations(answer)
        assert list(found) == [wrong]
        is_field = right in method.descriptor.input_type.fields_by_camelcase_name
        assert ("the nearest is" in found[wrong]) or not is_field


def test_a_name_that_a_client_of_another_product_sends_is_no_misspelling(
    http: httpx.Client,
) -> None:
    assert http.get("/runs/x/result", params={"project_id": "p"}).status_code == 404
    assert http.get("/runs/x/result", params={"agregate_function": "sum"}).status_code == 400
    search = {"service": "x", "raw": "true", "prettyPrint": "true"}
    assert http.get("/api/traces", params=search).status_code == 200
    assert http.get("/api/traces", params={**search, "minDuratio": "1s"}).status_code == 400
    assert http.get("/api/v3/traces", params={"query.servicename": "x"}).status_code == 400


def test_connect_refuses_it_too(http: httpx.Client) -> None:
    path = "/spanloom.v1.EventService/SearchEvents"
    answer = http.post(path, json={"limti": 3}, headers={"connect-protocol-version": "1"})
    assert answer.status_code == 400
    assert "limti: not a field of the request; the nearest is limit" in answer.text
    message = json.dumps({"limti": 3})
    answer = http.get(
        "/spanloom.v1.EventService/ListEvents", params={"encoding": "json", "message": message}
    )
    assert answer.status_code == 400
    assert "the nearest is limit" in answer.text


def test_names_inside_a_condition_are_refused(http: httpx.Client) -> None:
    body: dict[str, Any] = {"filters": [{"field": "event_name", "operater": "is", "value": "x"}]}
    found = violations(http.post("/events/export", json=body))
    assert list(found) == ["filters.operater"]
    assert "the nearest is operator" in found["filters.operater"]


def test_writes_of_other_products_ignore_it(http: httpx.Client) -> None:
    event = {"event_type": "tool", "event_nam": "x", "project": "p"}
    answer = http.post("/events", json={"event": event})
    assert answer.status_code == 200
    assert "event_nam" in answer.headers["x-ignored-fields"]
