"""Calls for which there is plainly no place are refused cheaply, as other calls are."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from spanloom import metrics
from spanloom.errors import Code, Reason, SpanloomError, Violation
from spanloom.model import Key, api_keys
from spanloom.server import status
from spanloom.server.auth import ApiKeyAuthenticator, Principal
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware
from tests.clients import until
from tests.databases import new_url
from tests.server.lab import PATHS, Lab, service
from tests.servers import LiveServer

SUM = "calls refused"
CREATE = "/spanloom.v1.EventService/CreateEventBatch"
IDS = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
TEXTS = st.text(max_size=50)


@given(
    st.sampled_from(Code),
    st.sampled_from(Reason),
    TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=2),
    st.sampled_from([None, 0.5, 1.0]),
    st.lists(st.builds(Violation, TEXTS, TEXTS), max_size=2),
    IDS,
)
def test_what_is_kept_of_an_error_is_sent_with_the_id_of_each_request(
    code: Code,
    reason: Reason,
    message: str,
    facts: dict[str, str],
    retry_after: float | None,
    violations: list[Violation],
    request_id: str,
) -> None:
    error = SpanloomError(
        code,
        reason,
        message,
        metadata=facts,
        retry_after=retry_after,
        violations=violations,
    )
    status.rpc_status(error, "another")
    status.rest_body(error, "another")
    written = status.rpc_status(error, request_id)
    body = json.loads(status.rest_body(error, request_id))
    info = {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id}
    assert (body["status"], body["message"]) == (code, message)
    assert body["details"][0].get("metadata", {}) == facts
    assert body["details"][-1] == info
    assert json_format.MessageToDict(written) == {
        "code": body["code"],
        **({"message": message} if message else {}),
        "details": body["details"],
    }


@contextmanager
def crowded(server: LiveServer, key: str) -> Iterator[tuple[httpx.Client, Any]]:
    """The only place of the key is taken, by a call whose request does not come. A client for each
    transport."""
    is_over = threading.Event()

    def nothing() -> Iterator[bytes]:
        is_over.wait(60)
        yield from ()

    running = server.running
    with (
        grpc.insecure_channel(running.grpc_address) as opened,
        httpx.Client(base_url=f"http://{running.http_address}") as http,
    ):
        channel: Any = opened  # the types of gRPC's stubs want serializers
        held: list[Any] = []

        def is_taken() -> bool:
            if create(http, key).status_code == 429:
                return True
            if not held or held[-1].done():  # it came while another call had the place
                call = channel.stream_unary(CREATE)
                held.append(call.future(nothing(), metadata=metadata_of(key)))
            return False

        try:
            until(is_taken, 60)
            yield http, channel
        finally:
            is_over.set()
            for call in held:
                call.cancel()


def create(http: httpx.Client, key: str) -> httpx.Response:
    body = {"events": [{"event_type": "tool", "event_name": "n"}]}
    return http.post("/events/batch", json=body, headers=dict(metadata_of(key)))


def metadata_of(key: str, request_id: str = "mine-1") -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}"), ("x-request-id", request_id)]


def test_a_flood_is_refused_as_ever_and_logged_and_counted_in_sums(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_in_flight": 2, "log_level": "info"}
    refused = 0
    before = counted()
    with (
        capture_logs() as lines,
        LiveServer(database=new_url("sqlite", tmp_path), **settings) as server,
    ):
        key = server.key("crowded", "ingest")
        with crowded(server, key) as (http, channel):

            def sums() -> dict[str, Any]:
                return {line["transport"]: line for line in lines if line["event"] == SUM}

            end = time.monotonic() + 60
            while not sums().keys() >= {"rest", "grpc"}:
                assert time.monotonic() < end, lines[-5:]
                by_rest = create(http, key)
                assert by_rest.status_code == 429
                with pytest.raises(grpc.RpcError) as error:
                    channel.unary_unary(CREATE)(b"", metadata=metadata_of(key))
                by_grpc: Any = error.value
                assert by_grpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                refused += 2
            for transport, line in sums().items():
                assert {name: line[name] for name in ("method", "code", "reason")} == {
                    "method": CREATE[1:],
                    "code": "RESOURCE_EXHAUSTED",
                    "reason": "QUEUE_FULL",
                }, transport
                assert line["key_project"] == "crowded"
                assert line["key_id"] == key.split("_")[1]
                assert line["request_id"] == "mine-1"
            trailers = dict(by_grpc.trailing_metadata())
            told = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
            assert trailers["x-request-id"] == by_rest.headers["x-request-id"] == "mine-1"
            assert trailers["grpc-retry-pushback-ms"] == "1000"
            assert by_rest.headers["retry-after"] == "1"
            assert json_format.MessageToDict(told)["details"] == by_rest.json()["details"]
            [info, retry, request] = by_rest.json()["details"]
            assert info["metadata"] == {"limit_calls_per_key": "1"}
            assert retry["retryDelay"] == "1s"
            assert request["requestId"] == "mine-1"
        # The place is given back.
        with httpx.Client(base_url=f"http://{server.running.http_address}") as http:
            until(lambda: create(http, key).status_code == 200)
    assert counted() - before >= refused
    of_rest = [line for line in lines if line["event"] == SUM and line["transport"] == "rest"]
    assert max(line["number"] for line in of_rest) > 1


def counted() -> float:
    """The refusals in the metrics, of all projects: the label of one is left out after many."""
    samples = (sample for metric in metrics.CALLS.collect() for sample in metric.samples)
    of = {"method": CREATE[1:], "code": "RESOURCE_EXHAUSTED"}
    return sum(
        s.value for s in samples if s.name.endswith("_total") and of.items() <= s.labels.items()
    )


class Keys:
    """The key is its caller; one that begins with "new" is not known at once."""

    needs_no_key = False

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        key = metadata["key"]
        return None if key.startswith("new") else Principal(key, "ingest", key)

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal(metadata["key"], "ingest", metadata["key"])


def test_only_a_call_that_has_no_place_is_refused_early() -> None:
    async def work() -> None:
        middleware = Middleware(Keys(), max_in_flight=4)
        table = method_table({service(PATHS): Lab()})
        wait = next(method for method in table if method.descriptor.name == "Wait")
        writes, reads = replace(wait, role="ingest"), replace(wait, role="")
        go_on = asyncio.Event()

        async def read() -> Any:
            await go_on.wait()
            return wait.request_class(value="0")

        def early(key: str) -> str:
            refusal = middleware.refused(writes, {"key": key}, "r", "test")
            return str(refusal.metadata) if refusal else ""

        def call(key: str) -> asyncio.Task[Any]:
            answer = middleware.unary(writes, {"key": key}, read, request_id="r", transport="test")
            return asyncio.create_task(answer)

        assert not middleware.is_crowded(writes)
        calls = [call("a"), call("a")]
        await asyncio.sleep(0)
        assert middleware.is_crowded(writes)
        assert not middleware.is_crowded(reads)
        assert early("a") == "{'limit_calls_per_key': '2'}"
        assert str((await call("a")).metadata) == early("a")
        assert early("new") == early("b") == ""
        calls += [call("b"), call("b")]
        await asyncio.sleep(0)
        assert early("a") == "{'limit_paced_calls': '4'}"
        assert early("c") == ""  # it has less than its part
        middleware.drain()
        assert early("a") == ""  # which is another refusal
        go_on.set()
        await asyncio.gather(*calls)
        assert not middleware.is_crowded(writes)

    asyncio.run(work())


def test_a_caller_is_known_while_its_key_is() -> None:
    class Store:
        def __init__(self) -> None:
            self.key, self.text = api_keys.new_key("p", "ingest")

        async def find_key(self, key_id: str) -> Key | None:
            return self.key if key_id == self.key.id else None

    async def work() -> None:
        store, used = Store(), list[str]()
        authenticator = ApiKeyAuthenticator(store, used=used.append)
        metadata = {"authorization": f"Bearer {store.text}"}
        assert authenticator.known(metadata) is None
        principal = await authenticator.authenticate(metadata)
        assert authenticator.known(metadata) == principal
        assert used == [store.key.id] * 2
        assert authenticator.known({}) is None
        assert authenticator.known({"authorization": "Bearer other"}) is None
        authenticator._known = {text: (0.0, of) for text, (_, of) in authenticator._known.items()}
        assert authenticator.known(metadata) is None

    asyncio.run(work())
