"""The same Basalt trace by REST and by OTLP, as basalt-sdk 1.1.10 sends it, has the same trace and
the same events.

An ideal output and a cost cannot be sent by OTLP: docs/contracts/traces.md, section 6.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

from spanloom.adapters.basalt.read import read_trace
from spanloom.adapters.basalt.write import trace_message
from spanloom.adapters.honeyhive.session import session_message
from spanloom.adapters.honeyhive.write import event_message
from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.model.times import ns_from_ms
from spanloom.v1 import trace_pb2
from tests.ingest.otlp import requests as r
from tests.ingest.strategies import stored

TRACE_ID = r.TRACE_ID.hex()
ROOT_ID = "00000000000000ff"
START_MS = 1_800_000_000_000
TRACE: dict[str, Any] = {
    "id": TRACE_ID,
    "name": "full trace",
    "featureSlug": "qa-chatbot",
    "input": "What is the capital of France?",
    "output": {"answer": "Paris"},
    "metadata": {"k": 1},
    "user": {"id": "u1", "name": "Ann"},
    "organization": {"id": "o1", "name": "ACME"},
    "experiment": {"id": "exp-1"},
    "evaluators": [{"slug": "hallucination"}],
    "evaluationConfig": {"sampleRate": 1.0},
    "logs": [
        {"id": "0000000000000001", "type": "span", "name": "outer", "input": {"x": 1}},
        {
            "id": "0000000000000002",
            "type": "generation",
            "name": "gen",
            "parentId": "0000000000000001",
            "input": "Q",
            "output": "Paris",
            "inputTokens": 10,
            "outputTokens": 2,
            "prompt": {"slug": "qa-prompt", "version": "1.2.0"},
            "variables": [{"label": "name", "value": "Ann"}],
            "evaluators": [{"slug": "short"}],
        },
        {
            "id": "0000000000000003",
            "type": "retrieval",
            "name": "search",
            "parentId": "0000000000000001",
            "input": {"q": "France"},
            "output": [{"doc": 1}],
            "metadata": {"m": True},
        },
        {"id": "0000000000000004", "type": "tool", "name": "calc", "input": {"a": 1}, "output": 2},
        {"id": "0000000000000005", "type": "function", "name": "fn", "output": "done"},
        {"id": "0000000000000006", "type": "event", "name": "click", "input": {"p": 1}},
    ],
}


def times(position: int) -> tuple[int, int]:
    return ns_from_ms(START_MS + position), ns_from_ms(START_MS + 100 + position)


def by_rest() -> list[Span]:
    trace = json_format.ParseDict(TRACE, trace_pb2.Trace())
    for position, message in enumerate([trace, *trace.logs]):
        start, end = times(position)
        message.start_time.FromNanoseconds(start)  # type: ignore[attr-defined]
        message.end_time.FromNanoseconds(end)  # type: ignore[attr-defined]
    return stored(read_trace(trace, trace_id=TRACE_ID, received_ns=r.RECEIVED).spans)


def value(plain: Any) -> Any:
    """Texts and numbers as they are, structures as JSON."""
    return json.dumps(plain) if isinstance(plain, dict | list) else plain


def attributes(message: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "basalt.span.kind": kind,
        "basalt.in_trace": True,
        "basalt.span.feature_slug": TRACE["featureSlug"],
        "basalt.span.should_evaluate": True,
        "basalt.experiment.id": TRACE["experiment"]["id"],
    }
    for who in ("user", "organization"):
        found |= {f"basalt.{who}.{key}": told for key, told in TRACE[who].items()}
    for name, key in (("input", "span.input"), ("output", "span.output"), ("metadata", "metadata")):
        if name in message:
            found[f"basalt.{key}"] = value(message[name])
    if "evaluators" in message:
        found["basalt.span.evaluators"] = [e["slug"] for e in message["evaluators"]]
    for key, told in message.get("prompt", {}).items():
        found[f"basalt.prompt.{key}"] = told
    if "variables" in message:
        told = {variable["label"]: variable["value"] for variable in message["variables"]}
        found["basalt.span.variables"] = json.dumps(told)
    for name, key in (("inputTokens", "input_tokens"), ("outputTokens", "output_tokens")):
        if name in message:
            found[f"gen_ai.usage.{key}"] = message[name]
    return found


def by_otlp() -> list[Span]:
    root = attributes(TRACE, "basalt_trace") | {
        "basalt.root": True,
        "basalt.span.evaluation.config": json.dumps({"sample_rate": 1.0}),
    }
    messages: list[otlp.Span] = []
    for position, (message, found) in enumerate(
        [(TRACE, root), *((log, attributes(log, log["type"])) for log in TRACE["logs"])]
    ):
        start, end = times(position)
        is_root = message is TRACE
        messages.append(
            r.span_message(
                message["name"],
                found,
                span_id=bytes.fromhex(ROOT_ID if is_root else message["id"]),
                parent_span_id=b"" if is_root else bytes.fromhex(message.get("parentId", ROOT_ID)),
                start_time_unix_nano=start,
                end_time_unix_nano=end,
            )
        )
    return stored(r.read(*messages, scope="basalt.observability").spans)


def plain(message: Any) -> Any:
    """A message as JSON, in which the root has the trace's id, as by REST."""
    return json.loads(json_format.MessageToJson(message).replace(ROOT_ID, TRACE_ID))


def test_the_trace_is_the_same() -> None:
    rest, sent = (plain(trace_message(TRACE_ID, spans)) for spans in (by_rest(), by_otlp()))
    assert sent == rest
    assert rest["logs"][1]["prompt"] == {"slug": "qa-prompt", "version": "1.2.0"}


def test_its_events_are_the_same() -> None:
    rest, sent = ([plain(event_message(span)) for span in of()] for of in (by_rest, by_otlp))
    assert sent == rest
    assert [event["event_type"] for event in rest[:3]] == ["session", "chain", "model"]
    assert rest[2]["metadata"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def test_its_session_is_the_same() -> None:
    rest, sent = (
        plain(session_message(TRACE_ID, spans, project="p")) for spans in (by_rest(), by_otlp())
    )
    assert sent == rest
    assert len(rest["children"]) == 4


def test_its_chat_is_the_same() -> None:
    rest, sent = (trace_chat(TRACE_ID, spans) for spans in (by_rest(), by_otlp()))
    assert [m.payload for m in sent.messages] == [m.payload for m in rest.messages]
    assert (sent.user_id, sent.total_input_tokens) == (rest.user_id, 10)
