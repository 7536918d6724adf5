"""What OpenTelemetry records of a span, in the layout of `spanloom.adapters.recorded`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spanloom.adapters.native.values import attributes_json
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.model import Json
from spanloom.v1 import span_pb2 as pb

_OTEL_KINDS: Final = {
    number: name.removeprefix("OTEL_") for name, number in pb.OtelSpanKind.items() if number
}


def recorded_json(span: pb.Span) -> dict[str, Json]:
    otel = span.open_telemetry
    names = ("attributes", "events", "links")
    dropped = (
        otel.dropped_attribute_count,
        otel.dropped_event_count,
        otel.dropped_link_count,
    )
    scope = span.scope
    found: dict[str, Json] = {
        "attributes": attributes_json(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "span_kind": _OTEL_KINDS.get(otel.kind, otel.kind),
        "trace_state": otel.trace_state,
        "flags": otel.flags,
        "dropped": _set(dict(zip(names, dropped, strict=True))),
        "resource": _set(
            {
                "attributes": attributes_json(span.resource),
                "schema_url": otel.resource_schema_url,
            }
        ),
        "scope": _set(
            {
                "name": scope.name,
                "version": scope.version,
                "attributes": attributes_json(scope.attributes),
                "schema_url": scope.schema_url,
            }
        ),
    }
    return _set(found)


def _event(event: pb.SpanEvent) -> dict[str, Json]:
    return _set(
        {
            "name": event.name,
            "time_ns": ns_from_timestamp(event.time),
            "attributes": attributes_json(event.attributes),
            "dropped": event.dropped_attribute_count,
        }
    )


def _link(link: pb.SpanLink) -> dict[str, Json]:
    return _set(
        {
            "trace_id": link.trace_id,
            "span_id": link.span_id,
            "trace_state": link.trace_state,
            "flags": link.flags,
            "attributes": attributes_json(link.attributes),
            "dropped": link.dropped_attribute_count,
        }
    )


def _set(values: Mapping[str, Json]) -> dict[str, Json]:
    """Those that are not zero, empty or unset."""
    return {name: value for name, value in values.items() if value}
