"""JaegerService: what proto/spanloom/v1/jaeger_service.proto promises."""

from __future__ import annotations

from spanloom.adapters.jaeger.query import MOST_TRACES, conditions, dependency_range
from spanloom.adapters.jaeger.write import trace_message
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field
from spanloom.model import Span
from spanloom.services.context import CallContext
from spanloom.services.jaeger_traces import JaegerTraces, recorded, shown_trace_id
from spanloom.services.queries.pages import violations_of
from spanloom.store.store import Store
from spanloom.v1 import jaeger_pb2
from spanloom.v1 import jaeger_service_pb2 as pb


class JaegerService:
    """Traces in the shape of Jaeger's query API."""

    def __init__(self, store: Store) -> None:
        self._traces = JaegerTraces(store)

    async def list_jaeger_services(
        self, _request: pb.ListJaegerServicesRequest, call: CallContext
    ) -> pb.ListJaegerServicesResponse:
        names = await self._traces.services(call.project())
        return pb.ListJaegerServicesResponse(data=names, total=len(names))

    async def list_jaeger_operation_names(
        self, request: pb.ListJaegerOperationNamesRequest, call: CallContext
    ) -> pb.ListJaegerOperationNamesResponse:
        names = await self._operations(request.service, call)
        return pb.ListJaegerOperationNamesResponse(data=names, total=len(names))

    async def list_jaeger_operations(
        self, request: pb.ListJaegerOperationsRequest, call: CallContext
    ) -> pb.ListJaegerOperationsResponse:
        names = await self._operations(request.service, call)
        found = [jaeger_pb2.JaegerOperation(name=name) for name in names]
        return pb.ListJaegerOperationsResponse(data=found, total=len(found))

    async def _operations(self, service: str, call: CallContext) -> list[str]:
        project = call.project()
        if not service:
            raise invalid_field("service", "is required")
        return await self._traces.operations(project, service)

    async def find_jaeger_traces(
        self, request: pb.FindJaegerTracesRequest, call: CallContext
    ) -> pb.FindJaegerTracesResponse:
        project = call.project()
        bad = violations_of(request)
        response = pb.FindJaegerTracesResponse()
        if request.trace_id:
            if len(request.trace_id) > MOST_TRACES:
                bad.add("trace_id", f"must have at most {MOST_TRACES} elements")
            bad.refuse()
            stored = await self._traces.stored_ids(project, request.trace_id)
            for asked in dict.fromkeys(request.trace_id):
                if asked not in stored:
                    response.errors.add(code=404, msg="trace not found", trace_id=asked)
            trace_ids = list(dict.fromkeys(stored.values()))
        else:
            wanted = conditions(request, call.received_ns, bad)
            bad.refuse()
            trace_ids = await self._traces.find(project, wanted)
        for spans in await self._traces.traces(project, trace_ids):
            response.data.append(await _message(project, spans))
        response.total = len(response.data)
        return response

    async def get_jaeger_trace(
        self, request: pb.GetJaegerTraceRequest, call: CallContext
    ) -> pb.GetJaegerTraceResponse:
        project = call.project()
        if not request.trace_id:
            raise invalid_field(json_path(type(request))("trace_id"), "is required")
        spans = await self._traces.trace(project, request.trace_id)
        return pb.GetJaegerTraceResponse(data=[await _message(project, spans)], total=1)

    async def get_jaeger_dependencies(
        self, request: pb.GetJaegerDependenciesRequest, call: CallContext
    ) -> pb.GetJaegerDependenciesResponse:
        project = call.project()
        bad = violations_of(request)
        since, before = dependency_range(request, call.received_ns, bad)
        bad.refuse()
        found = [
            jaeger_pb2.JaegerDependency(parent=parent, child=child, call_count=number)
            for (parent, child), number in await self._traces.calls(project, since, before)
            if request.service in ("", parent, child)
        ]
        return pb.GetJaegerDependenciesResponse(data=found, total=len(found))


async def _message(project: str, spans: list[Span]) -> jaeger_pb2.JaegerTrace:
    trace_id = shown_trace_id(spans[0].trace_id)
    return await run_in_thread_if_large(
        len(spans), lambda: trace_message(trace_id, (recorded(span, project) for span in spans))
    )
