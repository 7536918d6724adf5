"""OpenTelemetry's LogsService: log records that tell of GenAI are events of their spans, or spans;
all others are accepted and dropped."""

from __future__ import annotations

from functools import partial

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from spanloom import metrics
from spanloom.adapters.otlp.logs import read_logs
from spanloom.adapters.otlp.read import ADAPTER, briefs_from
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.services.context import CallContext
from spanloom.services.otlp import SPANS_A_WRITE, by_project
from spanloom.services.prices import ProjectPrices
from spanloom.store.store import Store

LOGS_SERVICE = logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"].full_name


class OtlpLogsService:
    """Log records of any OpenTelemetry SDK or collector.

    A record may come before its span, after it, without it, and twice. Records that say nothing of
    GenAI are dropped, so that SDKs which send them beside spans do not report an error each minute.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prices = ProjectPrices(store)

    async def export(
        self, request: logs_service_pb2.ExportLogsServiceRequest, call: CallContext
    ) -> logs_service_pb2.ExportLogsServiceResponse:
        weight = sum(
            len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs
        )
        for project, groups in by_project(request.resource_logs, call).items():
            read = partial(read_logs, groups, received_ns=call.received_ns)
            logs = await run_in_thread_if_large(weight, read)
            metrics.dropped("log_record", logs.dropped)
            if not logs.spans and not logs.pieces:
                continue
            await self._store.ensure_project(project)
            await self._prices.use(project)
            for part in briefs_from(logs.spans, received_ns=call.received_ns, most=SPANS_A_WRITE):
                await self._store.write_spans(project, part.spans, partial=True)
            if logs.pieces:
                [missing] = briefs_from(
                    logs.missing, received_ns=call.received_ns, most=len(logs.pieces) + 1
                )
                await self._store.append_to_spans(project, ADAPTER, logs.pieces, missing.spans)
        return logs_service_pb2.ExportLogsServiceResponse()
