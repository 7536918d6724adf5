"""The canonical protobuf JSON of native messages: as google.protobuf.json_format has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec import json_codec
from spanloom.v1 import chat_pb2, chat_service_pb2, span_pb2, span_service_pb2
from tests.native.spans import durations, optional, parts, spans

masks = st.lists(st.sampled_from(["name", "end_time", "expected_output"]), unique=True).map(
    lambda paths: FieldMask(paths=paths)
)
updates = optional(span_service_pb2.UpdateSpanRequest, span=spans, update_mask=masks)
searches = optional(
    chat_service_pb2.SearchChatMessagesRequest,
    roles=st.lists(st.integers(0, 9), max_size=3),
    time_limit=durations,
    match_case=st.booleans(),
)
messages = st.one_of(spans, updates, searches, parts)


@given(messages)
def test_what_is_printed_is_what_json_format_prints(message: Message) -> None:
    ours = json.loads(json_codec.to_json(message))
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert ours == theirs


@given(messages)
def test_what_json_format_prints_is_read(message: Message) -> None:
    text = json_format.MessageToJson(message).encode()
    assert json_codec.parse(text, type(message)) == (message, [])


@pytest.mark.parametrize("text", ["AP/+", "AP_-", "AA==", "AA", "", "AAA="])
def test_bytes_are_read_in_both_alphabets_with_and_without_padding(text: str) -> None:
    body = {"bytesValue": text}
    theirs = json_format.ParseDict(body, span_pb2.AttributeValue())
    assert json_codec.parse(body, span_pb2.AttributeValue).message == theirs


@pytest.mark.parametrize("text", ["A", "ä", "A A=", 1, ["AA=="]])
def test_what_is_no_base64_is_refused(text: Any) -> None:
    with pytest.raises(json_codec.JsonError) as refused:
        json_codec.parse({"bytesValue": text}, span_pb2.AttributeValue)
    [(field, _)] = refused.value.violations
    assert field == "bytesValue"


def test_one_of_two_contents_is_refused() -> None:
    with pytest.raises(json_codec.JsonError, match="must not be set together"):
        json_codec.parse({"text": "a", "reasoning": "b"}, span_pb2.MessagePart)


def test_fields_without_presence_are_always_printed() -> None:
    printed = json.loads(json_codec.to_json(chat_pb2.ChatMessage(review_count=2**53 + 1)))
    assert printed == {
        "messageId": "",
        "traceId": "",
        "spanId": "",
        "reviewCount": "9007199254740993",
        "textCuts": [],
    }
