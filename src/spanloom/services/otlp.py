"""OpenTelemetry's TraceService: spans in, by OTLP. Source: opentelemetry.io/docs/specs/otlp."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from spanloom.adapters.otlp.read import briefs_from
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import Reason, SpanloomError
from spanloom.model import Span, trace_scan
from spanloom.model.evaluations import traces_requesting_evaluation
from spanloom.model.projects import INSTANCE
from spanloom.services.context import CallContext
from spanloom.services.prices import ProjectPrices
from spanloom.store.store import Store

OTLP_SERVICE = trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name

_MOST_REASONS = 20
# Spans per write. A larger request, or one with very large spans, is converted in a thread.
SPANS_A_WRITE = 500
Group = TypeVar("Group", ResourceSpans, ResourceLogs)
# Resource attributes that name the project, the first that is there; of `entity/project` the last
# part.
_PROJECT_ATTRIBUTES = ("wandb.project", "honeyhive.project", "openinference.project.name")


class OtlpTraceService:
    """Spans of any OpenTelemetry SDK or collector.

    Spans that cannot be stored are reported in `partial_success`, and the others are stored. A
    large request is stored in parts: one that is answered with an error may have been stored up to
    a part, and the error says so. Sending it again is safe, since a span replaces the one of its
    ids; so a span that is sent while it is open is completed by the one that is sent when it ends.
    An open one that comes later, by a retry or another exporter, does not replace it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prices = ProjectPrices(store)

    async def export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, call: CallContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        weight = sum(
            len(scope.spans) for group in request.resource_spans for scope in group.scope_spans
        )
        if weight <= SPANS_A_WRITE:
            weight = max(weight, request.ByteSize() // 4096)
        rejected: list[tuple[str, str]] = []
        stored = 0
        for project, groups in by_project(request.resource_spans, call).items():
            await self._prices.use(project)
            parts = briefs_from(groups, received_ns=call.received_ns, most=SPANS_A_WRITE)
            while (
                part := await run_in_thread_if_large(weight, partial(next, parts, None))
            ) is not None:
                rejected += part.rejected
                if not part.spans:
                    continue
                try:
                    await self._store.ensure_project(project)
                    refused = await self._write(project, part.spans, only_own=call.only_ingests)
                except SpanloomError as error:
                    raise _after(stored, error) from error
                rejected += refused
                stored += len(part.spans) - len(refused)
        response = trace_service_pb2.ExportTraceServiceResponse()
        if rejected:
            reasons = [f"{where}: {why}" for where, why in rejected[:_MOST_REASONS]]
            if len(rejected) > len(reasons):
                reasons.append(f"and {len(rejected) - len(reasons)} more")
            response.partial_success.rejected_spans = len(rejected)
            response.partial_success.error_message = "; ".join(reasons)
        return response

    async def _write(
        self, project: str, spans: Sequence[Span], *, only_own: bool
    ) -> list[tuple[str, str]]:
        """Store what can be stored; (span, reason) of each that cannot."""
        certain, possible = traces_requesting_evaluation(spans)
        refused = await self._store.write_spans(
            project,
            spans,
            evaluations=[trace_scan(trace_id) for trace_id in sorted(certain)],
            scan_if_sampled=possible,
            partial=True,
            keep_ended=True,
            only_own=only_own,
        )
        return [
            (
                f"span {spans[one.index].span_id} of trace {spans[one.index].trace_id}",
                f"{one.field}: {one.description}",
            )
            for one in refused
        ]


def _after(stored: int, error: SpanloomError) -> SpanloomError:
    """The error of a later part, which says that earlier parts of the request were stored."""
    if not stored:
        return error
    why = "the write queue is full" if error.reason == Reason.QUEUE_FULL else error.message
    return SpanloomError(
        error.code,
        error.reason,
        f"{why}; the first {stored} spans of this request were stored, send it again",
        violations=error.violations,
        metadata={**error.metadata, "stored_spans": str(stored)},
        retry_after=error.retry_after,
    )


def by_project(groups: Sequence[Group], call: CallContext) -> dict[str, list[Group]]:
    """The groups by the project they go to. Resources decide only for an instance key that names
    none."""
    if call.key_project != INSTANCE or call.header_project:
        return {call.project(): list(groups)}
    found: dict[str, list[Group]] = {}
    for group in groups:
        hint = _named_project(group.resource.attributes) or call.header_hint
        found.setdefault(call.project(hint), []).append(group)
    return found


def _named_project(attributes: Any) -> str:
    named = {pair.key: pair.value.string_value for pair in attributes}
    value = next((named[key] for key in _PROJECT_ATTRIBUTES if named.get(key)), "")
    return value.rpartition("/")[2]
