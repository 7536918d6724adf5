"""A span as an event."""

from __future__ import annotations

from spanloom.codec.json_error import MAX_LEVELS
from spanloom.codec.json_fields import put_json
from spanloom.model import Json, Span
from spanloom.model.times import ms_from_ns
from spanloom.v1 import event_pb2, session_pb2, session_service_pb2

_OBJECTS = ("config", "metadata", "metrics", "feedback", "user_properties")


def event_message(span: Span) -> event_pb2.Event:
    """The span in the shape of an event; one that came as an event is given back as it was sent."""
    event = event_pb2.Event()
    fill_event(event, span)
    return event


def fill_event(
    message: event_pb2.Event
    | session_pb2.SessionNode
    | session_service_pb2.GetSessionResponse
    | session_service_pb2.StartSessionResponse,
    span: Span,
    levels: int = MAX_LEVELS,
) -> None:
    """Fill the fields that an event, a session and a node of it have alike. `levels` as in `put_json`."""
    body = span.body
    message.event_id = span.event_id
    message.event_type = span.kind
    message.event_name = span.name
    message.source = body.get("source", "")
    if "project" in body:
        message.project = body["project"]
    message.session_id = span.session_id
    message.parent_id = parent_event_id(span)
    message.children_ids.extend(body.get("children_ids", ()))
    if "error" in body:
        message.error = body["error"]
    elif span.status == "ERROR" and "status_message" in body:
        message.error = body["status_message"]
    message.start_time = ms_from_ns(span.start_ns)
    if span.end_ns is not None:
        message.end_time = ms_from_ns(span.end_ns)
    if span.duration_ms is not None:
        message.duration = span.duration_ms
    values: dict[str, Json] = {
        name: body[name] for name in _OBJECTS if isinstance(body.get(name), dict)
    }
    for name, key in (("inputs", "input"), ("outputs", "output")):
        value = body.get(name)
        if value is not None:
            values[name] = value if isinstance(value, dict) else {key: value}
    put_json(message, values, levels)


def parent_event_id(span: Span) -> str:
    """The event's parent: a root of a session's spans is part of the session, and the session of nothing."""
    if span.parent_id or span.kind == "session" or span.event_id == span.session_id:
        return span.parent_id
    return span.session_id
