"""TraceExportService: what proto/spanloom/v1/trace_export_service.proto promises."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from spanloom.adapters.otlp.write import traces_data
from spanloom.codec import otlp_json
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field, not_found
from spanloom.model.checks import possible_id
from spanloom.services.context import CallContext
from spanloom.services.trace_ids import stored_trace_id
from spanloom.store.spans import SpanStore
from spanloom.v1 import trace_export_service_pb2


class TraceExportService:
    """Traces for other tools."""

    def __init__(self, store: SpanStore) -> None:
        self._store = store

    async def export_trace(
        self, request: trace_export_service_pb2.ExportTraceRequest, call: CallContext
    ) -> trace_export_service_pb2.ExportTraceResponse:
        project = call.project()
        trace_id = request.trace_id
        if not trace_id:
            raise invalid_field(json_path(type(request))("trace_id"), "is required")
        trace_id = await stored_trace_id(self._store, project, trace_id)
        spans = await self._store.trace_spans(project, trace_id) if possible_id(trace_id) else []
        if not spans:
            raise not_found("trace", trace_id[:64])
        data = await run_in_thread_if_large(
            len(spans), lambda: otlp_json.to_json(traces_data(spans))
        )
        document = HttpBody(content_type="application/json", data=data)
        return trace_export_service_pb2.ExportTraceResponse(document=document)
