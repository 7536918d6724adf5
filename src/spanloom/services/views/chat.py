"""The chat view of a trace as the contract's messages."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, get_args

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from spanloom.chat.turn import ChatMessage, Payload, TurnChat
from spanloom.ingest.times import timestamp_from_ns
from spanloom.services.views.feedback import feedback_message
from spanloom.services.views.object_refs import outward
from spanloom.v1 import agent_chat_pb2, agent_chat_service_pb2

MAX_UINT32 = 2**32 - 1
_MANY = 1000
_ORDINARY_TEXT = 4096

_TURN_FIELDS = (
    *("root_span_name", "agent_name", "agent_version", "status_code", "provider"),
    *("total_duration_ms", "total_cost_usd", "total_input_tokens", "total_output_tokens"),
    *("total_reasoning_tokens", "total_cache_creation_input_tokens"),
    "total_cache_read_input_tokens",
)
_MESSAGE_FIELDS = (
    *("type", "span_id", "agent_name", "agent_version", "status_code", "error_type"),
    "status_message",
)


_PAYLOAD_FIELDS = {
    kind.type: tuple(field.name for field in fields(kind)) for kind in get_args(Payload)
}


def chat_message(turn: TurnChat, project_id: str) -> agent_chat_service_pb2.GetTraceChatResponse:
    """The turn on the wire: absent texts and numbers are unset, counts past 32 bits stand at their largest, references to
    objects are those that clients of the project know."""
    chat = agent_chat_service_pb2.GetTraceChatResponse(trace_id=turn.trace_id)
    _copy(turn, chat, _TURN_FIELDS, project_id)
    if turn.user_id:
        chat.wb_user_id = turn.user_id
    if turn.started_ns is not None:
        chat.started_at.CopyFrom(timestamp_from_ns(turn.started_ns))
    if turn.ended_ns is not None:
        chat.ended_at.CopyFrom(timestamp_from_ns(turn.ended_ns))
    for message in turn.messages:
        _put(message, chat.messages.add(), project_id)
    chat.feedback.extend(feedback_message(feedback) for feedback in turn.feedback or ())
    return chat


def weight_of(turn: TurnChat) -> int:
    """About how many messages of ordinary size the turn's are."""
    if len(turn.messages) > _MANY:
        return len(turn.messages)
    texts = (
        value
        for message in turn.messages
        for name in _PAYLOAD_FIELDS[message.type]
        if isinstance(value := getattr(message.payload, name), str)
    )
    return len(turn.messages) + sum(map(len, texts)) // _ORDINARY_TEXT


def _put(message: ChatMessage, step: agent_chat_pb2.AgentChatMessage, project_id: str) -> None:
    _copy(message, step, _MESSAGE_FIELDS, project_id)
    if message.started_ns is not None:
        step.started_at.CopyFrom(timestamp_from_ns(message.started_ns))
    payload = getattr(step, message.type)
    payload.SetInParent()
    _copy(message.payload, payload, _PAYLOAD_FIELDS[message.type], project_id)
    step.feedback.extend(feedback_message(feedback) for feedback in message.feedback or ())


@cache
def _counts_of(descriptor: Descriptor) -> frozenset[str]:
    return frozenset(f.name for f in descriptor.fields if f.type == FieldDescriptor.TYPE_UINT32)


def _copy(source: Any, message: Message, names: tuple[str, ...], project_id: str) -> None:
    """Copy fields of the same name; None, "" and () stay unset."""
    counts = _counts_of(message.DESCRIPTOR)
    for name in names:
        value = getattr(source, name)
        if value is None or value == "":
            continue
        if isinstance(value, tuple):
            getattr(message, name).extend(
                dict.fromkeys(outward(text, project_id) for text in value)
            )
        elif isinstance(value, str):
            setattr(message, name, outward(value, project_id))
        elif name in counts:
            setattr(message, name, min(value, MAX_UINT32))
        else:
            setattr(message, name, value)
