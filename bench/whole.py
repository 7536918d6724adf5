"""What takes a whole run of a server: the time to start, a store with a million events, memory
under load."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench import data
from bench.figure import Figure
from bench.ingest import BATCH, IN_FLIGHT, workspace
from bench.load import grpc_rate
from bench.reads import chat_seconds, write_trace
from bench.server import Server

_FEW, _SOME, _MANY = 10_000, 100_000, 1_000_000
_STRETCH = 20_000  # events over which a rate is taken
_MEGABYTE = 1e6


def start(rounds: int) -> Figure:
    """From the command to the line that says where it listens, on a new database."""
    times = []
    for _ in range(rounds):
        with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
            times.append(server.start_seconds)
    return Figure(
        "ready to serve", statistics.median(times), "wanted", 1.5, 1, unit="s", less_is_better=True
    )


def full_store() -> Iterator[Figure]:
    """Reads and writes with 1,000,000 events against few, and memory after that load."""
    with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
        written = 0

        def write(until: int) -> float:
            nonlocal written
            rates = []
            while written < until:
                bodies = [m.SerializeToString() for m in data.messages(50, 100)]
                rates.append(grpc_rate(server.grpc_address, BATCH, bodies, IN_FLIGHT) * 100)
                written += 5_000
            return statistics.median(rates)

        trace_id = write_trace(server)
        write(_FEW)
        chat_few = chat_seconds(server, trace_id, 200)
        write(_SOME)
        rate_some = write(_SOME + _STRETCH)
        memory_some = server.memory()
        write(_MANY)
        memory_many = server.memory()
        rate_many = write(_MANY + _STRETCH)
        chat_many = chat_seconds(server, trace_id, 200)
    yield Figure(
        "GetTraceChat with 1,000,000 other spans, p50",
        chat_many * 1000,
        "with 10,000",
        chat_few * 1000,
        1.3,
        unit="ms",
        less_is_better=True,
    )
    yield Figure("ingest after 1,000,000 events", rate_many, "after 100,000", rate_some, 0.85)
    yield Figure(
        "resident memory of a worker after 1,000,000",
        memory_many / _MEGABYTE,
        "wanted",
        350,
        1,
        unit="MB",
        less_is_better=True,
        note=f"{memory_some / _MEGABYTE:.0f} MB after 120,000",
    )
