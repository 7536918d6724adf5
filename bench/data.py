"""The documented batch of events, with fresh ids."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from spanloom.v1 import event_service_pb2

_DOCUMENTED = Path(__file__).parent.parent / "tests/data/documented/create_event_batch.json"
# Of the documented events; without a key it decides where they are stored.
PROJECT = "Simple RAG"


def batch(events: int, *, fresh: bool = False) -> dict[str, Any]:
    """The documented request with so many events as a JSON object: all ids new; `fresh`: what
    differs between real events, too (questions, answers, explanations, users, counts)."""
    request = json.loads(_DOCUMENTED.read_text())["request"]
    session_id = str(uuid.uuid4())
    request["session_properties"]["session_id"] = session_id
    template = request["events"][0]
    request["events"] = []
    for _ in range(events):
        event = copy.deepcopy(template)
        event |= {"event_id": str(uuid.uuid4()), "session_id": session_id, "parent_id": session_id}
        if fresh:
            _make_new(event)
        request["events"].append(event)
    return dict(request)


def _make_new(event: dict[str, Any]) -> None:
    text, number = event["event_id"], int(event["event_id"][:4], 16)
    for place, name in (
        (event["inputs"], "question"),
        (event["inputs"], "context"),
        (event["inputs"]["chat_history"][-1], "content"),
        (event["outputs"], "content"),
        (event["metrics"], "Answer Faithfulness_explanation"),
        (event["user_properties"], "user"),
    ):
        place[name] += text
    for name in ("completion_tokens", "prompt_tokens", "total_tokens"):
        event["metadata"][name] += number


def documents(count: int, events: int) -> list[bytes]:
    """Requests as REST bodies."""
    return [json.dumps(batch(events)).encode() for _ in range(count)]


def messages(
    count: int, events: int, *, fresh: bool = False
) -> list[event_service_pb2.CreateEventBatchRequest]:
    """As `batch`, parsed."""
    if fresh:
        return [_parsed(batch(events, fresh=True)) for _ in range(count)]
    template = _parsed(batch(1))
    (event,) = template.events
    made = []
    for _ in range(count):
        request = event_service_pb2.CreateEventBatchRequest()
        request.CopyFrom(template)
        request.ClearField("events")
        session_id = request.session_properties.session_id = str(uuid.uuid4())
        for _ in range(events):
            event.event_id, event.session_id = str(uuid.uuid4()), session_id
            event.parent_id = session_id
            request.events.append(event)
        made.append(request)
    return made


def _parsed(request: dict[str, Any]) -> event_service_pb2.CreateEventBatchRequest:
    return json_format.ParseDict(request, event_service_pb2.CreateEventBatchRequest())


def single_messages(count: int) -> list[event_service_pb2.CreateEventRequest]:
    """Requests of one event each."""
    return [
        event_service_pb2.CreateEventRequest(event=event)
        for message in messages(-(-count // 100), 100)
        for event in message.events
    ][:count]
