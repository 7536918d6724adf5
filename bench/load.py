"""The load: ready bytes over gRPC or HTTP, so many requests at once over so many connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc

# A connection belongs to one worker; clients in the field have many.
CONNECTIONS = 8

Send = Callable[[bytes], Awaitable[object]]


async def _all(sends: Sequence[Send], bodies: Sequence[bytes], in_flight: int) -> float:
    """Requests a second."""
    waiting = iter(bodies)

    async def work(send: Send) -> None:
        for body in waiting:
            await send(body)

    started = time.perf_counter()
    await asyncio.gather(*(work(sends[n % len(sends)]) for n in range(in_flight)))
    return len(bodies) / (time.perf_counter() - started)


def grpc_rate(address: str, method: str, bodies: Sequence[bytes], in_flight: int) -> float:
    """Requests a second of a unary method, given by its path."""

    async def run() -> float:
        async with AsyncExitStack() as stack:
            calls: list[Any] = []
            for _ in range(CONNECTIONS):
                channel = grpc.aio.insecure_channel(
                    address, [("grpc.use_local_subchannel_pool", 1)]
                )
                await stack.enter_async_context(channel)
                await channel.channel_ready()
                calls.append(channel.unary_unary(method))
            return await _all(calls, bodies, in_flight)

    return asyncio.run(run())


def rest_rate(address: str, path: str, bodies: Sequence[bytes], in_flight: int) -> float:
    """Requests a second of POSTs, by HTTP/1.1 written by hand: a client library would be most of
    the load."""
    host, _, port = address.rpartition(":")

    async def run() -> float:
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(in_flight):
            free.put_nowait(await asyncio.open_connection(host, int(port)))

        async def send(body: bytes) -> None:
            reader, writer = await free.get()
            head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            size = int(answer.lower().partition(b"content-length:")[2].partition(b"\r")[0])
            await reader.readexactly(size)
            free.put_nowait((reader, writer))

        rate = await _all([send], bodies, in_flight)
        while not free.empty():
            free.get_nowait()[1].close()
        return rate

    return asyncio.run(run())
