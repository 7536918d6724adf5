"""Events that come as JSON are stored as if they had come as messages: the same columns, the same
contents, the same refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanloom.adapters.honeyhive.incoming import (
    EventBatch,
    SentEvent,
    event_fields,
    json_batch,
    json_event,
    sent_batch,
    sent_event,
)
from spanloom.adapters.honeyhive.read import read_batch, read_event, reread
from spanloom.codec import json_codec
from spanloom.codec.json_load import load_json
from spanloom.errors import SpanloomError
from spanloom.model import EVENT_TYPES
from spanloom.server.http import json_form
from spanloom.store.sql import rows
from spanloom.v1 import event_pb2, event_service_pb2
from tests.ingest.strategies import columns, event_times, ids, texts
from tests.parts import as_read

REQUEST = event_service_pb2.CreateEventBatchRequest
RECEIVED_NS = 1_800_000_000 * 10**9
# Objects inside one another: a Struct holds 29 of them, and fewer if there are lists between.
MOST_LEVELS = 29

numbers = (
    st.integers(-(2**70), 2**70)
    | st.integers(-(2**54), 2**54)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**54), 2**54).map(float)
    | st.sampled_from([-0.0, 1e15, 1e16, 2.0**53, 2**53, 2**53 - 1, 1e300])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def objects(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that may have the keys, which columns are read from."""
    return st.dictionaries(st.sampled_from([*keys, "a", "b.0,"]), values | columns, max_size=5)


times = event_times | st.integers(0, 10**13) | st.integers(0, 10**10).map(float)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "event_type": st.sampled_from(EVENT_TYPES),
    "event_name": columns,
    "source": texts,
    "project": texts,
    "session_id": ids,
    "parent_id": ids,
    "children_ids": st.lists(texts, max_size=3),
    "config": objects("model", "provider"),
    "inputs": objects(),
    "outputs": values,
    "error": texts,
    "start_time": times,
    "end_time": times,
    "duration": st.floats(0, 1e9) | st.integers(0, 10**9),
    "metadata": objects("model", "cost", "prompt_tokens", "completion_tokens", "total_tokens"),
    "metrics": objects(),
    "feedback": objects(),
    "user_properties": objects(),
}
events = st.fixed_dictionaries(
    {"event_type": FIELDS.pop("event_type")},
    optional={name: strategy | st.none() for name, strategy in FIELDS.items()},
)
# Other spellings, other types, names that no field has.
odd = st.dictionaries(
    st.sampled_from([*FIELDS, "eventName", "startTime", "unknown"]),
    values | st.sampled_from(['{"a": 1}', "12.5", "model", [None], ["a", None], [1]]),
    max_size=3,
)
sessions = st.fixed_dictionaries(
    {}, optional={name: FIELDS[name] for name in ("session_id", "inputs", "start_time", "metadata")}
)


@st.composite
def documents(draw: st.DrawFn, event: st.SearchStrategy[Any]) -> bytes:
    """The JSON of a batch whose events have ids."""
    document: dict[str, Any] = {
        "events": [
            {"event_id": f"event-{number}", **fields}
            for number, fields in enumerate(draw(st.lists(event, max_size=3)))
        ]
    }
    if draw(st.booleans()):
        document["session_properties"] = draw(sessions)
        document["is_single_session"] = draw(st.booleans())
        if draw(st.booleans()):  # a session that is one of the events
            document["session_properties"]["session_id"] = "event-0"
    return json.dumps(document).encode()


def told(fields: Any) -> str:
    """As text: 1 is not 1.0."""
    return json.dumps(fields, sort_keys=True)


def stored(request: EventBatch) -> tuple[Any, ...]:
    """What is stored and answered, and what is read of it, each event whole."""
    read = read_batch(request, received_ns=RECEIVED_NS)
    made = rows.span_rows("p", read.spans)
    spans = as_read(made)
    contents = [told(event_fields(span.sent.message)) for span in read.spans]
    again = [reread(span.sent.message, b"", span) for span in read.spans]
    # As text: 1 is not 1.0.
    return repr(made.spans), made.traces, read.event_ids, read.session_id, spans, contents, again


def by_codec(data: bytes) -> tuple[EventBatch, list[str]]:
    """The batch of the message that the JSON codec makes."""
    parsed = json_codec.parse(data, REQUEST)
    return sent_batch(REQUEST.FromString(parsed.message.SerializeToString())), parsed.ignored


