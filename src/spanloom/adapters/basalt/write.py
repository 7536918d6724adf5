"""Spans as Basalt messages: a trace with its logs. One that came as a trace is given back as it was
sent.

`spanloom.adapters.basalt.read` says what of a message stands in `sent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spanloom.adapters.basalt.read import ADAPTER
from spanloom.codec.json_fields import put_json
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import NO_BODY, Json, Span, Trace
from spanloom.model.span import Party, PromptUse, Variable
from spanloom.model.whole import trace_root, whole_times
from spanloom.v1 import trace_pb2

MAX_INT32 = 2**31 - 1
# Log types by event type, for spans that did not come as logs.
_LOG_TYPES = {"model": "generation", "tool": "tool"}

# What another adapter shows of a span of its own beside the trace's fields.
Beside = Callable[[Span], Mapping[str, Json]]


def trace_message(
    trace_id: str, spans: Sequence[Span], beside: Beside = lambda _: NO_BODY
) -> trace_pb2.Trace:
    """The trace with its logs. `spans` are all of the trace, by start, then span id; at least one.

    `beside` gives what stands in the field `otel`. In a trace that came as one, what was not sent
    stays unset.
    """
    root, others = trace_root(trace_id, spans)
    said, sent, unset = root.trace, _sent(root), _unset(root)
    trace = trace_pb2.Trace(id=trace_id, status=root.status, session_id=root.session_id)
    add_log = trace.logs.add  # messages that are made beforehand would be copied
    for span in others:
        log = add_log(
            id=span.span_id,
            type=span.log_type or _LOG_TYPES.get(span.kind, "span"),
            status=span.status,
        )
        _fill_log(log, span, root, beside)
    _put_times(trace, root, *whole_times(root, others))
    is_made_up = len(others) == len(spans)
    if "name" not in unset and not is_made_up:
        trace.name = root.name
    if said.feature_slug is not None and "feature_slug" not in unset:
        trace.feature_slug = said.feature_slug
    if "chain_slug" in sent:
        trace.chain_slug = sent["chain_slug"]
    if said.sampled is not None:
        trace.sampled = said.sampled
    if said.organization is not None:
        _fill(trace.organization, said.organization, "id", "name")
    if said.user is not None:
        _fill(trace.user, said.user, "id", "name", "email")
    if said.experiment_id is not None:
        trace.experiment.id = said.experiment_id
    if "evaluation_config" in sent:
        trace.evaluation_config.SetInParent()
    if said.evaluation_rate is not None:
        trace.evaluation_config.sample_rate = said.evaluation_rate
    _put_common(trace, root, beside)
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


def _fill_log(log: trace_pb2.Log, span: Span, root: Span, beside: Beside) -> None:
    sent = _sent(span)
    _put_times(log, span, span.start_ns, span.end_ns)
    if "name" not in _unset(span):
        log.name = span.name
    if "parent_id" in sent:
        log.parent_id = sent["parent_id"]
    elif span.parent_id not in ("", root.span_id):
        log.parent_id = span.parent_id
    if span.input_tokens is not None:
        log.input_tokens = min(span.input_tokens, MAX_INT32)
    if span.output_tokens is not None:
        log.output_tokens = min(span.output_tokens, MAX_INT32)
    if span.cost is not None:
        log.cost = span.cost
    if span.genai.prompt is not None:
        _fill(log.prompt, span.genai.prompt, "slug", "version", "tag")
    for variable in span.genai.variables:
        _fill(log.variables.add(), variable, "label", "value")
    _put_common(log, span, beside)


def _sent(span: Span) -> Mapping[str, Json]:
    return span.sent.fields if span.sent.adapter == ADAPTER else NO_BODY


def _unset(span: Span) -> set[str]:
    """The fields that were not sent, although the span has them, and that no update has set
    since."""
    columns = {"name": "name", "start_ns": "start_time", "end_ns": "end_time"}
    return set(_sent(span).get("unset", ())).difference(columns.get(name) for name in span.updated)


def _put_times(message: Any, span: Span, start_ns: int, end_ns: int | None) -> None:
    unset = _unset(span)
    if "end_ns" not in span.updated:
        end_ns = _sent(span).get("end_ns", end_ns)
    for name, ns in (("start_time", start_ns), ("end_time", end_ns)):
        if ns is not None and name not in unset:
            getattr(message, name).CopyFrom(timestamp_from_ns(ns))


def _put_common(message: Any, span: Span, beside: Beside) -> None:
    for slug in span.trace.evaluators:
        message.evaluators.add(slug=slug)
    io = span.io
    values: dict[str, Json] = {
        "input": io.inputs,
        "output": io.outputs,
        "ideal_output": io.ideal_output,
        "metadata": _metadata(span),
        "otel": beside(span) or None,
    }
    put_json(message, {name: value for name, value in values.items() if value is not None})


def _metadata(span: Span) -> Mapping[str, Json] | None:
    """The metadata; of a failed span that came by another API with what its status says, for a log
    has no other place for it."""
    said = span.status_message or span.io.error
    sent = span.io.metadata
    if span.sent.adapter == ADAPTER or span.status != "ERROR" or not said:
        return sent
    return {**(sent or NO_BODY), "error": (sent or NO_BODY).get("error") or said}


def _fill(message: Any, part: Party | PromptUse | Variable, *names: str) -> None:
    """Set the message, and those of its fields that the part says."""
    message.SetInParent()
    for name in names:
        if (value := getattr(part, name)) is not None:
            setattr(message, name, value)
