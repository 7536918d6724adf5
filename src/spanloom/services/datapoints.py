"""DatapointService: what proto/spanloom/v1/datapoint_service.proto promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spanloom.adapters.honeyhive.datapoints import datapoint_message, is_asked
from spanloom.adapters.honeyhive.datasets import of_event
from spanloom.adapters.honeyhive.query import event_query
from spanloom.adapters.honeyhive.runs import UPDATED, body_of
from spanloom.adapters.honeyhive.write import event_json
from spanloom.errors import SpanloomError, invalid_field, not_found
from spanloom.model import Json, Record, dashed, uuid7
from spanloom.model.catalog import DATAPOINT
from spanloom.model.checks import Violations, possible_id
from spanloom.services.context import CallContext
from spanloom.store.store import Store
from spanloom.v1 import datapoint_service_pb2 as pb

_MOST_EVENTS = 1_000


class DatapointService:
    """Datapoints in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_datapoint(
        self, request: pb.CreateDatapointRequest, call: CallContext
    ) -> pb.CreateDatapointResponse:
        project = call.project(request.project)
        if request.HasField("id"):
            bad = Violations()
            bad.check_id("id", request.id)
            bad.refuse()
        body = body_of(request)
        record = Record(body.pop("id", None) or dashed(uuid7()), call.received_ns, body)
        await self._store.ensure_project(project)
        await self._store.records.write(project, DATAPOINT, record)
        result = pb.CreateDatapointResponse.Result(inserted_id=record.id, inserted_ids=[record.id])
        return pb.CreateDatapointResponse(inserted=True, result=result)

    async def batch_create_datapoints(
        self, request: pb.BatchCreateDatapointsRequest, call: CallContext
    ) -> pb.BatchCreateDatapointsResponse:
        project = call.project(request.project)
        bad = Violations()
        if request.dataset_id:
            bad.check_id("dataset_id", request.dataset_id)
        if request.select_all == bool(request.events):
            bad.add("events", "is required, unless select_all is set, and must not be set with it")
        if len(request.events) > _MOST_EVENTS:
            bad.add("events", f"must have at most {_MOST_EVENTS} elements")
        for index, event_id in enumerate(request.events[:_MOST_EVENTS]):
            bad.check_id(f"events[{index}]", event_id)
        bad.refuse()
        mapping = request.mapping if request.HasField("mapping") else None
        points = [
            Record(dashed(uuid7()), call.received_ns + index, of_event(event, mapping))
            for index, event in enumerate(await self._events(project, request))
        ]
        await self._store.ensure_project(project)
        if request.dataset_id:
            await self._store.datasets.add_points(project, request.dataset_id, points)
        else:
            await self._store.records.write(project, DATAPOINT, *points)
        ids = [point.id for point in points]
        return pb.BatchCreateDatapointsResponse(inserted=True, inserted_ids=ids)

    async def _events(
        self, project: str, request: pb.BatchCreateDatapointsRequest
    ) -> list[dict[str, Json]]:
        """The events that a request names, as JSON."""
        if request.select_all:
            query = replace(event_query(request), limit=_MOST_EVENTS)
            spans = await self._store.next_events(project, query)
        else:
            found = [await self._store.find_event(project, each) for each in request.events]
            for event_id, span in zip(request.events, found, strict=True):
                if span is None:
                    raise not_found("event", event_id[:64])
            spans = [span for span in found if span is not None]
        return [{**event_json(span), "event_id": span.event_id} for span in spans]

    async def list_datapoints(
        self, request: pb.ListDatapointsRequest, call: CallContext
    ) -> pb.ListDatapointsResponse:
        project = call.project(request.project)
        datasets = {request.dataset_id} - {""}
        if request.dataset_name:
            named = await self._store.datasets.find(project)
            datasets |= {each.slug for each in named if each.name == request.dataset_name}
            datasets.add(request.dataset_name)
        found = await self._store.records.all(project, DATAPOINT)
        return pb.ListDatapointsResponse(
            datapoints=[
                datapoint_message(record)
                for record in found
                if is_asked(record, set(request.datapoint_ids), datasets)
            ]
        )

    async def get_datapoint(
        self, request: pb.GetDatapointRequest, call: CallContext
    ) -> pb.GetDatapointResponse:
        project = call.project()
        _check(request.id)
        record = await self._store.records.find(project, DATAPOINT, request.id)
        if record is None:
            raise _missing(request.id)
        return pb.GetDatapointResponse(datapoint=[datapoint_message(record)])

    async def update_datapoint(
        self, request: pb.UpdateDatapointRequest, call: CallContext
    ) -> pb.UpdateDatapointResponse:
        project = call.project()
        _check(request.id)
        update = {**body_of(request), UPDATED: call.received_ns}
        del update["id"]

        def change(stored: Mapping[str, Json]) -> dict[str, Json]:
            return {**stored, **update}

        if await self._store.records.update(project, DATAPOINT, request.id, change) is None:
            raise _missing(request.id)
        result = pb.UpdateDatapointResponse.Result(modified_count=1)
        return pb.UpdateDatapointResponse(updated=True, result=result)

    async def delete_datapoint(
        self, request: pb.DeleteDatapointRequest, call: CallContext
    ) -> pb.DeleteDatapointResponse:
        project = call.project()
        _check(request.id)
        if not await self._store.records.delete(project, DATAPOINT, request.id):
            raise _missing(request.id)
        return pb.DeleteDatapointResponse(deleted=True)


def _check(datapoint_id: str) -> None:
    if not datapoint_id:
        raise invalid_field("id", "is required")
    if not possible_id(datapoint_id):
        raise _missing(datapoint_id)


def _missing(datapoint_id: str) -> SpanloomError:
    return not_found("dataset", datapoint_id[:64])
