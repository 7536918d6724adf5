"""What spans of one resource and one scope share, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import attributes_json, plain_attributes
from spanloom.adapters.otlp.convention import Draft, SpanSource
from spanloom.adapters.otlp.draft import draft_of, route_of
from spanloom.model import Json

# What a resource says of all its spans.
_OF_RESOURCE: Final = ("session_id", "user_id")
# The service of a resource that names none.
UNKNOWN_SERVICE: Final = "unknown_service"


class Around(NamedTuple):
    """What spans of one resource and scope share: the name of the scope, what `sent` holds of both,
    and the fields that the resource offers where a span says nothing."""

    scope: str
    sent: dict[str, Json]
    fields: Draft


def around_of(group: trace_pb2.ResourceSpans, scoped: trace_pb2.ScopeSpans) -> Around:
    """What the spans of a scope share."""
    found = {"resource": resource_json(group), "scope": scope_json(scoped)}
    sent = {name: value for name, value in found.items() if value is not None}
    given = plain_attributes(attributes_json(group.resource.attributes))
    fields: Draft = {}
    if any(rule[1] in _OF_RESOURCE for key in given for rule in route_of(key).rules):
        told = draft_of(SpanSource("", "", given))
        fields = {name: told[name] for name in _OF_RESOURCE if name in told}
    return Around(scoped.scope.name, sent, fields)


def envelope_of(group: trace_pb2.ResourceSpans, scoped: trace_pb2.ScopeSpans) -> bytes:
    """What spans of one resource and scope share, as ResourceSpans without spans."""
    shared = trace_pb2.ResourceSpans(schema_url=group.schema_url)
    if group.HasField("resource"):
        shared.resource.CopyFrom(group.resource)
    scope = shared.scope_spans.add(schema_url=scoped.schema_url)
    if scoped.HasField("scope"):
        scope.scope.CopyFrom(scoped.scope)
    return shared.SerializeToString(deterministic=True)


@lru_cache(maxsize=256)
def opened(envelope: bytes) -> Around:
    """What spans share, from the bytes of `envelope_of`."""
    group = trace_pb2.ResourceSpans.FromString(envelope)
    [scoped] = group.scope_spans
    return around_of(group, scoped)


@lru_cache(maxsize=10_000)
def service_in(envelope: bytes) -> str:
    """The name of the service in the bytes of `envelope_of`."""
    group = trace_pb2.ResourceSpans.FromString(envelope)
    return _service(attributes_json(group.resource.attributes))


def service_of(sent: Mapping[str, Json]) -> str:
    """The name of the service in what `sent` holds of a span."""
    return _service((sent.get("resource") or {}).get("attributes", {}))


def _service(attributes: Json) -> str:
    name = dict(attributes).get("service.name")
    return name if isinstance(name, str) and name else UNKNOWN_SERVICE


def resource_json(group: trace_pb2.ResourceSpans) -> dict[str, Json] | None:
    """The resource as `sent` holds it, None where there is none."""
    out: dict[str, Json] = {}
    if group.HasField("resource"):
        put_attributes(out, group.resource)
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
    """The scope as `sent` holds it, None where there is none."""
    out: dict[str, Json] = {}
    if group.HasField("scope"):
        for name in ("name", "version"):
            if value := getattr(group.scope, name):
                out[name] = value
        put_attributes(out, group.scope)
    elif group.schema_url:
        out["absent"] = True
    else:
        return None
    if group.schema_url:
        out["schema_url"] = group.schema_url
    return out


def put_attributes(out: dict[str, Json], message: Any) -> None:
    """Put the attributes of a message into what is kept of it."""
    if message.attributes:
        out["attributes"] = attributes_json(message.attributes)
    if message.dropped_attributes_count:
        out["dropped"] = message.dropped_attributes_count
