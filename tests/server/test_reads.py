"""Requests that come slowly over gRPC are refused while the process has no memory for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanloom.server import memory
from tests.clients import until
from tests.server.lab import Bench


@pytest.fixture
def lab() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


class Slow:
    """A request of which the server waits for the first message."""

    def __init__(self, lab: Bench) -> None:
        self._ends: list[bool] = []
        method: Any = lab.channel.stream_unary(f"/{lab.name}/Wait")
        self.call: Any = method.future(self._messages())
        until(lambda: bool(lab.middleware._calls.come))

    def _messages(self) -> Iterator[bytes]:
        until(lambda: bool(self._ends), 30)
        yield from ()

    def end(self) -> None:
        self._ends.append(True)


def test_a_request_that_comes_slowly_is_refused_without_memory(
    lab: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(lab)
    monkeypatch.setattr(memory, "in_use", lambda: 1 << 40)
    with pytest.raises(grpc.RpcError) as refused:
        slow.call.result(20)
    slow.end()
    trailers: Any = refused.value.trailing_metadata()
    details = dict(trailers)["grpc-status-details-bin"]
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert b"limit_bytes_in_flight" in details
    assert b"RetryInfo" in details
    assert lab.grpc("Wait", "0")  # what is there at once is read


def test_a_request_may_come_slowly_while_there_is_memory(
    lab: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(lab)
    checks: list[int] = []

    def in_use() -> int:
        checks.append(1)
        return 0

    monkeypatch.setattr(memory, "in_use", in_use)
    until(lambda: len(checks) > 2, 20)
    assert not slow.call.done()
    slow.end()
    with pytest.raises(grpc.RpcError) as refused:
        slow.call.result(20)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED  # it had no message


def test_what_is_allocated_is_known_and_goes_back() -> None:
    memory.tune()
    before = memory.in_use()
    if not before:
        pytest.skip("the C library is not glibc")
    large = bytearray(64 << 20)
    assert memory.in_use() >= before + len(large)
    del large
    memory.trim()
    assert memory.in_use() < before + (32 << 20)