def outcome(read: Any, data: bytes) -> Any:
    try:
        batch, ignored = read(data)
        if not isinstance(batch, EventBatch):
            batch = sent_batch(batch)
        return stored(batch), ignored
    except json_codec.JsonError as error:
        return error.violations
    except SpanloomError as error:
        return error.reason, error.violations


@given(documents(events) | documents(st.builds(lambda a, b: a | b, events, odd)))
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "metrics": {"a": 1.0}}]}')
@example(
    b'{"events": [{"event_id": "a", "event_type": "tool", "metrics": {"a": 9007199254740993}}]}'
)
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "outputs": null}]}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "children_ids": []}]}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "inputs": {"a": "\\ud800"}}]}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "inputs": {"a": NaN}}]}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "duration": 1e999}]}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool"}], "session": 5, "nothing": 1}')
@example(b'{"events": [{"event_id": "a", "event_type": "tool", "event_id": "b"}, null]}')
@example(b'{"events": {}}')
@example(b"[]")
@settings(max_examples=300)
def test_json_is_read_as_its_message(data: bytes) -> None:
    assert outcome(lambda data: json_form.parse(data, REQUEST), data) == outcome(by_codec, data)


@given(documents(events.map(lambda e: {n: v for n, v in e.items() if n != "metrics"})))
def test_plain_documents_need_no_message(data: bytes) -> None:
    """So that the test above compares two ways, and not one with itself."""
    document = load_json(data)
    if any(value > 2**53 - 1 for value in _integers(document)):
        return
    made = json_batch(document)
    assert made is not None
    assert not made[0].request.events


@given(st.builds(lambda a, b: a | b, events, odd))
def test_one_event_is_read_as_its_message(event: dict[str, Any]) -> None:
    data = json.dumps({"event": {"event_id": "e", **event}}).encode()
    request = event_service_pb2.CreateEventRequest

    def made(read: Callable[[], Any]) -> Any:
        try:
            sent, ignored = read()
            if not isinstance(sent, SentEvent):
                sent = sent_event(sent.event, brief=True)
            span = read_event(sent, received_ns=RECEIVED_NS)
        except json_codec.JsonError as error:
            return error.violations
        except SpanloomError as error:
            return error.reason, error.violations
        contents = told(event_fields(span.sent.message))
        return repr(rows.span_rows("p", [span]).spans), contents, ignored

    assert made(lambda: json_form.parse(data, request)) == made(
        lambda: json_codec.parse(data, request)
    )


@pytest.mark.parametrize("document", [{}, {"event": None}, {"event": {}, "other": 1}, [], 5])
def test_what_is_no_event_alone_is_left_to_the_codec(document: object) -> None:
    assert json_event(document) is None


def _integers(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _integers(item)]
    return [abs(value)] if type(value) is int else []


@pytest.mark.parametrize("levels", range(MOST_LEVELS - 3, MOST_LEVELS + 3))
@pytest.mark.parametrize("field", ["inputs", "outputs"])
@pytest.mark.parametrize("is_list", [False, True])
def test_json_is_nested_as_deeply_as_its_message(levels: int, field: str, is_list: bool) -> None:
    value: Any = 1
    for _ in range(levels - 1):
        value = [value] if is_list else {"a": value}
    event = {"event_id": "a", "event_type": "tool", field: {"a": value}}
    data = orjson.dumps({"events": [event]})
    assert outcome(lambda data: json_form.parse(data, REQUEST), data) == outcome(by_codec, data)


def test_many_brackets_that_are_not_deep_need_no_message() -> None:
    event = {"event_id": "a", "event_type": "tool", "inputs": {"a": [[]] * 100, "b": "{" * 100}}
    assert json_batch({"events": [event]}) is not None


def test_a_message_with_fields_of_a_later_contract_is_not_taken_for_json() -> None:
    """The group 15 begins with the byte of a brace; an event has no such field."""
    group = b"\x7b\x10\x01\x7c"
    data = group + event_pb2.Event(event_id="a", event_type="tool").SerializeToString()
    kept = sent_event(event_pb2.Event.FromString(data), brief=True).kept
    assert kept is not None
    assert event_fields(kept) == {"event_id": "a", "event_type": "tool"}
