"""Streams of spans on each transport: their forms, their limit, several workers, and the drain."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from spanloom.server import middleware
from spanloom.server.http.envelope import sealed
from spanloom.server.http.server_sent import accepts_events
from spanloom.v1 import span_service_pb2 as pb
from tests.clients import CallError, GrpcClient
from tests.databases import DATABASES, new_url
from tests.servers import LiveServer
from tests.streams import stream

TAIL = "SpanService/TailSpans"
RECORD = "SpanService/RecordSpans"


def a_span(span_id: str) -> dict[str, Any]:
    return {"traceId": "t", "spanId": span_id, "startTime": "2026-01-01T00:00:01Z"}


class Caller:
    """A server, and calls with an admin key."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.key = server.key("p")
        self.headers = {"authorization": f"Bearer {self.key}"}
        self.http = httpx.Client(
            base_url=f"http://{server.running.http_address}",
            headers=self.headers,
            timeout=20,
            trust_env=False,
        )
        self.rpc = GrpcClient(server.running.grpc_address)

    def write(self, *span_ids: str) -> None:
        answer = self.http.post("/v1/spans:write", json={"spans": [a_span(s) for s in span_ids]})
        assert answer.status_code == 200, answer.text

    def write_each(self, span_ids: Sequence[str]) -> None:
        for span_id in span_ids:
            self.write(span_id)

    def close(self) -> None:
        self.http.close()
        self.rpc.close()


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    database = f"sqlite:///{tmp_path_factory.mktemp('streams')}/a.db"
    with LiveServer(database=database, log_level="error", max_streams=8) as server:
        made = Caller(server)
        yield made
        made.close()


def events(answer: httpx.Response) -> Iterator[dict[str, str]]:
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, text = line.partition(": ")
            found[name] = text
        else:
            yield found
            found = {}


