"""Langfuse's traces, observations and scores as spans and reviews.

They come as Langfuse's blob storage exports write them (names in snake_case; enriched or legacy
observations, traces, scores), as its page exports them, or as its API answers (camelCase;
/api/public/traces, /observations and /scores of both versions).

Sources: langfuse.com, Blob Storage Export Field Reference; langfuse/langfuse,
web/src/features/public-api/types.

Ids are kept. A trace of the older model is a span with the trace's id, above the observations that
name no parent; rows of the enriched export say by themselves what the trace says, and their traces
have no such span.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from spanloom.client.values import to_attribute, to_struct, to_value
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.genai.usage import usage_from
from spanloom.operations.imports.records import time_ns
from spanloom.v1 import review_pb2, span_pb2

Made = span_pb2.Span | review_pb2.Review

_KINDS: Final = {
    "SPAN": span_pb2.SPAN_KIND_STEP,
    "GENERATION": span_pb2.SPAN_KIND_MODEL,
    "EVENT": span_pb2.SPAN_KIND_EVENT,
    "AGENT": span_pb2.SPAN_KIND_AGENT,
    "TOOL": span_pb2.SPAN_KIND_TOOL,
    "CHAIN": span_pb2.SPAN_KIND_STEP,
    "RETRIEVER": span_pb2.SPAN_KIND_RETRIEVAL,
    "EVALUATOR": span_pb2.SPAN_KIND_STEP,
    "EMBEDDING": span_pb2.SPAN_KIND_MODEL,
    "GUARDRAIL": span_pb2.SPAN_KIND_STEP,
}
_SOURCES: Final = {
    "ANNOTATION": review_pb2.REVIEW_SOURCE_PERSON,
    "API": review_pb2.REVIEW_SOURCE_PROGRAM,
    "EVAL": review_pb2.REVIEW_SOURCE_PROGRAM,
}
# By these a row is known that says by itself what its trace says.
_OF_TRACE: Final = frozenset({"trace_name", "user_id", "session_id", "tags", "release"})
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


def made_of(record: Mapping[str, Any]) -> Iterator[Made]:
    """The span or the review of a record; of a trace with all that is in it, those of all.

    Raises:
        ValueError: It says what is wrong.
    """
    row = {_CAPITAL.sub(r"_\1", key).lower(): value for key, value in record.items()}
    if "type" in row and "start_time" in row:
        yield _observation(row)
    elif "data_type" in row or ("value" in row and "timestamp" in row):
        yield _score(row)
    elif "timestamp" in row:
        yield _trace(row)
        for name in ("observations", "scores"):
            for inner in row.get(name) or ():
                if isinstance(inner, dict):  # in lists of traces they are ids
                    yield from made_of(inner)
    else:
        raise ValueError("is no trace, observation or score of Langfuse")


def _observation(row: Mapping[str, Any]) -> span_pb2.Span:
    kind = _KINDS.get(str(row["type"]).upper())
    if kind is None:
        raise ValueError(f"type: {row['type']!r} is no type of observation")
    trace_id, parent = _text(row, "trace_id"), _text(row, "parent_observation_id")
    if not parent and _OF_TRACE.isdisjoint(row):
        parent = trace_id
    span = span_pb2.Span(
        trace_id=trace_id,
        span_id=_text(row, "id"),
        parent_span_id=parent,
        name=_text(row, "name"),
        kind=kind,
    )
    if not trace_id:
        raise ValueError("trace_id: is required")
    if kind == span_pb2.SPAN_KIND_TOOL:
        span.tool.name = span.name
    elif kind == span_pb2.SPAN_KIND_AGENT and span.name:
        span.agent.name = span.name
    elif row["type"] == "EMBEDDING":
        span.operation = "embeddings"
    start = _required_time(row, "start_time")
    _put_times(span, start, time_ns(row.get("end_time")))
    _put_common(span, row)
    _put_status(span, row)
    _put_model(span, row)
    if first := time_ns(row.get("completion_start_time")):
        seconds = max(0, first - start) / 1e9
        span.metrics.update({"time_to_first_token_s": seconds})
    return span


def _trace(row: Mapping[str, Any]) -> span_pb2.Span:
    trace_id = _text(row, "id")
    span = span_pb2.Span(
        trace_id=trace_id, span_id=trace_id, name=_text(row, "name"), kind=span_pb2.SPAN_KIND_STEP
    )
    start = _required_time(row, "timestamp")
    took = max(0.0, _number(row, "latency") or 0.0)
    _put_times(span, start, start + round(took * 1e9))
    _put_common(span, row)
    return span


def _score(row: Mapping[str, Any]) -> review_pb2.Review:
    kind = str(row.get("data_type") or "NUMERIC").upper()
    text = _text(row, "string_value")
    review = review_pb2.Review(
        review_id=_text(row, "id"),
        name=_text(row, "name"),
        comment=_text(row, "comment"),
        author=_text(row, "author_user_id"),
        source=_SOURCES.get(str(row.get("source")).upper(), review_pb2.REVIEW_SOURCE_PROGRAM),
    )
    if trace_id := _text(row, "trace_id"):
        review.target.trace_id = trace_id
        review.target.span_id = _text(row, "observation_id")
    elif session_id := _text(row, "session_id"):
        review.target.conversation_id = session_id
    else:
        raise ValueError("trace_id: a score of no trace and no session cannot be kept")
    if kind in ("NUMERIC", "BOOLEAN"):
        number = _number(row, "value")
        if number is not None:
            review.score = number
    elif kind == "CATEGORICAL":
        review.label = text
    elif text:
        review.comment = f"{text}\n\n{review.comment}" if review.comment else text
    kept = {"timestamp": row.get("timestamp"), "environment": row.get("environment")}
    review.metadata.CopyFrom(to_struct({k: str(v) for k, v in kept.items() if v is not None}))
    return review


def _required_time(row: Mapping[str, Any], name: str) -> int:
    found = time_ns(row[name])
    if found is None:
        raise ValueError(f"{name}: is required")
    return found


def _put_times(span: span_pb2.Span, start_ns: int, end_ns: int | None) -> None:
    if span.kind == span_pb2.SPAN_KIND_EVENT and end_ns is None:
        end_ns = start_ns
    span.start_time.CopyFrom(timestamp_from_ns(start_ns))
    if end_ns is not None:
        span.end_time.CopyFrom(timestamp_from_ns(max(start_ns, end_ns)))


def _put_common(span: span_pb2.Span, row: Mapping[str, Any]) -> None:
    """What traces and observations have alike."""
    span.conversation_id = _text(row, "session_id")
    span.environment = _text(row, "environment")
    if user_id := _text(row, "user_id"):
        span.user.id = user_id
    for name in ("input", "output"):
        value = _json(row.get(name))
        if value not in (None, ""):
            getattr(span, name).CopyFrom(to_value(value))
    metadata = _json(row.get("metadata"))
    if isinstance(metadata, dict):
        span.metadata.CopyFrom(to_struct({k: _json(v) for k, v in metadata.items()}))
    elif metadata not in (None, ""):
        span.metadata.CopyFrom(to_struct({"metadata": metadata}))
    for name in ("tags", "release", "version", "trace_name"):
        if value := _json(row.get(name)):
            span.attributes[f"langfuse.{name}"].CopyFrom(to_attribute(value))


def _put_status(span: span_pb2.Span, row: Mapping[str, Any]) -> None:
    level, message = str(row.get("level") or "").upper(), _text(row, "status_message")
    if level == "ERROR":
        span.status.code = span_pb2.STATUS_CODE_ERROR
    if message:
        span.status.message = message
    if level not in ("", "DEFAULT"):
        span.attributes["langfuse.level"].string_value = level


def _put_model(span: span_pb2.Span, row: Mapping[str, Any]) -> None:
    model = next(filter(None, (_text(row, n) for n in ("provided_model_name", "model"))), "")
    usage = _object(row, "usage_details") or _object(row, "usage")
    if not usage:
        usage = {n: row[n] for n in ("prompt_tokens", "completion_tokens") if row.get(n)}
    if str(usage.get("unit") or row.get("unit") or "TOKENS").upper() != "TOKENS":
        usage = {}  # of characters, images, seconds
    costs = _object(row, "cost_details")
    tokens = {name: number for name, number in usage_from(usage).items() if number}
    cost = _first_number((row, "total_cost"), (costs, "total"), (row, "calculated_total_cost"))
    if span.kind == span_pb2.SPAN_KIND_MODEL or model or tokens or cost:
        call = span.model
        call.request_model = model
        for name, number in tokens.items():
            setattr(call, name, number)
        parts = {
            "cost_usd": cost,
            "input_cost_usd": _first_number((costs, "input"), (row, "calculated_input_cost")),
            "output_cost_usd": _first_number((costs, "output"), (row, "calculated_output_cost")),
        }
        # Of a call without a price Langfuse says 0.
        for name, part in parts.items():
            if part:
                setattr(call, name, part)
    if config := _object(row, "model_parameters"):
        span.config.CopyFrom(to_struct(config))
    if definitions := _json(row.get("tool_definitions")):
        span.tool_definitions.CopyFrom(to_value(definitions))
    if slug := _text(row, "prompt_name"):
        span.prompt.slug, span.prompt.version = slug, _text(row, "prompt_version")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None or value != value or isinstance(value, dict | list):
        return ""
    if isinstance(value, float) and value.is_integer():  # a column with gaps has no integers
        value = int(value)
    return str(value).encode("utf-8", "replace").decode()


def _json(value: Any) -> Any:
    """A value; of a text that holds an object or a list, what it holds."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _object(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _json(row.get(name))
    return found if isinstance(found, dict) else {}


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or value == "" or value != value:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: {str(value)[:40]!r} is no number") from None


def _first_number(*places: tuple[Mapping[str, Any], str]) -> float | None:
    return next((n for row, name in places if (n := _number(row, name)) is not None), None)
