"""The OpenTelemetry door: ResourceSpans to canonical spans.

Spans are taken one by one, as the OTLP specification wants: one that cannot be stored is told in `Received.rejected`, and the rest
stand. Everything a span has is kept in its body, in the typed JSON of `spanloom.adapters.otlp.attributes`, so that the same message
can be made again (`spanloom.adapters.otlp.write`); what is zero, empty or unset is left out:

    attributes, trace_state, flags (integer)
    span_kind           "SPAN_KIND_CLIENT"..., an integer for kinds that are not in the specification
    events              [{name?, time_ns?, attributes?, dropped?}]
    links               [{trace_id?, span_id?, trace_state?, attributes?, dropped?, flags?}], ids in hex
    dropped             {attributes?, events?, links?}: how many the SDK dropped
    status              {code?, message?} as sent; the span's own status and status_message are read from it and from the events
    resource            {attributes?, dropped?, schema_url?, entity_refs?, absent?}
    scope               {name?, version?, attributes?, dropped?, schema_url?, absent?}
    span_name           the name as sent, where the span goes by another one
    parent_id_sent      the parent's id as sent, where it is all zeros
    unset               ["start_time"] where none was sent

Sources: opentelemetry/proto/trace/v1/trace.proto; contract agent_chat, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import attributes_json, plain_attributes
from spanloom.adapters.otlp.convention import Draft, SpanSource
from spanloom.adapters.otlp.draft import draft_of
from spanloom.adapters.otlp.span import settle
from spanloom.model import MAX_TIME_NS, Json, Span
from spanloom.model.sampling import said_sampled

STATUS_CODES: Final = ("UNSET", "OK", "ERROR")
KINDS: Final = dict(
    zip(trace_pb2.Span.SpanKind.values(), trace_pb2.Span.SpanKind.keys(), strict=True)
)


@dataclass(frozen=True, slots=True)
class Received:
    """The spans of a request, and (path in the request, reason) of each that was rejected."""

    spans: list[Span]
    rejected: list[tuple[str, str]]


def spans_from(request: Any, *, received_ns: int) -> Received:
    """The spans of an ExportTraceServiceRequest, a TracesData, or of ResourceSpans. Never raises on what a client sent."""
    whole = Received([], [])
    for part in parts_from(request, received_ns=received_ns, most=1000):
        whole.spans.extend(part.spans)
        whole.rejected.extend(part.rejected)
    return whole


def parts_from(request: Any, *, received_ns: int, most: int) -> Iterator[Received]:
    """As `spans_from`, in parts of at most so many spans: nobody need hold those of a large request all at once."""
    spans: list[Span] = []
    rejected: list[tuple[str, str]] = []
    groups: Iterable[trace_pb2.ResourceSpans] = getattr(request, "resource_spans", request)
    for r, group in enumerate(groups):
        resource = resource_json(group)
        for s, scoped in enumerate(group.scope_spans):
            scope = scope_json(scoped)
            around = {"resource": resource} if resource is not None else {}
            if scope is not None:
                around["scope"] = scope
            scope_name = scoped.scope.name
            for index, span in enumerate(scoped.spans):
                reason = _refusal(span)
                if reason is None:
                    spans.append(_span(span, scope_name, around, received_ns))
                else:
                    rejected.append(
                        (f"resource_spans[{r}].scope_spans[{s}].spans[{index}]", reason)
                    )
                if len(spans) == most:
                    yield Received(spans, rejected)
                    spans, rejected = [], []
    if spans or rejected:
        yield Received(spans, rejected)


def resource_json(group: trace_pb2.ResourceSpans) -> dict[str, Json] | None:
    out: dict[str, Json] = {}
    if group.HasField("resource"):
        _put_attributes(out, group.resource)
        if group.resource.entity_refs:
            out["entity_refs"] = [
                {
                    field.name: list(value) if field.is_repeated else value
                    for field, value in ref.ListFields()
                }
                for ref in group.resource.entity_refs
            ]
    elif group.schema_url:
        out["absent"] = True
    else:
        return None
    if group.schema_url:
        out["schema_url"] = group.schema_url
    return out


def scope_json(group: trace_pb2.ScopeSpans) -> dict[str, Json] | None:
    out: dict[str, Json] = {}
    if group.HasField("scope"):
        for name in ("name", "version"):
            if value := getattr(group.scope, name):
                out[name] = value
        _put_attributes(out, group.scope)
    elif group.schema_url:
        out["absent"] = True
    else:
        return None
    if group.schema_url:
        out["schema_url"] = group.schema_url
    return out


def _put_attributes(out: dict[str, Json], message: Any) -> None:
    if message.attributes:
        out["attributes"] = attributes_json(message.attributes)
    if message.dropped_attributes_count:
        out["dropped"] = message.dropped_attributes_count


def _refusal(span: trace_pb2.Span) -> str | None:
    """Why a span cannot be stored."""
    for name, value, size in (("trace_id", span.trace_id, 16), ("span_id", span.span_id, 8)):
        if len(value) != size:
            return (
                f"{name} must be {size} bytes, is {len(value)}" if value else f"{name} is missing"
            )
        if not any(value):
            return f"{name} must not be all zeros"
    if span.start_time_unix_nano > MAX_TIME_NS:
        return "start_time_unix_nano is past the year 2262"
    if span.end_time_unix_nano > MAX_TIME_NS:
        return "end_time_unix_nano is past the year 2262"
    if len(span.parent_span_id) > 128:
        return f"parent_span_id must be 8 bytes, is {len(span.parent_span_id)}"
    return None


def _span(span: trace_pb2.Span, scope: str, around: dict[str, Json], received_ns: int) -> Span:
    trace_id, span_id, parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id
    start_ns = span.start_time_unix_nano
    end_ns = span.end_time_unix_nano or None
    body = around.copy()
    attributes = attributes_json(span.attributes)
    if attributes:
        body["attributes"] = attributes
    if not start_ns:
        body["unset"] = ["start_time"]
        start_ns = received_ns if end_ns is None else min(received_ns, end_ns)
    if parent and not any(parent):
        body["parent_id_sent"] = parent.hex()
        parent = b""
    if span.kind:
        body["span_kind"] = KINDS.get(span.kind, span.kind)
    events: list[dict[str, Json]] = [_event(event) for event in span.events]
    if events:
        body["events"] = events
    if span.links:
        body["links"] = [_link(link) for link in span.links]
    status, draft = _status(span, body)
    _put_rest(span, body)
    source = SpanSource(
        span.name,
        scope,
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
    settle(found, source, start_ns, body)
    sampled = said_sampled(trace_id, body, is_root=not parent)
    if sampled is not None:
        body["sampled"] = sampled
    get = found.get
    if get("error"):
        status = "ERROR"
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
    if name != source.name:
        body["span_name"] = source.name
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        event_id=event_id,
        session_id=session_id,
        parent_id=parent.hex(),
        name=name,
        kind=found["kind"],
        operation=operation,
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ms=duration,
        status=status,
        agent_name=agent_name,
        provider=provider,
        model=model,
        input_tokens=get("input_tokens"),
        output_tokens=get("output_tokens"),
        cost=get("cost"),
        body=body,
    )


def _model(found: Draft) -> str:
    """The model that was asked; of a call of a model that does not tell it, the one that answered."""
    model: str = found.get("model", "")
    return model or (found.get("response_model", "") if found["kind"] == "model" else "")


def _status(span: trace_pb2.Span, body: dict[str, Json]) -> tuple[str, Draft]:
    if not span.HasField("status"):
        return "UNSET", {}
    sent: dict[str, Json] = {}
    code, message = span.status.code, span.status.message
    if code:
        sent["code"] = code
    if message:
        sent["message"] = message
    body["status"] = sent
    return STATUS_CODES[code] if 0 <= code < 3 else "UNSET", {
        "status_message": message
    } if message else {}


def _put_rest(span: trace_pb2.Span, body: dict[str, Json]) -> None:
    if span.trace_state:
        body["trace_state"] = span.trace_state
    if span.flags:
        body["flags"] = span.flags
    counts = span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count
    if any(counts):
        names = ("attributes", "events", "links")
        body["dropped"] = {name: n for name, n in zip(names, counts, strict=True) if n}


def _event(event: trace_pb2.Span.Event) -> dict[str, Json]:
    out: dict[str, Json] = {}
    if event.name:
        out["name"] = event.name
    if event.time_unix_nano:
        out["time_ns"] = event.time_unix_nano
    _put_attributes(out, event)
    return out


def _link(link: trace_pb2.Span.Link) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for name in ("trace_id", "span_id"):
        if value := getattr(link, name):
            out[name] = value.hex()
    for name in ("trace_state", "flags"):
        if value := getattr(link, name):
            out[name] = value
    _put_attributes(out, link)
    return out
