"""Spans as a trace with logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from spanloom.codec.json_fields import put_json
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import Json, Span, Trace
from spanloom.model.whole import trace_root, whole_times
from spanloom.v1 import trace_pb2

MAX_INT32 = 2**31 - 1
# Log types by event type, for spans that did not come as logs.
_LOG_TYPES = {"model": "generation", "tool": "tool"}
# What a span that came by OpenTelemetry has beside.
_OTEL_KEYS = (
    *("resource", "scope", "span_kind", "attributes", "events", "links", "trace_state", "flags"),
    "dropped",
)
_JSON_FIELDS = (("inputs", "input"), ("outputs", "output"), ("ideal_output", "ideal_output"))


def trace_message(trace_id: str, spans: Sequence[Span]) -> trace_pb2.Trace:
    """The trace with its logs. `spans` are all of the trace, by start, then span id; at least one.

    One that came as a trace is given back as it was sent: what was not stays unset.
    """
    root, others = trace_root(trace_id, spans)
    body = root.body
    trace = trace_pb2.Trace(
        id=trace_id,
        logs=[_log(span, root) for span in others],
        status=root.status,
        session_id=root.session_id,
    )
    _put_times(trace, body, *whole_times(root, others))
    unset = body.get("unset", ())
    if "name" not in unset:
        trace.name = root.name
    if "feature_slug" in body and "feature_slug" not in unset:
        trace.feature_slug = body["feature_slug"]
    for name in ("chain_slug", "sampled"):
        if name in body:
            setattr(trace, name, body[name])
    for name in ("organization", "user", "experiment", "evaluation_config"):
        if name in body:
            _fill(getattr(trace, name), body[name])
    _put_common(trace, body)
    return trace


def listed_trace(trace: Trace) -> trace_pb2.Trace:
    """The trace as a list shows it: without logs, input, output and metadata."""
    message = trace_pb2.Trace(
        id=trace.trace_id,
        start_time=timestamp_from_ns(trace.start_ns),
        status=trace.status,
        session_id=trace.session_id or trace.trace_id,
    )
    if trace.end_ns is not None:
        message.end_time.CopyFrom(timestamp_from_ns(trace.end_ns))
    if trace.name:
        message.name = trace.name
    if trace.feature_slug:
        message.feature_slug = trace.feature_slug
    if trace.sampled is not None:
        message.sampled = trace.sampled
    for name in ("user", "organization", "experiment"):
        if value := getattr(trace, name + "_id"):
            getattr(message, name).id = value
    return message


def _log(span: Span, root: Span) -> trace_pb2.Log:
    body = span.body
    log = trace_pb2.Log(
        id=span.span_id,
        type=body.get("log_type") or _LOG_TYPES.get(span.kind, "span"),
        status=span.status,
    )
    _put_times(log, body, span.start_ns, span.end_ns)
    if "name" not in body.get("unset", ()):
        log.name = span.name
    if "parent_id" in body:
        log.parent_id = body["parent_id"]
    elif span.parent_id not in ("", root.span_id):
        log.parent_id = span.parent_id
    if span.input_tokens is not None:
        log.input_tokens = min(span.input_tokens, MAX_INT32)
    if span.output_tokens is not None:
        log.output_tokens = min(span.output_tokens, MAX_INT32)
    if span.cost is not None:
        log.cost = span.cost
    if "prompt" in body:
        _fill(log.prompt, body["prompt"])
    for variable in body.get("variables", ()):
        _fill(log.variables.add(), variable)
    _put_common(log, body)
    return log


def _put_times(message: Any, body: Any, start_ns: int, end_ns: int | None) -> None:
    times = {"start_time": start_ns, "end_time": body.get("end_ns_sent", end_ns)}
    for name, ns in times.items():
        if ns is not None and name not in body.get("computed", ()):
            getattr(message, name).CopyFrom(timestamp_from_ns(ns))


def _put_common(message: Any, body: Any) -> None:
    for evaluator in body.get("evaluators", ()):
        _fill(message.evaluators.add(), evaluator)
    values: dict[str, Json] = {
        name: body[key] for key, name in _JSON_FIELDS if body.get(key) is not None
    }
    if isinstance(body.get("metadata"), dict):
        values["metadata"] = body["metadata"]
    if otel := _otel(body):
        values["otel"] = otel
    put_json(message, values)


def _otel(body: Any) -> dict[str, Json]:
    """What OpenTelemetry told, times as text since a Struct's numbers are too short for them."""
    otel = {key: body[key] for key in _OTEL_KEYS if key in body}
    if "events" in otel:
        otel["events"] = [
            {
                **{key: value for key, value in event.items() if key != "time_ns"},
                "time_unix_nano": str(event.get("time_ns", 0)),
            }
            for event in otel["events"]
        ]
    return otel


def _fill(message: Message, fields: dict[str, Json]) -> None:
    """Set the message, and its fields of these names."""
    message.SetInParent()
    for name, value in fields.items():
        setattr(message, name, value)
