"""The chat view of a trace as the contract's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, get_args

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from spanloom.adapters.weave.feedback import feedback_message
from spanloom.adapters.weave.object_refs import INNER, outward
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model.turn import ChatMessage, Payload, TurnChat
from spanloom.v1 import agent_chat_pb2, agent_chat_service_pb2

MAX_UINT32 = 2**32 - 1
_MANY = 250
_ORDINARY_TEXT = 4096

# By a field's name: whether it counts in 32 bits.
_Fields = tuple[tuple[str, bool], ...]


def _fields(message: type[Message], names: Iterable[str]) -> _Fields:
    kinds = message.DESCRIPTOR.fields_by_name
    return tuple((name, kinds[name].type == FieldDescriptor.TYPE_UINT32) for name in names)


_TURN_FIELDS = _fields(
    agent_chat_service_pb2.GetTraceChatResponse,
    [
        *("trace_id", "root_span_name", "agent_name", "agent_version", "status_code", "provider"),
        *("total_duration_ms", "total_cost_usd", "total_input_tokens", "total_output_tokens"),
        *("total_reasoning_tokens", "total_cache_creation_input_tokens"),
        "total_cache_read_input_tokens",
    ],
)
_MESSAGE_FIELDS = _fields(
    agent_chat_pb2.AgentChatMessage,
    [
        *("span_id", "agent_name", "agent_version", "status_code", "error_type"),
        "status_message",
    ],
)
_PAYLOADS: Mapping[type, tuple[type[Message], _Fields]] = {
    kind: (message, _fields(message, [field.name for field in fields(kind)]))
    for kind in get_args(Payload)
    for message in [getattr(agent_chat_pb2, kind.__name__)]
}


def chat_message(turn: TurnChat, project_id: str) -> agent_chat_service_pb2.GetTraceChatResponse:
    """The turn on the wire: absent texts and numbers are unset, counts past 32 bits stand at their
    largest, references to objects are those that clients of the project know."""
    chat = agent_chat_service_pb2.GetTraceChatResponse(**_set(turn, _TURN_FIELDS, project_id))
    if turn.user_id:
        chat.wb_user_id = turn.user_id
    if turn.started_ns is not None:
        chat.started_at.CopyFrom(timestamp_from_ns(turn.started_ns))
    if turn.ended_ns is not None:
        chat.ended_at.CopyFrom(timestamp_from_ns(turn.ended_ns))
    for message in turn.messages:
        _add(chat, message, project_id)
    chat.feedback.extend(feedback_message(feedback) for feedback in turn.feedback or ())
    return chat


def weight_of(turn: TurnChat) -> int:
    """About how many messages of ordinary size the turn's are."""
    if len(turn.messages) > _MANY:
        return len(turn.messages)
    texts = (
        value
        for message in turn.messages
        for name, _ in _PAYLOADS[type(message.payload)][1]
        if isinstance(value := getattr(message.payload, name), str)
    )
    return len(turn.messages) + sum(map(len, texts)) // _ORDINARY_TEXT


def _add(
    chat: agent_chat_service_pb2.GetTraceChatResponse, message: ChatMessage, project_id: str
) -> None:
    # Made whole by constructors, in native code: a field at a time takes twice as long.
    values = _set(message, _MESSAGE_FIELDS, project_id)
    payload, payload_fields = _PAYLOADS[type(message.payload)]
    values[message.type] = payload(**_set(message.payload, payload_fields, project_id))
    if message.started_ns is not None:
        values["started_at"] = timestamp_from_ns(message.started_ns)
    if message.feedback:
        values["feedback"] = [feedback_message(feedback) for feedback in message.feedback]
    chat.messages.add(type=message.type, **values)


def _set(source: Any, names: _Fields, project_id: str) -> dict[str, Any]:
    """The fields of these names as a message takes them; None, "" and () stay unset."""
    values = {}
    for name, is_uint32 in names:
        value = getattr(source, name)
        if not value and value != 0:
            continue
        if is_uint32:
            value = min(value, MAX_UINT32)
        elif isinstance(value, str):
            if INNER in value:
                value = outward(value, project_id)
        elif isinstance(value, tuple):
            value = dict.fromkeys(outward(text, project_id) for text in value)
        values[name] = value
    return values
