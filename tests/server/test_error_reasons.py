"""Every reason of error_reason.proto has an example, and the example is what the server says."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from spanloom import errors
from spanloom.server import status
from spanloom.server.auth import NoAuth
from spanloom.server.funnel import as_error
from spanloom.services.queries import cursors
from spanloom.v1 import access_pb2, error_reason_pb2, trace_service_pb2
from tests.clients import CallError
from tests.servers import LiveServer

PROTO = Path(access_pb2.__file__).parents[3] / "proto/spanloom/v1/error_reason.proto"
REASON = re.compile(r"  ERROR_REASON_(\w+) = \d+;")
EXAMPLE_INDENT = "  //     "
JSON = {"content-type": "application/json"}
REQUEST_ID = "01a21eb51f4d77338fc7a81c207d0389"
_numbers = itertools.count(1)


def examples() -> dict[str, list[tuple[str, Any]]]:
    """By reason, the (detail, content) pairs of its example; the detail of a quoted text is ""."""
    found: dict[str, list[tuple[str, Any]]] = {}
    text = ""
    for line in PROTO.read_text().splitlines():
        if line.startswith(EXAMPLE_INDENT):
            part = line.removeprefix(EXAMPLE_INDENT)
            text += part if part.startswith("  ") else "\n" + part
        elif match := REASON.fullmatch(line):
            found[match[1]] = [_parsed(example) for example in text.strip().splitlines()]
            text = ""
    return found


def _parsed(example: str) -> tuple[str, Any]:
    if example.startswith('"'):
        return "", example[1:-1]
    detail, _, content = example.partition(":")
    if detail == "BadRequest":
        field, _, description = content.strip().partition(": ")
        return detail, {"field": field, "description": description}
    return detail, json.loads(content)


EXAMPLES = examples()


@dataclass
class Caller:
    """Calls the REST API with keys of a project of the test's own."""

    live: LiveServer
    keys: dict[str, str]

    def __call__(
        self, http_method: str, path: str, body: Any = b"", *, role: str = "admin", **headers: str
    ) -> Any:
        """The body of an error; the key of role "" is none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        key = self.keys.get(role, role)
        response = httpx.request(
            http_method,
            f"http://{self.live.running.http_address}{path}",
            content=data,
            headers=JSON | sent | ({"authorization": f"Bearer {key}"} if key else {}),
            timeout=60,
        )
        assert response.status_code >= 400
        return response.json()

    def create_prompt(self, slug: str, version: str) -> None:
        self.store("/v1/prompts", {"slug": slug, "version": version, "text": "one"})

    def store(self, path: str, body: Any) -> None:
        url = f"http://{self.live.running.http_address}{path}"
        headers = {"authorization": f"Bearer {self.keys['admin']}"}
        httpx.post(url, json=body, headers=headers).raise_for_status()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    file = tmp_path_factory.mktemp("reasons") / "spanloom.db"
    with LiveServer(database=f"sqlite:///{file}", log_level="error") as running:
        yield running


@pytest.fixture
def caller(live: LiveServer) -> Caller:
    project = f"project-{next(_numbers)}"
    return Caller(live, {role: live.key(project, role) for role in ("ingest", "admin")})


def _name(reason: str) -> str:
    """The name of what is not found, as the example has it."""
    return str(EXAMPLES[reason][0][1]["name"])


def _not_found(reason: str, http_method: str, path: str) -> Callable[[Caller], Any]:
    return lambda call: call(http_method, path.format(_name(reason)))


def _events(number: int, **of: dict[str, str]) -> dict[str, Any]:
    events = [{"event_type": "model", **of.get(f"n{index}", {})} for index in range(number)]
    return {"events": events}


def _existing_version(call: Caller) -> Any:
    named = EXAMPLES["PROMPT_VERSION_EXISTS"][0][1]
    call.create_prompt(**named)
    return call("POST", "/v1/prompts", {**named, "text": "another"})


def _expired_cursor(call: Caller) -> Any:
    """As a call a day after the example's time refuses a cursor that was issued before it."""
    oldest = Timestamp()
    oldest.FromJsonString(EXAMPLES["EXPIRED_CURSOR"][0][1]["oldest_cursor_time"])
    now = (oldest.seconds + cursors.VALID_SECONDS) * 10**9
    cursor = cursors.cursor("changes", "p", 1, (oldest.seconds - 1) * 10**9)
    with pytest.raises(errors.SpanloomError) as refused:
        cursors.position_of_cursor(cursor, "changes", "p", now)
    return _body(refused.value)


def _draining(call: Caller) -> Any:
    client = call.live.direct()
    client._middleware.draining = True
    with pytest.raises(CallError) as refused:
        client.call("TraceService/ListTraces", trace_service_pb2.ListTracesRequest())
    delay = f"{refused.value.retry_seconds:g}s"
    return {
        "errorCode": f"ERROR_REASON_{refused.value.reason}",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}],
    }


