"""The client of honeyhive 0.2: start, create, batch, update, export. Prints what came back as
JSON."""

from __future__ import annotations

import json
import os
import uuid

from honeyhive import HoneyHive
from honeyhive.models import components, operations

client = HoneyHive(bearer_auth=os.environ["HH_API_KEY"], server_url=os.environ["HH_API_URL"])
session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
started = client.session.start_session(
    request=operations.StartSessionRequestBody(
        session=components.SessionStartRequest(
            project="demo", session_name="old", source="test", session_id=session_id
        )
    )
)
event = {
    "project": "demo",
    "source": "test",
    "event_name": "call",
    "event_type": components.CreateEventRequestEventType.MODEL,
    "event_id": event_id,
    "session_id": session_id,
    "config": {"model": "m1"},
    "inputs": {"q": "hi"},
    "outputs": {"a": "yo"},
    "start_time": 1_700_000_000_000,
    "end_time": 1_700_000_001_500,
    "duration": 1500.0,
    "metadata": {"cost": 0.1},
}
created = client.events.create_event(
    request=operations.CreateEventRequestBody(event=components.CreateEventRequest(**event))
)
other = {**event, "event_id": str(uuid.uuid4()), "event_name": "batched"}
batch = client.events.create_event_batch(
    request=operations.CreateEventBatchRequestBody(
        events=[components.CreateEventRequest(**other)], is_single_session=False
    )
)
client.events.update_event(
    request=operations.UpdateEventRequestBody(event_id=event_id, metadata={"x": 1})
)
found = client.events.get_events(
    request=operations.GetEventsRequestBody(
        project="demo",
        filters=[
            components.EventFilter(
                field="metadata.x",
                value="1",
                operator=components.Operator.IS,
                type=components.Type.NUMBER,
            )
        ],
    )
).object
session = client.session.get_session(session_id=session_id).event
print(
    json.dumps(
        {
            "session_id": session_id,
            "event_id": event_id,
            "started": started.object.session_id,
            "created": created.object.event_id,
            "batch": batch.object.event_ids,
            "total": found.total_events,
            "found": [json.loads(item.model_dump_json()) for item in found.events],
            "session": json.loads(session.model_dump_json()),
        }
    )
)
