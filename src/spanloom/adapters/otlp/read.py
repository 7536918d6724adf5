"""OTLP messages to spans: ResourceSpans as an exporter sends them.

Spans are read one by one, as the OTLP specification wants: one that cannot be stored is reported in
`Received.rejected`, and the others are kept. What the conventions make of a span's attributes
stands in its typed parts. All that the message has is kept in `sent`, so that
`spanloom.adapters.otlp.write` can make the same message again: the fields of
`spanloom.adapters.recorded`, with the ids of links in hex, and

    status              {code?, message?}
    name                where the span has another one
    parent_id           where it is all zeros, which is no parent

The ids and the times are the span's own; a start that was not sent is unknown
(`Span.start_unknown`).

Sources: opentelemetry/proto/trace/v1/trace.proto; docs/contracts/agent_chat.md, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.around import Around, around_of, envelope_of, opened, put_attributes
from spanloom.adapters.otlp.attributes import attributes_json, plain_attributes
from spanloom.adapters.otlp.brief import (
    Plan,
    WholeNeededError,
    apart_of,
    brief_draft_of,
    may_nest_deeply,
    plan_of,
)
from spanloom.adapters.otlp.convention import Draft, SpanSource
from spanloom.adapters.otlp.draft import draft_of
from spanloom.adapters.otlp.span import complete, complete_columns, parts_of, trace_facts
from spanloom.codec.otlp_parse import refusal_of
from spanloom.model import MAX_TIME_NS, GenAi, Io, Json, Sent, Span, TraceFacts
from spanloom.model.genai import Agent
from spanloom.model.sampling import sampling_decision
from spanloom.model.span import NO_GENAI, NO_IO, NO_TRACE

ADAPTER: Final = "otlp"
STATUS_CODES: Final = ("UNSET", "OK", "ERROR")
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_LONGEST_PARENT: Final = 128
_CONVERSATION_NAME: Final = "gen_ai.conversation.name"
KINDS: Final = dict(
    zip(trace_pb2.Span.SpanKind.values(), trace_pb2.Span.SpanKind.keys(), strict=True)
)


@dataclass(frozen=True, slots=True)
class Received:
    """The spans of a request, and (path in the request, reason) of each that was rejected."""

    spans: list[Span]
    rejected: list[tuple[str, str]]


def spans_from(request: Any, *, received_ns: int) -> Received:
    """The spans of an ExportTraceServiceRequest, a TracesData, or of ResourceSpans. Never raises on
    what a client sent."""
    spans: list[Span] = []
    rejected: list[tuple[str, str]] = []
    last: Any = None
    for at, group, scoped, span in _each(request):
        reason = _refusal(span)
        if reason is None:
            if scoped is not last:
                last, around = scoped, around_of(group, scoped)
            spans.append(_span(span, around, received_ns))
        else:
            rejected.append((_path(*at), reason))
    return Received(spans, rejected)


def briefs_from(request: Any, *, received_ns: int, most: int) -> Iterator[Received]:
    """The same with the columns of spans and what they say of their traces alone, for a store,
    which has the rest restored by `restore`. In parts of at most so many spans: nobody need hold
    those of a large request all at once."""
    spans: list[Span] = []
    rejected: list[tuple[str, str]] = []
    last: Any = None
    envelope = b""
    for at, group, scoped, span in _each(request):
        reason = _refusal(span)
        if reason is None:
            if scoped is not last:
                last, envelope = scoped, envelope_of(group, scoped)
                around = around_of(group, scoped)
            spans.append(_brief(span, around, envelope, received_ns))
        else:
            rejected.append((_path(*at), reason))
        if len(spans) == most:
            yield Received(spans, rejected)
            spans, rejected = [], []
    if spans or rejected:
        yield Received(spans, rejected)


def restore(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The whole of a span that `briefs_from` read, in the object of its columns, which are not
    derived again."""
    span = trace_pb2.Span.FromString(message)
    source, found, sent = _draft(span, opened(envelope), columns.start_ns)
    _put_parts(columns, span, source, found, parts_of(found))
    columns.sent = _sent(sent, found, source)
    return columns


