"""The JSON codec against google.protobuf.json_format, on the documented batch of events; both are
measured in the same run.

A rate is that of the quickest of many runs, in batches of 100 events a second of CPU.
"""

from __future__ import annotations

import gc
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format

from bench.figure import Figure, middle
from spanloom.codec.json_codec import parse, to_json
from tests.server.codec_messages import Batch

EVENTS = 100
EVENT: dict[str, Any] = {
    "project": "Simple RAG",
    "event_type": "model",
    "event_name": "Model Completion",
    "source": "playground",
    "session_id": "caf77ace-3417-4da4-944d-f4a0688f3c23",
    "parent_id": "caf77ace-3417-4da4-944d-f4a0688f3c23",
    "children_ids": [],
    "config": {
        "model": "gpt-3.5-turbo",
        "version": "v0.1",
        "provider": "openai",
        "hyperparameters": {
            "temperature": 0,
            "top_p": 1,
            "max_tokens": 1000,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "stop": [],
            "n": 1,
        },
        "template": [
            {"role": "system", "content": "Answer only from the context. Context: {{ context }}"},
            {"role": "user", "content": "{{question}}"},
        ],
        "type": "chat",
    },
    "inputs": {
        "context": "Hello world",
        "question": "What is in the context?",
        "chat_history": [
            {"role": "system", "content": "Answer only from the context. Context: Hello world"},
            {"role": "user", "content": "What is in the context?"},
        ],
    },
    "outputs": {"role": "assistant", "content": "Hello world"},
    "error": None,
    "start_time": 1714978764301,
    "end_time": 1714978765301,
    "duration": 999.8056,
    "metadata": {"cost": 8e-05, "completion_tokens": 23, "prompt_tokens": 35, "total_tokens": 58},
    "feedback": {},
    "metrics": {
        "Answer Faithfulness": 5,
        "Answer Faithfulness_explanation": "The answer is faithful to the context that was given. "
        * 5,
        "Number of words": 18,
    },
    "user_properties": {"user": "google-oauth2|111840237613341303366"},
}


def documented_batch() -> bytes:
    """The body of POST /events/batch with 100 events like `EVENT`, with ids of their own."""
    events = [{**EVENT, "event_id": str(uuid.uuid4())} for _ in range(EVENTS)]
    return json.dumps({"events": events}).encode()


def best(run: Callable[[], object], seconds: float) -> float:
    """Milliseconds of CPU of the quickest of the runs that fit into `seconds`."""
    quickest = float("inf")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.process_time()
        run()
        quickest = min(quickest, time.process_time() - start)
    return quickest * 1000


def figures() -> list[Figure]:
    """Both directions, in milliseconds a batch; the ratio is how many times quicker."""
    data = documented_batch()
    message = parse(data, Batch).message
    assert message == json_format.Parse(data, Batch())
    assert json.loads(to_json(message)) == json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True
    )
    gc.freeze()
    return [
        _figure(
            "JSON -> message",
            4,
            lambda: parse(data, Batch),
            lambda: json_format.Parse(data, Batch()),
        ),
        _figure(
            "message -> JSON",
            2.5,
            lambda: to_json(message),
            lambda: json_format.MessageToJson(message, indent=None),
        ),
    ]


def _figure(
    name: str, wanted: float, ours: Callable[[], object], theirs: Callable[[], object]
) -> Figure:
    ours_rate, their_rate = middle(
        (1000 / best(ours, 0.5), 1000 / best(theirs, 0.5)) for _ in range(7)
    )
    return Figure(f"{name}, {EVENTS} events", ours_rate, "json_format", their_rate, wanted)
