"""TraceService: what proto/spanloom/v1/trace_service.proto promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

from google.protobuf.message import Message

from spanloom.adapters.basalt.read import ParsedTrace, read_log, read_trace, trace_around_log
from spanloom.adapters.basalt.write import listed_trace, trace_message
from spanloom.adapters.otlp.write import otel_json
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.errors import invalid_field, not_found
from spanloom.model import MAX_TIME_NS, STATUSES, TraceQuery, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.model.evaluations import asked_evaluations
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services import references
from spanloom.services.context import CallContext
from spanloom.services.page_token import list_query, page_token, position_of
from spanloom.services.paging import page_size
from spanloom.services.projects import Projects
from spanloom.store.store import Store
from spanloom.v1 import trace_pb2, trace_service_pb2

DEFAULT_PAGE_SIZE = 50
MOST_PAGE_SIZE = 1000
_MOST_WARNINGS = 100
_TEXT_CONDITIONS = (
    "feature_slug",
    "name",
    "user_id",
    "organization_id",
    "experiment_id",
    "status",
    "text",
)


class TraceService:
    """Traces in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projects = Projects(store)

    async def create_trace(
        self, request: trace_service_pb2.CreateTraceRequest, call: CallContext
    ) -> trace_service_pb2.CreateTraceResponse:
        trace = request.trace
        trace_id = trace.id or uuid7()
        read = await run_in_thread_if_large(
            len(trace.logs),
            lambda: read_trace(
                trace, trace_id=trace_id, received_ns=call.received_ns, within="trace."
            ),
        )
        warning = await self._store_trace(read, trace, call)
        return trace_service_pb2.CreateTraceResponse(
            trace=trace_service_pb2.TraceReference(id=trace_id), warning=warning
        )

    async def create_log(
        self, request: trace_service_pb2.CreateLogRequest, call: CallContext
    ) -> trace_service_pb2.CreateLogResponse:
        trace_id, log_id = uuid7(), uuid7()
        trace = trace_around_log(request, log_id)
        read = read_log(request, trace, trace_id=trace_id, received_ns=call.received_ns)
        warning = await self._store_trace(read, trace, call)
        return trace_service_pb2.CreateLogResponse(
            trace=trace_service_pb2.TraceReference(id=trace_id),
            log=trace_service_pb2.LogReference(id=log_id),
            warning=warning,
        )

    async def get_trace(
        self, request: trace_service_pb2.GetTraceRequest, call: CallContext
    ) -> trace_service_pb2.GetTraceResponse:
        project = call.project()
        trace_id = _trace_id(request.trace_id)
        spans = await self._store.trace_spans(project, trace_id)
        if not spans:
            raise not_found("trace", trace_id)
        trace = await run_in_thread_if_large(
            len(spans), lambda: trace_message(trace_id, spans, otel_json)
        )
        return trace_service_pb2.GetTraceResponse(trace=trace)

    async def list_traces(
        self, request: trace_service_pb2.ListTracesRequest, call: CallContext
    ) -> trace_service_pb2.ListTracesResponse:
        project = call.project()
        size = page_size(
            "pageSize", request.page_size, default=DEFAULT_PAGE_SIZE, most=MOST_PAGE_SIZE
        )
        query = _query(request)
        this_list = list_query("traces", **asdict(query))
        traces = await self._store.list_traces(
            project,
            query,
            limit=size + 1,
            after=position_of(request.page_token, this_list, project)
            if request.page_token
            else None,
        )
        last = traces[size - 1] if len(traces) > size else None
        return trace_service_pb2.ListTracesResponse(
            traces=[listed_trace(trace) for trace in traces[:size]],
            next_page_token=page_token(this_list, project, (last.start_ns, last.trace_id))
            if last
            else "",
        )

    async def delete_trace(
        self, request: trace_service_pb2.DeleteTraceRequest, call: CallContext
    ) -> trace_service_pb2.DeleteTraceResponse:
        project = call.project()
        trace_id = _trace_id(request.trace_id)
        if not await self._store.delete_trace(project, trace_id):
            raise not_found("trace", trace_id)
        return trace_service_pb2.DeleteTraceResponse()

    async def _store_trace(
        self, read: ParsedTrace, trace: trace_pb2.Trace, call: CallContext
    ) -> str | None:
        """Store the spans; the warning, None when there is nothing to tell."""
        project = call.project()
        warnings = await references.warnings(self._store, project, trace) + read.warnings
        await self._projects.ensure(project)
        await self._store.write_trace(
            project,
            read.spans,
            evaluations=asked_evaluations(read.spans),
            replace=bool(trace.id),
        )
        return _one_text(warnings)


def _query(request: trace_service_pb2.ListTracesRequest) -> TraceQuery:
    bad = Violations()
    for name in _TEXT_CONDITIONS:
        field = request.DESCRIPTOR.fields_by_name[name]
        bad.check_text(field.json_name, getattr(request, name))
    if request.status:
        bad.check_word("status", request.status, STATUSES)
    if not 0 <= request.min_duration_ms <= MAX_TIME_NS / 1e6:
        bad.add("minDurationMs", "must be a number of milliseconds, 0 or more")
    since, before = (_time(request, name, bad) for name in ("start_time_from", "start_time_before"))
    bad.refuse()
    return TraceQuery(
        since_ns=since,
        before_ns=before,
        **{name: getattr(request, name) for name in _TEXT_CONDITIONS},
        min_duration_ns=int(request.min_duration_ms * 1e6),
    )


def _time(request: trace_service_pb2.ListTracesRequest, name: str, bad: Violations) -> int | None:
    if not cast(Message, request).HasField(name):
        return None
    found = ns_from_timestamp(getattr(request, name))
    if found is None:
        bad.add(request.DESCRIPTOR.fields_by_name[name].json_name, OUT_OF_RANGE)
    return found


def _trace_id(text: str) -> str:
    if not text:
        raise invalid_field("traceId", "is required")
    if not possible_id(text):
        raise not_found("trace", text[:64])
    return text


def _one_text(warnings: Sequence[str]) -> str | None:
    shown = list(warnings[:_MOST_WARNINGS])
    if len(warnings) > len(shown):
        shown.append(f"and {len(warnings) - len(shown)} more")
    return "\n".join(shown) or None