def test_server_sent_events_resume_by_their_id(caller: Caller) -> None:
    sse = {"accept": "text/event-stream"}
    with caller.http.stream("GET", "/v1/spans:tail", headers=sse) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        found = events(answer)
        first = next(found)
        assert json.loads(first["data"]) == {"spans": [], "cursor": first["id"]}
        caller.write("sse-1")
        second = next(found)
    caller.write("sse-2")
    sse["last-event-id"] = second["id"]
    with caller.http.stream("GET", "/v1/spans:tail?cursor=x", headers=sse) as answer:
        found = events(answer)
        assert json.loads(next(found)["data"])["spans"] == []
        [span] = json.loads(next(found)["data"])["spans"]
    assert span["spanId"] == "sse-2"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/event-stream", True),
        ("application/json, TEXT/EVENT-STREAM;q=0.5", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0.0", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_events_are_sent_to_those_who_ask_for_them(accept: str, *, wanted: bool) -> None:
    assert accepts_events(accept) is wanted


def test_an_error_before_the_first_event_has_its_status(caller: Caller) -> None:
    answer = caller.http.get("/v1/spans:tail?cursor=x", headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "ERROR_REASON_INVALID_CURSOR")


def test_head_ends(caller: Caller) -> None:
    answer = caller.http.head("/v1/spans:tail")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("kind", ["application/connect+json", "application/grpc-web+proto"])
def test_a_tail_over_the_protocols_of_browsers(caller: Caller, kind: str) -> None:
    body = sealed(0, b"{}" if kind.endswith("json") else b"")
    path = "/spanloom.v1.SpanService/TailSpans"
    with caller.http.stream("POST", path, content=body, headers={"content-type": kind}) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_raw()
        next(chunks)
        caller.write(f"seen-{kind}")
        data = next(chunks)
    assert f"seen-{kind}".encode() in data
    if kind.endswith("proto"):
        assert pb.TailSpansResponse.FromString(data[5:]).cursor


def test_requests_are_recorded_over_connect(caller: Caller) -> None:
    """Half-duplex, as HTTP/1.1 has it: all requests, then all responses."""
    requests = [{"sequence": str(n), "spans": [a_span(f"connect-{n}")]} for n in (1, 2)]
    body = b"".join(sealed(0, json.dumps(one).encode()) for one in requests)
    answer = caller.http.post(
        "/spanloom.v1.SpanService/RecordSpans",
        content=body,
        headers={"content-type": "application/connect+json"},
    )
    assert answer.status_code == 200
    assert b'"acknowledgedSequence":"2"' in answer.content
    found = caller.http.get("/v1/traces/t/spans/connect-2")
    assert found.status_code == 200


def test_streams_have_a_limit_of_their_own(caller: Caller) -> None:
    request = pb.TailSpansRequest()
    with ExitStack() as stack:

        def tail(key: str) -> Any:
            return stack.enter_context(stream(caller.rpc, TAIL, request, key=key))

        others = [caller.server.key("p", "review") for _ in range(2)]
        opened = []

        def open_four(key: str) -> None:
            mine = [tail(key) for _ in range(4)]
            for responses in mine:
                next(responses)
            opened.extend(mine)

        def limit(key: str) -> str:
            with pytest.raises(CallError) as error:
                next(tail(key))
            assert (error.value.code, error.value.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
            return error.value.message

        open_four(caller.key)  # a key has half of the places
        assert "streams of this key" in limit(caller.key)
        open_four(others[0])
        assert "too many streams in progress" in limit(others[1])
        caller.write("meanwhile")
        for responses in opened:
            assert [span.span_id for span in next(responses).spans] == ["meanwhile"]


def test_a_stream_ends_when_its_key_is_revoked(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "_KEY_SECONDS", 0.0)
    text = caller.server.key("p", "read")
    with stream(caller.rpc, TAIL, pb.TailSpansRequest(), key=text) as responses:
        next(responses)
        store = caller.server.running.store
        [key] = [key for key in caller.server.run(store.list_keys()) if key.role == "read"]
        caller.server.run(store.revoke_key(key.id, time.time_ns()))
        time.sleep(1.5)
        caller.write("secret")
        with pytest.raises(CallError) as ended:
            next(responses)
    assert ended.value.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("kind", DATABASES)
def test_what_another_process_stores_is_seen(kind: str, tmp_path: Path) -> None:
    """Two servers on one database: one writes, at the other a reader follows."""
    database = new_url(kind, tmp_path)
    with (
        LiveServer(database=database, log_level="error") as here,
        LiveServer(database=database, log_level="error") as there,
    ):
        reader, writer = Caller(here), Caller(there)
        wanted = [f"s{n}" for n in range(60)]
        with stream(reader.rpc, TAIL, pb.TailSpansRequest(), key=reader.key) as responses:
            next(responses)
            parts = (wanted[::3], wanted[1::3], wanted[2::3])
            threads = [threading.Thread(target=writer.write_each, args=(part,)) for part in parts]
            for thread in threads:
                thread.start()
            seen: list[str] = []
            while len(seen) < len(wanted):
                seen += [span.span_id for span in next(responses).spans]
            for thread in threads:
                thread.join()
        assert sorted(seen) == sorted(wanted)
        reader.close()
        writer.close()


def test_idle_tails_do_not_hold_the_drain(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    server = LiveServer(database=database, log_level="error", drain_timeout=20.0)
    server.__enter__()
    caller = Caller(server)
    channel = caller.rpc._channel
    tail: Any = channel.unary_stream("/spanloom.v1.SpanService/TailSpans")
    metadata = list(caller.headers.items())
    calls = [tail(b"", metadata=metadata, timeout=60) for _ in range(50)]
    for call in calls:
        next(call)
    lines: queue.Queue[str] = queue.Queue()

    def follow() -> None:
        with caller.http.stream("GET", "/v1/spans:tail") as answer:
            for line in answer.iter_lines():
                lines.put(line)

    following = threading.Thread(target=follow)
    following.start()
    lines.get(timeout=10)
    began = time.monotonic()
    server.__exit__()
    assert time.monotonic() - began < 3
    for call in calls:
        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
    following.join(10)
    assert "ERROR_REASON_SHUTTING_DOWN" in lines.get(timeout=1)
    caller.close()


def test_what_was_recorded_before_the_drain_is_acknowledged(tmp_path: Path) -> None:
    """Acknowledged is exactly what is stored, and the stream ends with UNAVAILABLE."""
    database = f"sqlite:///{tmp_path}/a.db"
    server = LiveServer(database=database, log_level="error")
    server.__enter__()
    caller = Caller(server)
    is_over = threading.Event()

    def requests() -> Iterator[pb.RecordSpansRequest]:
        for sequence in range(1, 100_000):
            if is_over.is_set():
                return
            request = pb.RecordSpansRequest(sequence=sequence)
            request.spans.add(trace_id="t", span_id=f"s{sequence}")
            yield request
            time.sleep(0.0005)

    acknowledged = 0
    stopping = threading.Thread(target=server.__exit__)
    with stream(caller.rpc, RECORD, key=caller.key, more=requests()) as responses:
        with pytest.raises(CallError) as ended:  # noqa: PT012
            for response in responses:
                acknowledged = response.acknowledged_sequence
                if acknowledged > 100 and stopping.ident is None:
                    stopping.start()
        is_over.set()
    stopping.join()
    caller.close()
    assert (ended.value.code, ended.value.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
    with LiveServer(database=database, log_level="error") as again:
        store = again.running.store
        stored = {span.span_id for span in again.run(store.trace_spans("p", "t"))}
    assert stored >= {f"s{sequence}" for sequence in range(1, acknowledged + 1)}
