"""EventService: what proto/spanloom/v1/event_service.proto promises."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.errors import invalid_field, not_found
from spanloom.ingest.checks import Violations, possible_id
from spanloom.ingest.events import read_batch, read_event
from spanloom.model import MAX_TIME_NS, EventQuery, Filter
from spanloom.services.call import INSTANCE, Call
from spanloom.services.conversion import converted
from spanloom.services.paging import not_negative, page_size
from spanloom.services.projects import Projects
from spanloom.services.views.event import event_message
from spanloom.store.store import Store
from spanloom.v1 import event_pb2, event_service_pb2
from spanloom.wire import value_object

DEFAULT_LIMIT = 1000
MOST_LIMIT = 7500
MAX_INT32 = 2**31 - 1


class EventService:
    """Events in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projects = Projects(store)

    async def create_event_batch(
        self, request: event_service_pb2.CreateEventBatchRequest, call: Call
    ) -> event_service_pb2.CreateEventBatchResponse:
        project = call.project(_project_of(request, call))
        read = await converted(
            len(request.events), lambda: read_batch(request, received_ns=call.received_ns)
        )
        await self._projects.ensure(project)
        await self._store.write_spans(project, read.spans)
        return event_service_pb2.CreateEventBatchResponse(
            event_ids=read.event_ids, session_id=read.session_id, success=True
        )

    async def create_event(
        self, request: event_service_pb2.CreateEventRequest, call: Call
    ) -> event_service_pb2.CreateEventResponse:
        if not request.HasField("event"):
            raise invalid_field("event", "is required")
        project = call.project(request.event.project)
        span = read_event(request.event, received_ns=call.received_ns)
        await self._projects.ensure(project)
        await self._store.write_spans(project, [span])
        return event_service_pb2.CreateEventResponse(event_id=span.event_id, success=True)

    async def get_event(
        self, request: event_service_pb2.GetEventRequest, call: Call
    ) -> event_service_pb2.GetEventResponse:
        project = call.project()
        event_id = request.event_id
        if not event_id:
            raise invalid_field("event_id", "is required")
        span = await self._store.find_event(project, event_id) if possible_id(event_id) else None
        if span is None:
            raise not_found("event", event_id[:64])
        return event_service_pb2.GetEventResponse(event=event_message(span))

    async def export_events(
        self, request: event_service_pb2.ExportEventsRequest, call: Call
    ) -> event_service_pb2.ExportEventsResponse:
        project = call.project(request.project)
        page = await self._store.find_events(project, _query(request))
        events = await converted(
            len(page.items), lambda: [event_message(span) for span in page.items]
        )
        total = min(page.total, MAX_INT32)
        return event_service_pb2.ExportEventsResponse(
            events=events, total_events=total, count=total
        )


def _project_of(request: event_service_pb2.CreateEventBatchRequest, call: Call) -> str:
    """The project that a batch names, "" for none; asked only where that decides (an instance key, no header). A batch goes
    into one project."""
    if call.key_project != INSTANCE or call.header_project:
        return ""
    sent = [
        (event.project, f"events[{index}].project") for index, event in enumerate(request.events)
    ]
    sent += [
        (getattr(request, name).project, f"{name}.project")
        for name in ("session_properties", "session")
    ]
    named = [(project, field) for project, field in sent if project]
    if not named:
        return ""
    project, first = named[0]
    bad = Violations()
    for other, field in named:
        if other != project:
            bad.add(field, f"names another project than {first}")
    bad.refuse()
    return project


def _query(request: event_service_pb2.ExportEventsRequest) -> EventQuery:
    bad = Violations()
    for index, sent in enumerate(request.filters):
        for name in ("field", "operator"):
            if not getattr(sent, name):
                bad.add(f"filters[{index}].{name}", "is required")
    bad.refuse()
    dates = request.date_range
    return EventQuery(
        filters=[_filter(index, sent) for index, sent in enumerate(request.filters)],
        since_ns=_bound(dates.gte) if dates.HasField("gte") else None,
        until_ns=_bound(dates.lte) if dates.HasField("lte") else None,
        limit=page_size("limit", request.limit, default=DEFAULT_LIMIT, most=MOST_LIMIT),
        page=not_negative("page", request.page) or 1,
    )


def _filter(position: int, sent: event_pb2.EventFilter) -> Filter:
    return Filter(
        field=sent.field,
        operator=sent.operator,
        value=value_object(sent.value),
        type=sent.type or "string",
        position=position,
    )


def _bound(time: Timestamp) -> int:
    """In nanoseconds; a time that no event can have stands for the nearest beside those that one can."""
    return max(-1, min(time.seconds * 10**9 + time.nanos, MAX_TIME_NS))