def _text_not_found(call: Caller) -> Any:
    call.store("/v1/spans:write", {"spans": [{"traceId": "t", "spanId": "s", "input": {}}]})
    return call("GET", f"/v1/traces/t/spans/s:readText?path={_name('TEXT_NOT_FOUND')}")


def _written_by_another_api(call: Caller) -> Any:
    events = [{"event_type": "tool", "event_id": "e", "session_id": "s"}]
    call.store("/events/batch", {"events": events})
    spans = [{"traceId": "s", "spanId": span_id} for span_id in ("a", "b", "c", "e")]
    return call("POST", "/v1/spans:write", {"spans": spans}, role="ingest")


def _request_id_reused(call: Caller) -> Any:
    experiment = {"featureSlug": "f", "name": "first", "requestId": "r"}
    call.store("/monitor/experiments", experiment)
    return call("POST", "/monitor/experiments", {**experiment, "name": "second"})


def _ambiguous_event(call: Caller) -> Any:
    [event_id] = {EXAMPLES["AMBIGUOUS_EVENT"][0][1]["event_id"]}
    for trace_id in ("ambiguous-1", "ambiguous-2"):
        logs = [{"id": event_id, "type": "generation"}]
        call.store("/monitor/trace", {"id": trace_id, "featureSlug": "f", "logs": logs})
    return call("DELETE", f"/v1/events/{event_id}")


def _project_not_empty(call: Caller) -> Any:
    name = EXAMPLES["PROJECT_NOT_EMPTY"][0][1]["project"]
    key = call.live.key(name)
    url = f"http://{call.live.running.http_address}/events"
    event = {"event": {"event_type": "tool"}}
    httpx.post(url, json=event, headers={"authorization": f"Bearer {key}"}).raise_for_status()
    return call("DELETE", f"/projects?name={name}", role=key)


def _project_being_deleted(_: Caller) -> Any:
    return _body(errors.project_being_deleted(EXAMPLES["PROJECT_BEING_DELETED"][0][1]["project"]))


def _foreign_site(_: Caller) -> Any:
    metadata = EXAMPLES["FOREIGN_SITE"][0][1]
    with pytest.raises(errors.SpanloomError) as refused:
        asyncio.run(NoAuth().authenticate({metadata["header"]: metadata["value"]}))
    return _body(refused.value)


def _body(error: errors.SpanloomError) -> Any:
    return json.loads(status.rest_body(error, REQUEST_ID))


