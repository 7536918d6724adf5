"""TraceService: what proto/spanloom/v1/trace_service.proto promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

from google.protobuf.message import Message

from spanloom.adapters.basalt.read import ParsedTrace, read_log, read_trace, trace_around_log
from spanloom.adapters.basalt.references import (
    evaluator_slugs,
    prompt_slugs,
    reference_warnings,
)
from spanloom.adapters.basalt.write import listed_trace, trace_message
from spanloom.adapters.otlp.write import otel_json
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.page_token import list_query, token_page
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.errors import invalid_field, not_found
from spanloom.model import MAX_TIME_NS, STATUSES, TraceQuery, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.model.evaluations import requested_evaluations
from spanloom.model.prompt_versions import PromptVersions
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.services.repeats import answer_once
from spanloom.services.trace_ids import stored_trace_id
from spanloom.services.trace_views import TraceViews
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.store import Store
from spanloom.v1 import trace_pb2, trace_service_pb2

_MAX_WARNINGS = 100
_LONGEST_TEXT = 1024
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
        self._views = TraceViews(store)

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
        warning = await self._warning(read, trace, call)
        await self._store_trace(read, trace, call)
        return trace_service_pb2.CreateTraceResponse(
            trace=trace_service_pb2.TraceReference(id=trace_id), warning=warning
        )

    async def create_log(
        self, request: trace_service_pb2.CreateLogRequest, call: CallContext
    ) -> trace_service_pb2.CreateLogResponse:
        async def create(once: Once) -> trace_service_pb2.CreateLogResponse:
            trace_id, log_id = uuid7(), uuid7()
            trace = trace_around_log(request, log_id)
            read = read_log(request, trace, trace_id=trace_id, received_ns=call.received_ns)
            response = trace_service_pb2.CreateLogResponse(
                trace=trace_service_pb2.TraceReference(id=trace_id),
                log=trace_service_pb2.LogReference(id=log_id),
                warning=await self._warning(read, trace, call),
            )
            answering = once.answering(lambda _: response.SerializeToString())
            await self._store_trace(read, trace, call, answering)
            return response

        return await answer_once(
            self._store, call.project(), request, trace_service_pb2.CreateLogResponse, create
        )

    async def get_trace(
        self, request: trace_service_pb2.GetTraceRequest, call: CallContext
    ) -> trace_service_pb2.GetTraceResponse:
        project = call.project()
        trace_id = await stored_trace_id(self._store, project, _trace_id(request))
        response = await self._views.get(
            project,
            trace_id,
            b"",
            lambda spans: trace_service_pb2.GetTraceResponse(
                trace=trace_message(trace_id, spans, otel_json)
            ),
        )
        if response is None:
            raise not_found("trace", trace_id)
        return response

    async def list_traces(
        self, request: trace_service_pb2.ListTracesRequest, call: CallContext
    ) -> trace_service_pb2.ListTracesResponse:
        project = call.project()
        query = _query(request)
        page = await token_page(
            request,
            lambda limit, after: self._store.list_traces(project, query, limit=limit, after=after),
            lambda trace: (trace.start_ns, trace.trace_id),
            query=list_query("traces", **asdict(query)),
            project=project,
        )
        return trace_service_pb2.ListTracesResponse(
            traces=map(listed_trace, page.items), next_page_token=page.next_token
        )

    async def delete_trace(
        self, request: trace_service_pb2.DeleteTraceRequest, call: CallContext
    ) -> trace_service_pb2.DeleteTraceResponse:
        project = call.project()
        trace_id = await stored_trace_id(self._store, project, _trace_id(request))
        if not await self._store.delete_trace(project, trace_id):
            raise not_found("trace", trace_id)
        return trace_service_pb2.DeleteTraceResponse()

    async def _warning(
        self, read: ParsedTrace, trace: trace_pb2.Trace, call: CallContext
    ) -> str | None:
        warnings = [*await self._reference_warnings(call.project(), trace, call), *read.warnings]
        return _one_text(warnings)

    async def _store_trace(
        self, read: ParsedTrace, trace: trace_pb2.Trace, call: CallContext, once: Once = EACH_TIME
    ) -> None:
        project = call.project()
        await self._store.ensure_project(project)
        await self._store.write_trace(
            project,
            read.spans,
            evaluations=requested_evaluations(read.spans),
            replace=bool(trace.id),
            once=once,
            only_own=call.only_ingests,
        )

    async def _reference_warnings(
        self, project: str, trace: trace_pb2.Trace, call: CallContext
    ) -> list[str]:
        catalog = self._store.catalog
        prompts, experiment, evaluators = {}, None, set()
        if slugs := prompt_slugs(trace):
            prompts = PromptVersions.by_slug(*await catalog.prompts(project, slugs))
        if possible_id(trace.experiment.id):
            experiment = await catalog.experiment(project, trace.experiment.id)
        if slugs := evaluator_slugs(trace):
            evaluators = {each.slug for each in await catalog.evaluators(project, slugs)}
        may_read = not call.only_ingests
        return reference_warnings(trace, prompts, experiment, evaluators, may_read=may_read)


def _query(request: trace_service_pb2.ListTracesRequest) -> TraceQuery:
    violations = Violations(spelled=json_path(type(request)))
    for name in _TEXT_CONDITIONS:
        violations.check_text(name, getattr(request, name))
    if len(request.text) > _LONGEST_TEXT:
        violations.add("text", f"must have at most {_LONGEST_TEXT} characters")
    if request.status:
        violations.check_word("status", request.status, STATUSES)
    if not 0 <= request.min_duration_ms <= MAX_TIME_NS / 1e6:
        violations.add("min_duration_ms", f"must be from 0 to {MAX_TIME_NS // 10**6} milliseconds")
    since, before = (
        _time(request, name, violations) for name in ("start_time_from", "start_time_before")
    )
    violations.refuse()
    return TraceQuery(
        since_ns=since,
        before_ns=before,
        **{name: getattr(request, name) for name in _TEXT_CONDITIONS},
        min_duration_ns=int(request.min_duration_ms * 1e6),
    )


def _time(
    request: trace_service_pb2.ListTracesRequest, name: str, violations: Violations
) -> int | None:
    if not cast(Message, request).HasField(name):
        return None
    time_ns = ns_from_timestamp(getattr(request, name))
    if time_ns is None:
        violations.add(name, OUT_OF_RANGE)
    return time_ns


def _trace_id(
    request: trace_service_pb2.GetTraceRequest | trace_service_pb2.DeleteTraceRequest,
) -> str:
    trace_id = request.trace_id
    if not trace_id:
        raise invalid_field(json_path(type(request))("trace_id"), "is required")
    if not possible_id(trace_id):
        raise not_found("trace", trace_id[:64])
    return trace_id


def _one_text(warnings: Sequence[str]) -> str | None:
    shown = list(warnings[:_MAX_WARNINGS])
    if len(warnings) > len(shown):
        shown.append(f"and {len(warnings) - len(shown)} more")
    return "\n".join(shown) or None
