"""CatalogArrayService: what proto/spanloom/v1/catalog_array_service.proto promises."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from google.api.httpbody_pb2 import HttpBody

from spanloom.adapters.honeyhive.catalog import METRIC, TOOL, older_metric, older_tool
from spanloom.model import Json
from spanloom.services.catalog import CatalogService
from spanloom.services.context import CallContext
from spanloom.v1 import catalog_array_service_pb2 as pb


class CatalogArrayService:
    """Entries of catalogs as JSON arrays."""

    def __init__(self, catalog: CatalogService) -> None:
        self._catalog = catalog

    async def get_tool_array(
        self, request: pb.GetToolArrayRequest, call: CallContext
    ) -> pb.GetToolArrayResponse:
        found = await self._catalog.entries(TOOL, call.project(request.project))
        return pb.GetToolArrayResponse(document=_array(list(map(older_tool, found))))

    async def get_configuration_array(
        self, request: pb.GetConfigurationArrayRequest, call: CallContext
    ) -> pb.GetConfigurationArrayResponse:
        found = await self._catalog.configurations(request, call)
        return pb.GetConfigurationArrayResponse(document=_array(found))

    async def get_metric_array(
        self, request: pb.GetMetricArrayRequest, call: CallContext
    ) -> pb.GetMetricArrayResponse:
        found = await self._catalog.entries(METRIC, call.project(request.project_name))
        return pb.GetMetricArrayResponse(document=_array(list(map(older_metric, found))))

    async def get_project_array(
        self, request: pb.GetProjectArrayRequest, call: CallContext
    ) -> pb.GetProjectArrayResponse:
        found = [
            {"id": each.id, "name": each.name, "description": each.description}
            for each in await self._catalog.projects(request.name, call)
        ]
        return pb.GetProjectArrayResponse(document=_array(found))


def _array(items: Sequence[Json]) -> HttpBody:
    return HttpBody(content_type="application/json", data=orjson.dumps(items))
