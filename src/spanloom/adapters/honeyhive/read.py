"""HoneyHive messages to spans: events, and what a client says of their session.

An event is a span of the trace whose id is the session's. A session has a span of its own (span id
= session id) only when a client described it; otherwise the views make one from its events. A span
has typed places for all that an event says, so nothing but the adapter's name is kept in `sent`;
`spanloom.adapters.honeyhive.write` gives the event back, with the contract's defaults filled in:
ids, session_id, parent_id, source and event_name "unknown", times that follow from others, and
outputs that are no object as {"value": ...}.

The messages' JSON names are their fields' names. This is the hot path: each event is read in one
pass. Source: docs/contracts/events.md, sections 1.2 to 1.4.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spanloom.adapters.honeyhive.incoming import (
    EventBatch,
    SentEvent,
    event_fields,
    sent_batch,
    sent_event,
)
from spanloom.adapters.honeyhive.nested import Placed
from spanloom.codec.struct_reader import message_fields
from spanloom.model import EVENT_TYPES, MAX_TIME_NS, NO_BODY, Io, Json, Sent, Span, dashed, uuid7
from spanloom.model.checks import Violations
from spanloom.model.patch import column_text, count_of, dollars_of, model_of
from spanloom.model.span import EVENT_FIELDS, HONEYHIVE, NO_IO, told_apart
from spanloom.model.times import (
    MAX_TIME_MS,
    OUT_OF_RANGE,
    ms_by_size,
    ms_from_ns,
    ns_from_ms,
    whole_ms,
)
from spanloom.v1 import event_pb2, event_service_pb2, session_pb2

UNKNOWN = "unknown"
ADAPTER = HONEYHIVE
_SENT = Sent(ADAPTER)
# Makes a session's id from its only event's id, so that a repeated create finds the same session
# (RFC 9562, version 5).
_SESSION_OF_EVENT = uuid.UUID("6f0e3c2a-5c0b-5d3e-9d55-0d6a4a3f7c11")


@dataclass(frozen=True, slots=True)
class ParsedEvents:
    """Events as spans, and those of the sessions that the client described; the events' ids in the
    order of the request; the session that the answer names."""

    spans: list[Span]
    event_ids: list[str]
    session_id: str


def read_batch(
    request: event_service_pb2.CreateEventBatchRequest | EventBatch,
    *,
    received_ns: int,
    field: str = "events",
    brief: bool = False,
) -> ParsedEvents:
    """The spans of a batch. INVALID_ARGUMENT names all that is wrong, the events under `field`.

    Args:
        request: The batch as it came is of a brief read.
        brief: the columns alone, for a store, which has the rest restored by `restore`.
    """
    if isinstance(request, EventBatch):
        batch, brief = request, True
    else:
        batch = sent_batch(request, brief=brief)
    bad = Violations()
    if not batch.events:
        bad.add(field, "is required: at least one event")
    properties = _properties(batch.request, received_ns, bad)
    given = properties.session_id if properties else ""
    single = ""
    if batch.request.is_single_session or batch.request.single_session:
        single = given or _first_session(batch.events)
    described = {single or given} - {""}
    spans: list[Span] = []
    first_at: dict[str, int] = {}
    for index, event in enumerate(batch.events):
        at = f"{batch.place(field, index)}."
        event_id = _event_id(event)
        parent = batch.parents[index] if batch.parents else -1
        inherited = spans[parent].session_id if parent >= 0 else given
        session_id = single or _own_session(event, event_id) or inherited
        if not session_id:
            session_id = _new_session(event_id)
            described.add(session_id)
        if first_at.setdefault(event_id, index) != index:
            bad.same_id(at + "event_id", f"{batch.place(field, first_at[event_id])}.event_id")
        if properties and event_id == session_id and session_id in described:
            event = sent_event(_merged(properties, batch.message(index)), brief=brief)
            described.discard(session_id)
        spans.append(_span(event, event_id, session_id, received_ns, at, bad))
    bad.refuse()
    session_id = spans[-1].session_id
    if properties and described:
        session = sent_event(properties, brief=brief)
        spans += _sessions(session, described, spans, received_ns)
    return ParsedEvents(spans, list(first_at), session_id)


def read_session_events(
    session_id: str,
    events: Sequence[Placed],
    *,
    received_ns: int,
    field: str,
    brief: bool = False,
) -> ParsedEvents:
    """The spans of events that all belong to one session. INVALID_ARGUMENT names all that is wrong,
    `field` if there are no events. `brief` as of `read_batch`."""
    bad = Violations()
    bad.check_id("session_id", session_id)
    if not events:
        bad.add(field, "is required: at least one event")
    spans: list[Span] = []
    first_at: dict[str, int] = {}
    for index, placed in enumerate(events):
        at = f"{placed.place}."
        event = sent_event(placed.event, brief=brief)
        event_id = event.fields.get("event_id") or (
            session_id if event.fields.get("event_type") == "session" else dashed(uuid7())
        )
        if first_at.setdefault(event_id, index) != index:
            bad.same_id(at + "event_id", f"{events[first_at[event_id]].place}.event_id")
        spans.append(_span(event, event_id, session_id, received_ns, at, bad))
    bad.refuse()
    return ParsedEvents(spans, list(first_at), session_id)


def read_session(
    properties: session_pb2.SessionProperties, *, received_ns: int, field: str
) -> Span:
    """The span of a session that a client starts. INVALID_ARGUMENT names all that is wrong, under
    `field` ("" for none)."""
    bad = Violations()
    event = _session_event(properties, received_ns, f"{field}." if field else "", bad)
    bad.refuse()
    session_id = event.session_id or dashed(uuid7())
    sent = sent_event(event, brief=False)
    span = _span(sent, session_id, session_id, received_ns, "", bad)
    bad.refuse()
    return span


def read_event(
    event: event_pb2.Event | SentEvent,
    *,
    received_ns: int,
    field: str = "event",
    brief: bool = False,
) -> Span:
    """The span of one event. INVALID_ARGUMENT names all that is wrong, under `field`. The arguments
    are those of `read_batch`."""
    bad = Violations()
    sent = event if isinstance(event, SentEvent) else sent_event(event, brief=brief)
    event_id = _event_id(sent)
    session_id = _own_session(sent, event_id) or _new_session(event_id)
    span = _span(sent, event_id, session_id, received_ns, f"{field}.", bad)
    bad.refuse()
    return span


def restore(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The whole of a span of which a brief read kept the message, in the object of its columns."""
    sent = event_fields(message)
    columns.io = _io(sent)
    columns.start_unknown = sent.get("event_type") == "session" and _has_no_start(sent)
    columns.sent = _SENT
    return columns


