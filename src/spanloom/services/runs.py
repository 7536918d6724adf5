"""RunService: what proto/spanloom/v1/run_service.proto promises."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from spanloom.adapters.honeyhive.runs import (
    UPDATED,
    aggregation,
    body_of,
    fill_comparison,
    fill_result,
    merged,
    pairs_of,
    run_message,
)
from spanloom.adapters.honeyhive.write import fill_event
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field, not_found
from spanloom.model import EventQuery, Filter, Json, Record, Span, dashed, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.services.context import CallContext
from spanloom.store.store import Store
from spanloom.v1 import run_pb2
from spanloom.v1 import run_service_pb2 as pb

_KIND = "run"
_MOST_EVENTS = 10_000
_EVENTS_AT_ONCE = 1_000
_DEFAULT_PAGE, _MOST_RUNS = 100, 1_000
_PENDING = "pending"


class RunService:
    """Runs of evaluations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_run(
        self, request: pb.CreateRunRequest, call: CallContext
    ) -> pb.CreateRunResponse:
        project = call.project(request.project)
        bad = Violations()
        if request.HasField("run_id"):
            bad.check_id("run_id", request.run_id)
        _check(request, bad)
        body = {"status": _PENDING, **body_of(request)}
        record = Record(request.run_id or dashed(uuid7()), call.received_ns, body)
        await self._store.ensure_project(project)
        [stored] = await self._store.records.write(project, _KIND, record)
        # The answer to a key that only ingests says nothing of what was stored under the id.
        run = _run(project, record if call.only_ingests else stored)
        return pb.CreateRunResponse(evaluation=run, run_id=run.run_id)

    async def list_runs(
        self, request: pb.ListRunsRequest, call: CallContext
    ) -> pb.ListRunsResponse:
        project = call.project(request.project)
        limit = clamped_page_size("limit", request.limit, default=_DEFAULT_PAGE, maximum=_MOST_RUNS)
        page = not_negative("page", request.page) or 1
        everything = await self._store.records.all(project, _KIND)
        found = [record for record in everything if _is_asked(request, record)]
        start = (page - 1) * limit
        pages = -(-len(found) // limit)
        return pb.ListRunsResponse(
            evaluations=[_run(project, record) for record in found[start : start + limit]],
            pagination=pb.ListRunsResponse.Pagination(
                page=page,
                limit=limit,
                total=len(found),
                total_unfiltered=len(everything),
                total_pages=pages,
                has_next=page < pages,
                has_prev=page > 1,
            ),
        )

    async def get_run(self, request: pb.GetRunRequest, call: CallContext) -> pb.GetRunResponse:
        run = await self._found(call.project(), "run_id", request.run_id)
        return pb.GetRunResponse(evaluation=run)

    async def update_run(
        self, request: pb.UpdateRunRequest, call: CallContext
    ) -> pb.UpdateRunResponse:
        project = call.project()
        bad = Violations()
        bad.check_id("run_id", request.run_id)
        _check(request, bad)
        update = {**body_of(request), UPDATED: call.received_ns}

        def change(stored: Mapping[str, Json]) -> dict[str, Json]:
            return merged(stored, update)

        record = await self._store.records.update(project, _KIND, request.run_id, change)
        if record is None:
            raise not_found("experiment", request.run_id[:64])
        if call.only_ingests:  # the answer says nothing of what was stored
            record = Record(request.run_id, call.received_ns, update)
        return pb.UpdateRunResponse(evaluation=_run(project, record))

    async def delete_run(
        self, request: pb.DeleteRunRequest, call: CallContext
    ) -> pb.DeleteRunResponse:
        project = call.project()
        run = await self._found(project, "run_id", request.run_id)
        if not await self._store.records.delete(project, _KIND, run.run_id):
            raise not_found("experiment", run.run_id)
        return pb.DeleteRunResponse(id=run.run_id, deleted=True)

    async def get_run_result(
        self, request: pb.GetRunResultRequest, call: CallContext
    ) -> pb.GetRunResultResponse:
        project = call.project()
        function = aggregation(request.aggregate_function)
        run = await self._found(project, "run_id", request.run_id)
        spans = await self._events(project, run)
        response = pb.GetRunResultResponse(run_object=run)
        fill = partial(fill_result, response, spans, function)
        await run_in_thread_if_large(len(spans), fill)
        return response

    async def compare_runs(
        self, request: pb.CompareRunsRequest, call: CallContext
    ) -> pb.CompareRunsResponse:
        project = call.project()
        function = aggregation(request.aggregate_function)
        if not request.old_run_id:
            raise invalid_field("old_run_id", "is required")
        new = await self._found(project, "new_run_id", request.new_run_id)
        old = await self._found(project, "old_run_id", request.old_run_id)
        of_old, of_new = await self._events(project, old), await self._events(project, new)
        response = pb.CompareRunsResponse(old_run=old, new_run=new)
        fill = partial(fill_comparison, response, of_old, of_new, function)
        await run_in_thread_if_large(len(of_old) + len(of_new), fill)
        return response

    async def compare_run_events(
        self, request: pb.CompareRunEventsRequest, call: CallContext
    ) -> pb.CompareRunEventsResponse:
        project = call.project()
        limit = clamped_page_size("limit", request.limit, default=_DEFAULT_PAGE, maximum=_MOST_RUNS)
        page = not_negative("page", request.page) or 1
        if not request.run_id_2:
            raise invalid_field("run_id_2", "is required")
        first = await self._found(project, "run_id_1", request.run_id_1)
        second = await self._found(project, "run_id_2", request.run_id_2)
        of_both = [await self._events(project, run) for run in (first, second)]
        found = await run_in_thread_if_large(
            sum(map(len, of_both)),
            lambda: pairs_of(*of_both, name=request.event_name, kind=request.event_type),
        )
        response = pb.CompareRunEventsResponse(total_events=len(found))
        for example, one, other in found[(page - 1) * limit : page * limit]:
            pair = response.events.add(datapoint_id=example)
            fill_event(pair.event_1, one)
            fill_event(pair.event_2, other)
        return response

    async def _found(self, project: str, field: str, run_id: str) -> run_pb2.Run:
        if not run_id:
            raise invalid_field(field, "is required")
        record = None
        if possible_id(run_id):
            record = await self._store.records.find(project, _KIND, run_id)
        if record is None:
            raise not_found("experiment", run_id[:64])
        return _run(project, record)

    async def _events(self, project: str, run: run_pb2.Run) -> list[Span]:
        """The events of a run, by start: those that name it, and those of the sessions that it
        names."""
        found: dict[tuple[str, str], Span] = {}
        named = Filter(field="metadata.run_id", operator="is", value=run.run_id, type="string")
        query = EventQuery(filters=[named], limit=_EVENTS_AT_ONCE)
        last: Span | None = None
        while len(found) < _MOST_EVENTS:
            part = await self._store.next_events(project, query, last)
            found.update({(span.trace_id, span.span_id): span for span in part})
            if len(part) < _EVENTS_AT_ONCE:
                break
            last = part[-1]
        # The session's own event names the run; the metrics may be on the events below it.
        sessions = {*run.event_ids, *run.session_ids, *(span.session_id for span in found.values())}
        for session_id in sorted(filter(possible_id, sessions)):
            if len(found) >= _MOST_EVENTS:
                break
            part = await self._store.session_spans(project, session_id)
            found.update({(span.trace_id, span.span_id): span for span in part})
        events = sorted(found.values(), key=lambda span: (span.start_ns, span.sequence))
        return events[:_MOST_EVENTS]


def _run(project: str, record: Record) -> run_pb2.Run:
    return run_message(project, record.id, record.created_ns, record.body)


def _check(request: pb.CreateRunRequest | pb.UpdateRunRequest, bad: Violations) -> None:
    for name in ("name", "description", "status"):
        bad.check_text(name, getattr(request, name))
    bad.refuse()


def _is_asked(request: pb.ListRunsRequest, record: Record) -> bool:
    get = record.body.get
    return (
        request.status in ("", get("status"))
        and request.dataset_id in ("", get("dataset_id"))
        and request.name in (get("name") or "")
        and (not request.run_ids or record.id in request.run_ids)
    )
