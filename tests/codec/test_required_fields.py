from __future__ import annotations

from spanloom.codec.required_fields import missing_fields
from spanloom.codec.unknown_fields import nearest_name
from spanloom.v1 import span_pb2, span_service_pb2


def test_missing_fields_are_named_with_their_index() -> None:
    request = span_service_pb2.WriteSpansRequest()
    assert list(missing_fields(request)) == ["spans"]
    request.spans.add(trace_id="t", span_id="s")
    assert list(missing_fields(request)) == []
    span = request.spans.add(trace_id="t")
    span.agent.SetInParent()
    span.events.add(name="e")
    span.input_messages.add().parts.add().tool_request.call_id = "c"
    assert list(missing_fields(request)) == [
        "spans[1].span_id",
        "spans[1].agent.name",
        "spans[1].input_messages[0].role",
        "spans[1].input_messages[0].parts[0].tool_request.name",
        "spans[1].events[0].time",
    ]


def test_the_nearest_name_is_that_of_a_field_in_the_same_message() -> None:
    request = span_service_pb2.ListSpansRequest.DESCRIPTOR
    for path, name in {
        "pagesize": "pageSize",
        "filter.agentname": "agentName",
        "filter.attribute": "attributes",
        "nothing_like_it": "",
        "traceId.x": "",
        "no.x": "",
    }.items():
        assert nearest_name(request, path) == name, path
    assert nearest_name(span_pb2.Span.DESCRIPTOR, "attributes.stringvalue") == "stringValue"
