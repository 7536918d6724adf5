"""How fast a chat comes out."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from bench import data, otlp
from bench.figure import Figure, middle
from bench.ingest import BATCH, workspace
from bench.load import grpc_rate
from bench.server import Server
from spanloom.store.sql.compression import decompressed
from spanloom.v1 import agent_chat_service_pb2, event_pb2

SPANS = 1000
_CHAT = "/spanloom.v1.AgentChatService/GetTraceChat"


def write_trace(server: Server) -> str:
    """A trace of `SPANS` documented events; its id."""
    message = data.messages(1, SPANS)[0]
    grpc_rate(server.grpc_address, BATCH, [message.SerializeToString()], 1)
    return message.events[0].session_id


def chat_seconds(
    server: Server, trace_id: str, calls: int, *, project: str = data.PROJECT
) -> float:
    """The median time of GetTraceChat, one call after the other."""
    request = agent_chat_service_pb2.GetTraceChatRequest(project_id=project, trace_id=trace_id)
    return asyncio.run(_median(server.grpc_address, request.SerializeToString(), calls))


async def _median(address: str, request: bytes, calls: int) -> float:
    async with grpc.aio.insecure_channel(
        address, [("grpc.max_receive_message_length", -1)]
    ) as channel:
        call: Any = channel.unary_unary(_CHAT)
        await call(request)
        times = []
        for _ in range(calls):
            started = time.perf_counter()
            await call(request)
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def chat(rounds: int, calls: int) -> Figure:
    """GetTraceChat, against SELECT of the same rows by sqlite3 and the messages in their bodies; so
    many calls a round."""
    with workspace() as directory:
        file = directory / "bench.db"
        with Server(f"sqlite:///{file}") as server:
            trace_id = write_trace(server)
            ours, bare = middle(
                (chat_seconds(server, trace_id, calls), _select_seconds(file, trace_id, calls))
                for _ in range(rounds)
            )
    return Figure(
        f"GetTraceChat, {SPANS} spans, p50",
        ours * 1000,
        "SELECT and parsing of its rows",
        bare * 1000,
        4,
        unit="ms",
        less_is_better=True,
    )


def large_chat(spans: int) -> Figure:
    """The chat of a trace of so many tool calls, against one of a hundredth of them: the time a
    span must not grow."""
    seconds = {}
    for size in (spans // 100, spans):
        with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
            message = otlp.fan(size)
            grpc_rate(server.grpc_address, otlp.EXPORT, [message.SerializeToString()], 1)
            trace_id = message.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
            seconds[size] = chat_seconds(server, trace_id, 3, project="default")
    few, many = seconds.values()
    return Figure(
        f"GetTraceChat, {spans:,} spans, a span",
        many / spans * 1e6,
        f"of {spans // 100:,} spans",
        few / (spans // 100) * 1e6,
        1.5,
        unit="us",
        less_is_better=True,
        note=f"{many:.1f} s",
    )


def _select_seconds(file: Path, trace_id: str, calls: int) -> float:
    connection = sqlite3.connect(file)
    query = (
        "SELECT spans.*, bodies.* FROM spans JOIN bodies ON span_version = version "
        "WHERE project = ? AND trace_id = ? ORDER BY start_ns, span_id"
    )

    def read() -> Sequence[object]:
        return [
            event_pb2.Event.FromString(decompressed(row[-3]))
            for row in connection.execute(query, (data.PROJECT, trace_id)).fetchall()
        ]

    assert len(read()) > SPANS
    seconds = median_seconds(read, calls)
    connection.close()
    return seconds


def median_seconds(run: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
