"""Protobuf strings that are not UTF-8."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.codec.utf8_mend import mended
from spanloom.server.messages import merge_request
from tests.ingest.otlp.requests import request_of, span_message

DESCRIPTOR = ExportTraceServiceRequest.DESCRIPTOR


def sent(text: bytes) -> bytes:
    """A request with two spans, of which the first has a text with these bytes."""
    message = request_of(
        span_message("one", {"k": "X" * len(text)}), span_message("two", {"k": "fine", "n": -1})
    )
    data: bytes = message.SerializeToString()
    return data.replace(b"X" * len(text), text) if text else data


@given(st.binary(max_size=300))
def test_bytes_that_are_no_utf_8_are_replaced(text: bytes) -> None:
    if b"X" in text:
        return
    message = ExportTraceServiceRequest()
    merge_request(message, sent(text))
    one, two = message.resource_spans[0].scope_spans[0].spans
    assert one.attributes[0].value.string_value == text.decode(errors="replace")
    assert two == span_message("two", {"k": "fine", "n": -1})


@given(st.binary(max_size=100))
def test_any_bytes_end(data: bytes) -> None:
    try:
        mended(data, DESCRIPTOR)
    except DecodeError:
        return


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05a", b"\x0b", b"\x09abc", b"\x0a\xff"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        mended(data, DESCRIPTOR)
