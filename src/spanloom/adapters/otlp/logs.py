"""OTLP log records that tell of GenAI, to events of their spans, or to spans of their own.

A record whose event name begins with one of `EVENTS` and that names its span is an event of that
span, as if the SDK had recorded it there: the conventions read both alike. Coding agents
(`claude_code.*`, `codex.*`) send such records without spans; each of these is a span of its own, in
a trace made of the ids of its session and its prompt, below that of the prompt. So is each record
of Codex, which names spans of its own machinery, and an answer of Claude Code, below the span that
it names. The ids follow from what was sent, so a record that comes twice is one event or one span.

Sources: opentelemetry/proto/logs/v1/logs.proto; open-telemetry/semantic-conventions,
docs/gen-ai/gen-ai-events.md; docs.claude.com, Claude Code, Monitoring usage; openai/codex,
docs/config.md.

A span may never come, for it was sampled out or its exporter failed. So for each span that records
name there is another one, which is stored where the span is not: open, with the attributes of the
first record and `spanloom.span_missing`, below a parent that nobody knows. The span replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import attributes_json, plain_attributes
from spanloom.model import MAX_TIME_NS, Json

EVENTS: Final = ("gen_ai.", "claude_code.", "codex.")
# The attribute of a span that did not come.
MISSING: Final = "spanloom.span_missing"
# A span without a parent would be its trace's root, and name it.
_UNKNOWN_PARENT: Final = b"\xff" * 8
_OWN_SPANS: Final = ("claude_code.", "codex.")
_MACHINERY: Final = "codex."
_ANSWERED: Final = "claude_code.assistant_response"
_ASKED: Final = ".user_prompt"
_SESSIONS: Final = ("session.id", "conversation.id")
_PROMPT: Final = "prompt.id"
_NAME: Final = "event.name"
_DURATION_MS: Final = "duration_ms"
_NS_PER_MS: Final = 10**6
_DIGEST_BYTES: Final = 16


@dataclass(slots=True)
class Logs:
    """What records say, with what is around it.

    Attributes:
        pieces: Of the messages of spans, by (trace id, span id) and then by digest.
        missing: What is stored for these spans until they come.
        spans: Those of records that name no span.
        dropped: How many records say nothing of GenAI.
    """

    pieces: dict[tuple[str, str], dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    missing: list[trace_pb2.ResourceSpans] = field(default_factory=list)
    spans: list[trace_pb2.ResourceSpans] = field(default_factory=list)
    dropped: int = 0


def read_logs(groups: Iterable[Any], *, received_ns: int) -> Logs:
    """What the records of ResourceLogs say. Never raises on what a client sent."""
    found = Logs()
    for group in groups:
        for scoped in group.scope_logs:
            own: list[trace_pb2.Span] = []
            missing: list[trace_pb2.Span] = []
            for record in scoped.log_records:
                found.dropped += not _read(record, found.pieces, own, missing, received_ns)
            if own:
                found.spans.append(_around(group, scoped, own))
            if missing:
                found.missing.append(_around(group, scoped, missing))
    return found


def _read(
    record: Any,
    pieces: dict[tuple[str, str], dict[str, tuple[int, bytes]]],
    own: list[trace_pb2.Span],
    missing: list[trace_pb2.Span],
    received_ns: int,
) -> bool:
    """Put a record where it belongs; whether there is such a place."""
    name = _name(record)
    if not name.startswith(EVENTS):
        return False
    time_ns = min(record.time_unix_nano or record.observed_time_unix_nano, MAX_TIME_NS)
    is_own = name.startswith(_OWN_SPANS)
    attributes = plain_attributes(attributes_json(record.attributes)) if is_own else {}
    session = _text(attributes, *_SESSIONS)
    names_span = any(record.trace_id) and any(record.span_id)
    if names_span and not (session and name.startswith(_MACHINERY)):
        if (len(record.trace_id), len(record.span_id)) != (16, 8):
            return False
        if name == _ANSWERED:
            place = record.trace_id, record.span_id
            own.append(_span(record, name, *place, attributes, time_ns or received_ns))
            return True
        piece = trace_pb2.Span(events=[_event(record, name, time_ns)]).SerializeToString()
        key = record.trace_id.hex(), record.span_id.hex()
        if key not in pieces:
            missing.append(_missing(record, name, time_ns or received_ns))
        pieces.setdefault(key, {}).setdefault(_digest(piece).hex(), (time_ns, piece))
        return True
    if not is_own or not session:
        return False
    prompt = _text(attributes, _PROMPT)
    trace_id = _digest(f"{session}\0{prompt}".encode())
    parent = _span_of_prompt(trace_id) if prompt and not name.endswith(_ASKED) else b""
    own.append(_span(record, name, trace_id, parent, attributes, time_ns or received_ns))
    return True


def _name(record: Any) -> str:
    """The name of the event. Older SDKs send it as an attribute, so does Codex, whose record is
    named after a line of its source, and Claude Code sends it in the body."""
    named = next((a.value.string_value for a in record.attributes if a.key == _NAME), "")
    names = str(record.event_name), named, record.body.string_value
    return next((name for name in names if name.startswith(EVENTS)), names[0] or named)


def _event(record: Any, name: str, time_ns: int) -> trace_pb2.Span.Event:
    event = trace_pb2.Span.Event(
        name=name,
        time_unix_nano=time_ns,
        attributes=record.attributes,
        dropped_attributes_count=record.dropped_attributes_count,
    )
    if record.HasField("body"):
        event.attributes.add(key="body").value.CopyFrom(record.body)
    return event


def _missing(record: Any, name: str, start_ns: int) -> trace_pb2.Span:
    span = trace_pb2.Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_span_id=_UNKNOWN_PARENT,
        name=name,
        start_time_unix_nano=start_ns,
        attributes=record.attributes,
    )
    span.attributes.add(key=MISSING).value.bool_value = True
    return span


def _span(
    record: Any,
    name: str,
    trace_id: bytes,
    parent: bytes,
    attributes: dict[str, Json],
    end_ns: int,
) -> trace_pb2.Span:
    """A record as a span that has the record as its event: it is sent when what it tells of has
    ended."""
    is_prompt = name.endswith(_ASKED) and _text(attributes, _PROMPT) != ""
    duration = _number(attributes.get(_DURATION_MS))
    start_ns = max(1, end_ns - int(min(max(duration, 0), 1e12) * _NS_PER_MS))
    return trace_pb2.Span(
        trace_id=trace_id,
        span_id=_span_of_prompt(trace_id) if is_prompt else _span_id(record),
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
        attributes=record.attributes,
        events=[_event(record, name, end_ns)],
    )


def _span_of_prompt(trace_id: bytes) -> bytes:
    """The id of the span of what the user asked, which the records that follow name as parent."""
    return _digest(trace_id)[:8]


def _span_id(record: Any) -> bytes:
    return _digest(record.SerializeToString(deterministic=True))[:8]


def _around(group: Any, scoped: Any, spans: list[trace_pb2.Span]) -> trace_pb2.ResourceSpans:
    made = trace_pb2.ResourceSpans(schema_url=group.schema_url)
    if group.HasField("resource"):
        made.resource.CopyFrom(group.resource)
    scope = made.scope_spans.add(schema_url=scoped.schema_url, spans=spans)
    if scoped.HasField("scope"):
        scope.scope.CopyFrom(scoped.scope)
    return made


def _texts(attributes: dict[str, Json], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            yield value


def _text(attributes: dict[str, Json], *names: str) -> str:
    return next(_texts(attributes, names), "")


def _number(value: Json) -> float:
    """Claude Code sends numbers as texts, too."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if number - number == 0 else 0.0


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
