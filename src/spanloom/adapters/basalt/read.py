"""Basalt messages to spans: a trace with its logs, or one logged prompt call.

The trace is the root span (span id = event id = session id = trace id), its logs are the spans
below. What Basalt sends has typed places in a span; in `sent` stands what these do not hold
exactly:

    unset               which of name, feature_slug, start_time and end_time were not sent, although
                        the span has them
    end_ns              an end before the start, where the span has the start in its place
    parent_id           of a log that hangs under the trace although it names a parent
    chain_slug          as sent
    evaluation_config   {}, one that says nothing

`spanloom.adapters.basalt.write` gives the message back.
Source: docs/contracts/traces.md, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from spanloom.codec.json_path import json_path
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.model import Io, Json, Sent, Span, TraceFacts
from spanloom.model.checks import Violations
from spanloom.model.parents import cycle_heads
from spanloom.model.sampling import DEFAULT_SAMPLE_RATE, is_sampled
from spanloom.model.span import NO_GENAI, NO_TRACE, GenAi, Party, PromptUse, Variable
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import trace_pb2, trace_service_pb2

ADAPTER = "basalt"
# Event type and gen_ai.operation.name of each log type.
_KINDS = {
    "span": ("chain", ""),
    "generation": ("model", "chat"),
    "function": ("tool", "execute_tool"),
    "tool": ("tool", "execute_tool"),
    "retrieval": ("tool", "execute_tool"),
    "event": ("chain", ""),
}
LOG_TYPES = tuple(_KINDS)
_START, _END = map(json_path(trace_pb2.Trace), ("start_time", "end_time"))


@dataclass(frozen=True, slots=True)
class ParsedTrace:
    """A trace as spans, the root first, and what was read otherwise than sent, a line each."""

    spans: list[Span]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Times:
    start_ns: int
    end_ns: int | None

    @property
    def duration_ms(self) -> float | None:
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e6


def read_trace(
    trace: trace_pb2.Trace, *, trace_id: str, received_ns: int, within: str = ""
) -> ParsedTrace:
    """The spans of a trace. `trace_id` is the trace's own id or one made for it. INVALID_ARGUMENT
    names all that is wrong; `within` is the path of the trace in the request, like `trace.`."""
    named = json_path(trace_pb2.Trace)
    bad = Violations(within, lambda path: within + named(path.removeprefix(within)))
    return _read(trace, trace_id, received_ns, bad)


def trace_around_log(request: trace_service_pb2.CreateLogRequest, log_id: str) -> trace_pb2.Trace:
    """The trace of a logged prompt call, with one generation log. Each request field is copied to
    every field with the same name, so the trace repeats the input and output of the call;
    INVALID_ARGUMENT names a missing `slug` or `output`."""
    bad = Violations(spelled=json_path(type(request)))
    if not request.slug:
        bad.add("slug", "is required")
    if not _has_json(request, "output"):
        bad.add("output", "is required")
    bad.refuse()
    trace = trace_pb2.Trace(name=request.slug, feature_slug=request.slug)
    log = trace.logs.add(id=log_id, type="generation", name=request.slug)
    for field, value in request.ListFields():
        for message in (trace, log, log.prompt):
            if field.name in message.DESCRIPTOR.fields_by_name:
                _set(message, field.name, value)
    for message in (trace, log):
        if not request.HasField("start_time") and request.HasField("end_time"):
            message.start_time.CopyFrom(request.end_time)
        elif not request.HasField("end_time") and request.HasField("start_time"):
            message.end_time.CopyFrom(request.start_time)
    return trace


def read_log(
    request: trace_service_pb2.CreateLogRequest,
    trace: trace_pb2.Trace,
    *,
    trace_id: str,
    received_ns: int,
) -> ParsedTrace:
    """The spans of `trace_around_log`; field paths are those of the request."""
    has = cast(Message, request).HasField
    # Fields of the trace that were filled from another of the request, which is the one to name.
    filled = (
        ("name", "slug"),
        ("start_time", "end_time"),
        ("end_time", "start_time"),
    )
    origins = {"feature_slug": "slug"} | {to: origin for to, origin in filled if not has(to)}
    named = json_path(type(request))

    def spelled(path: str) -> str:
        field = path.removeprefix("logs[0].")
        return named(origins.get(field, field))

    return _read(trace, trace_id, received_ns, Violations(spelled=spelled))


def _read(trace: trace_pb2.Trace, trace_id: str, received_ns: int, bad: Violations) -> ParsedTrace:
    warnings: list[str] = []
    _check_trace(trace, trace_id, bad)
    for index, log in enumerate(trace.logs):
        _check_log(log, f"logs[{index}].", bad)
    indexes = _indexes_by_id(trace.logs, trace_id, bad)
    root_times, log_times = _all_times(trace, received_ns, bad, warnings)
    bad.refuse()
    parents = _parents(trace.logs, indexes, log_times)
    spans = [_root_span(trace, trace_id, root_times)]
    for log, parent, times in zip(trace.logs, parents, log_times, strict=True):
        parent_id = trace_id if parent is None else trace.logs[parent].id
        spans.append(_log_span(log, trace_id, parent_id, times))
    return ParsedTrace(spans, warnings)


def _check_trace(trace: trace_pb2.Trace, trace_id: str, bad: Violations) -> None:
    bad.check_id("id", trace_id)
    bad.check_text("name", trace.name)
    bad.check_text("feature_slug", trace.feature_slug)
    bad.check_text("chain_slug", trace.chain_slug)
    bad.check_text("organization.id", trace.organization.id)
    bad.check_text("user.id", trace.user.id)
    bad.check_text("experiment.id", trace.experiment.id)
    _check_evaluators(trace, "", bad)
    config = trace.evaluation_config
    if config.HasField("sample_rate") and not 0 <= config.sample_rate <= 1:
        bad.add("evaluation_config.sample_rate", "must be from 0 to 1")


def _check_log(log: trace_pb2.Log, at: str, bad: Violations) -> None:
    bad.check_id(at + "id", log.id)
    bad.check_word(at + "type", log.type, LOG_TYPES)
    bad.check_text(at + "name", log.name)
    _check_evaluators(log, at, bad)
    if log.input_tokens < 0:
        bad.add(at + "input_tokens", "must not be negative")
    if log.output_tokens < 0:
        bad.add(at + "output_tokens", "must not be negative")
    if not (log.cost >= 0 and math.isfinite(log.cost)):
        bad.add(at + "cost", "must be a finite number, 0 or more")
    if log.HasField("prompt") and not log.prompt.slug:
        bad.add(at + "prompt.slug", "is required")
    for index, variable in enumerate(log.variables):
        if not variable.label:
            bad.add(f"{at}variables[{index}].label", "is required")


def _check_evaluators(message: Any, at: str, bad: Violations) -> None:
    for index, evaluator in enumerate(message.evaluators):
        bad.check_id(f"{at}evaluators[{index}].slug", evaluator.slug)


def _indexes_by_id(logs: Sequence[trace_pb2.Log], trace_id: str, bad: Violations) -> dict[str, int]:
    indexes: dict[str, int] = {}
    for index, log in enumerate(logs):
        first = indexes.setdefault(log.id, index)
        if not log.id:
            continue
        if first != index:
            bad.same_id(f"logs[{index}].id", f"logs[{first}].id")
        elif log.id == trace_id:
            bad.same_id(f"logs[{index}].id", "id")
    return indexes


def _all_times(
    trace: trace_pb2.Trace, received_ns: int, bad: Violations, warnings: list[str]
) -> tuple[_Times, list[_Times]]:
    """The times of the trace and of each log, with every default of the contract filled in."""
    starts = [_time(log, "start_time", f"logs[{i}].", bad) for i, log in enumerate(trace.logs)]
    ends = [_time(log, "end_time", f"logs[{i}].", bad) for i, log in enumerate(trace.logs)]
    end = _time(trace, "end_time", "", bad)
    start = _time(trace, "start_time", "", bad)
    if start is None:
        # Received after it ended, so the time of receipt would turn a plain trace into one that
        # ends before it starts.
        latest = received_ns if end is None else min(received_ns, end)
        start = min((s for s in starts if s is not None), default=latest)
    if end is None:
        end = max([start, *(e for e in ends if e is not None)])
    root = _ordered(start, end, "the trace", warnings)
    logs = [
        _ordered(start if s is None else s, e, f"log {log.id!r}", warnings)
        for s, e, log in zip(starts, ends, trace.logs, strict=True)
    ]
    return root, logs


def _time(message: Message, name: str, at: str, bad: Violations) -> int | None:
    if not message.HasField(name):
        return None
    ns = ns_from_timestamp(getattr(message, name))
    if ns is None:
        bad.add(at + name, OUT_OF_RANGE)
    return ns


def _ordered(start: int, end: int | None, what: str, warnings: list[str]) -> _Times:
    if end is not None and end < start:
        warnings.append(f"the {_END} of {what} is before its {_START}; its duration is stored as 0")
        end = start
    return _Times(start, end)


def _parents(
    logs: Sequence[trace_pb2.Log], indexes: dict[str, int], times: Sequence[_Times]
) -> list[int | None]:
    """The log that each log hangs under; None is the trace itself. A cycle is cut at its earliest
    log."""
    parents = [indexes.get(log.parent_id) for log in logs]
    for index in cycle_heads(parents, lambda i: (times[i].start_ns, i)):
        parents[index] = None
    return parents


def _root_span(trace: trace_pb2.Trace, trace_id: str, times: _Times) -> Span:
    unset = [name for name in ("name", "feature_slug") if not trace.HasField(name)]
    sent = _kept(trace, times, unset)
    slug = trace.feature_slug if trace.HasField("feature_slug") else trace.chain_slug
    if trace.HasField("chain_slug"):
        sent["chain_slug"] = trace.chain_slug
    config = trace.evaluation_config
    said_rate = config.sample_rate if config.HasField("sample_rate") else None
    if trace.HasField("evaluation_config") and said_rate is None:
        sent["evaluation_config"] = {}
    is_experiment = trace.HasField("experiment")
    rate = 1.0 if is_experiment else DEFAULT_SAMPLE_RATE if said_rate is None else said_rate
    io = _io(trace)
    status, status_message = _status(io)
    return Span(
        trace_id=trace_id,
        span_id=trace_id,
        event_id=trace_id,
        session_id=trace_id,
        name=trace.name if trace.HasField("name") else slug,
        kind="session",
        operation="invoke_agent",
        start_ns=times.start_ns,
        end_ns=times.end_ns,
        duration_ms=times.duration_ms,
        status=status,
        status_message=status_message,
        io=io,
        trace=TraceFacts(
            feature_slug=slug if slug or trace.HasField("feature_slug") else None,
            user=_party(trace.user, "id", "name", "email") if trace.HasField("user") else None,
            organization=_party(trace.organization, "id", "name")
            if trace.HasField("organization")
            else None,
            experiment_id=trace.experiment.id if is_experiment else None,
            evaluators=_evaluators(trace),
            evaluation_rate=said_rate,
            sample_rate=rate,
            sampled=is_sampled(trace_id, rate),
        ),
        sent=Sent(ADAPTER, sent),
    )


def _log_span(log: trace_pb2.Log, trace_id: str, parent_id: str, times: _Times) -> Span:
    kind, operation = _KINDS[log.type]
    sent = _kept(log, times, [] if log.HasField("name") else ["name"])
    if log.HasField("parent_id") and parent_id == trace_id:
        sent["parent_id"] = log.parent_id
    io = _io(log)
    status, status_message = _status(io)
    genai = NO_GENAI
    if log.variables or log.HasField("prompt"):
        prompt = log.prompt
        genai = GenAi(
            prompt=PromptUse(slug=prompt.slug, **_set_fields(prompt, "version", "tag"))
            if log.HasField("prompt")
            else None,
            variables=tuple(
                Variable(label=variable.label, **_set_fields(variable, "value"))
                for variable in log.variables
            ),
        )
    return Span(
        trace_id=trace_id,
        span_id=log.id,
        event_id=log.id,
        session_id=trace_id,
        parent_id=parent_id,
        name=log.name,
        kind=kind,
        operation=operation,
        start_ns=times.start_ns,
        end_ns=times.end_ns,
        duration_ms=times.duration_ms,
        status=status,
        status_message=status_message,
        input_tokens=log.input_tokens if log.HasField("input_tokens") else None,
        output_tokens=log.output_tokens if log.HasField("output_tokens") else None,
        cost=log.cost if log.HasField("cost") else None,
        log_type=log.type,
        io=io,
        genai=genai,
        trace=TraceFacts(evaluators=_evaluators(log)) if log.evaluators else NO_TRACE,
        sent=Sent(ADAPTER, sent),
    )


def _kept(message: Any, times: _Times, unset: list[str]) -> dict[str, Json]:
    """What the span does not tell of its name and times as they were sent."""
    unset += [name for name in ("start_time", "end_time") if not message.HasField(name)]
    sent: dict[str, Json] = {"unset": unset} if unset else {}
    if message.HasField("end_time"):
        end_ns = ns_from_timestamp(message.end_time)
        if end_ns != times.end_ns:
            sent["end_ns"] = end_ns
    return sent


def _io(message: Any) -> Io:
    return Io(
        inputs=_json(message, "input"),
        outputs=_json(message, "output"),
        ideal_output=_json(message, "ideal_output"),
        metadata=struct_object(message.metadata) if message.HasField("metadata") else None,
    )


def _status(io: Io) -> tuple[str, str]:
    """An `error` in the metadata is the status, and its text the status message."""
    error = io.metadata.get("error") if io.metadata else None
    if not error:
        return "UNSET", ""
    text = error.get("message") if isinstance(error, dict) else error
    return "ERROR", text if isinstance(text, str) else ""


def _evaluators(message: Any) -> tuple[str, ...]:
    return tuple(evaluator.slug for evaluator in message.evaluators)


def _party(message: Message, *names: str) -> Party:
    return Party(**_set_fields(message, *names))


def _json(message: Any, name: str) -> Json:
    return value_object(getattr(message, name)) if _has_json(message, name) else None


def _has_json(message: Any, name: str) -> bool:
    """Whether a Value is set to something: null is as good as unset."""
    return message.HasField(name) and getattr(message, name).WhichOneof("kind") not in (
        None,
        "null_value",
    )


def _set(message: Any, name: str, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, str | int | float):
        setattr(message, name, value)
    else:
        getattr(message, name).extend(value)


def _set_fields(message: Message, *names: str) -> dict[str, str]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}
