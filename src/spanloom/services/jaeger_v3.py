"""JaegerV3Service: what proto/spanloom/v1/jaeger_v3_service.proto promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from google.api.httpbody_pb2 import HttpBody

from spanloom.adapters.jaeger.query import Conditions, conditions_v3
from spanloom.codec import otlp_json
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.errors import Code, Reason, SpanloomError, invalid_field
from spanloom.model import Span
from spanloom.model.placed import Placed
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.services.jaeger_traces import (
    MOST_SPANS,
    JaegerTraces,
    otel_of,
    service_of_placed,
    shown_trace_id,
)
from spanloom.services.queries.pages import violations_of
from spanloom.store.store import Store
from spanloom.v1 import jaeger_v3_service_pb2 as pb

_UNKNOWN_KIND = "internal"
_Search = pb.FindJaegerV3TracesRequest | pb.FindJaegerV3TraceSummariesRequest


class JaegerV3Service:
    """Traces in the shape of version 3 of Jaeger's query API."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._traces = JaegerTraces(store)

    async def list_jaeger_v3_services(
        self, _request: pb.ListJaegerV3ServicesRequest, call: CallContext
    ) -> pb.ListJaegerV3ServicesResponse:
        return pb.ListJaegerV3ServicesResponse(services=await self._traces.services(call.project()))

    async def list_jaeger_v3_operations(
        self, request: pb.ListJaegerV3OperationsRequest, call: CallContext
    ) -> pb.ListJaegerV3OperationsResponse:
        project = call.project()
        if not request.service:
            raise invalid_field("service", "is required")
        names = await self._traces.operations(project, request.service)
        return pb.ListJaegerV3OperationsResponse(
            operations=[pb.JaegerV3Operation(name=n, span_kind=_UNKNOWN_KIND) for n in names]
        )

    async def find_jaeger_v3_traces(
        self, request: pb.FindJaegerV3TracesRequest, call: CallContext
    ) -> pb.FindJaegerV3TracesResponse:
        project = call.project()
        trace_ids = await self._traces.find(project, _conditions(request))
        found = await self._traces.traces(project, trace_ids)
        if not found:
            raise SpanloomError(Code.NOT_FOUND, Reason.TRACE_NOT_FOUND, "no traces found")
        spans = [span for trace in found for span in trace]
        return pb.FindJaegerV3TracesResponse(document=await _document(project, spans))

    async def get_jaeger_v3_trace(
        self, request: pb.GetJaegerV3TraceRequest, call: CallContext
    ) -> pb.GetJaegerV3TraceResponse:
        project = call.project()
        if not request.trace_id:
            raise invalid_field(json_path(type(request))("trace_id"), "is required")
        spans = await self._traces.trace(project, request.trace_id)
        return pb.GetJaegerV3TraceResponse(document=await _document(project, spans))

    async def find_jaeger_v3_trace_summaries(
        self, request: pb.FindJaegerV3TraceSummariesRequest, call: CallContext
    ) -> pb.FindJaegerV3TraceSummariesResponse:
        project = call.project()
        response = pb.FindJaegerV3TraceSummariesResponse()
        for trace_id in await self._traces.find(project, _conditions(request)):
            placed = await self._store.summaries.placed(
                project, trace_id=trace_id, limit=MOST_SPANS
            )
            if placed.spans:  # not deleted meanwhile
                response.summaries.append(
                    await run_in_thread_if_large(
                        len(placed.spans), partial(_summary, project, placed)
                    )
                )
        return response

    async def get_jaeger_v3_dependencies(
        self, request: pb.GetJaegerV3DependenciesRequest, call: CallContext
    ) -> pb.GetJaegerV3DependenciesResponse:
        project = call.project()
        bad = violations_of(request)
        edges = []
        for name in ("start_time", "end_time"):
            ns = ns_from_timestamp(getattr(request, name)) if request.HasField(name) else None
            if ns is None:
                bad.add(name, OUT_OF_RANGE if request.HasField(name) else "is required")
            edges.append(ns or 0)
        bad.refuse()
        return pb.GetJaegerV3DependenciesResponse(
            dependencies=[
                pb.JaegerV3Dependency(parent=parent, child=child, call_count=number)
                for (parent, child), number in await self._traces.calls(project, *edges)
            ]
        )


def _conditions(request: _Search) -> Conditions:
    bad = violations_of(request)
    asked = conditions_v3(request.query, bad)
    bad.refuse()
    return asked


async def _document(project: str, spans: Sequence[Span]) -> HttpBody:
    def written() -> bytes:
        return b'{"result":' + otlp_json.to_json(otel_of(spans, project)) + b"}"

    data = await run_in_thread_if_large(len(spans), written)
    return HttpBody(content_type="application/json", data=data)


def _summary(project: str, placed: Placed) -> pb.JaegerV3TraceSummary:
    of = service_of_placed(project, placed.envelopes)
    spans = sorted(placed.spans, key=lambda span: span.start_ns)
    root = next((span for span in spans if not span.parent_id), spans[0])
    ids = {span.span_id for span in spans}
    numbers = Counter(of(span) for span in spans)
    errors = Counter(of(span) for span in spans if span.status == "ERROR")
    return pb.JaegerV3TraceSummary(
        trace_id=shown_trace_id(root.trace_id),
        root_service_name=of(root),
        root_operation_name=root.name,
        min_start_time_unix_nano=spans[0].start_ns,
        max_end_time_unix_nano=max(
            span.start_ns if span.end_ns is None else span.end_ns for span in spans
        ),
        span_count=len(spans),
        error_span_count=errors.total(),
        orphan_span_count=sum(bool(s.parent_id) and s.parent_id not in ids for s in spans),
        services=[
            pb.JaegerV3ServiceSummary(name=n, span_count=numbers[n], error_span_count=errors[n])
            for n in sorted(numbers)
        ],
    )
