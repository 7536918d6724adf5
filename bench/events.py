"""How fast events are found among many: filtered pages and their totals, against raw SQL of the
same; all of them as a stream."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson

from bench import data
from bench.figure import Figure
from bench.ingest import workspace
from bench.reads import median_seconds
from bench.server import Server
from bench.store import BODY, EVENT
from spanloom.codec import json_codec
from spanloom.store.sql import migrations
from spanloom.store.sql.compression import compressed, decompressed
from spanloom.v1 import event_service_pb2

_EXPORT = "/spanloom.v1.EventService/ExportEvents"
_STREAM = "/spanloom.v1.EventService/StreamEvents"
_PAGE = 100
_SESSION_EVENTS = 20
_STEP_MS = 2_000  # between an event and the next
_START_MS = 1_767_225_600_000
_MEGABYTE = 1e6

# The n-th event: every 20th is the session of the 19 after it, the others are model, tool and chain
# in turns.
_FILL = """
WITH RECURSIVE generate(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM generate WHERE n + 1 < :count),
named AS (
  SELECT n, n % :of = 0 AS first, printf('%08x-session', n / :of) AS session, printf('%08x-event', n) AS id,
    (:start + n * :step) * 1000000 AS start
  FROM generate
)
INSERT INTO spans
SELECT :project, session, iif(first, session, id), n + 1, iif(first, session, id), session, iif(first, '', session), 'call',
  CASE WHEN first THEN 'session' WHEN n % 3 = 0 THEN 'model' WHEN n % 3 = 1 THEN 'tool' ELSE 'chain' END, '',
  start, start + 1500000000, 1500.0, 'OK', '', 'openai', 'gpt-4o', 35, 23, 8e-05, '', 1, 0
FROM named
"""
_FILL_BODIES = "INSERT INTO bodies SELECT version, '', :body, NULL, NULL FROM spans"
_FILL_EVENT_IDS = "INSERT INTO event_ids SELECT event_id, version FROM spans ORDER BY event_id"
_PAGE_SQL = "SELECT * FROM spans JOIN bodies ON span_version = version WHERE {where} ORDER BY start_ns DESC, event_id LIMIT {limit}"
_COUNT_SQL = "SELECT count(*) FROM spans WHERE {where}"


def fill(file: Path, events: int) -> None:
    """A store with so many documented events, written by SQL alone."""
    migrations.migrate(f"sqlite:///{file}")
    values = {
        "project": data.PROJECT,
        "count": events,
        "of": _SESSION_EVENTS,
        "start": _START_MS,
        "step": _STEP_MS,
    }
    body = {**{name: EVENT[name] for name in BODY}, "sent": {"adapter": "honeyhive"}}
    [sent] = compressed([json.dumps(body).encode()])
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = off")
        connection.execute("PRAGMA cache_size = -262144")
        connection.execute(_FILL, values)
        connection.execute(_FILL_BODIES, {"body": sent})
        connection.execute(_FILL_EVENT_IDS)
    connection.close()


def pages(events: int, calls: int) -> Iterator[Figure]:
    """Pages of ExportEvents with their totals, and the stream of all events."""
    with workspace() as directory:
        file = directory / "bench.db"
        fill(file, events)
        with Server(f"sqlite:///{file}") as server:
            for name, fields, where in _asked(events):
                yield _page(server, file, f"{name}, of {events:,}", fields, where, calls)
            yield asyncio.run(_stream(server, events))


def _asked(events: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    """What pages are asked for: a name, the request's fields, the condition in SQL."""
    middle = events // 2
    session = f"{middle // _SESSION_EVENTS:08x}-session"
    first = _START_MS + middle * _STEP_MS
    hour, day = ({"$gte": first / 1e3, "$lte": first / 1e3 + s} for s in (3600, 86400))
    hour_sql, day_sql = (
        f"start_ns BETWEEN {first * 10**6} AND {(first + s * 1000) * 10**6}" for s in (3600, 86400)
    )
    yield "by session", {"filters": [_is("session_id", session)]}, f"session_id = '{session}'"
    yield "by an hour", {"dateRange": hour}, hour_sql
    model = {"filters": [_is("event_type", "model")]}
    yield "by type and a day", {**model, "dateRange": day}, f"kind = 'model' AND {day_sql}"
    yield "by type alone", model, "kind = 'model'"


def _is(field: str, value: str) -> dict[str, str]:
    return {"field": field, "operator": "is", "value": value}


def _page(
    server: Server, file: Path, name: str, fields: dict[str, Any], where: str, calls: int
) -> Figure:
    request = json_codec.parse(
        {"project": data.PROJECT, "limit": _PAGE, **fields}, event_service_pb2.ExportEventsRequest
    ).message
    where = f"project = '{data.PROJECT}' AND {where}"
    statements = [_PAGE_SQL.format(where=where, limit=_PAGE), _COUNT_SQL.format(where=where)]
    connection = sqlite3.connect(file)

    def read() -> object:
        rows, _ = (connection.execute(statement).fetchall() for statement in statements)
        return [orjson.loads(decompressed(row[-3])) for row in rows]

    raw = median_seconds(read, calls)
    found, ((total,),) = (connection.execute(statement).fetchall() for statement in statements)
    connection.close()
    with grpc.insecure_channel(
        server.grpc_address, [("grpc.max_receive_message_length", -1)]
    ) as channel:
        call: Any = channel.unary_unary(_EXPORT)
        body = request.SerializeToString()
        answer = event_service_pb2.ExportEventsResponse.FromString(call(body))
        assert (len(answer.events), answer.total_events) == (len(found), total)
        ours = median_seconds(lambda: call(body), calls)
    return Figure(
        f"page {name}, p50",
        ours * 1000,
        f"SELECT, count, orjson.loads of its {len(found)} rows",
        raw * 1000,
        3,
        unit="ms",
        less_is_better=True,
    )


async def _stream(server: Server, events: int) -> Figure:
    """How much memory the server takes to stream all events."""
    request = event_service_pb2.StreamEventsRequest(project=data.PROJECT).SerializeToString()
    before = most = server.memory()
    count = 0
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        call: Any = channel.unary_stream(_STREAM)
        stream = call(request)
        async for _ in stream:
            count += 1
            if count % 10_000 == 0:
                most = max(most, server.memory())
    assert count == events
    return Figure(
        f"memory that a stream of {events:,} takes",
        (most - before) / _MEGABYTE,
        "wanted",
        50,
        1,
        unit="MB",
        less_is_better=True,
    )
