"""Server-sent events, as the HTML standard has them: the form of streams that browsers read."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from spanloom.errors import SpanloomError

EVENT_STREAM: Final = "text/event-stream"


def accepts_events(accept: str) -> bool:
    """Whether a header Accept names server-sent events, and not with the weight 0."""
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        if name == EVENT_STREAM:
            weights = [text[2:] for text in parameters if text.startswith("q=")]
            return not weights or weights[0].strip("0.") != ""
    return False


def set_cursor(request: Any, last_event_id: str) -> None:
    """Resume behind the last event that a client has, if the method has cursors."""
    if last_event_id and "cursor" in request.DESCRIPTOR.fields_by_name:
        request.cursor = last_event_id


def event(line: bytes, result: Message | SpanloomError) -> bytes:
    """A line of JSON as an event. Its id is the cursor of the message; an error has none, so that
    a client that connects again sends the last cursor."""
    if isinstance(result, SpanloomError):
        return b"event: error\ndata: " + line + b"\n\n"
    cursor = getattr(result, "cursor", "")
    head = f"id: {cursor}\n".encode() if cursor else b""
    return head + b"data: " + line + b"\n\n"
