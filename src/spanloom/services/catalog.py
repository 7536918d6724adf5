"""CatalogService: what proto/spanloom/v1/catalog_service.proto promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf import struct_pb2
from google.protobuf.message import Message

from spanloom.adapters.honeyhive.catalog import (
    CHART,
    CONFIGURATION,
    METRIC,
    TOOL,
    UPDATED,
    VERSIONS,
    Kind,
    deployed,
    id_of,
    project_of,
    shown_version,
    with_version,
)
from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import struct_object
from spanloom.errors import SpanloomError, invalid_field, not_found, project_not_empty
from spanloom.model import EventQuery, Json, Record, dashed, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.model.projects import INSTANCE, checked_project
from spanloom.services.context import CallContext
from spanloom.store.catalog import PROJECT, Quota
from spanloom.store.store import Store
from spanloom.v1 import catalog_service_pb2 as pb

_QUOTA: Final = Quota(records=1_000, characters=16 << 20)
_MOST_PROJECTS: Final = 1_000
_LONGEST_DESCRIPTION: Final = 4_096

_DATA: Final = "data"
M = TypeVar("M", bound=Message)

Change = Callable[[Mapping[str, Json]], Json | SpanloomError]


class CatalogService:
    """Entries of catalogs in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # Tools

    async def create_tool(
        self, request: pb.CreateToolRequest, call: CallContext
    ) -> pb.CreateToolResponse:
        _, tool = await self._create(TOOL, request.tool, call)
        return pb.CreateToolResponse(result=pb.CreateToolResponse.Result(inserted_id=tool.id))

    async def list_tools(
        self, request: pb.ListToolsRequest, call: CallContext
    ) -> pb.ListToolsResponse:
        found = await self.entries(TOOL, call.project(request.project))
        return _filled(pb.ListToolsResponse(), "tools", found)

    async def update_tool(
        self, request: pb.UpdateToolRequest, call: CallContext
    ) -> pb.UpdateToolResponse:
        await self._update(TOOL, "", request.tool, call)
        return pb.UpdateToolResponse(updated=True)

    async def delete_tool(
        self, request: pb.DeleteToolRequest, call: CallContext
    ) -> pb.DeleteToolResponse:
        await self._delete(TOOL, "function_id", request.function_id, call)
        return pb.DeleteToolResponse(deleted=True)

    # Configurations

    async def create_configuration(
        self, request: pb.CreateConfigurationRequest, call: CallContext
    ) -> pb.CreateConfigurationResponse:
        _, configuration = await self._create(CONFIGURATION, request.configuration, call)
        return pb.CreateConfigurationResponse(acknowledged=True, inserted_id=configuration.id)

    async def list_configurations(
        self, request: pb.ListConfigurationsRequest, call: CallContext
    ) -> pb.ListConfigurationsResponse:
        found = await self.configurations(request, call)
        return _filled(pb.ListConfigurationsResponse(), "configurations", found)

    async def update_configuration(
        self, request: pb.UpdateConfigurationRequest, call: CallContext
    ) -> pb.UpdateConfigurationResponse:
        if not request.id:
            raise invalid_field("id", "is required")
        _given(request, "configuration")
        await self._update(CONFIGURATION, request.id, request.configuration, call)
        return pb.UpdateConfigurationResponse(
            acknowledged=True,
            modified_count=1,
            upserted_id=struct_pb2.Value(null_value=struct_pb2.NULL_VALUE),
            matched_count=1,
        )

    async def delete_configuration(
        self, request: pb.DeleteConfigurationRequest, call: CallContext
    ) -> pb.DeleteConfigurationResponse:
        await self._delete(CONFIGURATION, "id", request.id, call)
        return pb.DeleteConfigurationResponse(acknowledged=True, deleted_count=1)

    # Metrics

    async def create_metric(
        self, request: pb.CreateMetricRequest, call: CallContext
    ) -> pb.CreateMetricResponse:
        _, metric = await self._create(METRIC, request.metric, call)
        return pb.CreateMetricResponse(inserted=True, metric_id=metric.id)

    async def list_metrics(
        self, request: pb.ListMetricsRequest, call: CallContext
    ) -> pb.ListMetricsResponse:
        found = await self.entries(METRIC, call.project(request.project))
        asked = [
            metric
            for metric in found
            if request.type in ("", metric["type"]) and request.id in ("", metric["id"])
        ]
        return _filled(pb.ListMetricsResponse(), "metrics", asked)

    async def update_metric(
        self, request: pb.UpdateMetricRequest, call: CallContext
    ) -> pb.UpdateMetricResponse:
        _given(request, "metric")
        await self._update(METRIC, request.metric_id, request.metric, call)
        return pb.UpdateMetricResponse(updated=True)

    async def delete_metric(
        self, request: pb.DeleteMetricRequest, call: CallContext
    ) -> pb.DeleteMetricResponse:
        await self._delete(METRIC, "metric_id", request.metric_id, call)
        return pb.DeleteMetricResponse(deleted=True)

    async def list_metric_versions(
        self, request: pb.ListMetricVersionsRequest, call: CallContext
    ) -> pb.ListMetricVersionsResponse:
        record = await self._found(METRIC, "metric_id", request.metric_id, call)
        data = map(shown_version, record.body[VERSIONS])
        return _filled(pb.ListMetricVersionsResponse(success=True), _DATA, data)

    async def create_metric_version(
        self, request: pb.CreateMetricVersionRequest, call: CallContext
    ) -> pb.CreateMetricVersionResponse:
        content = METRIC.sent(struct_object(request.content), at="content")

        def change(stored: Mapping[str, Json]) -> Json:
            return with_version(
                *(stored, content, request.message, call.received_ns),
                deploy=request.deploy_immediately,
            )

        record = await self._change(METRIC, "metric_id", request.metric_id, call, change)
        data = shown_version(record.body[VERSIONS][-1])
        return _filled(pb.CreateMetricVersionResponse(success=True), _DATA, [data])

    async def deploy_metric_version(
        self, request: pb.DeployMetricVersionRequest, call: CallContext
    ) -> pb.DeployMetricVersionResponse:
        name = request.version_name
        if not name:
            raise invalid_field("version_name", "is required")

        def change(stored: Mapping[str, Json]) -> Json | SpanloomError:
            return deployed(stored, name) or not_found("entry", name[:64])

        record = await self._change(METRIC, "metric_id", request.metric_id, call, change)
        live = next(each for each in record.body[VERSIONS] if each["deployed"])
        data = shown_version(live)
        return _filled(pb.DeployMetricVersionResponse(success=True), _DATA, [data])

    # Charts

    async def create_chart(
        self, request: pb.CreateChartRequest, call: CallContext
    ) -> pb.CreateChartResponse:
        project, chart = await self._create(CHART, request.chart, call)
        data = CHART.shown(project, chart)
        return _filled(pb.CreateChartResponse(success=True), _DATA, [data])

    async def list_charts(
        self, request: pb.ListChartsRequest, call: CallContext
    ) -> pb.ListChartsResponse:
        found = await self.entries(CHART, call.project(request.project))
        return _filled(pb.ListChartsResponse(success=True), _DATA, found)

    async def get_chart(
        self, request: pb.GetChartRequest, call: CallContext
    ) -> pb.GetChartResponse:
        record = await self._found(CHART, "chart_id", request.chart_id, call)
        data = CHART.shown(call.project(), record)
        return _filled(pb.GetChartResponse(success=True), _DATA, [data])

    async def update_chart(
        self, request: pb.UpdateChartRequest, call: CallContext
    ) -> pb.UpdateChartResponse:
        if not request.chart_id:
            raise invalid_field("chart_id", "is required")
        _given(request, "chart")
        record = await self._update(CHART, request.chart_id, request.chart, call)
        project = call.project(project_of(struct_object(request.chart)))
        data = CHART.shown(project, record)
        return _filled(pb.UpdateChartResponse(success=True), _DATA, [data])

    async def delete_chart(
        self, request: pb.DeleteChartRequest, call: CallContext
    ) -> pb.DeleteChartResponse:
        await self._delete(CHART, "chart_id", request.chart_id, call)
        return pb.DeleteChartResponse(success=True, message="The chart was deleted")

    # Projects

    async def create_project(
        self, request: pb.CreateProjectRequest, call: CallContext
    ) -> pb.CreateProjectResponse:
        if not request.name:
            raise invalid_field("name", "is required")
        name = call.own_project(request.name)
        _check_description(request.description)
        await self._store.ensure_project(name)
        await self._describe(name, request.description, call)
        return pb.CreateProjectResponse(id=name, name=name, description=request.description)

    async def list_catalog_projects(
        self, request: pb.ListCatalogProjectsRequest, call: CallContext
    ) -> pb.ListCatalogProjectsResponse:
        return pb.ListCatalogProjectsResponse(projects=await self.projects(request.name, call))

    async def update_project(
        self, request: pb.UpdateProjectRequest, call: CallContext
    ) -> pb.UpdateProjectResponse:
        if not request.project_id:
            raise invalid_field("project_id", "is required")
        name = call.own_project(request.project_id)
        if request.name not in ("", name):
            raise invalid_field("name", "must be the project's name, which never changes")
        _check_description(request.description)
        if not await self._store.list_projects(name=name, limit=1):
            raise not_found("entry", name)
        if request.HasField("description"):
            await self._describe(name, request.description, call)
        return pb.UpdateProjectResponse(updated=True)

    async def delete_empty_project(
        self, request: pb.DeleteEmptyProjectRequest, call: CallContext
    ) -> pb.DeleteEmptyProjectResponse:
        if not request.name:
            raise invalid_field("name", "is required")
        name = call.own_project(request.name)
        # A span that arrives after this is kept, and its project is listed again (ensure_project).
        if await self._store.next_events(name, EventQuery(limit=1)):
            raise project_not_empty(name, "spans")
        still = await self._store.delete_project(name)
        if still is None:
            raise not_found("entry", name)
        if still:
            raise project_not_empty(name, still)
        return pb.DeleteEmptyProjectResponse(deleted=True)

    # What CatalogArrayService shows, too

    async def entries(self, kind: Kind, project: str) -> list[dict[str, Json]]:
        """The entries of one kind, latest first."""
        found = await self._store.records.all(project, kind.name)
        return [kind.shown(project, record) for record in found]

    async def configurations(self, request: Any, call: CallContext) -> list[dict[str, Json]]:
        """The configurations that have the environment and the name of a request."""
        return [
            each
            for each in await self.entries(CONFIGURATION, call.project(request.project))
            if request.name in ("", each["name"])
            and (not request.env or request.env in each["env"])
        ]

    async def projects(self, name: str, call: CallContext) -> list[pb.CatalogProject]:
        """The projects that a caller may see, by name."""
        if name:
            checked_project(name)
        own = name
        if call.key_project != INSTANCE or call.header_project:
            own = call.project()
        if name not in ("", own):
            return []
        found = await self._store.list_projects(name=own, limit=_MOST_PROJECTS)
        if own:
            record = await self._store.records.find(INSTANCE, PROJECT, own)
            described = [record] if record else []
        else:
            described = await self._store.records.all(INSTANCE, PROJECT)
        texts = {record.id: record.body["description"] for record in described}
        return [
            pb.CatalogProject(id=each, name=each, description=texts.get(each, ""))
            for each, *_ in found
        ]

    async def _describe(self, name: str, description: str, call: CallContext) -> None:
        record = Record(name, call.received_ns, {"description": description})
        await self._store.records.write(INSTANCE, PROJECT, record)

    async def _create(
        self, kind: Kind, sent: struct_pb2.Struct, call: CallContext
    ) -> tuple[str, Record]:
        document = struct_object(sent)
        project = call.project(project_of(document))
        entry = kind.sent(document)
        if kind is METRIC:
            entry = with_version({}, entry, "Created", call.received_ns)
        entry_id = id_of(document, "id") or dashed(uuid7())
        record = Record(entry_id, call.received_ns, entry)
        await self._store.ensure_project(project)
        [stored] = await self._store.records.write(project, kind.name, record, quota=_QUOTA)
        return project, stored

    async def _update(
        self, kind: Kind, entry_id: str, sent: struct_pb2.Struct, call: CallContext
    ) -> Record:
        document = struct_object(sent)
        update = kind.sent(document, whole=False)

        def change(stored: Mapping[str, Json]) -> Json | SpanloomError:
            entry = kind.merged(stored, update)
            if kind is not METRIC or isinstance(entry, SpanloomError):
                return entry
            return with_version(stored, entry, "Updated", call.received_ns)

        named = entry_id or id_of(document, "id", "metric_id")
        return await self._change(
            *(kind, f"{kind.name}.id", named, call, change), hint=project_of(document)
        )

    async def _change(
        self,
        kind: Kind,
        field: str,
        entry_id: str,
        call: CallContext,
        change: Change,
        hint: str = "",
    ) -> Record:
        project = call.project(hint)
        _check_id(field, entry_id)

        def changed(stored: Mapping[str, Json]) -> Json | SpanloomError:
            body = change(stored)
            if isinstance(body, SpanloomError):
                return body
            return {**body, UPDATED: call.received_ns}

        record = await self._store.records.update(project, kind.name, entry_id, changed, _QUOTA)
        if record is None:
            raise not_found("entry", entry_id)
        return record

    async def _found(self, kind: Kind, field: str, entry_id: str, call: CallContext) -> Record:
        _check_id(field, entry_id)
        record = await self._store.records.find(call.project(), kind.name, entry_id)
        if record is None:
            raise not_found("entry", entry_id)
        return record

    async def _delete(self, kind: Kind, field: str, entry_id: str, call: CallContext) -> None:
        _check_id(field, entry_id)
        if not await self._store.records.delete(call.project(), kind.name, entry_id):
            raise not_found("entry", entry_id)


def _check_id(field: str, entry_id: str) -> None:
    if not entry_id:
        raise invalid_field(field, "is required")
    if not possible_id(entry_id):
        raise not_found("entry", entry_id[:64])


def _check_description(description: str) -> None:
    bad = Violations()
    bad.check_text("description", description)
    if len(description) > _LONGEST_DESCRIPTION:
        bad.add("description", f"must have at most {_LONGEST_DESCRIPTION} characters")
    bad.refuse()


def _filled(response: M, field: str, entries: Iterable[Mapping[str, Json]]) -> M:
    """The response with entries in a field of Structs."""
    for entry in entries:
        put_json(response, {field: entry})
    return response


def _given(request: Message, field: str) -> None:
    if not request.HasField(field):
        raise invalid_field(field, "is required")