def reread(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The same span with its columns derived anew."""
    return _span(trace_pb2.Span.FromString(message), opened(envelope), columns.start_ns)


def _each(
    request: Any,
) -> Iterator[
    tuple[tuple[int, int, int], trace_pb2.ResourceSpans, trace_pb2.ScopeSpans, trace_pb2.Span]
]:
    """Each span, with its place in the request and what is around it."""
    groups: Iterable[trace_pb2.ResourceSpans] = getattr(request, "resource_spans", request)
    for r, group in enumerate(groups):
        for s, scoped in enumerate(group.scope_spans):
            for index, span in enumerate(scoped.spans):
                yield (r, s, index), group, scoped, span


def _path(group: int, scope: int, index: int) -> str:
    return f"resource_spans[{group}].scope_spans[{scope}].spans[{index}]"


def _brief(span: trace_pb2.Span, around: Around, envelope: bytes, received_ns: int) -> Span:
    message = span.SerializeToString()
    pairs = [*span.attributes]
    plan = plan_of(pairs)
    # A value could nest deeper than JSON can be stored: the store decides by the whole.
    may_nest = may_nest_deeply(message)
    found = None if may_nest else _columns(span, pairs, plan, around, received_ns)
    if found is None:
        found = _span(span, around, received_ns)
    if not may_nest:
        found.io = NO_IO
    apart = apart_of(message) if plan.has_objects else 0
    found.sent = Sent(ADAPTER, {}, message, envelope, apart)
    return found


def _columns(
    span: trace_pb2.Span, pairs: Sequence[KeyValue], plan: Plan, around: Around, received_ns: int
) -> Span | None:
    """A span of its columns alone; None where only the whole read can tell them."""
    status, _ = _status(span, {})
    start_ns = _start(span, received_ns)
    is_root = not any(span.parent_span_id)
    try:
        source, draft = brief_draft_of(
            span, pairs, plan, around.scope, failed=status == "ERROR", is_root=is_root
        )
        _take_shared(draft, around)
        complete_columns(draft, source, start_ns)
    except WholeNeededError:
        return None
    version = draft.get("agent_version")
    genai = GenAi(agent=Agent(version=version)) if version else NO_GENAI
    io = Io(error=draft["error"]) if "error" in draft else NO_IO
    return _made(span, source, draft, (io, genai, trace_facts(draft)), status, start_ns)


def _refusal(span: trace_pb2.Span) -> str | None:
    """Why a span cannot be stored."""
    trace_id, span_id = span.trace_id, span.span_id
    if (
        (len(trace_id) == len(_NO_TRACE) and trace_id != _NO_TRACE)
        and (len(span_id) == len(_NO_SPAN) and span_id != _NO_SPAN)
        and span.start_time_unix_nano <= MAX_TIME_NS
        and span.end_time_unix_nano <= MAX_TIME_NS
        and len(span.parent_span_id) <= _LONGEST_PARENT
    ):
        return None
    if (unread := refusal_of(span)) is not None:
        return unread
    for name, value, zeros in (
        ("trace_id", trace_id, _NO_TRACE),
        ("span_id", span_id, _NO_SPAN),
    ):
        size = len(zeros)
        if len(value) != size:
            return (
                f"{name} must be {size} bytes, is {len(value)}" if value else f"{name} is missing"
            )
        if value == zeros:
            return f"{name} must not be all zeros"
    if span.start_time_unix_nano > MAX_TIME_NS:
        return "start_time_unix_nano is past the year 2262"
    if span.end_time_unix_nano > MAX_TIME_NS:
        return "end_time_unix_nano is past the year 2262"
    return f"parent_span_id must be 8 bytes, is {len(span.parent_span_id)}"


def _start(span: trace_pb2.Span, received_ns: int) -> int:
    return span.start_time_unix_nano or min(received_ns, span.end_time_unix_nano or received_ns)


def _span(span: trace_pb2.Span, around: Around, received_ns: int) -> Span:
    source, found, sent = _draft(span, around, received_ns)
    status, start_ns = _status(span, {})[0], _start(span, received_ns)
    made = _made(span, source, found, parts_of(found), status, start_ns)
    made.sent = _sent(sent, found, source)
    return made


def _draft(
    span: trace_pb2.Span, around: Around, received_ns: int
) -> tuple[SpanSource, Draft, dict[str, Json]]:
    """The complete draft of a span, and what `sent` holds of it."""
    parent = span.parent_span_id
    sent = around.sent.copy()
    attributes = attributes_json(span.attributes)
    if attributes:
        sent["attributes"] = attributes
    if parent and not any(parent):
        sent["parent_id"] = parent.hex()
        parent = b""
    if span.kind:
        sent["span_kind"] = KINDS.get(span.kind, span.kind)
    events: list[dict[str, Json]] = [_event(event) for event in span.events]
    if events:
        sent["events"] = events
    if span.links:
        sent["links"] = [_link(link) for link in span.links]
    status, draft = _status(span, sent)
    _put_rest(span, sent)
    source = SpanSource(
        span.name,
        around.scope,
        plain_attributes(attributes) if attributes else {},
        [
            (event.get("name", ""), plain_attributes(event.get("attributes", {})))
            for event in events
        ],
        status == "ERROR",
        not parent,
    )
    found = draft_of(source)
    found.update(draft)
    _take_shared(found, around)
    complete(found, source, _start(span, received_ns))
    return source, found, sent


def _take_shared(draft: Draft, around: Around) -> None:
    for name, value in around.fields.items():
        draft.setdefault(name, value)


def _made(
    span: trace_pb2.Span,
    source: SpanSource,
    found: Draft,
    parts: tuple[Io, GenAi, TraceFacts],
    status: str,
    start_ns: int,
) -> Span:
    """The span of a complete draft and of its parts, without what was sent."""
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    end_ns = span.end_time_unix_nano or None
    get = found.get
    duration = get("duration_ms")
    if duration is None and end_ns is not None:
        duration = max(0, end_ns - start_ns) / 1e6
    texts: tuple[str, ...] = (
        get("name", source.name),
        get("event_id", span_id),
        get("session_id", trace_id),
        found["operation"],
        get("agent_name", ""),
        get("provider", ""),
        _model(found),
    )
    if "\0" in "".join(texts):
        texts = tuple(text.replace("\0", "\ufffd") for text in texts)
    name, event_id, session_id, operation, agent_name, provider, model = texts
    made = Span(
        trace_id=trace_id,
        span_id=span_id,
        event_id=event_id,
        session_id=session_id,
        parent_id="" if source.is_root else span.parent_span_id.hex(),
        name=name,
        kind=found["kind"],
        operation=operation,
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ms=duration,
        status="ERROR" if parts[0].error else status,
        agent_name=agent_name,
        provider=provider,
        model=model,
        input_tokens=get("input_tokens"),
        output_tokens=get("output_tokens"),
        cost=get("cost"),
    )
    _put_parts(made, span, source, found, parts)
    return made


def _put_parts(
    made: Span,
    span: trace_pb2.Span,
    source: SpanSource,
    found: Draft,
    parts: tuple[Io, GenAi, TraceFacts],
) -> None:
    """Put what is no column, but for what was sent, into a span that has its columns."""
    made.io, made.genai, trace = parts
    made.trace = trace
    if trace is not NO_TRACE:
        sampled = sampling_decision(made.trace_id, trace, is_root=source.is_root)
        if sampled is not None:
            trace.sampled = sampled
    get = found.get
    made.status_message = get("status_message", "")
    made.error_type = get("error_type", "")
    made.log_type = get("log_type", "")
    made.instrumentation = source.scope
    if source.attributes:
        name = source.attributes.get(_CONVERSATION_NAME, "")
        made.conversation_name = name if isinstance(name, str) else ""
    made.start_unknown = not span.start_time_unix_nano


def _sent(sent: dict[str, Json], found: Draft, source: SpanSource) -> Sent:
    name: str = found.get("name", source.name)
    if name != source.name or "\0" in name:
        sent["name"] = source.name
    return Sent(ADAPTER, sent)


def _model(found: Draft) -> str:
    """The model that was asked; of a call of a model that does not tell it, the one that
    answered."""
    model: str = found.get("model", "")
    return model or (found.get("response_model", "") if found["kind"] == "model" else "")


def _status(span: trace_pb2.Span, sent: dict[str, Json]) -> tuple[str, Draft]:
    if not span.HasField("status"):
        return "UNSET", {}
    status: dict[str, Json] = {}
    code, message = span.status.code, span.status.message
    if code:
        status["code"] = code
    if message:
        status["message"] = message
    sent["status"] = status
    return STATUS_CODES[code] if 0 <= code < 3 else "UNSET", {
        "status_message": message
    } if message else {}


def _put_rest(span: trace_pb2.Span, sent: dict[str, Json]) -> None:
    if span.trace_state:
        sent["trace_state"] = span.trace_state
    if span.flags:
        sent["flags"] = span.flags
    counts = span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count
    if any(counts):
        names = ("attributes", "events", "links")
        sent["dropped"] = {name: n for name, n in zip(names, counts, strict=True) if n}


def _event(event: trace_pb2.Span.Event) -> dict[str, Json]:
    out: dict[str, Json] = {}
    if event.name:
        out["name"] = event.name
    if event.time_unix_nano:
        out["time_ns"] = event.time_unix_nano
    put_attributes(out, event)
    return out


def _link(link: trace_pb2.Span.Link) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for name in ("trace_id", "span_id"):
        if value := getattr(link, name):
            out[name] = value.hex()
    for name in ("trace_state", "flags"):
        if value := getattr(link, name):
            out[name] = value
    put_attributes(out, link)
    return out
