"""What fields events have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spanloom.adapters.honeyhive.write import error_of, event_json
from spanloom.model import NO_BODY, Json, Span
from spanloom.model.span import EVENT_COLUMNS, EVENT_LISTS, EVENT_TEXTS
from spanloom.v1 import event_service_pb2

_MOST_FIELDS = 10_000


def schema_message(spans: Iterable[Span]) -> event_service_pb2.GetEventsSchemaResponse:
    """The dotted paths to all values of these events, by type; at most 10,000."""
    fields: set[tuple[str, str]] = set()
    datasets: set[str] = set()
    for span in spans:
        fields.update((name, span.kind) for name in EVENT_COLUMNS)
        for name, value in _values(span).items():
            fields.update((path, span.kind) for path in _paths(name, value))
        dataset = (span.io.metadata or NO_BODY).get("dataset_id")
        if isinstance(dataset, str) and dataset:
            datasets.add(dataset)
        if len(fields) > _MOST_FIELDS:
            break
    answer = event_service_pb2.GetEventsSchemaResponse(datasets=sorted(datasets))
    answer.mappings.SetInParent()
    for name, kind in sorted(fields)[:_MOST_FIELDS]:
        answer.fields.add(name=name, event_type=kind)
    return answer


def _values(span: Span) -> dict[str, Json]:
    """All that an event shows but its columns."""
    plain = {name: getattr(span.io, name) for name in (*EVENT_TEXTS, *EVENT_LISTS)}
    plain["error"] = error_of(span)
    return {name: value for name, value in plain.items() if value is not None} | event_json(span)


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
