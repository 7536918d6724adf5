"""OpenTelemetry's MetricsService: metrics are accepted and dropped, so that SDKs which send them
beside spans do not report an error each minute.

Its path is also the one at which HoneyHive's client creates the definition of a metric.
"""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from spanloom import metrics
from spanloom.errors import role_not_allowed
from spanloom.services.catalog import CatalogService
from spanloom.services.context import CallContext
from spanloom.v1 import catalog_service_pb2

METRICS_SERVICE = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name
_ADMIN = "admin"


class OtlpMetricsService:
    """Takes metrics, and stores none; the definition of a metric is for the catalog."""

    def __init__(self, catalog: CatalogService) -> None:
        self._catalog = catalog

    async def export(
        self,
        request: metrics_service_pb2.ExportMetricsServiceRequest
        | catalog_service_pb2.CreateMetricRequest,
        call: CallContext,
    ) -> (
        metrics_service_pb2.ExportMetricsServiceResponse | catalog_service_pb2.CreateMetricResponse
    ):
        if isinstance(request, catalog_service_pb2.CreateMetricRequest):
            if call.role != _ADMIN:
                raise role_not_allowed(call.role, _ADMIN)
            return await self._catalog.create_metric(request, call)
        call.project()  # a header that names another project than the key's is refused
        number = sum(
            len(scoped.metrics)
            for group in request.resource_metrics
            for scoped in group.scope_metrics
        )
        metrics.dropped("metric", number)
        return metrics_service_pb2.ExportMetricsServiceResponse()
