"""The tracer of honeyhive 1.7 starts a session and enriches it. Prints its session's id as JSON."""

from __future__ import annotations

import json
import os

from honeyhive import HoneyHiveTracer

tracer = HoneyHiveTracer.init(
    api_key=os.environ["HH_API_KEY"], session_name="enriched", source="test", inputs={"q": "hi"}
)
tracer.enrich_session(
    metadata={"sm": 1},
    feedback={"thumb": "up"},
    metrics={"score": 1.0},
    outputs={"final": "x"},
    config={"c": 1},
    user_properties={"u": "v"},
)
event_id = tracer.create_event("made by hand", event_type="tool", inputs={"a": 1}, outputs={"b": 2})
print(json.dumps({"session_id": tracer.session_id, "event_id": event_id}))
