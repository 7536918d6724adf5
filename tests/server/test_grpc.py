"""What is gRPC's own: streams, keepalive, bursts, compression, and calls that are no calls."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st

from spanloom.server.admission import ByteBudget, Held
from spanloom.server.compression import WORTH_COMPRESSING, is_packed, unpacked_message
from tests.clients import until
from tests.server.lab import LIMIT, Bench
from tests.server.test_refusals import logged
from tests.servers import LiveServer

RAW = [("grpc.per_message_decompression", 0)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


def info_of(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    call: Any = error
    trailers = dict(call.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    request = error_details_pb2.RequestInfo()
    assert any(detail.Unpack(request) for detail in status.details)
    assert request.request_id == trailers["x-request-id"]
    return info


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    call: Any = error.value
    return str(call.code().name)


def test_a_client_stream_has_one_answer(lab: Bench) -> None:
    with logged():
        assert lab.text.FromString(lab.grpc_stream("Join", ["a", "b", "c"])).value == "a+b+c"
    with logged() as lines, pytest.raises(grpc.RpcError) as refused:
        lab.grpc_stream("Join", ["a", "known", "c"])
    assert info_of(refused.value).reason == "ERROR_REASON_INVALID_FIELD"
    assert (lines[0]["code"], lines[0]["method"]) == ("INVALID_ARGUMENT", f"{lab.name}/Join")


def test_a_stream_in_both_directions_is_answered_message_by_message(lab: Bench) -> None:
    sent = threading.Semaphore(1)

    def values() -> Iterator[str]:
        for number in range(3):
            assert sent.acquire(timeout=10)  # the answer to the message before has come
            yield str(number)

    found = []
    with logged():
        for data in lab.grpc_stream("Echo", values()):
            found.append(lab.text.FromString(data).value)
            sent.release()
    assert found == ["0", "1", "2"]


def test_an_error_ends_a_stream_in_both_directions(lab: Bench) -> None:
    with logged():
        answers = lab.grpc_stream("Echo", ["a", "known", "b"])
        assert lab.text.FromString(next(answers)).value == "a"
        with pytest.raises(grpc.RpcError) as refused:
            next(answers)
    assert info_of(refused.value).reason == "ERROR_REASON_INVALID_FIELD"


def test_a_client_that_sends_no_more_is_stopped_at_its_deadline(lab: Bench) -> None:
    def endless() -> Iterator[str]:
        yield "a"
        time.sleep(3)

    ends = {"DEADLINE_EXCEEDED", "CANCELLED"}  # by whoever notices first
    with logged() as lines:
        with pytest.raises(grpc.RpcError) as refused:
            list(lab.grpc_stream("Echo", endless(), timeout=0.5))
        # The line of a call of an earlier test may come late.
        until(lambda: not ends.isdisjoint(line["code"] for line in lines), 10)
    assert code_of(refused) == "DEADLINE_EXCEEDED"
    until(lambda: not lab.middleware.has_streams, 10)


def test_a_stream_that_its_client_cancels_ends(lab: Bench) -> None:
    more = threading.Event()

    def endless() -> Iterator[str]:
        yield "a"
        more.wait(10)

    answers = lab.grpc_stream("Echo", endless())
    next(answers)
    until(lambda: lab.middleware.has_streams, 10)
    answers.cancel()
    more.set()
    until(lambda: not lab.middleware.has_streams, 10)


def test_a_call_without_a_message_is_answered(lab: Bench) -> None:
    for method in ("Wait", "Repeat"):
        empty: Any = lab.channel.stream_unary(f"/{lab.name}/{method}")
        with pytest.raises(grpc.RpcError) as refused:
            empty(iter([]), timeout=5)
        assert code_of(refused) == "UNIMPLEMENTED"
        assert info_of(refused.value).reason == "ERROR_REASON_MALFORMED_BODY"


@pytest.mark.parametrize("path", ["/nowhere.Service/Method", "/{name}/Nothing", "/{name}"])
def test_an_unknown_method_has_a_reason_and_a_line_in_the_log(lab: Bench, path: str) -> None:
    call: Any = lab.channel.unary_unary(path.format(name=lab.name))
    with logged() as lines, pytest.raises(grpc.RpcError) as refused:
        call(b"", timeout=5, metadata=(("x-request-id", "mine-1"),))
    assert code_of(refused) == "UNIMPLEMENTED"
    assert info_of(refused.value).reason == "ERROR_REASON_ROUTE_NOT_FOUND"
    assert lines[0]["request_id"] == "mine-1"


def test_the_request_id_is_in_the_headers(lab: Bench) -> None:
    """Those of an error are its trailers: it has no others, so that a proxy can repeat the call."""
    mine = (("x-request-id", "mine-2"),)
    call: Any = lab.channel.unary_unary(f"/{lab.name}/Wait")
    _, answered = call.with_call(lab.text(value="0").SerializeToString(), timeout=5, metadata=mine)
    assert dict(answered.initial_metadata())["x-request-id"] == "mine-2"
    fail: Any = lab.channel.unary_unary(f"/{lab.name}/Fail")
    failed = fail.future(b"", timeout=5, metadata=mine)
    assert dict(failed.trailing_metadata())["x-request-id"] == "mine-2"
    assert not failed.initial_metadata()
    counted = lab.grpc("Count", "1", metadata=mine)
    assert dict(counted.initial_metadata())["x-request-id"] == "mine-2"


@pytest.mark.parametrize("size", [100, WORTH_COMPRESSING + 1000, 4 * WORTH_COMPRESSING + 1000])
@pytest.mark.parametrize("accepts", [True, False])
def test_an_answer_is_compressed_if_that_is_worth_it_and_quick(
    lab: Bench, size: int, accepts: bool
) -> None:
    known = [] if accepts else [("grpc.compression_enabled_algorithms_bitset", 1)]
    with grpc.insecure_channel(lab.grpc_address, options=[*RAW, *known]) as channel:
        call: Any = channel.unary_unary(f"/{lab.name}/Repeat")
        raw = call(lab.text(value=f"{size}xa").SerializeToString(), timeout=5)
    is_compressed = raw.startswith(b"\x1f\x8b")
    assert is_compressed == (accepts and size == WORTH_COMPRESSING + 1000)
    data = gzip.decompress(raw) if is_compressed else raw
    assert lab.text.FromString(data).value == "a" * size


@pytest.mark.parametrize("packed", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_request_is_read_within_the_limit(
    lab: Bench, packed: grpc.Compression
) -> None:
    def call(value: str) -> str:
        message = lab.text(value=f"1x{value}").SerializeToString()
        send: Any = channel.unary_unary(f"/{lab.name}/Repeat")
        return str(lab.text.FromString(send(message, timeout=10)).value)

    with grpc.insecure_channel(lab.grpc_address, compression=packed) as channel:
        assert call("a" * 10_000) == "a" * 10_000
        assert len(call("a" * (LIMIT - 100))) == LIMIT - 100
        with pytest.raises(grpc.RpcError) as refused:
            call("a" * (LIMIT + 100))
    assert info_of(refused.value).reason == "ERROR_REASON_REQUEST_TOO_LARGE"


def test_a_broken_compressed_request_is_refused(lab: Bench) -> None:
    call: Any = lab.channel.unary_unary(f"/{lab.name}/Repeat")
    for broken in (b"\x1f\x8bnonsense", gzip.compress(b"abc")[:-3], zlib.compress(b"\x0a")[:-3]):
        with pytest.raises(grpc.RpcError) as refused:
            call(broken, timeout=5)
        assert info_of(refused.value).reason == "ERROR_REASON_MALFORMED_BODY"


@given(field=st.binary(max_size=40), start=st.sampled_from([b"", b"\x78\x9c", b"\x78\xda\x01"]))
def test_a_message_that_begins_like_compressed_data_is_read_as_it_is(
    field: bytes, start: bytes
) -> None:
    assert unpacked_message(start + field, 1000, Held(ByteBudget(1 << 20))) == start + field
    for pack in (gzip.compress, zlib.compress):
        assert is_packed(pack(field))
        assert unpacked_message(pack(field), 1000, Held(ByteBudget(1 << 20))) == field


def test_a_strangers_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[object] = []
    monkeypatch.setattr(
        "spanloom.server.grpc.server.unpacked_message", lambda *given: unpacked.append(given)
    )
    with LiveServer(database=f"sqlite:///{tmp_path}/a.db", log_level="error") as server:
        packed = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = packed.compress(bytes(200 << 20)) + packed.flush()
        with grpc.insecure_channel(server.running.grpc_address) as channel:
            call: Any = channel.unary_unary("/spanloom.v1.TraceService/CreateTrace")
            with pytest.raises(grpc.RpcError) as refused:
                call(bomb, timeout=10)
    assert code_of(refused) == "UNAUTHENTICATED"
    assert not unpacked


def test_a_burst_is_answered_or_refused_with_a_time_to_retry() -> None:
    calls = 3000
    with Bench(max_in_flight=64) as lab, logged(calls) as lines:

        async def burst() -> list[tuple[str, str]]:
            async with grpc.aio.insecure_channel(lab.grpc_address) as channel:
                send: Any = channel.unary_unary(f"/{lab.name}/Wait")
                message = lab.text(value="0.2").SerializeToString()

                async def one() -> tuple[str, str]:
                    try:
                        await send(message, timeout=60)
                    except grpc.aio.AioRpcError as error:
                        trailers = dict(error.trailing_metadata())
                        return error.code().name, str(trailers["grpc-retry-pushback-ms"])
                    return "OK", ""

                return await asyncio.gather(*(one() for _ in range(calls)))

        found = asyncio.run(burst())
    assert set(found) == {("OK", ""), ("RESOURCE_EXHAUSTED", "1000")}
    assert {line["code"] for line in lines} == {"OK", "RESOURCE_EXHAUSTED"}


def test_a_client_may_ping_every_few_seconds_without_calls(lab: Bench) -> None:
    """HTTP/2 by hand: a connection without calls, whose third ping too many would end it."""
    host, _, port = lab.grpc_address.partition(":")
    with socket.create_connection((host, int(port)), timeout=6) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b""))
        for number in range(4):
            connection.sendall(frame(6, 0, struct.pack(">Q", number)))
            kinds = list(frames_of(connection, 5.2))
            assert 7 not in kinds, "GOAWAY"
            assert 6 in kinds


def test_a_connection_retires_at_its_age(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    with LiveServer(database=database, log_level="error", max_connection_age=1.0) as server:
        host, _, port = server.running.grpc_address.partition(":")
        with socket.create_connection((host, int(port)), timeout=6) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b""))
            assert 7 in frames_of(connection, 2)


def frame(kind: int, flags: int, payload: bytes, *, stream: int = 0) -> bytes:
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


@pytest.mark.parametrize("body", [b"", b"\0\0", struct.pack(">BI", 0, 100) + b"abc"])
def test_a_call_whose_message_is_cut_off_is_answered(lab: Bench, body: bytes) -> None:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{lab.name}/Wait",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    # Each header as a literal that is not indexed (RFC 7541, 6.2.2).
    packed = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(text)]) + text.encode()
        for name, text in headers.items()
    )
    host, _, port = lab.grpc_address.partition(":")
    with socket.create_connection((host, int(port)), timeout=6) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b""))
        connection.sendall(frame(1, 4, packed, stream=1) + frame(0, 1, body, stream=1))
        assert set(frames_of(connection, 1.5)) & {1, 3}, "neither HEADERS nor RST_STREAM"
    until(lambda: not lab.middleware.is_busy, 10)


def frames_of(connection: socket.socket, seconds: float) -> Iterator[int]:
    """The types of the frames that come in this time."""
    received = b""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            received += connection.recv(65536)
        except TimeoutError:
            break
    while len(received) >= 9:
        size = int.from_bytes(received[:3], "big")
        yield received[3]
        received = received[9 + size :]


def test_health_lists_every_service(server: LiveServer) -> None:
    listed = vars(health_pb2)["HealthListResponse"]
    with grpc.insecure_channel(server.running.grpc_address) as channel:
        call: Any = channel.unary_unary(
            "/grpc.health.v1.Health/List", response_deserializer=listed.FromString
        )
        states = call(b"", timeout=5).statuses
    assert {"", "spanloom.v1.TraceService"} <= set(states)
    assert {state.status for state in states.values()} == {health_pb2.HealthCheckResponse.SERVING}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_of_reflection_describe_themselves(server: LiveServer, version: str) -> None:
    name = f"grpc.reflection.{version}.ServerReflection"
    with grpc.insecure_channel(server.running.grpc_address) as channel:
        call: Any = channel.stream_stream(
            f"/{name}/ServerReflectionInfo",
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=name),
        ]
        sent = [question.SerializeToString() for question in questions]
        listed, described = call(iter(sent), timeout=5)
    names = {service.name for service in listed.list_services_response.service}
    assert {name, "spanloom.v1.TraceService", "grpc.health.v1.Health"} <= names
    [file] = described.file_descriptor_response.file_descriptor_proto
    assert f"grpc.reflection.{version}".encode() in file


def test_idle_streams_end_at_once_when_the_server_drains(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    server = LiveServer(database=database, log_level="error", drain_timeout=20.0)
    server.__enter__()
    stopped = threading.Event()
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()

    def questions() -> Iterator[bytes]:
        yield question
        stopped.wait(30)

    with grpc.insecure_channel(server.running.grpc_address) as channel:
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        reflect: Any = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        )
        streams = [watch(b"", timeout=60), reflect(questions(), timeout=60)]
        for stream in streams:
            next(stream)
        began = time.monotonic()
        server.__exit__()
        assert time.monotonic() - began < 3
        stopped.set()
        ends = [rest_of(stream) for stream in streams]
    assert ends == [("UNAVAILABLE", "ERROR_REASON_SHUTTING_DOWN")] * 2


def rest_of(stream: Any) -> tuple[str, str]:
    """How a stream ends."""
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        call: Any = error
        return str(call.code().name), info_of(error).reason
    return "OK", ""


@pytest.mark.parametrize("method", ["Echo", "Join"])
def test_streams_of_methods_end_when_the_server_drains(method: str) -> None:
    with Bench() as lab:
        stopped = threading.Event()

        def values() -> Iterator[str]:
            yield "a"
            stopped.wait(30)

        with ThreadPoolExecutor() as threads:
            call = threads.submit(lambda: drained(lab, method, values()))
            until(lambda: lab.middleware.has_streams, 10)
            time.sleep(0.2)
            lab.loop.call_soon_threadsafe(lab.middleware.drain)
            began = time.monotonic()
            assert call.result(10) == ("UNAVAILABLE", "ERROR_REASON_SHUTTING_DOWN")
            assert time.monotonic() - began < 2
            stopped.set()


def drained(lab: Bench, method: str, values: Iterator[str]) -> tuple[str, str]:
    try:
        answer = lab.grpc_stream(method, values)
    except grpc.RpcError as error:
        call: Any = error
        return str(call.code().name), info_of(error).reason
    return rest_of(answer) if method == "Echo" else ("OK", "")
