"""Tails: how soon a span is seen by many of them, and what idle ones cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import grpc

from bench.figure import Figure
from bench.ingest import workspace
from bench.server import Server
from spanloom.v1 import span_service_pb2

_TAIL = "/spanloom.v1.SpanService/TailSpans"
_WRITE = "/spanloom.v1.SpanService/WriteSpans"
_REQUEST = 20  # spans
_WANTED_MS = 250
_WANTED_MB = 60
_WANTED_PERCENT = 2
_TEXT = "A text as a model writes it, in about a thousand characters. " * 17


def visible(tails: int, rate: int, seconds: int) -> Iterator[Figure]:
    """The time from the call that writes a span to its arrival at each of many tails."""
    with (
        workspace() as directory,
        Server(f"sqlite:///{directory}/bench.db", "--workers", "1") as server,
    ):
        ours, process = _reading(server.grpc_address, tails)
        before = server.cpu_seconds()
        _write(server.grpc_address, rate, seconds)
        time.sleep(1)
        used = server.cpu_seconds() - before
        ours.send("stop")
        delays = sorted(ours.recv())
        process.join()
    assert len(delays) == tails * rate * seconds, len(delays)
    for share in (50, 99):
        yield Figure(
            f"{tails} tails at {rate:,} spans/s: p{share} until a span is seen",
            delays[len(delays) * share // 100] * 1000,
            "wanted",
            _WANTED_MS,
            1,
            unit="ms",
            less_is_better=True,
            note=f"the server used {used / seconds * 100:.0f} % of a core",
        )


def idle(tails: int, seconds: int) -> Iterator[Figure]:
    """What tails cost while nothing is written, beyond a server without them."""
    with (
        workspace() as directory,
        Server(f"sqlite:///{directory}/bench.db", "--workers", "1") as server,
    ):
        time.sleep(2)
        memory, before = server.memory(), server.cpu_seconds()
        time.sleep(seconds)
        without = server.cpu_seconds() - before
        ours, process = _reading(server.grpc_address, tails)
        time.sleep(2)
        before = server.cpu_seconds()
        time.sleep(seconds)
        used = server.cpu_seconds() - before
        memory = server.memory() - memory
        ours.send("stop")
        ours.recv()
        process.join()
    yield Figure(
        f"{tails:,} idle tails: memory",
        memory / 2**20,
        "wanted",
        _WANTED_MB,
        1,
        unit="MB",
        less_is_better=True,
    )
    yield Figure(
        f"{tails:,} idle tails: part of a core",
        (used - without) / seconds * 100,
        "wanted",
        _WANTED_PERCENT,
        1,
        unit="%",
        less_is_better=True,
        note=f"the server without tails: {without / seconds * 100:.2f} %",
    )


def _reading(address: str, tails: int) -> tuple[Any, Any]:
    """A process that follows, once all its tails are open."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_read, args=(address, tails, theirs), daemon=True)
    process.start()
    ours.recv()
    return ours, process


def _read(address: str, tails: int, say: Any) -> None:
    asyncio.run(_read_all(address, tails, say))


async def _read_all(address: str, tails: int, say: Any) -> None:
    delays: list[float] = []
    ready = asyncio.Semaphore(0)

    async def follow(channel: Any) -> None:
        call = channel.unary_stream(_TAIL)(b"")
        await call.read()
        ready.release()
        while isinstance(data := await call.read(), bytes):
            now = time.time()
            response = span_service_pb2.TailSpansResponse.FromString(data)
            delays.extend(now - float(span.name) for span in response.spans)

    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(10)
    ]
    following = [asyncio.create_task(follow(channels[n % 10])) for n in range(tails)]
    for _ in range(tails):
        await ready.acquire()
    say.send("ready")
    await asyncio.to_thread(say.recv)
    for task in following:
        task.cancel()
    await asyncio.wait(following)
    say.send(delays)


def _write(address: str, rate: int, seconds: int) -> None:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(_WRITE)
        began = time.time()
        calls = []
        for number in range(rate * seconds // _REQUEST):
            time.sleep(max(0.0, began + number * _REQUEST / rate - time.time()))
            request = span_service_pb2.WriteSpansRequest()
            for place in range(_REQUEST):
                span = request.spans.add(trace_id=f"t{number}", span_id=str(place))
                span.name = repr(time.time())
                span.input.string_value = _TEXT
            calls.append(call.future(request.SerializeToString()))
        for one in calls:
            one.result()
