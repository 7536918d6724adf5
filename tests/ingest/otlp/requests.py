"""OTLP requests for tests: made from plain attributes, read from recordings, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.read import Received, spans_from
from spanloom.codec import otlp_json
from spanloom.model import MAX_TIME_NS, Span

DATA = Path("tests/data/otlp")
TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(1, 9))
START, END = 1_763_629_200_000_000_000, 1_763_629_201_500_000_000
RECEIVED = 1_800_000_000 * 10**9


def value(plain: Any) -> common_pb2.AnyValue:
    if isinstance(plain, bool):
        return common_pb2.AnyValue(bool_value=plain)
    if isinstance(plain, int):
        return common_pb2.AnyValue(int_value=plain)
    if isinstance(plain, float):
        return common_pb2.AnyValue(double_value=plain)
    if isinstance(plain, list):
        return common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=map(value, plain)))
    return common_pb2.AnyValue(string_value=plain)


def pairs(attributes: Mapping[str, Any]) -> list[common_pb2.KeyValue]:
    return [common_pb2.KeyValue(key=key, value=value(plain)) for key, plain in attributes.items()]


def request_of(
    *spans: trace_pb2.Span, scope: str = "", resource: Mapping[str, Any] | None = None
) -> ExportTraceServiceRequest:
    group = trace_pb2.ResourceSpans(
        scope_spans=[
            trace_pb2.ScopeSpans(scope=common_pb2.InstrumentationScope(name=scope), spans=spans)
        ]
    )
    if resource is not None:
        group.resource.attributes.extend(pairs(resource))
    return ExportTraceServiceRequest(resource_spans=[group])


def span_message(
    name: str = "",
    attributes: Mapping[str, Any] | None = None,
    events: Mapping[str, Mapping[str, Any]] | list[tuple[str, Mapping[str, Any]]] = (),  # type: ignore[assignment]
    **fields: Any,
) -> trace_pb2.Span:
    told = events.items() if isinstance(events, Mapping) else events
    return trace_pb2.Span(
        **{
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "start_time_unix_nano": START,
            "end_time_unix_nano": END,
            **fields,
        },
        name=name,
        attributes=pairs(attributes or {}),
        events=[trace_pb2.Span.Event(name=n, attributes=pairs(a)) for n, a in told],
    )


def read(*spans: trace_pb2.Span, scope: str = "") -> Received:
    return spans_from(request_of(*spans, scope=scope), received_ns=RECEIVED)


def read_one(
    attributes: Mapping[str, Any],
    name: str = "",
    events: Any = (),
    scope: str = "",
    **fields: Any,
) -> Span:
    [span] = read(span_message(name, attributes, events, **fields), scope=scope).spans
    return span


def recorded(path: str) -> list[Span]:
    """The spans of a recorded request, by start."""
    received = spans_from(otlp_json.parse((DATA / path).read_bytes()), received_ns=RECEIVED)
    assert not received.rejected
    return sorted(received.spans, key=lambda span: (span.start_ns, span.span_id))


Values = st.SearchStrategy[common_pb2.AnyValue]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
uint32 = st.integers(0, 2**32 - 1)


def nested_values(leaves: Values, keys: st.SearchStrategy[str], most: int) -> Values:
    """AnyValues that hold these leaves in arrays and lists of pairs of at most so many."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(
                common_pb2.AnyValue,
                array_value=st.builds(common_pb2.ArrayValue, values=st.lists(inner, max_size=most)),
            )
            | st.builds(
                common_pb2.AnyValue,
                kvlist_value=st.builds(
                    common_pb2.KeyValueList,
                    values=st.lists(
                        st.builds(common_pb2.KeyValue, key=keys, value=inner), max_size=most
                    ),
                ),
            )
        ),
        max_leaves=2 * most,
    )


any_values = nested_values(
    st.builds(common_pb2.AnyValue)
    | st.builds(common_pb2.AnyValue, string_value=texts)
    | st.builds(common_pb2.AnyValue, bool_value=st.booleans())
    | st.builds(common_pb2.AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(common_pb2.AnyValue, double_value=st.floats(allow_nan=False))
    | st.builds(common_pb2.AnyValue, bytes_value=st.binary(max_size=10)),
    texts,
    3,
)
attributes = st.lists(
    st.builds(common_pb2.KeyValue, key=texts, value=st.none() | any_values), max_size=4
)
ids = {size: st.binary(min_size=size, max_size=size).filter(any) for size in (8, 16)}
events = st.builds(
    trace_pb2.Span.Event,
    time_unix_nano=st.integers(0, 2**64 - 1),
    name=texts,
    attributes=attributes,
    dropped_attributes_count=uint32,
)
links = st.builds(
    trace_pb2.Span.Link,
    trace_id=ids[16] | st.just(b""),
    span_id=ids[8] | st.binary(max_size=9),
    trace_state=texts,
    attributes=attributes,
    dropped_attributes_count=uint32,
    flags=uint32,
)
spans = st.builds(
    trace_pb2.Span,
    trace_id=ids[16],
    span_id=ids[8],
    parent_span_id=ids[8] | st.sampled_from([b"", bytes(8)]),
    trace_state=texts,
    flags=uint32,
    name=texts,
    kind=st.integers(0, 9),
    start_time_unix_nano=st.integers(0, MAX_TIME_NS),
    end_time_unix_nano=st.integers(0, MAX_TIME_NS),
    attributes=attributes,
    dropped_attributes_count=uint32,
    events=st.lists(events, max_size=2),
    dropped_events_count=uint32,
    links=st.lists(links, max_size=2),
    dropped_links_count=uint32,
    status=st.none() | st.builds(trace_pb2.Status, code=st.integers(0, 4), message=texts),
)
scopes = st.none() | st.builds(
    common_pb2.InstrumentationScope,
    name=texts,
    version=texts,
    attributes=attributes,
    dropped_attributes_count=uint32,
)
resources = st.none() | st.builds(
    resource_pb2.Resource,
    attributes=attributes,
    dropped_attributes_count=uint32,
    entity_refs=st.lists(
        st.builds(
            common_pb2.EntityRef,
            schema_url=texts,
            type=texts,
            id_keys=st.lists(texts, max_size=2),
            description_keys=st.lists(texts, max_size=2),
        ),
        max_size=1,
    ),
)
scope_spans = st.builds(
    trace_pb2.ScopeSpans, scope=scopes, spans=st.lists(spans, max_size=2), schema_url=texts
)
resource_spans = st.builds(
    trace_pb2.ResourceSpans,
    resource=resources,
    scope_spans=st.lists(scope_spans, max_size=2),
    schema_url=texts,
)
requests = st.builds(ExportTraceServiceRequest, resource_spans=st.lists(resource_spans, max_size=2))
