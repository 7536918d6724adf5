"""How fast the store writes, against bare sqlite3: the same rows, indexes and pragmas, executemany and commit.

    python -m bench.store [postgresql+psycopg://...]

The events are the documented one with ids of their own. A rate is of one caller that waits for each call; "8 callers" share
their transactions. A URL adds the rates of that database, without a yardstick.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from spanloom.model import Span
from spanloom.store import migrations, rows, tables
from spanloom.store.dialect import Row, database
from spanloom.store.store import Store

EVENT = json.loads(
    (Path(__file__).parent.parent / "tests/data/documented/create_event_batch.json").read_text()
)["request"]["events"][0]
BODY = (
    *("config", "inputs", "outputs", "metadata", "metrics", "user_properties", "feedback"),
    *("source", "project", "children_ids"),
)


def spans(count: int) -> list[Span]:
    """The documented event so many times, in a session of its own."""
    session = str(uuid.uuid4())
    start = time.time_ns()
    return [
        Span(
            trace_id=session,
            span_id=event_id,
            event_id=event_id,
            session_id=session,
            parent_id=session,
            name=EVENT["event_name"],
            kind=EVENT["event_type"],
            start_ns=start + number,
            end_ns=start + number + 1_000_000_000,
            duration_ms=EVENT["duration"],
            model=EVENT["config"]["model"],
            provider=EVENT["config"]["provider"],
            input_tokens=EVENT["metadata"]["prompt_tokens"],
            output_tokens=EVENT["metadata"]["completion_tokens"],
            cost=EVENT["metadata"]["cost"],
            body={name: EVENT[name] for name in BODY},
        )
        for number, event_id in ((number, str(uuid.uuid4())) for number in range(count))
    ]


def bare(batches: Sequence[Sequence[Span]], directory: Path) -> float:
    """Rows a second of bare sqlite3, which is given ready tuples."""
    url = f"sqlite:///{directory}/bare.db"
    migrations.migrate(url)
    engine = database(url).engine(writer=True, connections=1)
    connection = engine.raw_connection().driver_connection
    assert isinstance(connection, sqlite3.Connection)
    ready: list[list[Row]] = [
        rows.span_rows("default", batch, number * len(batch) + 1)[0]
        for number, batch in enumerate(batches)
    ]
    statement = f"INSERT INTO spans VALUES ({', '.join('?' * len(tables.spans.c))})"
    start = time.perf_counter()
    for batch in ready:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, batch)
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - start
    engine.dispose()
    return sum(map(len, ready)) / elapsed


def stored(batches: Sequence[Sequence[Span]], url: str, *, callers: int = 1) -> float:
    """Rows a second of `Store.write_spans`."""

    async def run() -> float:
        store = await Store.open(url)
        waiting = list(reversed(batches))

        async def call() -> None:
            while waiting:
                await store.write_spans("default", waiting.pop())

        start = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        elapsed = time.perf_counter() - start
        await store.close()
        return sum(map(len, batches)) / elapsed

    return asyncio.run(run())


def middle(measure: Callable[[], float], runs: int = 5) -> float:
    return sorted(measure() for _ in range(runs))[runs // 2]


def main(urls: Sequence[str]) -> None:
    for size, calls in ((100, 60), (1_000, 10)):

        def batches() -> list[list[Span]]:
            return [spans(size) for _ in range(calls)]  # noqa: B023

        def in_directory(measure: Callable[[Path], float]) -> float:
            with TemporaryDirectory() as directory:
                return measure(Path(directory))

        yardstick = middle(lambda: in_directory(lambda d: bare(batches(), d)))
        print(f"{size:5} a call  bare sqlite3     {yardstick:9,.0f} spans/s")
        for callers in (1, 8):
            rate = middle(
                lambda: in_directory(
                    lambda d: stored(batches(), f"sqlite:///{d}/s.db", callers=callers)  # noqa: B023
                )
            )
            print(f"{'':13} store, {callers} callers {rate:9,.0f} spans/s  {rate / yardstick:.2f}")
        for url in urls:
            for callers in (1, 8):
                rate = middle(lambda: stored(batches(), url, callers=callers))  # noqa: B023
                name = url.partition(":")[0]
                print(f"{'':13} {name}, {callers} callers {rate:9,.0f} spans/s")


if __name__ == "__main__":
    main(sys.argv[1:])
