"""Reading a stream ahead of its taker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from spanloom.services.recording.read_ahead import MOST_TAKEN, ReadAhead, size_of


class Source:
    """A stream of messages that counts how many were read."""

    def __init__(self, number: int, size: int, error: Exception | None = None) -> None:
        self.read = 0
        self._number, self._size, self._error = number, size, error

    async def messages(self) -> AsyncIterator[Any]:
        for _ in range(self._number):
            self.read += 1
            yield BytesValue(value=bytes(self._size))
        if self._error:
            raise self._error


async def settled() -> None:
    for _ in range(2000):
        await asyncio.sleep(0)


def test_no_more_is_read_than_fits() -> None:
    async def run() -> None:
        source = Source(100, 1 << 10)
        async with ReadAhead(source.messages(), most=8 << 10) as ahead:
            await settled()
            assert source.read == 6  # the last one passes the bound
            taken = await ahead.take()
            await settled()
            assert (len(taken), source.read) == (6, 6)
            ahead.settle(sum(map(size_of, taken)))
            await settled()
            assert source.read == 12

    asyncio.run(run())


def test_small_requests_are_bounded_too() -> None:
    async def run() -> None:
        source = Source(10_000, 0)
        async with ReadAhead(source.messages(), most=1 << 20) as ahead:
            await settled()
            assert source.read == 2048
            assert len(await ahead.take()) == MOST_TAKEN

    asyncio.run(run())


def test_a_failure_comes_after_what_was_read() -> None:
    async def run() -> list[int]:
        source = Source(3, 1, ValueError("cut"))
        found = []
        async with ReadAhead(source.messages()) as ahead:
            with pytest.raises(ValueError, match="cut"):  # noqa: PT012
                while taken := await ahead.take():
                    found.append(len(taken))
        return found

    assert sum(asyncio.run(run())) == 3
