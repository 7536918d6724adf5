"""Generated spans of Spanloom's own API, valid and odd."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from spanloom.v1 import span_pb2 as pb
from tests.ingest.strategies import columns, ids, json_values, structs, texts

int64s = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
uint32s = st.integers(0, 2**32 - 1)
costs = st.floats(0, 1e6, allow_nan=False)
times = st.integers(0, 2**62).map(lambda ns: Timestamp(seconds=ns // 10**9, nanos=ns % 10**9))
durations = st.integers(0, 2**60).map(lambda ns: Duration(seconds=ns // 10**9, nanos=ns % 10**9))


@st.composite
def optional(draw: st.DrawFn, make: Any, **fields: Any) -> Any:
    """A message with any subset of the fields set."""
    chosen = draw(st.sets(st.sampled_from(sorted(fields)), max_size=6))
    message = make()
    message.MergeFrom(type(message)(**{name: draw(fields[name]) for name in sorted(chosen)}))
    return message


def a_map(values: Any) -> Any:
    return st.dictionaries(texts, values, max_size=3)


attribute_values = st.deferred(
    lambda: st.one_of(
        st.just(pb.AttributeValue()),
        texts.map(lambda v: pb.AttributeValue(string_value=v)),
        int64s.map(lambda v: pb.AttributeValue(int_value=v)),
        st.floats(allow_nan=False).map(lambda v: pb.AttributeValue(double_value=v)),
        st.booleans().map(lambda v: pb.AttributeValue(bool_value=v)),
        st.binary(max_size=6).map(lambda v: pb.AttributeValue(bytes_value=v)),
        st.lists(attribute_values, max_size=2).map(
            lambda v: pb.AttributeValue(list_value=pb.AttributeList(values=v))
        ),
        st.dictionaries(texts, attribute_values, max_size=2).map(
            lambda v: pb.AttributeValue(map_value=pb.AttributeMap(fields=v))
        ),
    )
)
attributes = a_map(attribute_values)
media = optional(
    lambda: pb.Media(),
    mime_type=texts,
    modality=texts,
).flatmap(
    lambda made: st.one_of(
        st.just(made),
        texts.filter(bool).map(lambda v: _with(made, uri=v)),
        st.binary(max_size=6).map(lambda v: _with(made, data=v)),
        texts.filter(bool).map(lambda v: _with(made, file_id=v)),
    )
)


def _with(message: Any, **fields: Any) -> Any:
    made = type(message)()
    made.CopyFrom(message)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


some_values = json_values.filter(lambda value: value.WhichOneof("kind") != "null_value")
parts = st.one_of(
    texts.map(lambda v: pb.MessagePart(text=v)),
    texts.map(lambda v: pb.MessagePart(reasoning=v)),
    optional(pb.MessagePart.ToolRequest, name=texts, call_id=texts, arguments=some_values).map(
        lambda v: pb.MessagePart(tool_request=v)
    ),
    optional(pb.MessagePart.ToolResponse, name=texts, call_id=texts, result=some_values).map(
        lambda v: pb.MessagePart(tool_response=v)
    ),
    media.map(lambda v: pb.MessagePart(media=v)),
    json_values.map(lambda v: pb.MessagePart(other=v)),
)
model_messages = st.lists(
    optional(
        lambda: pb.ModelMessage(role="user"),
        parts=st.lists(parts, max_size=3),
        name=texts,
        finish_reason=texts,
    ),
    max_size=3,
)
names = columns.filter(bool)
span_events = optional(
    lambda: pb.SpanEvent(name="exception", time=Timestamp(seconds=5)),
    time=times.filter(lambda t: t.seconds or t.nanos),
    dropped_attribute_count=uint32s,
)
span_links = optional(
    lambda: pb.SpanLink(trace_id="t", span_id="s"), trace_state=texts, flags=uint32s
)
FIELDS: dict[str, Any] = {
    "parent_span_id": ids,
    "conversation_id": ids,
    "conversation_name": texts,
    "event_id": ids,
    "name": names,
    "kind": st.integers(0, 8),
    "operation": st.sampled_from(["chat", "invoke_agent", "execute_tool", "retrieval"]) | columns,
    "start_time": times,
    "end_time": times,
    "duration": durations,
    "status": optional(
        lambda: pb.SpanStatus(message="m"), code=st.integers(0, 2), error_type=texts
    ),
    "input": some_values,
    "output": some_values,
    "expected_output": some_values,
    "agent": optional(lambda: pb.SpanAgent(name="a"), version=columns, id=texts, description=texts),
    "model": optional(
        lambda: pb.ModelCall(provider="openai"),
        request_model=columns,
        response_model=columns,
        input_tokens=counts,
        output_tokens=counts,
        reasoning_tokens=counts,
        cache_read_tokens=counts,
        cache_creation_tokens=counts,
        cost_usd=costs,
        input_cost_usd=costs,
        output_cost_usd=costs,
    ),
    "tool": optional(lambda: pb.Span.Tool(name="t"), call_id=texts, type=texts, description=texts),
    "input_messages": model_messages,
    "output_messages": model_messages,
    "system_instructions": texts,
    "tool_definitions": some_values,
    "attributes": attributes,
    "resource": attributes,
    "events": st.lists(span_events, max_size=2),
    "links": st.lists(span_links, max_size=2),
    "metadata": structs,
    "metrics": structs,
    "config": structs,
    "feedback": structs,
    "user": optional(pb.Span.User, id=columns, name=texts, email=texts, properties=structs),
    "organization": optional(pb.Span.Organization, id=columns, name=texts),
    "feature": columns,
    "experiment_id": columns,
    "prompt": optional(
        lambda: pb.Span.Prompt(slug="p"), version=texts, tag=texts, variables=a_map(texts)
    ),
    "evaluation": optional(
        lambda: pb.Span.Evaluation(evaluators=["e"]), sample_rate=st.floats(0, 1)
    ),
    "environment": columns,
    "handoff": optional(pb.Span.Handoff, from_agent=texts, to_agent=texts),
    "compaction": optional(
        pb.Span.Compaction, summary=texts, items_before=int64s, items_after=int64s
    ),
    "scope": optional(
        lambda: pb.Span.Scope(name="s"), version=texts, schema_url=texts, attributes=attributes
    ),
    "open_telemetry": optional(
        lambda: pb.Span.OpenTelemetry(flags=1),
        kind=st.integers(0, 5),
        trace_state=texts,
        dropped_attribute_count=uint32s,
        dropped_event_count=uint32s,
        dropped_link_count=uint32s,
        resource_schema_url=texts,
    ),
}
spans = optional(lambda: pb.Span(trace_id="t", span_id="s"), **FIELDS)
