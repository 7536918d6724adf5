"""What a team does with the client of honeyhive 1.7: start, create, batch, update, export. Prints
what came back as JSON.

The address and the key come from HH_API_URL and HH_API_KEY, as a team would set them.
"""

from __future__ import annotations

import json
import os
import uuid

from honeyhive import HoneyHive
from honeyhive.models import (
    EventFilter,
    PostEventBatchRequest,
    PostEventRequest,
    StartSessionRequest,
    UpdateEventRequest,
)

client = HoneyHive(api_key=os.environ["HH_API_KEY"])
session_id = str(uuid.uuid4())
event_id = str(uuid.uuid4())
session = {
    "session_id": session_id,
    "session_name": "sdk session",
    "source": "test",
    "start_time": 1_700_000_000_000,
    "inputs": {"a": 1},
    "metadata": {"k": "v"},
    "user_properties": {"u": 1},
}
event = {
    "source": "test",
    "event_name": "call",
    "event_type": "model",
    "event_id": event_id,
    "session_id": session_id,
    "parent_id": session_id,
    "config": {"model": "m1"},
    "inputs": {"chat_history": [{"role": "user", "content": "hi"}]},
    "outputs": {"a": "yo"},
    "start_time": 1_700_000_000_000,
    "end_time": 1_700_000_001_500,
    "duration": 1500.0,
    "metadata": {"cost": 0.1},
    "feedback": {"rating": 5},
    "metrics": {"acc": 0.5},
    "user_properties": {"user": "u1"},
}
update = {
    "event_id": event_id,
    "metadata": {"x": 1},
    "feedback": {"rating": 1},
    "metrics": {"m": 2},
    "outputs": {"o": 1},
    "config": {"c": 1},
    "user_properties": {"u": 2},
    "duration": 12.5,
    "end_time": 1_700_000_002_000.0,
}
started = client.sessions.start(StartSessionRequest(session=session))
created = client.events.create(PostEventRequest(event=event))
batch = client.events.create_batch(
    PostEventBatchRequest(
        events=[
            {"event_type": "chain", "event_name": "a", "inputs": {}},
            {"event_type": "tool", "event_name": "b", "inputs": {"z": 1}},
        ],
        is_single_session=True,
        session_properties={"session_name": "batch", "metadata": {"m": 1}},
    )
)
client.events.update(UpdateEventRequest(**update))


def of(**filter_: str) -> EventFilter:
    return EventFilter(**{"operator": "is", "type": "string", **filter_})


def export(*filters: EventFilter, **options: object) -> list:
    answer = client.events.export(filters=list(filters), **options)
    assert answer.total_events >= len(answer.events)
    return [dict(found) for found in answer.events]


print(
    json.dumps(
        {
            "sent": {"session": session, "event": event, "update": update},
            "started": started.model_dump(),
            "created": created.model_dump(),
            "batch": batch.model_dump(),
            "all": export(),
            "by_session": export(of(field="session_id", value=session_id)),
            "by_event": export(of(field="event_id", value=event_id)),
            "by_cost": export(
                of(field="metadata.cost", operator="greater than", value="0.01", type="number")
            ),
            "by_path": export(of(field="inputs.chat_history.0.content", value="hi")),
            "in_range": export(
                date_range={"$gte": "2023-11-01T00:00:00Z", "$lte": "2023-11-30T00:00:00Z"}
            ),
            "projected": export(
                of(field="event_id", value=event_id), projections=["event_id", "inputs"]
            ),
            "paged": export(limit=1, page=2),
            "listed": [
                dict(found)
                for found in client.events.list({"filters": [], "limit": 2, "page": 1}).events
            ],
        }
    )
)
