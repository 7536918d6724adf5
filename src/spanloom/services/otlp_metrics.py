"""OpenTelemetry's MetricsService: metrics are accepted and dropped, so that SDKs which send them
beside spans do not report an error each minute."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from spanloom import metrics
from spanloom.services.context import CallContext

METRICS_SERVICE = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name


class OtlpMetricsService:
    """Takes metrics, and stores none."""

    async def export(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, call: CallContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        call.project()  # a header that names another project than the key's is refused
        number = sum(
            len(scoped.metrics)
            for group in request.resource_metrics
            for scoped in group.scope_metrics
        )
        metrics.dropped("metric", number)
        return metrics_service_pb2.ExportMetricsServiceResponse()
