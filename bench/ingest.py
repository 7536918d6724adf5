"""How fast events go in."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from bench import data
from bench.figure import Figure, middle
from bench.load import grpc_rate, rest_rate
from bench.raw import postgres_rate, sqlite_rate
from bench.server import Server

BATCH = "/spanloom.v1.EventService/CreateEventBatch"
SINGLE = "/spanloom.v1.EventService/CreateEvent"
IN_FLIGHT = 16
SINGLE_IN_FLIGHT = 64


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory on the disk of the checkout: /tmp may be memory."""
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as directory:
        yield Path(directory)


def batches(events: int, rounds: int, requests: int, wanted: float, *, fresh: bool) -> Figure:
    """CreateEventBatch over gRPC, against raw sqlite3."""
    pairs, costs = [], []
    for _ in range(rounds):
        with workspace() as directory:
            bodies = [m.SerializeToString() for m in data.messages(requests, events, fresh=fresh)]
            with Server(f"sqlite:///{directory}/bench.db") as server:
                before = server.cpu_seconds()
                rate = grpc_rate(server.grpc_address, BATCH, bodies, IN_FLIGHT) * events
                costs.append((server.cpu_seconds() - before) / (requests * events) * 1e6)
            pairs.append((rate, sqlite_rate(directory / "bench.db", events)))
    rate, limit = middle(pairs)
    return Figure(
        f"CreateEventBatch, gRPC, {events} a request" + (", all texts new" if fresh else ""),
        rate,
        f"sqlite3 executemany, {events} a commit",
        limit,
        wanted,
        note=f"{statistics.median(costs):.0f} us of CPU an event in the server",
    )


def rest_batches(rounds: int, requests: int) -> Figure:
    """The same over REST, against gRPC on the same server."""
    pairs = []
    for _ in range(rounds):
        with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
            bodies = [m.SerializeToString() for m in data.messages(requests, 100)]
            documents = data.documents(requests, 100)
            limit = grpc_rate(server.grpc_address, BATCH, bodies, IN_FLIGHT) * 100
            rate = rest_rate(server.http_address, "/events/batch", documents, IN_FLIGHT) * 100
            pairs.append((rate, limit))
    rate, limit = middle(pairs)
    return Figure(
        "CreateEventBatch, REST, 100 a request",
        rate,
        "the same over gRPC",
        limit,
        0.75,
    )


def single_events(rounds: int, requests: int) -> Figure:
    """One event a call, against a server of grpc.aio that gives the bytes back."""
    pairs = []
    for _ in range(rounds):
        bodies = [m.SerializeToString() for m in data.single_messages(requests)]
        with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
            rate = grpc_rate(server.grpc_address, SINGLE, bodies, SINGLE_IN_FLIGHT)
        with _echo() as address:
            limit = grpc_rate(address, "/bench.Echo/Echo", bodies, SINGLE_IN_FLIGHT)
        pairs.append((rate, limit))
    rate, limit = middle(pairs)
    return Figure(
        "CreateEvent, gRPC, 64 in flight",
        rate,
        "grpc.aio echo of the same bytes",
        limit,
        0.6,
    )


def postgres_batches(rounds: int, requests: int) -> Figure:
    """CreateEventBatch into PostgreSQL, against COPY."""
    from tests.databases import new_url

    pairs = []
    for _ in range(rounds):
        with workspace() as directory:
            url = new_url("postgresql", directory)
            bodies = [m.SerializeToString() for m in data.messages(requests, 100)]
            with Server(url) as server:
                rate = grpc_rate(server.grpc_address, BATCH, bodies, IN_FLIGHT) * 100
            pairs.append((rate, postgres_rate(url, 100)))
    rate, limit = middle(pairs)
    return Figure(
        "CreateEventBatch, PostgreSQL, 100 a request",
        rate,
        "COPY, 100 a commit",
        limit,
        0.45,
    )


@contextmanager
def _echo() -> Iterator[str]:
    """The address of a process that echoes."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_echo, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_echo(say: Connection) -> None:
    async def echo(data: bytes, _: object) -> bytes:
        return data

    async def serve() -> None:
        server = grpc.aio.server()
        handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("bench.Echo", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        say.send(f"127.0.0.1:{port}")
        await server.wait_for_termination()

    asyncio.run(serve())
