"""Requests that come slowly over gRPC are refused while the process has no memory for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from spanloom.errors import SpanloomError
from spanloom.server import memory
from spanloom.server.admission import ByteBudget
from spanloom.server.grpc.reads import Reads
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


class Waiting:
    """A call whose message comes when `come` is set."""

    def __init__(self) -> None:
        self.come = asyncio.Event()

    async def read(self) -> bytes:
        await self.come.wait()
        return b"message"


async def until_so(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a state without an event
            await asyncio.sleep(0.001)


def test_of_several_requests_the_first_are_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(memory, "in_use", lambda: used.pop() if used else 0)

    async def work() -> None:
        reads = Reads(ByteBudget(1 << 20))
        calls: list[Any] = [Waiting() for _ in range(4)]
        tasks = [asyncio.create_task(reads.read(call)) for call in calls]
        await until_so(lambda: len(reads._slow) == len(calls))
        used.append(1 << 40)  # at one look
        await until_so(lambda: tasks[2].done() and tasks[3].done())
        for call in calls:
            call.come.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[:2] == [b"message"] * 2
        assert all(isinstance(each, SpanloomError) for each in found[2:])

    asyncio.run(work())


def test_what_is_in_use_while_calls_hold_nothing_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []

    def in_use() -> int:
        looks.append(1)
        return 1 << 40  # caches, for example

    async def work() -> None:
        reads = Reads(ByteBudget(1 << 20))
        monkeypatch.setattr(memory, "in_use", in_use)
        call: Any = Waiting()
        reading = asyncio.create_task(reads.read(call))
        await until_so(lambda: len(looks) > 3)
        call.come.set()
        assert await reading == b"message"

    asyncio.run(work())


def test_memory_is_given_back_when_much_was_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    used, looks = [100 << 20], [0]
    trimmed: list[int] = []
    monkeypatch.setattr(memory, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append(looks[0]))

    def in_use() -> int:
        looks[0] += 1
        return used[0]

    monkeypatch.setattr(memory, "in_use", in_use)

    async def work() -> None:
        giving = asyncio.create_task(memory.give_back())
        for size in (100 << 20, 500 << 20, 480 << 20):
            used[0], seen = size, looks[0]
            await until_so(lambda seen=seen: looks[0] > seen + 2)  # type: ignore[misc]
        assert not trimmed
        used[0] = 100 << 20
        await until_so(lambda: bool(trimmed))
        seen = looks[0]
        await until_so(lambda: looks[0] > seen + 3)
        assert len(trimmed) == 1
        giving.cancel()

    asyncio.run(work())
