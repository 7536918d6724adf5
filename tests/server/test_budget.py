"""What calls hold in memory is counted, on every transport, and given back."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from spanloom.errors import SpanloomError
from spanloom.model import EventQuery
from spanloom.model.held import HELD
from spanloom.server.admission import ByteBudget
from spanloom.server.auth import Principal
from spanloom.server.http import json_form
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware
from spanloom.services import events
from tests.clients import until
from tests.server.lab import PATHS, Bench, Lab, service
from tests.servers import LiveServer

LONG = "x" * 300_000
LIMIT = "limit_bytes_in_flight"


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


@pytest.fixture
def full(lab: Bench) -> Iterator[Bench]:
    """A budget that another call has used up."""
    budget = lab.middleware.budget
    budget.take(budget.most, "another")
    try:
        yield lab
    finally:
        budget.give_back(budget.most, "another")


def taken(lab: Bench) -> int:
    return lab.middleware.budget._taken


def connect(lab: Bench, value: str, **headers: str) -> httpx.Response:
    message = lab.text(value=value).SerializeToString()
    kind = {"Content-Type": "application/proto", "Host": "localhost"}
    return lab.http.post(f"/{lab.name}/Repeat", content=message, headers={**kind, **headers})


def web(lab: Bench, value: str) -> httpx.Response:
    message = lab.text(value=value).SerializeToString()
    envelope = struct.pack(">BI", 0, len(message)) + message
    kind = {"Content-Type": "application/grpc-web+proto", "Host": "localhost"}
    return lab.http.post(f"/{lab.name}/Repeat", content=envelope, headers=kind)


def limit_over_rest(lab: Bench, value: str) -> bool:
    refused = lab.rest("Repeat", value)
    return refused.status_code == 429 and LIMIT in refused.text


def limit_over_connect(lab: Bench, value: str) -> bool:
    refused = connect(lab, value)
    if refused.status_code != 429:
        return False
    details = [base64.b64decode(each["value"] + "==") for each in refused.json()["details"]]
    return any(LIMIT.encode() in each for each in details)


def limit_over_web(lab: Bench, value: str) -> bool:
    return "grpc-status: 8" in web(lab, value).text


def limit_over_grpc(lab: Bench, value: str) -> bool:
    with pytest.raises(grpc.RpcError) as refused:
        lab.grpc("Repeat", value)
    trailers: Any = refused.value.trailing_metadata()
    details = dict(trailers)["grpc-status-details-bin"]
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return LIMIT.encode() in details and b"RetryInfo" in details


Ask = Callable[[Bench, str], Any]
TRANSPORTS = [limit_over_rest, limit_over_connect, limit_over_web, limit_over_grpc]


@pytest.mark.parametrize("is_refused", TRANSPORTS)
@pytest.mark.parametrize("value", [f"1x{LONG}", f"300000x{LONG[:1]}"], ids=["request", "answer"])
def test_what_finds_no_room_is_refused(
    full: Bench, is_refused: Callable[[Bench, str], bool], value: str
) -> None:
    assert is_refused(full, value)
    until(lambda: taken(full) == full.middleware.budget.most)


def over_rest(lab: Bench, value: str) -> Any:
    return lab.rest("Repeat", value).raise_for_status()


def over_connect(lab: Bench, value: str) -> Any:
    return connect(lab, value).raise_for_status()


def over_web(lab: Bench, value: str) -> Any:
    answer = web(lab, value)
    assert "grpc-status: 0" in answer.text
    return answer


def over_grpc(lab: Bench, value: str) -> Any:
    return lab.grpc("Repeat", value)


@pytest.mark.parametrize("ask", [over_rest, over_connect, over_web, over_grpc])
def test_what_a_call_held_is_given_back(lab: Bench, ask: Ask) -> None:
    ask(lab, f"2x{LONG}")
    until(lambda: taken(lab) == 0)


def test_streams_give_back_what_they_held(lab: Bench) -> None:
    assert len(list(lab.grpc_stream("Echo", [LONG, LONG]))) == 2
    assert lab.grpc_stream("Join", [LONG, "b"])
    assert lab.http.post("/lab/counts", json="2").status_code == 200
    lines = '{"value":"a"}\n{"value":"b"}'
    kind = {"Content-Type": "application/x-ndjson"}
    assert lab.http.post("/lab/echos", content=lines, headers=kind).status_code == 200
    until(lambda: taken(lab) == 0)


def test_an_answer_counts_until_its_client_has_read_it(lab: Bench) -> None:
    host, _, port = lab.rest_address.rpartition(":")
    # More than the sockets of both sides take.
    body = json.dumps(f"900x{'y' * 20_000}").encode()
    head = b"POST /lab/repeat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((host, int(port)))
        reader.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: taken(lab) > 900 * 20_000)
        assert reader.recv(15) == b"HTTP/1.1 200 OK"
        assert taken(lab) > 900 * 20_000
    until(lambda: taken(lab) == 0)


def test_a_call_that_has_ended_holds_nothing_that_its_threads_read() -> None:
    budget = ByteBudget(1 << 20)
    with budget.held() as held:
        holder = HELD.get()
        assert holder is held
    holder.take(100)
    assert (budget._taken, held.size) == (0, 0)


def test_threads_count_together() -> None:
    budget = ByteBudget(1 << 40)

    def work() -> None:
        for _ in range(500):
            with budget.held() as held:
                held.take(1000)
                held.keep(10)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget._taken == 0


class _Keys:
    needs_no_key = False

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        return None

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal("p", "admin", metadata["key"])


def test_a_key_has_half_of_the_streams() -> None:
    async def work() -> None:
        middleware = Middleware(_Keys(), max_streams=4)
        table = {m.descriptor.name: m for m in method_table({service(PATHS): Lab()})}
        method = table["Count"]

        async def read() -> Any:
            return method.request_class(value="2")

        def stream(key: str) -> Any:
            return middleware.stream(method, {"key": key}, read, request_id="r", transport="t")

        first, second, third, other = (stream(key) for key in "aaab")
        for opened in (first, second, other):
            assert (await anext(opened)).value == "0"
        refused = await anext(third)
        assert isinstance(refused, SpanloomError)
        assert refused.metadata == {"limit_streams_per_key": "2"}
        for opened in (first, second, third, other):
            await opened.aclose()
        assert (await anext(stream("a"))).value == "0"

    asyncio.run(work())


def test_a_page_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_PAGE_BYTES", 250_000)
    monkeypatch.setattr(events, "_STREAMED_BYTES", 150_000)
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", log_level="error") as server:
        key = {"Authorization": f"Bearer {server.key('p')}"}
        with httpx.Client(
            base_url=f"http://{server.running.http_address}", headers=key, trust_env=False
        ) as client:
            sent = [
                {
                    "event_id": f"e{n}",
                    "event_type": "tool",
                    "session_id": "s",
                    "inputs": {"q": text},
                }
                for n, text in enumerate(["a" * 100_000] * 4 + ["b" * 600_000])
            ]
            client.post("/events/batch", json={"events": sent}).raise_for_status()
            refused = client.post("/events/export", json={"filters": []})
            assert refused.status_code == 400
            assert "limit_page_bytes" in refused.text
            for number in range(5):  # one event is a page, whatever its size
                page = client.post("/events/export", json={"limit": 1, "page": number + 1})
                assert page.json()["totalEvents"] == 5
            in_text = [
                {"field": "inputs.q", "operator": "contains", "value": "a", "type": "string"}
            ]
            found = client.post("/events/export", json={"filters": in_text, "limit": 2})
            assert len(found.json()["events"]) == 2
            refused = client.post("/events/export", json={"filters": in_text})
            assert refused.status_code == 400
            streamed = client.post("/v1/events/stream", json={}).text.splitlines()
            assert len(streamed) == 5

        # The bytes of a page are held, and refused where others hold them.
        async def read() -> int:
            budget = ByteBudget(1 << 20)
            budget.take(1 << 20, "another")
            with budget.held():
                query = EventQuery(limit=5)
                with pytest.raises(SpanloomError, match="calls in progress"):
                    await server.running.store.find_events("p", query)
            return budget._taken

        assert server.run(read()) == 1 << 20


@pytest.mark.parametrize("path", ["/events/batch", "/v1/traces", "/v1/events"])
def test_a_request_has_a_largest_number_of_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(json_form, "_MOST_VALUES", 1000)
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", log_level="error") as server:
        key = {"Authorization": f"Bearer {server.key('p')}"}
        with httpx.Client(
            base_url=f"http://{server.running.http_address}", headers=key, trust_env=False
        ) as client:
            refused = client.post(path, json={"event_type": "tool", "inputs": {"q": [0] * 1001}})
            assert refused.status_code == 413
            assert "limit_values" in refused.text
            commas = {"event_type": "tool", "inputs": {"q": '[{,"' * 1001}}
            sent = {"events": [commas]} if path == "/events/batch" else commas
            if path != "/v1/traces":  # of OpenTelemetry, which has no such fields
                assert client.post(path, json=sent).status_code == 200


def test_a_batch_has_a_largest_number_of_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_EVENTS", 3)
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", log_level="error") as server:
        key = {"Authorization": f"Bearer {server.key('p')}"}
        with httpx.Client(
            base_url=f"http://{server.running.http_address}", headers=key, trust_env=False
        ) as client:
            sent = [{"event_id": f"e{n}", "event_type": "tool"} for n in range(4)]
            refused = client.post("/events/batch", json={"events": sent})
            assert refused.status_code == 400
            assert "events[3]" in refused.text
            assert client.get("/v1/events/e0").status_code == 404
            assert client.post("/events/batch", json={"events": sent[:3]}).status_code == 200


def test_the_messages_of_streams_are_held(full: Bench) -> None:
    refused = full.rest("Count", "2x300000")
    assert refused.status_code == 429
    assert LIMIT in refused.text
    with pytest.raises(grpc.RpcError) as failed:
        list(full.grpc("Count", "2x300000"))
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_event_with_its_updates_has_a_largest_size(tmp_path: Path) -> None:
    settings = {"max_event_bytes": 50_000, "log_level": "error"}
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", **settings) as server:
        key = {"Authorization": f"Bearer {server.key('p')}"}
        url = f"http://{server.running.http_address}"
        with httpx.Client(base_url=url, headers=key, trust_env=False) as client:
            sent = {"event_id": "e", "event_type": "tool", "inputs": {"q": "a" * 30_000}}
            client.post("/v1/events", json=sent).raise_for_status()
            updates = [{"event_id": "e", "metadata": {f"k{n}": "b" * 8000}} for n in range(3)]
            answers = [client.put("/events", json=update) for update in updates]
            assert [answer.status_code for answer in answers] == [200, 200, 400]
            assert "limit_event_bytes" in answers[-1].text
            stored = client.get("/v1/events/e").json()
            assert set(stored.get("event", stored)["metadata"]) >= {"k0", "k1"}
            assert "k2" not in json.dumps(stored)
