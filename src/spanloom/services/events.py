"""EventService: what proto/spanloom/v1/event_service.proto promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from spanloom.adapters.honeyhive.incoming import EventBatch, SentEvent, sent_batch, sent_event
from spanloom.adapters.honeyhive.model_events import event_of, events_of
from spanloom.adapters.honeyhive.nested import has_children
from spanloom.adapters.honeyhive.projection import project as projected
from spanloom.adapters.honeyhive.projection import wanted
from spanloom.adapters.honeyhive.query import chart_of, event_query, page_query
from spanloom.adapters.honeyhive.read import ADAPTER, ParsedEvents, read_batch, read_event
from spanloom.adapters.honeyhive.schema import schema_message
from spanloom.adapters.honeyhive.update import read_update
from spanloom.adapters.honeyhive.write import event_message, fill_event
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import invalid_field, not_found
from spanloom.model import Span
from spanloom.model.checks import possible_id
from spanloom.model.held import HELD
from spanloom.services.context import CallContext
from spanloom.store.spans import MOST_POINTS
from spanloom.store.store import Store
from spanloom.v1 import event_service_pb2

MAX_EXPORTED = 7500
MAX_FOUND = 1000
MAX_INT32 = 2**31 - 1
# Of one batch.
MOST_EVENTS = 20_000
# What each event of a batch takes while it is read and written, whatever its size; the queue of the
# writer bounds small batches.
_EVENT_BYTES = 4096
_MANY_EVENTS = 5_000
# So many are in memory for each stream whose client does not read.
_STREAMED_AT_ONCE = 50
_STREAMED_BYTES = 64 << 10
# Of what was sent of the events on one page.
MAX_PAGE_BYTES = 32 << 20
_SCHEMA_EVENTS = 1000
_LOWER_BOUND = "x-total-is-lower-bound"
_NARROW = (
    "the deadline expired before all events that the filters may match were read; narrow the search"
    " by a range of start times, or by a filter on event_type, event_name, session_id or event_id"
)


class EventService:
    """Events in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_event_batch(
        self, request: event_service_pb2.CreateEventBatchRequest | EventBatch, call: CallContext
    ) -> event_service_pb2.CreateEventBatchResponse:
        read = await self._create(request, call, "events")
        return event_service_pb2.CreateEventBatchResponse(
            event_ids=read.event_ids, session_id=read.session_id, success=True
        )

    async def create_event(
        self, request: event_service_pb2.CreateEventRequest | SentEvent, call: CallContext
    ) -> event_service_pb2.CreateEventResponse:
        if isinstance(request, SentEvent):
            event = request
        elif has_children([request.event]):
            batch = event_service_pb2.CreateEventBatchRequest(events=[request.event])
            read = await self._create(sent_batch(batch, place="event"), call, "event")
            return event_service_pb2.CreateEventResponse(event_id=read.event_ids[0], success=True)
        elif request.HasField("event"):
            event = sent_event(request.event, brief=True)
        else:
            raise invalid_field("event", "is required")
        event_id = await self._create_one(event, call, "event")
        return event_service_pb2.CreateEventResponse(event_id=event_id, success=True)

    async def create_model_event(
        self, request: event_service_pb2.CreateModelEventRequest, call: CallContext
    ) -> event_service_pb2.CreateModelEventResponse:
        if not request.HasField("model_event"):
            raise invalid_field("model_event", "is required")
        event = sent_event(event_of(request.model_event), brief=True)
        event_id = await self._create_one(event, call, "model_event")
        return event_service_pb2.CreateModelEventResponse(event_id=event_id, success=True)

    async def create_model_event_batch(
        self, request: event_service_pb2.CreateModelEventBatchRequest, call: CallContext
    ) -> event_service_pb2.CreateModelEventBatchResponse:
        batch = await run_in_thread_if_large(len(request.model_events), lambda: events_of(request))
        read = await self._create(batch, call, "model_events")
        return event_service_pb2.CreateModelEventBatchResponse(
            event_ids=read.event_ids, session_id=read.session_id, success=True
        )

    async def update_event(
        self, request: event_service_pb2.UpdateEventRequest, call: CallContext
    ) -> event_service_pb2.UpdateEventResponse:
        project = call.project(request.project)
        patch = read_update(request)
        await self._store.ensure_project(project)
        if patch:
            await self._store.patch_event(
                *(project, request.event_id, patch),
                trace_id=request.trace_id,
                only_of=ADAPTER if call.only_ingests else "",
            )
        return event_service_pb2.UpdateEventResponse(success=True)

    async def delete_event(
        self, request: event_service_pb2.DeleteEventRequest, call: CallContext
    ) -> event_service_pb2.DeleteEventResponse:
        project = call.project()
        event_id = request.event_id
        if not event_id:
            raise invalid_field("event_id", "is required")
        if not _possible(request) or not await self._store.delete_event(
            project, event_id, trace_id=request.trace_id
        ):
            raise not_found("event", event_id[:64])
        return event_service_pb2.DeleteEventResponse(success=True, deleted=event_id)

    async def get_event(
        self, request: event_service_pb2.GetEventRequest, call: CallContext
    ) -> event_service_pb2.GetEventResponse:
        project = call.project()
        event_id = request.event_id
        if not event_id:
            raise invalid_field("event_id", "is required")
        span = None
        if _possible(request):
            span = await self._store.find_event(project, event_id, trace_id=request.trace_id)
        if span is None:
            raise not_found("event", event_id[:64])
        return event_service_pb2.GetEventResponse(event=event_message(span))

    async def export_events(
        self, request: event_service_pb2.ExportEventsRequest, call: CallContext
    ) -> event_service_pb2.ExportEventsResponse:
        answer = event_service_pb2.ExportEventsResponse()
        answer.count = answer.total_events = await self._fill(
            answer.events, request, call, MAX_EXPORTED
        )
        return answer

    async def search_events(
        self, request: event_service_pb2.SearchEventsRequest, call: CallContext
    ) -> event_service_pb2.SearchEventsResponse:
        answer = event_service_pb2.SearchEventsResponse()
        answer.count = await self._fill(answer.events, request, call, MAX_FOUND)
        return answer

    async def list_events(
        self, request: event_service_pb2.ListEventsRequest, call: CallContext
    ) -> event_service_pb2.ListEventsResponse:
        answer = event_service_pb2.ListEventsResponse()
        answer.count = answer.total_events = await self._fill(
            answer.events, request, call, MAX_EXPORTED
        )
        return answer

    async def stream_events(
        self, request: event_service_pb2.StreamEventsRequest, call: CallContext
    ) -> AsyncIterator[event_service_pb2.StreamEventsResponse]:
        project = call.project(request.project)
        query = replace(event_query(request), limit=_STREAMED_AT_ONCE, most_bytes=_STREAMED_BYTES)
        fields = wanted(request.projections)
        last: Span | None = None
        while True:
            spans = await self._store.next_events(project, query, last)
            if not spans:
                return
            last = spans[-1]
            for span in spans:
                yield _streamed(span, fields)

    stream_events.is_bulk = True  # type: ignore[attr-defined]

    async def get_events_schema(
        self, request: event_service_pb2.GetEventsSchemaRequest, call: CallContext
    ) -> event_service_pb2.GetEventsSchemaResponse:
        project = call.project(request.project)
        query = replace(event_query(request), limit=_SCHEMA_EVENTS, most_bytes=MAX_PAGE_BYTES)
        call.notes.on_deadline = _NARROW
        spans = await self._store.next_events(project, query)
        return await run_in_thread_if_large(len(spans), lambda: schema_message(spans))

    async def get_events_chart(
        self, request: event_service_pb2.GetEventsChartRequest, call: CallContext
    ) -> event_service_pb2.GetEventsChartResponse:
        project = call.project(request.project)
        query, chart = chart_of(request)
        call.notes.on_deadline = _NARROW
        points = await self._store.chart(project, query, chart)
        if len(points) > MOST_POINTS:
            raise invalid_field(
                "bucket",
                f"results in more than {MOST_POINTS} points:"
                " choose longer buckets or a shorter range",
            )
        return event_service_pb2.GetEventsChartResponse(
            events=[
                event_service_pb2.EventsChartPoint(
                    bucket=timestamp_from_ns(point.start_ns),
                    group=point.group,
                    value=point.value,
                    count=min(point.count, MAX_INT32),
                )
                for point in points
            ],
            total_events=min(sum(point.count for point in points), MAX_INT32),
        )

    async def _create(
        self,
        request: event_service_pb2.CreateEventBatchRequest | EventBatch,
        call: CallContext,
        field: str,
    ) -> ParsedEvents:
        batch = (
            request
            if isinstance(request, EventBatch)
            else await run_in_thread_if_large(len(request.events), lambda: sent_batch(request))
        )
        number = len(batch.events)
        if number > MOST_EVENTS:
            raise invalid_field(
                batch.place(field, MOST_EVENTS),
                f"is the {MOST_EVENTS + 1}th event: send at most {MOST_EVENTS} at once",
            )
        if number > _MANY_EVENTS and (holder := HELD.get()) is not None:
            holder.take(number * _EVENT_BYTES)
        project = call.project_of_parts(_named_projects(batch, field))
        read = await run_in_thread_if_large(
            len(batch.events), lambda: read_batch(batch, received_ns=call.received_ns, field=field)
        )
        await self._store.ensure_project(project)
        await self._store.write_spans(project, read.spans, events=True, only_own=call.only_ingests)
        return read

    async def _create_one(self, event: SentEvent, call: CallContext, field: str) -> str:
        project = call.project(event.fields.get("project", ""))
        span = read_event(event, received_ns=call.received_ns, field=field)
        await self._store.ensure_project(project)
        await self._store.write_spans(project, [span], events=True, only_own=call.only_ingests)
        return span.event_id

    async def _fill(
        self,
        events: Any,  # a repeated field of Event
        request: event_service_pb2.ExportEventsRequest
        | event_service_pb2.SearchEventsRequest
        | event_service_pb2.ListEventsRequest,
        call: CallContext,
        maximum: int,
    ) -> int:
        """Add one page of events; how many there are in all."""
        project = call.project(request.project)
        fields = wanted(getattr(request, "projections", ()))
        call.notes.on_deadline = _NARROW
        query = replace(page_query(request, maximum=maximum), most_bytes=MAX_PAGE_BYTES)
        page = await self._store.find_events(project, query)
        if page.is_lower_bound:
            call.notes.headers[_LOWER_BOUND] = "true"

        def fill() -> None:
            for span in page.items:
                event = events.add()
                fill_event(event, span)
                projected(event, fields)

        await run_in_thread_if_large(len(page.items), fill)
        return min(page.total, MAX_INT32)


def _streamed(span: Span, fields: Any) -> event_service_pb2.StreamEventsResponse:
    answer = event_service_pb2.StreamEventsResponse()
    fill_event(answer.event, span)
    projected(answer.event, fields)
    return answer


def _possible(
    request: event_service_pb2.GetEventRequest | event_service_pb2.DeleteEventRequest,
) -> bool:
    """Whether the ids of the request can be those of an event."""
    return possible_id(request.event_id) and (not request.trace_id or possible_id(request.trace_id))


def _named_projects(batch: EventBatch, field: str) -> Iterator[tuple[str, str]]:
    """The projects that a batch names, with the paths of the fields."""
    for index, event in enumerate(batch.events):
        yield event.fields.get("project", ""), f"{batch.place(field, index)}.project"
    for name in ("session_properties", "session"):
        yield getattr(batch.request, name).project, f"{name}.project"
