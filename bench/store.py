"""How fast the store writes, against bare sqlite3: the same rows, indexes and pragmas, executemany
and commit.

    python -m bench.store [postgresql+psycopg://...]

The events are the documented one with ids of their own; the last column is the ratio to bare
sqlite3, the median of several rounds. Calls that are made at once share transactions. A URL adds
the rates of that database.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from spanloom.model import Io, Sent, Span
from spanloom.store.sql import migrations, rows, tables
from spanloom.store.sql.urls import database
from spanloom.store.store import Store

EVENT = json.loads(
    (Path(__file__).parent.parent / "tests/data/documented/create_event_batch.json").read_text()
)["request"]["events"][0]
YARDSTICK = "bare sqlite3"
ROUNDS = 7
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
            io=Io(**{name: EVENT[name] for name in BODY}),
            sent=Sent("honeyhive"),
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
    made = [rows.span_rows("default", batch) for batch in batches]
    version = itertools.count(1)
    for batch in made:
        for row, body in zip(batch.spans, batch.bodies, strict=True):
            row[3] = body[0] = next(version)
    statements = {
        table: f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.c))})"
        for table in (tables.bodies, tables.spans)
    }
    start = time.perf_counter()
    for batch in made:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statements[tables.bodies], batch.bodies)
        connection.executemany(statements[tables.spans], batch.spans)
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - start
    engine.dispose()
    return sum(len(batch.spans) for batch in made) / elapsed


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


def main(urls: Sequence[str]) -> None:
    for size, calls in ((100, 60), (1_000, 10)):
        rates: dict[str, list[float]] = {}
        for _ in range(ROUNDS):  # in turns, so that what else the machine does falls on all alike
            batches = [[spans(size) for _ in range(calls)] for _ in range(3 + 2 * len(urls))]
            with TemporaryDirectory() as name:
                directory = Path(name)
                rates.setdefault(YARDSTICK, []).append(bare(batches.pop(), directory))
                for number, url in enumerate((f"sqlite:///{directory}/{{}}.db", *urls)):
                    for callers in (1, 8):
                        label = f"{url.partition(':')[0]}, {callers} at once"
                        rate = stored(
                            batches.pop(), url.format(f"{number}-{callers}"), callers=callers
                        )
                        rates.setdefault(label, []).append(rate)
        for label, measured in rates.items():
            ratio = median(r / y for r, y in zip(measured, rates[YARDSTICK], strict=True))
            print(f"{size:5} a call  {label:32} {median(measured):8,.0f} spans/s  {ratio:5.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
