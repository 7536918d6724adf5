"""The HoneyHive adapter and its view: what was sent is returned, sessions are found or made, and
bad input is named."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.adapters.honeyhive.read import (
    ParsedEvents,
    read_batch,
    read_event,
    read_session,
)
from spanloom.adapters.honeyhive.write import event_message
from spanloom.errors import SpanloomError
from spanloom.model import EVENT_TYPES, Sent, Span
from spanloom.model.times import MAX_TIME_MS, ms_from_ns, ns_from_ms
from spanloom.store.sql import rows
from spanloom.v1 import event_pb2, event_service_pb2, session_pb2
from tests.ingest.strategies import event_times, events, ids, sessions, stored
from tests.parts import as_read

DATA = Path("tests/data")
RECEIVED_NS = 1_800_000_000 * 10**9
RECEIVED_MS = 1_800_000_000_000.0


def read(*sent: dict[str, Any] | event_pb2.Event, **fields: Any) -> ParsedEvents:
    request = json_format.ParseDict(fields, event_service_pb2.CreateEventBatchRequest())
    for event in sent:
        if isinstance(event, dict):
            event = json_format.ParseDict(event, event_pb2.Event())
        request.events.append(event)
    return read_batch(request, received_ns=RECEIVED_NS)


def read_one(**fields: Any) -> Span:
    event = json_format.ParseDict({"event_type": "tool", **fields}, event_pb2.Event())
    return read_event(event, received_ns=RECEIVED_NS)


def given_back(span: Span) -> event_pb2.Event:
    return event_message(stored([span])[0])


def fitted(message: Any) -> Any:
    """The message with a duration that fits between the times that there are."""
    if message.HasField("duration"):
        if message.HasField("start_time"):
            message.duration = min(message.duration, MAX_TIME_MS - message.start_time)
        elif message.HasField("end_time"):
            message.duration = min(message.duration, message.end_time)
    return message


def completed(sent: event_pb2.Event) -> event_pb2.Event:
    """An event with the defaults of the contract, but for its ids and times."""
    sent.event_name = sent.event_name or "unknown"
    sent.source = sent.source or "unknown"
    match sent.outputs.WhichOneof("kind"):
        case None | "null_value":
            sent.ClearField("outputs")
        case "struct_value":
            pass
        case _:
            sent.outputs.CopyFrom(
                Value(
                    struct_value=Struct(
                        fields={"value": Value.FromString(sent.outputs.SerializeToString())}
                    )
                )
            )
    # What a column tells, since it came by another key.
    config, metadata = sent.config.fields, sent.metadata.fields
    model = (config["model"].string_value if "model" in config else "") or (
        metadata["model"].string_value if "model" in metadata else ""
    ).replace("\0", "")
    if model and "model" not in config:
        sent.config.update({"model": model})
    tokens = [
        metadata[name].number_value
        for name in ("prompt_tokens", "completion_tokens")
        if name in metadata and is_count(metadata[name])
    ]
    if tokens and "total_tokens" not in metadata:
        sent.metadata.update({"total_tokens": sum(tokens)})
    return sent


def is_count(value: Value) -> bool:
    number = value.number_value
    is_whole = value.HasField("number_value") and number.is_integer()
    return is_whole and 0 <= number < 2**53 and math.copysign(1, number) > 0


def without_default_times(back: event_pb2.Event, sent: Any) -> event_pb2.Event:
    """Times that were not sent have defaults of their own, below."""
    for name in ("start_time", "end_time", "duration"):
        if not sent.HasField(name):
            back.ClearField(name)
    return back


@settings(max_examples=100)
@given(event=events, event_id=ids, kind=st.sampled_from(EVENT_TYPES))
def test_an_event_is_given_back_as_sent(event: event_pb2.Event, event_id: str, kind: str) -> None:
    event.event_id, event.event_type = event_id, kind
    if kind == "session":
        event.session_id = event_id
    sent = event_pb2.Event.FromString(fitted(event).SerializeToString())
    back = given_back(read_event(event, received_ns=RECEIVED_NS))
    sent.session_id = back.session_id if not sent.session_id else sent.session_id
    if sent.session_id == event_id:
        sent.parent_id = ""
    elif not sent.parent_id:
        sent.parent_id = sent.session_id
    assert without_default_times(back, sent) == completed(sent)


@settings(max_examples=50)
@given(session=sessions, session_id=ids)
def test_a_session_is_given_back_as_sent(
    session: session_pb2.SessionProperties, session_id: str
) -> None:
    session.session_id = session_id
    span = read_session(fitted(session), received_ns=RECEIVED_NS, field="")
    sent = event_pb2.Event(event_id=session_id, event_type="session", parent_id="")
    for field, value in session.ListFields():
        name = {"session_name": "event_name"}.get(field.name, field.name)
        if field.name == "event_name" and session.session_name:
            continue
        if field.message_type is not None:
            getattr(sent, name).CopyFrom(value)
        elif name == "children_ids":
            sent.children_ids.extend(value)
        else:
            setattr(sent, name, value)
    assert without_default_times(given_back(span), sent) == completed(sent)


@given(event_times)
def test_milliseconds_come_back_as_the_same_double(ms: float) -> None:
    assert ms_from_ns(ns_from_ms(ms)) == ms


def test_the_documented_event_is_given_back_as_sent() -> None:
    request = json.loads((DATA / "documented/create_event_batch.json").read_text())["request"]
    result = read(*request.pop("events"), **request)
    assert result.session_id == "caf77ace-3417-4da4-944d-f4a0688f3c23"
    event, session = result.spans
    sent = json.loads((DATA / "documented/create_event_batch.json").read_text())["request"][
        "events"
    ][0]
    absent = {name for name, value in sent.items() if value in (None, [])}
    assert json_format.MessageToDict(given_back(event)) == {
        name: value for name, value in sent.items() if name not in absent
    }
    assert (event.model, event.provider) == ("gpt-3.5-turbo", "openai")
    assert (event.input_tokens, event.output_tokens, event.cost) == (35, 23, 8e-05)
    assert (session.kind, session.name) == ("session", "Playground Session")
    assert session.span_id == session.trace_id == session.session_id == result.session_id
    assert session.start_ns == event.start_ns


@pytest.mark.parametrize("path", sorted((DATA / "honeyhive").iterdir()), ids=lambda path: path.stem)
def test_what_the_real_sdk_sent_is_given_back(path: Path) -> None:
    body = json.loads(path.read_text())["body"]
    sent = body.pop("events", None) or [body.pop("event")]
    result = read(*sent, **body)
    for fields, span in zip(sent, result.spans, strict=False):
        back = json_format.MessageToDict(given_back(span))
        assert {name: back[name] for name in fields if fields[name] != []} == {
            name: value for name, value in fields.items() if value != []
        }


@pytest.mark.parametrize(
    ("times", "start", "end", "duration"),
    [
        ({}, RECEIVED_MS, None, None),
        ({"start_time": 10}, 10, None, None),
        ({"start_time": 10, "end_time": 30}, 10, 30, 20),
        ({"start_time": 10, "duration": 5.5}, 10, 16, 5.5),
        ({"end_time": 30, "duration": 5.5}, 24, 30, 5.5),
        ({"end_time": 30}, 30, 30, 0),
        ({"duration": 1}, RECEIVED_MS, RECEIVED_MS + 1, 1),
        ({"start_time": 10, "end_time": 30, "duration": 1}, 10, 30, 1),
        ({"start_time": 30, "end_time": 10}, 30, 10, 0),
        ({"start_time": 0, "end_time": 0, "duration": 0}, 0, 0, 0),
    ],
)
def test_unset_times_have_the_documented_defaults(
    times: dict[str, float], start: float, end: float | None, duration: float | None
) -> None:
    back = given_back(read_one(**times))
    shown = [
        getattr(back, name) if back.HasField(name) else None
        for name in ("start_time", "end_time", "duration")
    ]
    assert shown == [start, end, duration]


def test_columns_come_from_the_config_and_the_metadata() -> None:
    span = read_one(
        config={"provider": "OpenAI", "model": "m\0"},
        metadata={"model": "other", "prompt_tokens": 3, "completion_tokens": 4, "cost": 1},
    )
    assert (span.provider, span.model) == ("openai", "m")
    assert (span.input_tokens, span.output_tokens, span.cost) == (3, 4, 1.0)
    assert read_one(metadata={"model": "m"}).model == "m"
    odd = read_one(
        config={"provider": 1, "model": ["m"]},
        metadata={"prompt_tokens": "3", "completion_tokens": -4, "cost": True},
    )
    assert (odd.provider, odd.model) == ("", "")
    assert (odd.input_tokens, odd.output_tokens, odd.cost) == (None, None, None)


@pytest.mark.parametrize(("error", "status"), [("boom", "ERROR"), ("", "UNSET"), (None, "UNSET")])
def test_an_error_is_the_status(error: str | None, status: str) -> None:
    assert read_one(error=error).status == status


def test_outputs_that_are_no_object_are_wrapped() -> None:
    for sent, kept in (
        ([1, "a"], {"value": [1, "a"]}),
        ("t", {"value": "t"}),
        (0, {"value": 0}),
        ({}, {}),
        ({"a": 1}, {"a": 1}),
    ):
        assert read_one(outputs=sent).io.outputs == kept
    assert read_one(outputs=None).io.outputs is None


TOOL = {"event_type": "tool"}
LONG = "x" * 257
NOT_TIMES = [-1, "NaN", "Infinity", "-Infinity", MAX_TIME_MS + 1]


@pytest.mark.parametrize(
    ("sent", "fields", "named", "reason"),
    [
        ([], {}, {"events"}, "INVALID_FIELD"),
        ([{}], {}, {"events[0].event_type"}, "INVALID_FIELD"),
        ([TOOL, {"event_type": "Model"}], {}, {"events[1].event_type"}, "INVALID_FIELD"),
        ([{**TOOL, "event_id": LONG}], {}, {"events[0].event_id"}, "INVALID_FIELD"),
        (
            [{**TOOL, "event_id": "\0", "session_id": "\0", "parent_id": "\0", "event_name": "\0"}],
            {},
            {"events[0].event_id", "events[0].event_name"},
            "INVALID_FIELD",
        ),
        (
            [{**TOOL, "session_id": LONG, "parent_id": LONG + "y"}],
            {},
            {"events[0].session_id", "events[0].parent_id"},
            "INVALID_FIELD",
        ),
        (
            [{**TOOL, "event_id": "a"}, TOOL, {**TOOL, "event_id": "a"}],
            {},
            {"events[2].event_id"},
            "DUPLICATE_ID",
        ),
        (
            [{**TOOL, "event_id": "a"}, {"event_id": "a"}],
            {},
            {"events[1].event_id", "events[1].event_type"},
            "INVALID_FIELD",
        ),
        (
            [TOOL],
            {"session_properties": {"session_id": LONG}},
            {"session_properties.session_id"},
            "INVALID_FIELD",
        ),
        (
            [TOOL],
            {"session": {"session_name": "\0", "event_name": "\0"}},
            {"session.session_name"},
            "INVALID_FIELD",
        ),
        (
            [TOOL],
            {"session": {"event_name": "\0", "duration": -1}},
            {"session.event_name", "session.duration"},
            "INVALID_FIELD",
        ),
        (
            [TOOL],
            {"session_properties": {"start_time": -1}},
            {"session_properties.start_time"},
            "INVALID_FIELD",
        ),
        *(
            ([TOOL, {**TOOL, name: time}], {}, {f"events[1].{name}"}, "INVALID_FIELD")
            for name in ("start_time", "end_time", "duration")
            for time in NOT_TIMES
        ),
        ([{**TOOL, "end_time": 5, "duration": 6}], {}, {"events[0].duration"}, "INVALID_FIELD"),
        (
            [{**TOOL, "start_time": MAX_TIME_MS, "duration": 6}],
            {},
            {"events[0].duration"},
            "INVALID_FIELD",
        ),
    ],
)
def test_bad_input_is_named(
    sent: list[dict[str, Any]], fields: dict[str, Any], named: set[str], reason: str
) -> None:
    with pytest.raises(SpanloomError) as refused:
        read(*sent, **fields)
    assert {violation.field for violation in refused.value.violations} == named
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", reason)


def test_an_unknown_type_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        SpanloomError, match='"modle" is not one of model, tool, chain, session'
    ) as refused:
        read_one(event_type="modle")
    assert refused.value.violations[0].field == "event.event_type"


def test_at_most_a_hundred_violations_are_told() -> None:
    with pytest.raises(SpanloomError) as refused:
        read(*[event_pb2.Event()] * 1000)
    assert len(refused.value.violations) == 100


@given(st.lists(events, min_size=1, max_size=3), st.none() | sessions, st.booleans())
@settings(max_examples=150)
def test_the_columns_of_a_brief_read_are_those_of_the_whole(
    sent: list[event_pb2.Event], session: session_pb2.SessionProperties | None, single: bool
) -> None:
    """And what a store restores of it is the whole."""
    request = event_service_pb2.CreateEventBatchRequest(is_single_session=single, events=sent)
    if session is not None:
        request.session_properties.CopyFrom(session)
    for number, event in enumerate(request.events):
        event.event_id = f"event-{number}"
        event.event_type = EVENT_TYPES[number % len(EVENT_TYPES)]
    try:
        whole = read_batch(request, received_ns=RECEIVED_NS)
    except SpanloomError as refused:
        with pytest.raises(SpanloomError, match=re.escape(refused.message)):
            read_batch(request, received_ns=RECEIVED_NS, brief=True)
        return
    brief = read_batch(request, received_ns=RECEIVED_NS, brief=True)
    assert brief.event_ids == whole.event_ids
    made, expected = rows.span_rows("p", brief.spans), rows.span_rows("p", whole.spans)
    assert made.spans == expected.spans
    assert made.traces == expected.traces
    assert as_read(made) == [replace(span, sent=Sent("honeyhive")) for span in whole.spans]