FAILURES: dict[str, Callable[[Caller], Any]] = {
    "INVALID_FIELD": lambda call: call(
        "POST", "/events/batch", _events(4, n3={"event_type": "modle"})
    ),
    "DUPLICATE_ID": lambda call: call(
        "POST", "/events/batch", _events(8, n2={"event_id": "a"}, n7={"event_id": "a"})
    ),
    "MALFORMED_BODY": lambda call: call(
        "POST", "/events/batch", b'{"events": [{"event_type": "model"}'
    ),
    "INVALID_PAGE_TOKEN": lambda call: call("GET", "/v1/traces?pageToken=another"),
    "MISSING_CREDENTIALS": lambda call: call("GET", "/v1/traces", role=""),
    "INVALID_CREDENTIALS": lambda call: call("GET", "/v1/traces", role="unknown"),
    "ROLE_NOT_ALLOWED": lambda call: call("GET", "/v1/traces", role="ingest"),
    "PROJECT_MISMATCH": lambda call: call("GET", "/v1/traces", x_spanloom_project="other"),
    "TRACE_NOT_FOUND": _not_found("TRACE_NOT_FOUND", "GET", "/v1/traces/{}"),
    "EVENT_NOT_FOUND": _not_found("EVENT_NOT_FOUND", "GET", "/v1/events/{}"),
    "SESSION_NOT_FOUND": _not_found("SESSION_NOT_FOUND", "GET", "/v1/sessions/{}"),
    "ROUTE_NOT_FOUND": lambda call: call("GET", "/monitor/trace"),
    "REQUEST_TOO_LARGE": lambda call: call(
        "POST", "/events/batch", gzip.compress(b" " * ((64 << 20) + 1)), content_encoding="gzip"
    ),
    "UNSUPPORTED_ENCODING": lambda call: call(
        "POST", "/events/batch", b"{}", content_encoding="br"
    ),
    "QUEUE_FULL": lambda _: _body(errors.queue_full()),
    "STORE_UNAVAILABLE": lambda _: _body(errors.store_unavailable()),
    "SHUTTING_DOWN": _draining,
    "DEADLINE_EXCEEDED": lambda _: _body(as_error(TimeoutError(), REQUEST_ID, "")),
    "INTERNAL": lambda _: _body(as_error(RuntimeError(), REQUEST_ID, "")),
    "EXPERIMENT_NOT_FOUND": _not_found("EXPERIMENT_NOT_FOUND", "GET", "/v1/experiments/{}"),
    "PROMPT_NOT_FOUND": _not_found("PROMPT_NOT_FOUND", "GET", "/v1/prompts/{}"),
    "PROMPT_VERSION_EXISTS": _existing_version,
    "EVALUATOR_NOT_FOUND": _not_found("EVALUATOR_NOT_FOUND", "DELETE", "/v1/evaluators/{}"),
    "SPAN_NOT_FOUND": lambda call: call(
        "GET", "/v1/traces/{}/spans/{}".format(*_name("SPAN_NOT_FOUND").split("/"))
    ),
    "TEXT_NOT_FOUND": _text_not_found,
    "CONVERSATION_NOT_FOUND": _not_found(
        "CONVERSATION_NOT_FOUND", "GET", "/v1/conversations/{}/messages"
    ),
    "UNKNOWN_FIELD": lambda call: call("GET", "/v1/spans?pagesize=1"),
    "WRITTEN_BY_ANOTHER_API": _written_by_another_api,
    "FOREIGN_SITE": _foreign_site,
    "REQUEST_ID_REUSED": _request_id_reused,
    "AMBIGUOUS_EVENT": _ambiguous_event,
    "PROJECT_BEING_DELETED": _project_being_deleted,
    "KEY_NOT_ROTATABLE": lambda _: _body(errors.key_not_rotatable(_name("KEY_NOT_ROTATABLE"))),
    "RATE_LIMITED": lambda _: _body(
        errors.rate_limited("project", "spans", "spans_per_second", 1000, 0.5)
    ),
    "QUOTA_EXCEEDED": lambda _: _body(errors.quota_exceeded("my-app", 1_000_000)),
    "KEY_NOT_FOUND": _not_found("KEY_NOT_FOUND", "POST", "/v1/keys/{}:revoke"),
    "FILE_NOT_FOUND": _not_found("FILE_NOT_FOUND", "GET", "/v1/files/{}"),
    "NO_PUBLIC_URL": lambda _: _body(
        errors.SpanloomError(
            errors.Code.FAILED_PRECONDITION,
            errors.Reason.NO_PUBLIC_URL,
            "the server does not know its address: set SPANLOOM_PUBLIC_URL",
        )
    ),
    "REDACTION_FAILED": lambda _: _body(errors.redaction_failed()),
    "PRICE_NOT_FOUND": _not_found("PRICE_NOT_FOUND", "DELETE", "/v1/prices/{}"),
    "ENTRY_NOT_FOUND": _not_found("ENTRY_NOT_FOUND", "DELETE", "/v1/charts/{}"),
    "PROJECT_NOT_EMPTY": _project_not_empty,
    "ATTACHMENT_NOT_FOUND": _not_found("ATTACHMENT_NOT_FOUND", "GET", "/v1/attachments/{}"),
    "REVIEW_NOT_FOUND": _not_found("REVIEW_NOT_FOUND", "DELETE", "/v1/reviews/{}"),
    "EXPIRED_CURSOR": _expired_cursor,
    "READER_TOO_SLOW": lambda _: _body(errors.reader_too_slow(10_001, 10_000, 0)),
    "INVALID_CURSOR": lambda call: call("GET", "/v1/traceSummaries:pollChanges?cursor=another"),
    "DATASET_NOT_FOUND": _not_found("DATASET_NOT_FOUND", "GET", "/v1/datasets/{}"),
}


def test_every_reason_has_an_example_and_a_failure() -> None:
    reasons = {
        name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()
    } - {"UNSPECIFIED"}
    assert set(FAILURES) == reasons
    assert all(EXAMPLES[reason] for reason in reasons)


@pytest.mark.parametrize("reason", FAILURES)
def test_the_example_is_what_the_server_says(caller: Caller, reason: str) -> None:
    body = FAILURES[reason](caller)
    assert body["errorCode"] == f"ERROR_REASON_{reason}"
    details = {
        detail.pop("@type").rpartition(".")[2]: detail for detail in map(dict, body["details"])
    }
    detail, content = EXAMPLES[reason][0]
    if detail == "":
        assert content == body["message"]
    elif detail == "BadRequest":
        assert content in details[detail]["fieldViolations"]
    elif detail == "ErrorInfo.metadata":
        assert content == details["ErrorInfo"]["metadata"]
    else:
        assert content == {name: details[detail][name] for name in content}


def test_the_second_lines_of_examples_are_true_too(caller: Caller) -> None:
    body = FAILURES["INVALID_FIELD"](caller)
    assert EXAMPLES["INVALID_FIELD"][1][1] in body["details"][1]["fieldViolations"]
    named = EXAMPLES["PROMPT_NOT_FOUND"][1][1]
    slug, _, version = named["name"].partition("@")
    caller.create_prompt(slug, version="0.0.1")
    body = caller("GET", f"/v1/prompts/{slug}?version={version}")
    assert body["details"][0]["metadata"] == named
