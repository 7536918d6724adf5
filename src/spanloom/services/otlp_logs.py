"""OpenTelemetry's LogsService: log records are accepted and dropped, so that SDKs which send them
beside spans do not report an error each minute."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from spanloom.services.context import CallContext

LOGS_SERVICE = logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"].full_name


class OtlpLogsService:
    """Takes log records, and stores none."""

    async def export(
        self, _request: logs_service_pb2.ExportLogsServiceRequest, call: CallContext
    ) -> logs_service_pb2.ExportLogsServiceResponse:
        call.project()  # a header that names another project than the key's is refused
        return logs_service_pb2.ExportLogsServiceResponse()
