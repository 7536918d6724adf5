"""OTLP requests, and how fast they go in."""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
import statistics
import time
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import data
from bench.figure import Figure, middle
from bench.ingest import BATCH, IN_FLIGHT, workspace
from bench.load import grpc_rate
from bench.server import Server
from spanloom.codec import otlp_json

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_SECOND = 10**9
_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo")
_VOCABULARY = ["".join(word) for word in product(_SYLLABLES, repeat=3)]  # 2,744 words
_LONGEST_WAIT = 120  # seconds
_NOT_INDEXED = "SELECT count(*) FROM spans WHERE version >= (SELECT reached FROM term_cursor)"


def exports(rounds: int, requests: int) -> Figure:
    """Export of 100 calls of a model a request, against as many events by CreateEventBatch on the
    same server."""
    pairs, costs = [], []
    for _ in range(rounds):
        with workspace() as directory, Server(f"sqlite:///{directory}/bench.db") as server:
            events = [m.SerializeToString() for m in data.messages(requests, 100)]
            bodies = [chats(100).SerializeToString() for _ in range(requests)]
            limit = grpc_rate(server.grpc_address, BATCH, events, IN_FLIGHT) * 100
            before = server.cpu_seconds()
            rate = grpc_rate(server.grpc_address, EXPORT, bodies, IN_FLIGHT) * 100
            pairs.append((rate, limit))
            costs.append((server.cpu_seconds() - before) / (requests * 100) * 1e6)
    rate, limit = middle(pairs)
    return Figure(
        "OTLP Export, gRPC, 100 spans a request",
        rate,
        "events over gRPC, 100 a request",
        limit,
        0.7,
        note=f"{statistics.median(costs):.0f} us of CPU a span in the server",
    )


def disk(requests: int) -> Figure:
    """Bytes on disk a span, indexes and terms included, against its bytes on the wire."""
    with workspace() as directory:
        bodies = [chats(100).SerializeToString() for _ in range(requests)]
        with Server(f"sqlite:///{directory}/bench.db") as server:
            grpc_rate(server.grpc_address, EXPORT, bodies, IN_FLIGHT)
            _wait_for_terms(directory / "bench.db")
        size = sum(file.stat().st_size for file in directory.iterdir())
    spans = requests * 100
    return Figure(
        "bytes on disk a span, OTLP, all texts new",
        size / spans,
        "bytes on the wire",
        sum(map(len, bodies)) / spans,
        1.49,
        unit="B",
        less_is_better=True,
    )


def _wait_for_terms(file: Path) -> None:
    """Wait until the index of terms has all spans."""
    deadline = time.monotonic() + _LONGEST_WAIT
    with closing(sqlite3.connect(file)) as connection:
        while connection.execute(_NOT_INDEXED).fetchone() != (0,):
            if time.monotonic() > deadline:
                raise TimeoutError(f"spans without terms after {_LONGEST_WAIT} s")
            time.sleep(0.2)


def request() -> tuple[ExportTraceServiceRequest, Any]:
    """An empty request of one service and instrumentation, and the place of its spans."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    _add(group.resource, {"service.name": "bench", "telemetry.sdk.language": "python"})
    scoped = group.scope_spans.add()
    scoped.scope.name, scoped.scope.version = "bench.genai", "1.0"
    return message, scoped


def fan(width: int) -> ExportTraceServiceRequest:
    """An agent that calls a tool so many times."""
    message, scoped = request()
    trace_id = secrets.token_bytes(16)
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Ada"}
    _span(scoped, trace_id, 1, 0, "invoke_agent Ada", agent)
    for n in range(2, width + 1):
        tool = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look",
            "gen_ai.tool.call.id": f"call_{n}",
            "gen_ai.tool.call.arguments": json.dumps({"number": n}),
            "gen_ai.tool.call.result": f"found {n}",
        }
        _span(scoped, trace_id, n, 1, "execute_tool look", tool)
    return message


def large(size: int) -> ExportTraceServiceRequest:
    """A model that answers with so many bytes."""
    message, scoped = request()
    text = "Größe und Maß, " * (size // 17)
    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
    answer = {
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": json.dumps(said, ensure_ascii=False),
    }
    _span(scoped, secrets.token_bytes(16), 1, 0, "chat gpt-4o", answer)
    return message


def chats(spans: int) -> ExportTraceServiceRequest:
    """Calls of a model as instrumentations record them, all ids and texts new, in one trace."""
    message, scoped = request()
    trace_id = secrets.token_bytes(16)
    for n in range(1, spans + 1):
        mark = secrets.token_hex(8)
        history = [
            {"role": "system", "parts": [{"type": "text", "content": "You are helpful."}]},
            {"role": "user", "parts": [{"type": "text", "content": f"{mark}: {_text(45)}?"}]},
        ]
        said = {"type": "text", "content": f"{mark}: {_text(45)}."}
        call = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": f"chatcmpl-{mark}",
            "gen_ai.response.finish_reasons": "stop",
            "gen_ai.request.temperature": "0.2",
            "gen_ai.conversation.id": trace_id.hex(),
            "gen_ai.usage.input_tokens": 40 + n,
            "gen_ai.usage.output_tokens": 12 + n,
            "server.address": "api.openai.com",
            "server.port": 443,
            "gen_ai.input.messages": json.dumps(history),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [said], "finish_reason": "stop"}]
            ),
        }
        _span(scoped, trace_id, n, n // 2, "chat gpt-4o-mini", call)
    return message


def _text(words: int) -> str:
    """A text that no other span has."""
    return " ".join(random.choices(_VOCABULARY, k=words))


def document(message: ExportTraceServiceRequest) -> bytes:
    """A request as OTLP/JSON."""
    return otlp_json.to_json(message)


def _span(
    scoped: Any, trace_id: bytes, number: int, parent: int, name: str, attributes: dict[str, Any]
) -> None:
    start = time.time_ns()
    span = scoped.spans.add(
        trace_id=trace_id,
        span_id=number.to_bytes(8),
        parent_span_id=parent.to_bytes(8) if parent else b"",
        name=name,
        kind=3,
        start_time_unix_nano=start,
        end_time_unix_nano=start + _SECOND,
    )
    _add(span, attributes)


def _add(holder: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair = holder.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
