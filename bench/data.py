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


def batch(events: int) -> dict[str, Any]:
    """The documented request with so many events, all ids new, as a JSON object."""
    request = json.loads(_DOCUMENTED.read_text())["request"]
    session_id = str(uuid.uuid4())
    request["session_properties"]["session_id"] = session_id
    template = request["events"][0]
    request["events"] = []
    for _ in range(events):
        event = copy.deepcopy(template)
        event |= {"event_id": str(uuid.uuid4()), "session_id": session_id, "parent_id": session_id}
        request["events"].append(event)
    return dict(request)


def messages(count: int, events: int) -> list[event_service_pb2.CreateEventBatchRequest]:
    return [
        json_format.ParseDict(batch(events), event_service_pb2.CreateEventBatchRequest())
        for _ in range(count)
    ]
