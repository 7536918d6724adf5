"""Generated messages of the contract, valid and odd, for round trips through adapters and views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from spanloom.adapters.basalt.read import LOG_TYPES
from spanloom.codec.struct_writer import struct_wire, value_wire
from spanloom.model import MAX_TIME_NS, Span
from spanloom.model.times import MAX_TIME_MS
from spanloom.v1 import event_pb2, session_pb2, trace_pb2, trace_service_pb2
from tests.parts import through_a_row

M = TypeVar("M", bound=Message)

texts = st.text(max_size=12)  # any character but surrogates, which no protobuf string can hold
columns = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ids = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
structs = objects.map(lambda fields: Struct.FromString(struct_wire(fields)))
json_values = values.map(lambda value: Value.FromString(value_wire(value)))


def stored(spans: Iterable[Span]) -> list[Span]:
    """The spans as a store gives them back: through JSON text, ordered by start, then id."""
    return sorted(
        map(through_a_row, spans),
        key=lambda span: (span.start_ns, span.span_id.encode()),
    )


@st.composite
def messages(draw: st.DrawFn, make: Callable[[], M], fields: dict[str, Any]) -> M:
    """A message with any subset of the fields set."""
    message = make()
    for name, strategy in fields.items():
        if not draw(st.booleans()):
            continue
        value = draw(strategy)
        if isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def _timestamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


evaluators = st.lists(ids.map(lambda slug: trace_pb2.EvaluatorReference(slug=slug)), max_size=2)
_common = {
    "name": columns,
    "input": json_values,
    "output": json_values,
    "ideal_output": json_values,
    "metadata": structs,
    "evaluators": evaluators,
}
_log_fields = {
    **_common,
    "input_tokens": st.integers(0, 2**31 - 1),
    "output_tokens": st.integers(0, 2**31 - 1),
    "cost": st.floats(0, allow_nan=False, allow_infinity=False),
    "variables": st.lists(
        messages(lambda: trace_pb2.Variable(label="l"), {"value": texts}), max_size=2
    ),
    "prompt": messages(
        lambda: trace_pb2.PromptReference(slug="p"), {"version": texts, "tag": texts}
    ),
}
_trace_fields = {
    **_common,
    "feature_slug": columns,
    "chain_slug": columns,
    "organization": messages(trace_pb2.Organization, {"id": columns, "name": texts}),
    "user": messages(trace_pb2.User, {"id": columns, "name": texts, "email": texts}),
    "experiment": columns.map(lambda text: trace_pb2.ExperimentReference(id=text)),
    "evaluation_config": messages(trace_pb2.EvaluationConfig, {"sample_rate": st.floats(0, 1)}),
}


@st.composite
def traces(draw: st.DrawFn) -> trace_pb2.Trace:
    """A valid trace, its logs by id."""
    trace: trace_pb2.Trace = draw(messages(trace_pb2.Trace, _trace_fields))
    trace.id = draw(ids)
    times = st.integers(0, MAX_TIME_NS)
    for log_id in draw(st.lists(ids.filter(lambda i: i != trace.id), max_size=5, unique=True)):
        log: trace_pb2.Log = draw(messages(trace_pb2.Log, _log_fields))
        log.id, log.type = log_id, draw(st.sampled_from(LOG_TYPES))
        if draw(st.booleans()):
            log.parent_id = draw(
                st.sampled_from([*(log.id for log in trace.logs), trace.id, log_id, ""]) | ids
            )
        _set_times(draw, log, times)
        trace.logs.append(log)
    for log in trace.logs:
        if draw(st.booleans()):
            log.parent_id = draw(st.sampled_from([other.id for other in trace.logs]))
    _set_times(draw, trace, times)
    trace.logs.sort(key=lambda log: log.id)
    return trace


def _set_times(draw: st.DrawFn, message: Any, times: st.SearchStrategy[int]) -> None:
    for name in ("start_time", "end_time"):
        if draw(st.booleans()):
            getattr(message, name).CopyFrom(_timestamp(draw(times)))


logged_calls = messages(
    lambda: trace_service_pb2.CreateLogRequest(slug="p", output=Value(string_value="o")),
    {
        **{name: _log_fields[name] for name in ("name", "input", "ideal_output", "metadata")},
        **{name: _log_fields[name] for name in ("input_tokens", "output_tokens", "cost")},
        **{name: _log_fields[name] for name in ("variables",)},
        **{name: _trace_fields[name] for name in ("organization", "user")},
        "version": texts,
        "tag": texts,
    },
)


def _structs_of(*keys: str) -> st.SearchStrategy[Struct]:
    """Objects that may have keys which are columns, too."""
    known = st.dictionaries(st.sampled_from(keys), values, max_size=len(keys))
    merged = st.builds(lambda a, b: {**a, **b}, objects, known)
    return merged.map(lambda fields: Struct.FromString(struct_wire(fields)))


# Milliseconds: numbers between these are seconds (`spanloom.model.times.ms_by_size`).
_whole_times = st.integers(0, 10**9 - 1) | st.integers(10**11, MAX_TIME_MS)
event_times = _whole_times.map(float) | st.floats(1e11, float(MAX_TIME_MS))
_event_fields = {
    "event_name": columns,
    "source": texts,
    "project": texts,
    "children_ids": st.lists(texts, max_size=3),
    "config": _structs_of("model", "provider"),
    "inputs": structs,
    "outputs": json_values,
    "error": texts,
    "start_time": event_times,
    "end_time": event_times,
    "duration": st.floats(0, 1e9),
    "metadata": _structs_of("model", "cost", "prompt_tokens", "completion_tokens", "total_tokens"),
    "metrics": structs,
    "feedback": structs,
    "user_properties": structs,
}
events = messages(event_pb2.Event, {**_event_fields, "session_id": ids, "parent_id": ids})
sessions = messages(session_pb2.SessionProperties, {**_event_fields, "session_name": columns})
