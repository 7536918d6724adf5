"""Measure, and print a line a figure. `--quick` takes less time and gives rougher figures; `--rows`
picks some."""

from __future__ import annotations

import argparse
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import events, ingest, json_codec, otlp, reads, tails, waiting, whole
from bench.figure import Figure

Row = Callable[[], Iterable[Figure]]

QUICK: dict[str, Row] = {
    "grpc-100": lambda: [ingest.batches(100, 3, 100, 0.6, fresh=False)],
    "rest-100": lambda: [ingest.rest_batches(3, 60)],
    "chat": lambda: [reads.chat(rounds=5, calls=10)],
    "events": lambda: events.pages(20_000, calls=40),
}
FULL: dict[str, Row] = {
    "grpc-100": lambda: [ingest.batches(100, 9, 200, 0.6, fresh=False)],
    "grpc-100-new": lambda: [ingest.batches(100, 7, 150, 0.55, fresh=True)],
    "grpc-1000": lambda: [ingest.batches(1000, 7, 32, 0.45, fresh=False)],
    "rest-100": lambda: [ingest.rest_batches(7, 120)],
    "single": lambda: [ingest.single_events(7, 2_500)],
    "otlp-100": lambda: [otlp.exports(7, 100)],
    "disk": lambda: [otlp.disk(200)],
    "codec": json_codec.figures,
    "chat": lambda: [reads.chat(rounds=15, calls=20)],
    "events": lambda: events.pages(1_000_000, calls=200),
    "chat-100000": lambda: [reads.large_chat(100_000)],
    "waits": lambda: waiting.longest_waits(100_000, 20),
    "start": lambda: [whole.start(rounds=5)],
    "postgresql": lambda: [ingest.postgres_batches(5, 150)],
    "tails": lambda: tails.visible(100, 1_000, 10),
    "idle-tails": lambda: tails.idle(1_000, 30),
    "full": whole.full_store,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", nargs="+", metavar="ROW", choices=FULL, help=", ".join(FULL))
    given = parser.parse_args()
    rows = QUICK if given.quick else FULL
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(
        f"SQLite {sqlite3.sqlite_version}, files in {Path.cwd()}, {os.cpu_count()} cores, load generator included, "
        f"load average before: {load}"
    )
    for name, measure in rows.items():
        if not given.rows or name in given.rows:
            for figure in measure():
                print(figure, flush=True)


if __name__ == "__main__":
    main()
