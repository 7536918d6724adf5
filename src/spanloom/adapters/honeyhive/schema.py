"""What fields events have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spanloom.model import Json, Span
from spanloom.v1 import event_service_pb2

_OBJECTS = (
    *("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties"),
    *("error", "source", "project", "children_ids"),
)
_COLUMNS = (
    *("event_id", "event_name", "event_type", "session_id", "parent_id"),
    *("start_time", "end_time", "duration"),
)
_MOST_FIELDS = 10_000


def schema_message(spans: Iterable[Span]) -> event_service_pb2.GetEventsSchemaResponse:
    """The dotted paths to all values of these events, by type; at most 10,000."""
    fields: set[tuple[str, str]] = set()
    datasets: set[str] = set()
    for span in spans:
        fields.update((name, span.kind) for name in _COLUMNS)
        for name in _OBJECTS:
            if name in span.body:
                fields.update((path, span.kind) for path in _paths(name, span.body[name]))
        metadata = span.body.get("metadata")
        dataset = metadata.get("dataset_id") if isinstance(metadata, dict) else None
        if isinstance(dataset, str) and dataset:
            datasets.add(dataset)
        if len(fields) > _MOST_FIELDS:
            break
    answer = event_service_pb2.GetEventsSchemaResponse(datasets=sorted(datasets))
    answer.mappings.SetInParent()
    for name, kind in sorted(fields)[:_MOST_FIELDS]:
        answer.fields.add(name=name, event_type=kind)
    return answer


def _paths(path: str, value: Json) -> Iterator[str]:
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{path}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list) and value:
            waiting += [(f"{path}.{n}", item) for n, item in enumerate(value)]
        else:
            yield path
