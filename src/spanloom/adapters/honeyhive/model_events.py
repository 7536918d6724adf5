"""HoneyHive model calls: `ModelEvent` messages to `Event` messages, by the contract's table of
names."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.message import Message

from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.v1 import event_pb2, event_service_pb2, model_event_pb2

_EVENT_FIELDS = [field.name for field in event_pb2.Event.DESCRIPTOR.fields]
_INPUTS = (
    *("messages", "usage", "hyperparameters", "template", "template_inputs"),
    *("tools", "tool_choice", "response_format"),
)
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def event_of(sent: model_event_pb2.ModelEvent) -> event_pb2.Event:
    """The event of type model that a model call is stored as. The comments of
    proto/spanloom/v1/model_event.proto say which field becomes which."""
    has = cast(Message, sent).HasField
    event = event_pb2.Event()
    for field, value in sent.ListFields():
        if field.name not in _EVENT_FIELDS:
            continue
        if field.message_type is not None:
            getattr(event, field.name).CopyFrom(value)
        elif field.name == "children_ids":
            event.children_ids.extend(value)
        else:
            setattr(event, field.name, value)
    event.event_type = "model"
    model = sent.model_name or sent.model
    event.event_name = sent.event_name or model
    inputs: dict[str, Any] = {
        name: value_object(getattr(sent, name)) for name in _INPUTS if has(name)
    }
    if sent.provider:
        inputs["provider"] = sent.provider
    if has("cost"):
        inputs["cost"] = sent.cost
    _complete(event, "inputs", inputs)
    facts = {"model": model, "model_version": sent.model_version, "provider": sent.provider}
    _complete(event, "config", {name: value for name, value in facts.items() if value})
    usage = inputs.get("usage")
    used = (
        {name: usage[name] for name in _COUNTS if name in usage} if isinstance(usage, dict) else {}
    )
    _complete(event, "metadata", used | ({"cost": sent.cost} if has("cost") else {}))
    if has("response"):
        outputs = value_object(event.outputs) if has("outputs") else {}
        whole = outputs if isinstance(outputs, dict) else {"value": outputs}
        whole = {"response": value_object(sent.response), **whole}
        event.outputs.struct_value.update(whole)
    return event


def events_of(
    request: event_service_pb2.CreateModelEventBatchRequest,
) -> event_service_pb2.CreateEventBatchRequest:
    """The batch of events that represents a batch of model calls."""
    batch = event_service_pb2.CreateEventBatchRequest(
        events=[event_of(sent) for sent in request.model_events],
        is_single_session=request.is_single_session,
        single_session=request.single_session,
    )
    for name in ("session_properties", "session"):
        if request.HasField(name):
            getattr(batch, name).CopyFrom(getattr(request, name))
    return batch


def _complete(event: event_pb2.Event, name: str, facts: dict[str, Any]) -> None:
    """Add what the object does not say itself."""
    message = getattr(event, name)
    said = struct_object(message)
    message.update({key: value for key, value in facts.items() if key not in said})
