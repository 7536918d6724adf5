"""The Envoy front, for real: one TLS port for gRPC, gRPC-Web and REST before two servers."""

from __future__ import annotations

import http.server
import itertools
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from spanloom.v1.event_service_pb2 import StreamEventsRequest
from spanloom.v1.event_service_pb2_grpc import EventServiceStub
from spanloom.v1.trace_pb2 import Trace
from spanloom.v1.trace_service_pb2 import (
    CreateTraceRequest,
    CreateTraceResponse,
    GetTraceRequest,
)
from spanloom.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.databases import new_url
from tests.deploy.front import front, write_certificate
from tests.servers import LiveServer

ORIGIN = "https://app.example.com"


class Front:
    """A running front and clients of it that trust its authority."""

    def __init__(self, address: str, authority: trustme.CA, key: str = "none") -> None:
        self.address = address
        self.tls = ssl.create_default_context()
        authority.configure_trust(self.tls)
        trust = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        self.channel = grpc.secure_channel(address, trust)
        self.metadata = (("authorization", f"Bearer {key}"),)
        self.http = httpx.Client(
            base_url=f"https://{address}",
            headers=dict(self.metadata),
            verify=self.tls,
            trust_env=False,
            timeout=30,
        )

    def close(self) -> None:
        self.channel.close()
        self.http.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def served(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory = tmp_path_factory.mktemp("front")
    database = new_url("sqlite", directory)
    with (
        a_server(database) as one,
        a_server(database) as other,
        fronting(authority, directory, one, other) as it,
    ):
        yield it


def a_server(database: str) -> LiveServer:
    return LiveServer(database=database, log_level="error", lame_duck=1.5, drain_timeout=2.0)


@contextmanager
def fronting(authority: trustme.CA, directory: Path, *servers: LiveServer) -> Iterator[Front]:
    addresses = [(s.running.grpc_address, s.running.http_address) for s in servers]
    with before(authority, directory, *addresses, key=servers[0].key("default")) as it:
        yield it


@contextmanager
def before(
    authority: trustme.CA,
    directory: Path,
    *addresses: tuple[str, str],
    key: str = "none",
    per_try_timeout: str = "",
) -> Iterator[Front]:
    write_certificate(authority, directory)
    with front(directory, addresses, per_try_timeout=per_try_timeout) as envoy:
        made = Front(envoy.address, authority, key)
        try:
            yield made
        finally:
            made.close()


def test_grpc_and_rest_on_one_port(served: Front) -> None:
    traces = TraceServiceStub(served.channel)
    stored = traces.CreateTrace(
        CreateTraceRequest(trace=Trace(feature_slug="travel")), metadata=served.metadata
    )
    answer = served.http.get(f"/v1/traces/{stored.trace.id}")
    assert answer.status_code == 200
    assert answer.json()["trace"]["featureSlug"] == "travel"
    posted = served.http.post("/monitor/trace", json={"featureSlug": "weather"}).json()
    request = GetTraceRequest(trace_id=posted["trace"]["id"])
    assert traces.GetTrace(request, metadata=served.metadata).trace.feature_slug == "weather"


def test_both_servers_are_used(authority: trustme.CA, tmp_path: Path) -> None:
    with scripted({}) as one, scripted({}) as other:
        with before(authority, tmp_path, one.addresses, other.addresses) as it:
            for _ in range(20):
                assert call(it, "OK") == "OK"
                assert it.http.get("/OK").status_code == 200
        for upstream in (one, other):
            assert upstream.calls["grpc OK"] > 0
            assert upstream.calls["rest OK"] > 0


def test_an_error_comes_through_whole(served: Front) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        TraceServiceStub(served.channel).GetTrace(GetTraceRequest(trace_id="none"))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    pairs: Any = refused.value.trailing_metadata()
    assert b"MISSING_CREDENTIALS" in dict(pairs)["grpc-status-details-bin"]
    answer = served.http.get("/v1/traces/none", headers={"x-request-id": "by-the-client"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "by-the-client")
    assert answer.json()["status"] == "NOT_FOUND"


def test_an_id_with_a_slash_arrives_as_it_was_sent(served: Front) -> None:
    assert served.http.post("/monitor/trace", json={"id": "a/b ü"}).status_code == 200
    answer = served.http.get("/v1/traces/a%2Fb%20%C3%BC")
    assert answer.json()["trace"]["id"] == "a/b ü"


def test_streams_come_through(served: Front) -> None:
    events = [{"event_type": "tool", "event_id": f"s{n}", "session_id": "stream"} for n in range(3)]
    assert served.http.post("/events/batch", json={"events": events}).status_code == 200
    lines = served.http.post("/v1/events/stream", json={}).text.splitlines()
    wanted = {f"s{n}" for n in range(3)}
    assert {json.loads(line)["event"]["event_id"] for line in lines} >= wanted
    stub = EventServiceStub(served.channel)
    streamed = stub.StreamEvents(StreamEventsRequest(), metadata=served.metadata)
    assert {answer.event.event_id for answer in streamed} >= wanted


def test_a_large_request_passes(served: Front) -> None:
    text = "x" * 8_000_000
    posted = served.http.post("/monitor/trace", json={"id": "large", "input": text})
    assert posted.status_code == 200
    assert served.http.get("/v1/traces/large").json()["trace"]["input"] == text


def test_grpc_web_is_served(served: Front) -> None:
    def web(request: Any) -> tuple[bytes, dict[str, str]]:
        """The message and the trailers of the answer to a unary call."""
        data = request.SerializeToString()
        answer = served.http.post(
            "/spanloom.v1.TraceService/CreateTrace",
            content=b"\0" + len(data).to_bytes(4, "big") + data,
            headers={
                "content-type": "application/grpc-web+proto",
                "x-grpc-web": "1",
                "origin": ORIGIN,
            },
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/grpc-web+proto"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "grpc-status" in answer.headers["access-control-expose-headers"]
        body, messages, trailers = answer.content, b"", ""
        while body:
            kind, size = body[0], int.from_bytes(body[1:5], "big")
            part, body = body[5 : 5 + size], body[5 + size :]
            if kind & 0x80:
                trailers = part.decode()
            else:
                messages += part
        pairs = (line.partition(":") for line in trailers.strip().splitlines())
        return messages, {name.strip(): value.strip() for name, _, value in pairs}

    message, trailers = web(CreateTraceRequest(trace=Trace(feature_slug="from a page")))
    assert trailers["grpc-status"] == "0"
    trace = CreateTraceResponse.FromString(message).trace
    shown = served.http.get(f"/v1/traces/{trace.id}").json()
    assert shown["trace"]["featureSlug"] == "from a page"


def test_only_the_named_pages_may_call(served: Front) -> None:
    def preflight(origin: str) -> httpx.Response:
        return served.http.options(
            "/spanloom.v1.TraceService/CreateTrace",
            headers={"origin": origin, "access-control-request-method": "POST"},
        )

    allowed = preflight(ORIGIN)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in preflight("https://elsewhere.example").headers


def test_plain_http_is_not_served(served: Front) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{served.address}/healthz", trust_env=False)


def test_a_renewed_certificate_is_served(authority: trustme.CA, tmp_path: Path) -> None:
    def shown(it: Front) -> bytes:
        return ssl.get_server_certificate(address(it)).encode()

    with scripted({}) as one, before(authority, tmp_path, one.addresses) as it:
        old = shown(it)
        assert old in (tmp_path / "tls.crt").read_bytes()
        write_certificate(authority, tmp_path)
        eventually(lambda: shown(it) in (tmp_path / "tls.crt").read_bytes())
        assert shown(it) != old


def test_a_server_that_drains_fails_no_call(authority: trustme.CA, tmp_path: Path) -> None:
    stop = threading.Event()
    done = Counter[str]()

    def calls(name: str, one: Callable[[int], None]) -> None:
        while not stop.is_set():
            one(done[name])
            done[name] += 1

    def wait_for_calls(running: Iterable[Future[None]]) -> None:
        """Returns when each kind of call has succeeded ten times more, or one has failed."""
        before = done.copy()
        while any(done[name] < before[name] + 10 for name in ("grpc", "rest")):
            assert not any(work.done() for work in running)
            time.sleep(0.01)

    with (
        a_server(database := new_url("sqlite", tmp_path)) as stays,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as leaving,
    ):
        leaves = leaving.enter_context(a_server(database))
        with fronting(authority, tmp_path, stays, leaves) as it:
            traces = TraceServiceStub(it.channel)

            def by_grpc(number: int) -> None:
                trace = Trace(id=f"grpc-{number}")
                traces.CreateTrace(CreateTraceRequest(trace=trace), metadata=it.metadata)

            def by_rest(number: int) -> None:
                it.http.post("/monitor/trace", json={"id": f"rest-{number}"}).raise_for_status()

            running = [pool.submit(calls, "grpc", by_grpc), pool.submit(calls, "rest", by_rest)]
            try:
                wait_for_calls(running)
                leaving.close()  # it drains and is gone; the calls find the other one
                wait_for_calls(running)
            finally:
                stop.set()
            for work in running:
                work.result()
            for name in ("grpc", "rest"):
                assert it.http.get(f"/v1/traces/{name}-{done[name] - 1}").status_code == 200


@pytest.mark.parametrize(
    ("code", "tries"),
    [("UNAVAILABLE", 3), ("RESOURCE_EXHAUSTED", 3), ("INTERNAL", 1), ("DEADLINE_EXCEEDED", 1)],
)
def test_grpc_is_retried_only_where_nothing_was_stored(
    authority: trustme.CA, tmp_path: Path, code: str, tries: int
) -> None:
    with scripted({}) as one, before(authority, tmp_path, one.addresses) as it:
        assert call(it, code) == code
        assert one.calls == {f"grpc {code}": tries}


def test_a_call_that_succeeds_at_the_second_try_succeeds(
    authority: trustme.CA, tmp_path: Path
) -> None:
    answers = {"grpc UNAVAILABLE": ["UNAVAILABLE", "OK"], "rest 503": ["503", "200"]}
    with (
        scripted(answers) as one,
        before(authority, tmp_path, one.addresses) as it,
    ):
        assert call(it, "UNAVAILABLE") == "OK"
        assert it.http.post("/503").status_code == 200
        assert one.calls == {"grpc UNAVAILABLE": 2, "rest 503": 2}


@pytest.mark.parametrize(
    ("status", "tries"), [("503", 3), ("429", 3), ("500", 1), ("504", 1), ("cut", 1)]
)
def test_rest_is_retried_only_where_nothing_was_stored(
    authority: trustme.CA, tmp_path: Path, status: str, tries: int
) -> None:
    with scripted({}) as one, before(authority, tmp_path, one.addresses) as it:
        answer = it.http.post(f"/{status}", content=b"{}")
        assert str(answer.status_code) == ("503" if status == "cut" else status)
        assert one.calls == {f"rest {status}": tries}


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_server_that_fails_is_left_out(
    authority: trustme.CA, tmp_path: Path, protocol: str
) -> None:
    failing = {"grpc OK": itertools.repeat("INTERNAL"), "rest OK": itertools.repeat("500")}
    with (
        scripted(failing) as bad,
        scripted({}) as good,
        before(authority, tmp_path, bad.addresses, good.addresses) as it,
    ):

        def works() -> bool:
            if protocol == "grpc":
                return call(it, "OK") == "OK"
            return it.http.get("/OK").status_code == 200

        assert not all(works() for _ in range(60))
        eventually(lambda: all(works() for _ in range(20)))  # Envoy merges changes for a second


def test_a_try_that_takes_too_long_is_ended_and_not_repeated(
    authority: trustme.CA, tmp_path: Path
) -> None:
    with (
        scripted({}) as one,
        before(authority, tmp_path, one.addresses, per_try_timeout="0.2s") as it,
    ):
        assert call(it, "SLOW") in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert it.http.post("/slow").status_code == 504
        assert one.calls == {"grpc SLOW": 1, "rest slow": 1}
        stream: Any = it.channel.unary_stream("/scripted.Service/STREAM")
        streamed = stream(b"", timeout=30)
        assert len(list(streamed)) == 2  # it takes longer


class Scripted:
    """A gRPC and an HTTP server that answer as a path says, and count calls by protocol and path.

    A gRPC method answers with the code that is its name, an HTTP path with its status. SLOW and
    /slow answer after a second, STREAM sends its second and last message then, and /cut closes the
    connection unanswered. `answers` gives a path other answers, one after the other.
    """

    def __init__(self, answers: Mapping[str, Iterable[str]]) -> None:
        self.calls: Counter[str] = Counter()
        self._answers = {path: iter(given) for path, given in answers.items()}
        self.addresses = ("", "")

    def answer(self, path: str) -> str:
        self.calls[path] += 1
        return next(self._answers[path]) if path in self._answers else path.partition(" ")[2]


@contextmanager
def scripted(answers: Mapping[str, Iterable[str]]) -> Iterator[Scripted]:
    upstream = Scripted(answers)

    class Generic(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            name = details.method.rpartition("/")[2]

            def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
                code = upstream.answer(f"grpc {name}")
                if code == "SLOW":
                    time.sleep(1)
                elif code != "OK":
                    context.abort(grpc.StatusCode[code], "as it was asked to")
                return b""

            def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
                yield b"first"
                time.sleep(1)
                yield b"last"

            if name == "STREAM":
                return grpc.unary_stream_rpc_method_handler(stream)
            return grpc.unary_unary_rpc_method_handler(behave)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path[1:]
            status = "200" if path == "readyz" else upstream.answer(f"rest {path}")
            if status == "cut":
                self.close_connection = True
                return
            if status == "slow":
                time.sleep(1)
            self.send_response(int(status) if status.isdigit() else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = grpc.server(ThreadPoolExecutor(4))
    checks = health.HealthServicer()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_generic_rpc_handlers([Generic()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    upstream.addresses = (f"127.0.0.1:{port}", f"127.0.0.1:{web.server_address[1]}")
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
        server.stop(None).wait()


def call(it: Front, method: str) -> str:
    """The code that a scripted gRPC call ends with."""
    send: Any = it.channel.unary_unary(f"/scripted.Service/{method}")
    try:
        send(b"", timeout=30)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def address(it: Front) -> tuple[str, int]:
    host, _, port = it.address.rpartition(":")
    return host, int(port)


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
