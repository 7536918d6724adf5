"""Measure, and print a line a figure. `--quick` takes less time and gives rougher figures."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench import data
from bench.raw import RawSqlite
from bench.server import Server

IN_FLIGHT = 16


@dataclass(frozen=True)
class Figure:
    """A measured rate against the limit's rate in the same run; `wanted` is the least ratio to reach, if one is set."""

    name: str
    rate: float
    limit_name: str
    limit: float
    wanted: float | None = None

    def __str__(self) -> str:
        ratio = self.rate / self.limit
        goal = "" if self.wanted is None else f"  (wanted {self.wanted})"
        return (
            f"{self.name:<52} {self.rate:>9.0f}/s  {self.limit_name:<36} {self.limit:>9.0f}/s"
            f"  ratio {ratio:5.2f}{goal}"
        )


def event_batches(events: int, rounds: int, seconds: float, wanted: float) -> Figure:
    """CreateEventBatch over gRPC, 16 in flight, against raw sqlite3 executemany of the same rows; medians of the rounds."""
    requests = max(IN_FLIGHT * 2, int(seconds * 10_000 / events))
    rates, limits = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as directory:
            messages = data.messages(requests, events)
            with Server(f"sqlite:///{directory}/bench.db") as server:
                rates.append(asyncio.run(_send(server.grpc_address, messages)) * events)
            limits.append(RawSqlite(Path(directory, "bench.db")).rate(messages))
    return Figure(
        f"CreateEventBatch, gRPC, {events} a request",
        statistics.median(rates),
        f"sqlite3 executemany, {events} a commit",
        statistics.median(limits),
        wanted,
    )


async def _send(address: str, messages: Sequence[object]) -> float:
    """Requests a second, with `IN_FLIGHT` at once, each serialized before the clock starts."""
    bodies = [message.SerializeToString() for message in messages]  # type: ignore[attr-defined]
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/spanloom.v1.EventService/CreateEventBatch")
        await channel.channel_ready()
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                await call(body)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return len(bodies) / (time.perf_counter() - started)


def figures(quick: bool) -> Sequence[Callable[[], Figure]]:
    rounds, seconds = (1, 2.0) if quick else (5, 5.0)
    rows = [lambda: event_batches(100, rounds, seconds, 0.6)]
    if not quick:
        rows.append(lambda: event_batches(1000, rounds, seconds, 0.45))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print(f"SQLite {sqlite3.sqlite_version}, file in {Path.cwd()}, load generator included")
    for measure in figures(quick):
        print(measure(), flush=True)


if __name__ == "__main__":
    main()