def reread(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The same span with its columns derived anew."""
    event = SentEvent(event_fields(message))
    event_id, session_id, received_ns = columns.event_id, columns.trace_id, columns.start_ns
    return _span(event, event_id, session_id, received_ns, "", Violations())


def _event_id(event: SentEvent) -> str:
    """As sent; a session that gives only its session id means that; else a new one."""
    sent = event.fields
    event_id: str = sent.get("event_id") or ""
    if not event_id and sent.get("event_type") == "session":
        event_id = sent.get("session_id") or ""
    return event_id or dashed(uuid7())


def _own_session(event: SentEvent, event_id: str) -> str:
    """The session that the event names, "" for none; an event of type session names itself."""
    sent = event.fields
    named: str = sent.get("session_id") or ""
    return named or (event_id if sent.get("event_type") == "session" else "")


def _first_session(events: Iterable[SentEvent]) -> str:
    """The session of a batch that is one session, and has no properties to name it."""
    first_id = ""
    for event in events:
        event_id = event.fields.get("event_id", "")
        if named := _own_session(event, event_id):
            return named
        first_id = first_id or event_id
    return _new_session(first_id or dashed(uuid7()))


def _new_session(event_id: str) -> str:
    return str(uuid.uuid5(_SESSION_OF_EVENT, event_id))


def _properties(
    request: event_service_pb2.CreateEventBatchRequest, received_ns: int, bad: Violations
) -> event_pb2.Event | None:
    """What the client says of the session, as the event that a session is; None when it says
    nothing."""
    for name in ("session_properties", "session"):
        if request.HasField(name):
            return _session_event(getattr(request, name), received_ns, name + ".", bad)
    return None


def _session_event(
    sent: session_pb2.SessionProperties, received_ns: int, at: str, bad: Violations
) -> event_pb2.Event:
    event = event_pb2.Event(event_type="session")
    for field, value in sent.ListFields():
        if field.name == "session_name":
            event.event_name = value
            bad.check_text(at + "session_name", value)
        elif field.message_type is not None:
            getattr(event, field.name).CopyFrom(value)
        elif field.name == "children_ids":
            event.children_ids.extend(value)
        elif field.name != "event_name" or not sent.session_name:
            setattr(event, field.name, value)
    if not sent.session_name:
        bad.check_text(at + "event_name", sent.event_name)
    if sent.session_id:
        bad.check_id(at + "session_id", sent.session_id)
    _times(message_fields(event), received_ns, at, bad)
    return event


def _merged(properties: event_pb2.Event, event: event_pb2.Event) -> event_pb2.Event:
    """A session's own event, with the other properties."""
    merged = event_pb2.Event()
    merged.CopyFrom(properties)
    merged.ClearField("event_type")  # required of the event itself
    merged.MergeFrom(event)
    return merged


def _sessions(
    properties: SentEvent, ids: set[str], spans: list[Span], received_ns: int
) -> list[Span]:
    """A span for each described session; without a start of its own it starts with the earliest of
    its events here."""
    starts: dict[str, int] = {}
    for span in spans:
        starts[span.session_id] = min(span.start_ns, starts.get(span.session_id, MAX_TIME_NS))
    bad = Violations()
    sessions = [_span(properties, i, i, starts.get(i, received_ns), "", bad) for i in sorted(ids)]
    bad.refuse()
    return sessions


def _span(
    event: SentEvent,
    event_id: str,
    session_id: str,
    received_ns: int,
    at: str,
    bad: Violations,
) -> Span:
    sent = event.fields
    if event.kept is None:
        io, kept = _io(sent), _SENT
    else:
        io, kept = NO_IO, Sent(ADAPTER, message=event.kept)
    kind = sent.get("event_type", "")
    name = sent.get("event_name", "")
    parent_id = sent.get("parent_id", "")
    named_session = sent.get("session_id", "")
    if "event_id" in sent:
        bad.check_id(at + "event_id", event_id)
    if named_session and named_session != sent.get("event_id"):
        bad.check_id(at + "session_id", named_session)
    if kind not in EVENT_TYPES:
        bad.check_word(at + "event_type", kind, EVENT_TYPES)
    if "\0" in name:
        bad.check_text(at + "event_name", name)
    if event_id == session_id:
        parent_id = ""
    else:
        if parent_id:
            bad.check_id(at + "parent_id", parent_id)
        # The session that the event named may not be the one it belongs to, where the batch is one
        # session.
        if kind != "session" and parent_id in ("", named_session):
            parent_id = session_id
    times = _times(sent, received_ns, at, bad)
    config, metadata = sent.get("config") or NO_BODY, sent.get("metadata") or NO_BODY
    span = Span(
        trace_id=session_id,
        span_id=event_id,
        event_id=event_id,
        session_id=session_id,
        parent_id=parent_id,
        name=name or UNKNOWN,
        kind=kind,
        start_ns=times.start_ns,
        end_ns=times.end_ns,
        duration_ms=times.duration_ms,
        status="ERROR" if sent.get("error") else "UNSET",
        provider=column_text(config.get("provider")).lower(),
        model=model_of(config, metadata),
        input_tokens=count_of(metadata.get("prompt_tokens")),
        output_tokens=count_of(metadata.get("completion_tokens")),
        cost=dollars_of(metadata.get("cost")),
        start_unknown=kind == "session" and times.is_default,
        io=io,
        sent=kept,
    )
    if event.kept is not None:
        kept.apart = told_apart(sent.get("config"), sent.get("metadata"), span)
    return span


def _io(sent: Mapping[str, Json]) -> Io:
    """What the event is given back with, as sent: empty objects stay, unset stays unset."""
    io = Io(*map(sent.get, EVENT_FIELDS))
    if io.outputs is not None and not isinstance(io.outputs, dict):
        io.outputs = {"value": io.outputs}
    io.source = io.source or UNKNOWN
    return io


class _Times(NamedTuple):
    start_ns: int
    end_ns: int | None
    duration_ms: float | None
    is_default: bool  # no start was sent, and none follows from what was


def _times(sent: Mapping[str, Json], received_ns: int, at: str, bad: Violations) -> _Times:
    """The contract's defaults: start = end - duration, else the time of receipt; end = start +
    duration, else still open; duration = end - start, but not of a session that has no start of its
    own."""
    start = end = duration = None
    if "start_time" in sent:
        start = _time_ns(sent["start_time"], at + "start_time", bad)
    if "end_time" in sent:
        end = _time_ns(sent["end_time"], at + "end_time", bad)
    if "duration" in sent:
        duration = sent["duration"]
        if not 0 <= duration <= MAX_TIME_MS:
            bad.add(at + "duration", "must be a finite number of milliseconds that is not negative")
            duration = None
    is_default = _has_no_start(sent)
    if start is None:
        if end is None:
            start = whole_ms(received_ns)
        elif duration is None:
            start = min(whole_ms(received_ns), end)
        else:
            start = whole_ms(end - ns_from_ms(duration))
            if start < 0:
                bad.add(at + "duration", "results in a start before 1970")
    if duration is None:
        if end is not None and not (is_default and sent.get("event_type") == "session"):
            duration = ms_from_ns(max(0, end - start))
    elif end is None:
        end = whole_ms(start + ns_from_ms(duration), up=True)
        if end > MAX_TIME_NS:
            bad.add(at + "duration", "results in an end after the year 2262")
    return _Times(start, end, duration, is_default)


def _has_no_start(sent: Mapping[str, Json]) -> bool:
    """Whether no start was sent, and none follows from what was."""
    return "start_time" not in sent and ("end_time" not in sent or "duration" not in sent)


def _time_ns(sent: float, field: str, bad: Violations) -> int | None:
    ms = ms_by_size(sent)
    if 0 <= ms <= MAX_TIME_MS:
        return ns_from_ms(ms)
    bad.add(field, OUT_OF_RANGE)
    return None
