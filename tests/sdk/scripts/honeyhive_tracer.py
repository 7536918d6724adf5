"""The tracer of honeyhive 1.7: nested functions that succeed and fail, enrich_span, enrich_session.
Prints its ids as JSON."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from honeyhive import HoneyHiveTracer, enrich_span, trace

tracer = HoneyHiveTracer.init(
    api_key=os.environ["HH_API_KEY"], session_name="traced", source="test", disable_batch=True
)


@trace(event_type="tool", event_name="lookup", tracer=tracer)
def lookup(city: str) -> dict[str, Any]:
    enrich_span(metadata={"looked": 1}, metrics={"score": 0.5}, tracer=tracer)
    return {"temperature": 21}


@trace(event_type="tool", event_name="fail", tracer=tracer)
def fail() -> None:
    raise ValueError("no such city")


@trace(event_type="chain", event_name="answer", tracer=tracer)
def answer(question: str) -> str:
    found = lookup("Paris")
    with contextlib.suppress(ValueError):
        fail()
    return f"{found['temperature']} degrees"


# Before the spans: what is exported later must keep it.
tracer.enrich_session(
    metadata={"sm": 1}, feedback={"thumb": "up"}, metrics={"score": 1.0}, outputs={"final": "x"}
)
answer("How warm is it?")
tracer.force_flush()
print(json.dumps({"session_id": tracer.session_id}))
