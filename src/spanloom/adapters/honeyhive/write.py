"""Spans as HoneyHive events. One that came as an event is given back as it was sent, with the
contract's defaults filled in."""

from __future__ import annotations

from spanloom.codec.json_error import MAX_LEVELS
from spanloom.codec.json_fields import put_json
from spanloom.model import Io, Json, Span
from spanloom.model.span import EVENT_OBJECTS, EVENT_VALUES, SHOWN_COLUMNS, TOTAL_TOKENS
from spanloom.model.times import ms_from_ns
from spanloom.v1 import event_pb2, session_pb2, session_service_pb2

# The key under which a value that is no object is shown, since an event holds objects only.
_WRAPPED = {"inputs": "input", "outputs": "output"}


def event_message(span: Span) -> event_pb2.Event:
    """The span in the shape of an event."""
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
    """Fill the fields that an event, a session and a node of it have alike. `levels` as in
    `put_json`."""
    io = span.io
    message.event_id = span.event_id
    message.event_type = span.kind
    message.event_name = span.name
    message.source = io.source or ""
    if io.project is not None:
        message.project = io.project
    message.session_id = span.session_id
    message.parent_id = parent_event_id(span)
    if io.children_ids:
        message.children_ids.extend(io.children_ids)
    if (error := error_of(span)) is not None:
        message.error = error
    message.start_time = ms_from_ns(span.start_ns)
    if span.end_ns is not None:
        message.end_time = ms_from_ns(span.end_ns)
    if span.duration_ms is not None:
        message.duration = span.duration_ms
    put_json(message, event_json(span), levels)


def event_json(span: Span) -> dict[str, Json]:
    """The JSON values of an event by name, as all views of events show them: those that the span
    has, and in config and metadata what its columns tell and the client did not say there."""
    io = span.io
    values: dict[str, Json] = {
        name: value for name in EVENT_OBJECTS if (value := getattr(io, name)) is not None
    }
    for name in EVENT_VALUES:
        value = getattr(io, name)
        if value is not None:
            values[name] = value if isinstance(value, dict) else {_WRAPPED[name]: value}
    for (name, key), column in SHOWN_COLUMNS.items():
        if (name not in values or key not in values[name]) and (
            (value := getattr(span, column)) is not None and value != ""
        ):
            _show(values, io, name, key, value)
    name, key = TOTAL_TOKENS
    if (name not in values or key not in values[name]) and (
        (total := total_tokens(span)) is not None
    ):
        _show(values, io, name, key, total)
    return values


def _show(values: dict[str, Json], io: Io, name: str, key: str, value: Json) -> None:
    """Add what a column tells to one of the objects; the span's own is not changed."""
    held = values.get(name)
    if held is None or held is getattr(io, name):
        held = values[name] = dict(held or ())
    held[key] = value


def total_tokens(span: Span) -> int | None:
    """The tokens of both kinds, None where neither is known."""
    if span.input_tokens is None and span.output_tokens is None:
        return None
    return (span.input_tokens or 0) + (span.output_tokens or 0)


def error_of(span: Span) -> str | None:
    """The event's error: as sent, else what a failed span's status says."""
    if span.io.error is not None:
        return span.io.error
    return span.status_message or None if span.status == "ERROR" else None


def parent_event_id(span: Span) -> str:
    """The event's parent: a root of a session's spans is part of the session, and the session of
    nothing."""
    if span.parent_id or span.kind == "session" or span.event_id == span.session_id:
        return span.parent_id
    return span.session_id
