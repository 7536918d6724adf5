"""A server sends spans about its own calls and commits to another one, and never in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom import metrics
from spanloom.config import Settings
from spanloom.errors import SetupError
from spanloom.forwarding import own_spans
from spanloom.forwarding.own_spans import send_own_spans_until
from spanloom.forwarding.receiver import receiver
from spanloom.tracing import MOST_WAITING, OwnSpan, Recorder, unsampled
from spanloom.v1 import query_service_pb2, query_service_pb2_grpc
from tests.clients import until
from tests.forwarding.receivers import Reply, ScriptedReceiver, partly
from tests.servers import LiveServer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
WRITE = "spanloom.v1.SpanService/WriteSpans"


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_spans, "_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(own_spans, "_MOST_PAUSE", 0.05)


@pytest.fixture
def scripted() -> Iterator[ScriptedReceiver]:
    with ScriptedReceiver() as made:
        yield made


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def ended(recorder: Recorder, name: str) -> None:
    span = recorder.begin(name, "")
    assert span is not None
    recorder.end_call(span, "OK", "", {})


def counted(outcome: str) -> float:
    return float(metrics.OWN_SPANS.labels(outcome)._value.get())


def test_calls_and_their_commits_come_to_another_spanloom(
    tmp_path: Any, scripted: ScriptedReceiver
) -> None:
    databases = [f"sqlite:///{tmp_path}/{name}.db" for name in ("there", "here")]
    with LiveServer(database=databases[0], tracing_url=scripted.url, log_level="error") as there:
        headers = f"authorization=Bearer%20{there.key('about', 'ingest')}"
        reader = {"authorization": f"Bearer {there.key('about', 'read')}"}
        to = f"http://{there.running.http_address}"
        with LiveServer(
            database=databases[1], tracing_url=to, tracing_headers=headers, log_level="error"
        ) as here:
            key = f"Bearer {here.key('app')}"
            base = f"http://{here.running.http_address}"
            sent = {"authorization": key, "traceparent": SAMPLED, "x-request-id": "r1"}
            body = {"spans": [{"traceId": "t", "spanId": f"{n}"} for n in range(3)]}
            with httpx.Client(base_url=base, trust_env=False) as http:
                http.post("/v1/spans:write", json=body, headers=sent).raise_for_status()
                http.get("/v1/traces/t/spans/none", headers={"traceparent": unsampled()})
            with grpc.insecure_channel(here.running.grpc_address) as channel:
                stub: Any = query_service_pb2_grpc.QueryServiceStub(channel)
                stub.GetCaller(
                    query_service_pb2.GetCallerRequest(),
                    metadata=(("authorization", key), ("traceparent", SAMPLED)),
                )

            def shown() -> dict[str, Any]:
                answer = httpx.get(
                    f"{to}/v1/spans",
                    params={"trace_id": TRACE},
                    headers={**reader, "traceparent": unsampled()},
                    trust_env=False,
                )
                return {one["name"]: one for one in answer.raise_for_status().json()["spans"]}

            names = {WRITE, "commit", "spanloom.v1.QueryService/GetCaller"}
            until(lambda: names <= shown().keys(), 30)
        spans = shown()
        assert spans.keys() == names
        assert spans[WRITE]["parentSpanId"] == PARENT
        assert spans["commit"]["parentSpanId"] == spans[WRITE]["spanId"]
        # The other server has recorded none of these calls, with which its own would begin.
        with httpx.Client(base_url=to, headers=reader, trust_env=False) as http:
            http.get("/v1/traces/t/spans/none")
        until(lambda: scripted.requests != [], 30)
    assert scripted.names() == [["spanloom.v1.SpanService/GetSpan"]]


def test_what_a_span_says(tmp_path: Any, scripted: ScriptedReceiver) -> None:
    database = f"sqlite:///{tmp_path}/spanloom.db"
    with LiveServer(database=database, tracing_url=scripted.url, log_level="error") as server:
        key = {"authorization": f"Bearer {server.key('app')}", "x-request-id": "r1"}
        with httpx.Client(
            base_url=f"http://{server.running.http_address}", headers=key, trust_env=False
        ) as http:
            body = {"spans": [{"traceId": "t", "spanId": f"{n}"} for n in range(3)]}
            answer = http.post("/v1/spans:write", json=body)
            http.get("/v1/traces/t/spans/none")
    request = scripted.requests[0][2]
    resource = {one.key: one.value for one in request.resource_spans[0].resource.attributes}
    assert resource["service.name"].string_value == "spanloom"
    assert resource["service.version"].string_value
    spans = {
        span.name: span
        for _, _, request in scripted.requests
        for span in request.resource_spans[0].scope_spans[0].spans
    }
    write, refused = spans[WRITE], spans["spanloom.v1.SpanService/GetSpan"]
    facts = attributes(write)
    assert facts.pop("spanloom.request_bytes") == int(answer.request.headers["content-length"])
    assert facts.pop("spanloom.response_bytes") >= 0
    assert facts == {
        "rpc.method": WRITE,
        "rpc.response.status_code": "OK",
        "spanloom.project": "app",
        "spanloom.request_id": "r1",
        "spanloom.transport": "rest",
    }
    assert write.start_time_unix_nano <= spans["commit"].start_time_unix_nano
    assert spans["commit"].end_time_unix_nano <= write.end_time_unix_nano
    assert attributes(spans["commit"])["spanloom.rows"] >= 3
    assert attributes(refused)["rpc.response.status_code"] == "NOT_FOUND"
    assert attributes(refused)["error.type"] == "SPAN_NOT_FOUND"
    assert not refused.status.code  # the caller's mistake, not the server's


def test_a_commit_is_below_one_call_and_linked_to_the_others() -> None:
    recorder = Recorder(1)
    calls = [recorder.begin("a", SAMPLED), recorder.begin("b", ""), recorder.begin("c", "")]
    first, *others = [call for call in calls if call]
    recorder.end_commit([first, *others], 5, 7, 4)
    [commit], _ = recorder.take(10)
    assert (commit.trace_id.hex(), commit.parent_id) == (TRACE, first.span_id)
    assert commit.links == [(other.trace_id, other.span_id) for other in others]
    assert commit.attributes == {"spanloom.rows": 7, "spanloom.calls": 4}


def test_a_fault_of_the_server_is_an_error() -> None:
    recorder = Recorder(1)
    for code, reason in (("UNAVAILABLE", "STORE_UNAVAILABLE"), ("CANCELLED", "")):
        span = recorder.begin("a", "")
        assert span is not None
        recorder.end_call(span, code, reason, {"spanloom.project": ""})
    fault, other = recorder.take(10)[0]
    assert (fault.error, fault.attributes["error.type"]) == ("STORE_UNAVAILABLE",) * 2
    assert (other.error, other.attributes["error.type"]) == ("", "CANCELLED")
    assert "spanloom.project" not in fault.attributes


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-..")))
def test_any_traceparent_is_read(text: str) -> None:
    span = Recorder(1).begin("a", text)
    assert span is None or (len(span.trace_id), len(span.span_id)) == (16, 8)


def test_a_caller_decides_only_that_nothing_is_recorded() -> None:
    assert Recorder(1).begin("a", unsampled()) is None
    assert Recorder(0).begin("a", SAMPLED) is None
    for wrong in (f"ff{SAMPLED[2:]}", SAMPLED.replace(TRACE, "0" * 32), SAMPLED + "x"):
        span = Recorder(1).begin("a", wrong)
        assert span is not None
        assert span.parent_id == b""
    drawn = [Recorder(0.5).begin("a", SAMPLED) for _ in range(200)]
    assert None in drawn
    assert any(isinstance(one, OwnSpan) for one in drawn)


def test_what_cannot_be_sent_waits_and_is_dropped_when_it_is_too_much(
    scripted: ScriptedReceiver,
) -> None:
    recorder, sent, dropped = Recorder(1), counted("sent"), counted("dropped")
    scripted.replies += [Reply(503), Reply(503), Reply(), Reply(400), partly(1, "no name")]

    async def work() -> None:
        stop = asyncio.Event()
        sending = asyncio.create_task(
            send_own_spans_until(stop, recorder, receiver(scripted.url), "1")
        )
        for number, names in ((3, "ab"), (4, "c"), (5, "de")):
            for name in names:
                ended(recorder, name)
            await asyncio.to_thread(until, lambda n=number: len(scripted.requests) == n, 30)
        for _ in range(MOST_WAITING + 3):
            ended(recorder, "many")
        stop.set()
        await sending

    asyncio.run(work())
    assert scripted.names()[:5] == [["a", "b"]] * 3 + [["c"], ["d", "e"]]
    assert sum(map(len, scripted.names()[5:])) == MOST_WAITING
    assert counted("sent") == sent + 2 + 1 + MOST_WAITING
    assert counted("dropped") == dropped + 1 + 1 + 3


def test_a_stop_does_not_wait_for_a_receiver_that_is_away() -> None:
    recorder = Recorder(1)
    ended(recorder, "a")

    async def work() -> None:
        stop = asyncio.Event()
        stop.set()
        await send_own_spans_until(stop, recorder, receiver("http://127.0.0.1:1"), "1")

    asyncio.run(work())


def test_the_ratio_is_a_setting() -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(SetupError, match="tracing_ratio"):
            Settings(tracing_ratio=wrong)
    with pytest.raises(SetupError, match="tracing_url"):
        receiver("a:4318", setting="tracing")
