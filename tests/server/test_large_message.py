"""Messages read in steps are those that the runtime reads at once."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.codec import large_message
from tests.otlp.requests import add_span, request


def spans(count: int, size: int) -> ExportTraceServiceRequest:
    message = request()
    for group in (message.resource_spans[0], message.resource_spans.add()):
        scope = group.scope_spans.add()
        for n in range(count):
            add_span(scope, n + 1, n, attributes={"text": "ä" * size, "n": n})
    return message


@pytest.mark.parametrize(("count", "size"), [(3, 400_000), (3_000, 100), (1, 10)])
def test_a_large_message_is_read_whole(count: int, size: int) -> None:
    sent = spans(count, size)
    read = ExportTraceServiceRequest()
    large_message.merge(read, sent.SerializeToString())
    assert read == sent


@given(data=st.data())
@settings(max_examples=60)
def test_cut_or_spoilt_bytes_are_refused_as_the_runtime_refuses_them(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_message, "_STEP", 64)
        whole = bytearray(spans(3, 40).SerializeToString())
        for _ in range(data.draw(st.integers(0, 3))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        sent = bytes(whole[: data.draw(st.integers(0, len(whole)))])
        ours = ExportTraceServiceRequest()
        try:
            theirs = ExportTraceServiceRequest.FromString(sent)
        except DecodeError:
            with pytest.raises(DecodeError):
                large_message.merge(ours, sent)
        else:
            large_message.merge(ours, sent)
            assert ours == theirs
