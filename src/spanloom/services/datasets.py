"""DatasetService: what proto/spanloom/v1/dataset_service.proto promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spanloom.adapters.honeyhive.datasets import (
    MOST_POINTS,
    check_details,
    details_of,
    mapped,
    summary,
)
from spanloom.codec.json_fields import put_json
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.struct_reader import struct_object
from spanloom.errors import invalid_field, not_found
from spanloom.model import Dataset, Json, Record, dashed, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.services.context import CallContext
from spanloom.services.repeats import answer_once
from spanloom.store.control import ControlStore
from spanloom.store.once import Once
from spanloom.v1 import dataset_pb2, dataset_service_pb2


class DatasetService:
    """Datasets in and out."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create_dataset(
        self, request: dataset_service_pb2.CreateDatasetRequest, call: CallContext
    ) -> dataset_service_pb2.CreateDatasetResponse:
        project = call.project(request.project)
        details = details_of(request)
        violations = Violations()
        if request.slug or not request.name:
            violations.check_id("slug", request.slug)
            if not request.columns:
                violations.add("columns", "is required")
        check_details(request, details, violations)
        seen: set[str] = set()
        for index, column in enumerate(request.columns):
            violations.check_id(f"columns[{index}]", column)
            if column in seen:
                violations.add(f"columns[{index}]", "is a duplicate column name")
            seen.add(column)
        violations.refuse()
        dataset = Dataset(
            slug=request.slug,
            name=request.name or request.slug,
            columns=list(request.columns),
            details=details,
            created_ns=call.received_ns,
            updated_ns=call.received_ns,
        )
        await self._store.ensure_project(project)
        stored = await self._store.datasets.write(project, dataset, request.datapoints)
        response = dataset_service_pb2.CreateDatasetResponse(inserted=True)
        response.result.inserted_id = stored.slug
        response.dataset.CopyFrom(await self._summary(project, stored))
        return response

    async def list_datasets(
        self, request: dataset_service_pb2.ListDatasetsRequest, call: CallContext
    ) -> dataset_service_pb2.ListDatasetsResponse:
        project = call.project(request.project)
        slug = request.dataset_id
        if slug and not possible_id(slug):
            return dataset_service_pb2.ListDatasetsResponse()
        found = await self._store.datasets.find(project, slug or None)
        points = await self._store.datasets.points(project)
        shown = [
            summary(project, dataset, points.get(dataset.slug, ()))
            for dataset in found
            if request.name in ("", dataset.name)
            and request.type in ("", dataset.details.get("type"))
        ]
        return dataset_service_pb2.ListDatasetsResponse(datasets=shown, testcases=shown)

    async def update_dataset(
        self, request: dataset_service_pb2.UpdateDatasetRequest, call: CallContext
    ) -> dataset_service_pb2.UpdateDatasetResponse:
        project = call.project()
        details = details_of(request)
        bad = Violations()
        slug = request.slug or request.dataset_id
        bad.check_id("slug", slug)
        check_details(request, details, bad)
        bad.refuse()

        def change(stored: Dataset) -> Dataset:
            return replace(
                stored,
                name=request.name or stored.name,
                details={**stored.details, **details},
                updated_ns=call.received_ns,
            )

        dataset = await self._store.datasets.update(project, slug, change, request.datapoints)
        if dataset is None:
            raise not_found("dataset", slug)
        result = await self._summary(project, dataset)
        return dataset_service_pb2.UpdateDatasetResponse(result=result)

    async def add_datapoints(
        self, request: dataset_service_pb2.AddDatapointsRequest, call: CallContext
    ) -> dataset_service_pb2.AddDatapointsResponse:
        project = call.project()
        bad = Violations()
        bad.check_id("dataset_id", request.dataset_id)
        if not 0 < len(request.data) <= MOST_POINTS:
            bad.add("data", f"must have 1 to {MOST_POINTS} elements")
        bad.refuse()
        points = [
            # In the order of the request, which lists of datapoints keep.
            Record(dashed(uuid7()), call.received_ns + index, mapped(data, request.mapping))
            for index, data in enumerate(map(struct_object, request.data))
        ]
        await self._store.datasets.add_points(project, request.dataset_id, points)
        ids = [point.id for point in points]
        return dataset_service_pb2.AddDatapointsResponse(inserted=True, datapoint_ids=ids)

    async def remove_datapoint(
        self, request: dataset_service_pb2.RemoveDatapointRequest, call: CallContext
    ) -> dataset_service_pb2.RemoveDatapointResponse:
        project = call.project()
        bad = Violations()
        bad.check_id("dataset_id", request.dataset_id)
        bad.check_id("datapoint_id", request.datapoint_id)
        bad.refuse()
        if not await self._store.datasets.remove_point(
            project, request.dataset_id, request.datapoint_id
        ):
            raise not_found("dataset", request.dataset_id)
        return dataset_service_pb2.RemoveDatapointResponse(
            dereferenced=True, message="The datapoint was removed from the dataset"
        )

    async def get_dataset(
        self, request: dataset_service_pb2.GetDatasetRequest, call: CallContext
    ) -> dataset_service_pb2.GetDatasetResponse:
        project = call.project()
        dataset = await self._dataset(project, request.slug)
        rows = await self._store.datasets.rows(project, dataset.slug)
        message = await run_in_thread_if_large(
            len(rows),
            lambda: dataset_pb2.Dataset(
                slug=dataset.slug,
                name=dataset.name,
                columns=dataset.columns,
                rows=map(_row, rows),
            ),
        )
        return dataset_service_pb2.GetDatasetResponse(dataset=message)

    async def create_dataset_item(
        self, request: dataset_service_pb2.CreateDatasetItemRequest, call: CallContext
    ) -> dataset_service_pb2.CreateDatasetItemResponse:
        project = call.project()
        return await answer_once(
            self._store,
            project,
            request,
            dataset_service_pb2.CreateDatasetItemResponse,
            lambda once: self._add_row(project, request, once),
            about=request.slug,
        )

    async def _add_row(
        self, project: str, request: dataset_service_pb2.CreateDatasetItemRequest, once: Once
    ) -> dataset_service_pb2.CreateDatasetItemResponse:
        dataset = await self._dataset(project, request.slug)
        if not request.values:
            raise invalid_field("values", "is required")
        columns = set(dataset.columns)
        row: dict[str, Json] = {
            "values": {name: v for name, v in request.values.items() if name in columns}
        }
        for name in ("name", "ideal_output"):
            if request.HasField(name):
                row[name] = getattr(request, name)
        if request.HasField("metadata"):
            row["metadata"] = struct_object(request.metadata)
        warning = _discarded(sorted(set(request.values) - columns))
        response = dataset_service_pb2.CreateDatasetItemResponse(
            dataset_row=_row(row), warning=warning
        )
        answering = once.answering(lambda _: response.SerializeToString())
        await self._store.datasets.add_row(project, dataset.slug, row, answering)
        return response

    async def delete_dataset(
        self, request: dataset_service_pb2.DeleteDatasetRequest, call: CallContext
    ) -> dataset_service_pb2.DeleteDatasetResponse:
        project = call.project()
        dataset = await self._dataset(project, request.slug or request.dataset_id)
        if not await self._store.datasets.delete(project, dataset.slug):
            raise not_found("dataset", dataset.slug)
        result = dataset_service_pb2.DeleteDatasetResponse.Result(id=dataset.slug)
        return dataset_service_pb2.DeleteDatasetResponse(result=result)

    async def _summary(self, project: str, dataset: Dataset) -> dataset_pb2.DatasetSummary:
        points = await self._store.datasets.points(project)
        return summary(project, dataset, points.get(dataset.slug, ()))

    async def _dataset(self, project: str, slug: str) -> Dataset:
        if not slug:
            raise invalid_field("slug", "is required")
        found = await self._store.datasets.find(project, slug) if possible_id(slug) else []
        if not found:
            raise not_found("dataset", slug[:64])
        return found[0]


def _discarded(names: Sequence[str]) -> str | None:
    """The warning about values whose names are no columns."""
    if not names:
        return None
    if len(names) == 1:
        return f"The dataset has no column {names[0]}; its value was discarded"
    return f"The dataset has no columns {', '.join(names)}; their values were discarded"


def _row(row: dict[str, Json]) -> dataset_pb2.DatasetRow:
    message = dataset_pb2.DatasetRow(
        values=row["values"], name=row.get("name"), ideal_output=row.get("ideal_output")
    )
    if "metadata" in row:
        put_json(message, {"metadata": row["metadata"]})
    return message
