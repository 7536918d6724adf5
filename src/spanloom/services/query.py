"""QueryService: what proto/spanloom/v1/query_service.proto promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from spanloom import __version__
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.opaque import sealed_list
from spanloom.codec.page_token import page_token, position_of
from spanloom.codec.timestamps import duration_from_ns, timestamp_from_ns
from spanloom.errors import Noun, invalid_field, not_found
from spanloom.model.checks import possible_id
from spanloom.model.projects import INSTANCE, ProjectEntry
from spanloom.model.summaries import SearchPlace, TracePosition
from spanloom.services.context import CallContext
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES, fitting
from spanloom.services.queries.cursors import VALID_SECONDS, cursor, position_of_cursor
from spanloom.services.queries.experiment_cases import CaseKey, case_message, compared
from spanloom.services.queries.outline import outline
from spanloom.services.queries.pages import (
    clamped,
    list_name,
    opened_token,
    page_size,
    violations_of,
)
from spanloom.services.queries.summaries import conversation_summary, trace_summary
from spanloom.services.queries.trace_counts import counted_traces
from spanloom.services.queries.trace_filters import (
    MAX_TEXT,
    ORDERS,
    conversation_query,
    seconds_of,
    trace_query,
)
from spanloom.services.queries.trace_search import TraceSearch
from spanloom.services.queries.usage import usage
from spanloom.services.trace_ids import stored_trace_id
from spanloom.store.store import Store
from spanloom.v1 import access_pb2, query_pb2
from spanloom.v1 import query_service_pb2 as pb

# Entries of the log that one call shows.
_MOST_ENTRIES: Final = 1_000
_MOST_SPANS: Final = 10_000  # of a request of SpanService
_CHANGES: Final = "changes"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the server that callers are shown: bytes, and seconds."""

    max_request_bytes: int = 64 << 20
    max_call_seconds: float = 60.0


class QueryService:
    """Lists with figures, outlines, comparisons and changes."""

    def __init__(self, store: Store, limits: Limits = Limits()) -> None:
        self._store = store
        self._limits = limits

    # Traces

    async def list_trace_summaries(
        self, request: pb.ListTraceSummariesRequest, call: CallContext
    ) -> pb.ListTraceSummariesResponse:
        project = call.project()
        violations = violations_of(request)
        if request.order not in ORDERS:
            violations.add("order", "is not a known order")
        query = trace_query(request.filter, violations, ORDERS.get(request.order, "start"))
        size = page_size(request, violations, default=100)
        violations.refuse()
        named = list_name(request)
        after = None
        if request.page_token:
            after = TracePosition(*opened_token(request, named, project, (int, int, str)))
        page = await self._store.summaries.traces(project, query, limit=size, after=after)
        messages = await run_in_thread_if_large(
            len(page.rows), lambda: [trace_summary(row) for row in page.rows]
        )
        number = fitting(messages, size)
        place = page.after if number == len(messages) else page.rows[number - 1].place
        response = pb.ListTraceSummariesResponse(trace_summaries=messages[:number])
        if place is not None:
            response.next_page_token = sealed_list(named, project, place)
        return response

    async def get_trace_summary(
        self, request: pb.GetTraceSummaryRequest, call: CallContext
    ) -> pb.GetTraceSummaryResponse:
        project = call.project()
        asked = _checked_id(request, "trace", "trace_id")
        trace_id = await stored_trace_id(self._store, project, asked)
        row = await self._store.summaries.trace(project, trace_id)
        if row is None:
            raise not_found("trace", trace_id)
        return pb.GetTraceSummaryResponse(trace_summary=trace_summary(row))

    async def count_traces(
        self, request: pb.CountTracesRequest, call: CallContext
    ) -> pb.CountTracesResponse:
        return await counted_traces(self._store.summaries, request, call)

    async def poll_trace_changes(
        self, request: pb.PollTraceChangesRequest, call: CallContext
    ) -> pb.PollTraceChangesResponse:
        project = call.project()
        violations = violations_of(request)
        most = clamped("max_changes", request.max_changes, violations, default=200)
        violations.refuse()
        now = call.received_ns
        summaries = self._store.summaries
        if not request.cursor:
            position = await summaries.present()
            return pb.PollTraceChangesResponse(cursor=cursor(_CHANGES, project, position, now))
        after = position_of_cursor(request.cursor, _CHANGES, project, now)
        part = await summaries.changes(project, after, limit=_MOST_ENTRIES)
        found: dict[str, int] = {}  # by trace, in the order of the latest change: when, if known
        log = [(change.version, change.span.trace_id, 0) for change in part.spans]
        log += [(gone.version, gone.trace_id, gone.deleted_ns) for gone in part.deleted]
        reached, more = part.reached, part.more
        for version, trace_id, time_ns in sorted(log):
            if trace_id not in found and len(found) == most:
                more = True
                break
            found.pop(trace_id, None)
            found[trace_id] = time_ns
            last = version
        else:
            last = reached
        there = await summaries.existing(project, list(found))
        response = pb.PollTraceChangesResponse(
            cursor=cursor(_CHANGES, project, last, now), has_more=more
        )
        for trace_id, time_ns in found.items():
            change = response.changes.add(trace_id=trace_id, deleted=trace_id not in there)
            if time_ns:
                change.change_time.CopyFrom(timestamp_from_ns(time_ns))
        return response

    async def get_trace_outline(
        self, request: pb.GetTraceOutlineRequest, call: CallContext
    ) -> AsyncIterator[pb.GetTraceOutlineResponse]:
        project = call.project()
        asked = _checked_id(request, "trace", "trace_id")
        trace_id = await stored_trace_id(self._store, project, asked)
        method = f"outline\0{trace_id}"
        now = call.received_ns
        after = 0
        if request.cursor:
            after = position_of_cursor(request.cursor, method, project, now)
        parts = outline(self._store.summaries, project, trace_id, after)
        async with contextlib.aclosing(parts):
            async for of, chunk, is_last in parts:
                if not of.exists:
                    raise not_found("trace", trace_id)
                response = pb.GetTraceOutlineResponse(chunk=chunk, span_count=of.span_count)
                if is_last:
                    response.cursor = cursor(method, project, of.reached, now)
                    response.deleted_span_ids.extend(of.deleted)
                yield response

    async def search_trace(
        self, request: pb.SearchTraceRequest, call: CallContext
    ) -> pb.SearchTraceResponse:
        project = call.project()
        violations = violations_of(request)
        if not request.text:
            violations.add("text", "is required")
        elif len(request.text) > MAX_TEXT:
            violations.add("text", f"must have at most {MAX_TEXT} characters")
        violations.check_text("span_id", request.span_id)
        size = page_size(request, violations, default=100)
        seconds = seconds_of(request, "time_limit", violations, default=1, most=10)
        if not request.trace_id:
            violations.add("trace_id", "is required")
        violations.refuse()
        asked = _checked_id(request, "trace", "trace_id")
        trace_id = await stored_trace_id(self._store, project, asked)
        if request.span_id and not possible_id(request.span_id):
            raise invalid_field(json_path(type(request))("span_id"), "is too long")
        named = list_name(request, "time_limit")
        after, done = None, 0
        if request.page_token:
            start_ns, version, done = opened_token(request, named, project, (int, int, int))
            after = SearchPlace(start_ns, version)
        search = TraceSearch(
            request.text, match_case=request.match_case, limit=size, seconds=seconds, done=done
        )
        exists = await self._store.summaries.search(
            project, trace_id, span_id=request.span_id, after=after, visit=search.visit
        )
        if not exists:
            raise not_found("trace", trace_id)
        response = pb.SearchTraceResponse(
            matches=search.matches, searched_span_count=search.searched
        )
        if search.after is not None:
            place, done = search.after
            response.next_page_token = sealed_list(named, project, [*place, done])
        return response

    # Conversations

    async def list_conversations(
        self, request: pb.ListConversationsRequest, call: CallContext
    ) -> pb.ListConversationsResponse:
        project = call.project()
        violations = violations_of(request)
        query = conversation_query(request.filter, violations)
        size = page_size(request, violations, default=50)
        violations.refuse()
        named = list_name(request)
        after = None
        if request.page_token:
            field = json_path(type(request))("page_token")
            after = position_of(request.page_token, named, project, field=field)
        page = await self._store.summaries.conversations(project, query, limit=size, after=after)
        messages = await run_in_thread_if_large(
            len(page.rows), lambda: [conversation_summary(row) for row in page.rows]
        )
        number = fitting(messages, size)
        place = page.after
        if number < len(messages):
            place = page.rows[number - 1].last_ns, page.rows[number - 1].conversation_id
        response = pb.ListConversationsResponse(conversations=messages[:number])
        if place is not None:
            response.next_page_token = page_token(named, project, place)
        return response

    async def get_conversation(
        self, request: pb.GetConversationRequest, call: CallContext
    ) -> pb.GetConversationResponse:
        project = call.project()
        conversation_id = _checked_id(request, "conversation", "conversation_id")
        row = await self._store.summaries.conversation(project, conversation_id)
        if row is None:
            raise not_found("conversation", conversation_id)
        return pb.GetConversationResponse(conversation=conversation_summary(row))

    # Usage and experiments

    async def get_usage(
        self, request: pb.GetUsageRequest, call: CallContext
    ) -> pb.GetUsageResponse:
        return await usage(self._store, call.project(), request, call.received_ns)

    async def compare_experiments(
        self, request: pb.CompareExperimentsRequest, call: CallContext
    ) -> pb.CompareExperimentsResponse:
        project = call.project()
        violations = violations_of(request)
        ids = (request.experiment_id, request.baseline_experiment_id)
        for name, value in zip(("experiment_id", "baseline_experiment_id"), ids, strict=True):
            if not value:
                violations.add(name, "is required")
        violations.check_text("evaluator", request.evaluator)
        size = page_size(request, violations, default=100)
        violations.refuse()
        for experiment_id in ids:
            known = possible_id(experiment_id)
            if not known or not await self._store.catalog.experiment(project, experiment_id):
                raise not_found("experiment", experiment_id[:64])
        named = list_name(request)
        after = None
        if request.page_token:
            kinds = (bool, float, int, str)
            after = CaseKey(*opened_token(request, named, project, kinds))
        runs, baselines = [
            await self._store.summaries.experiment_traces(project, experiment_id)
            for experiment_id in ids
        ]

        def page() -> tuple[list[query_pb2.ExperimentCase], list[CaseKey]]:
            cases = compared(runs, baselines, request.evaluator)
            left = [case for case in cases if after is None or case.key > after][: size + 1]
            return [case_message(case) for case in left[:size]], [case.key for case in left]

        messages, keys = await run_in_thread_if_large(len(runs) + len(baselines), page)
        number = fitting(messages, size)
        response = pb.CompareExperimentsResponse(cases=messages[:number])
        if number < len(keys):
            response.next_page_token = sealed_list(named, project, keys[number - 1])
        return response

    # The caller

    async def get_caller(
        self, _request: pb.GetCallerRequest, call: CallContext
    ) -> pb.GetCallerResponse:
        return pb.GetCallerResponse(
            key_id=call.key_id,
            project_id=call.project(),
            instance_key=call.key_project == INSTANCE,
            roles=[access_pb2.Role.Value(f"ROLE_{call.role.upper()}")],
            server_version=__version__,
            limits=pb.GetCallerResponse.Limits(
                max_request_bytes=self._limits.max_request_bytes,
                max_response_bytes=MAX_RESPONSE_BYTES,
                max_spans_per_request=_MOST_SPANS,
                max_call_duration=duration_from_ns(int(self._limits.max_call_seconds * 10**9)),
                cursor_validity=duration_from_ns(VALID_SECONDS * 10**9),
            ),
        )

    async def list_projects(
        self, request: pb.ListProjectsRequest, call: CallContext
    ) -> pb.ListProjectsResponse:
        project = call.project()
        violations = violations_of(request)
        size = page_size(request, violations, default=100)
        violations.refuse()
        own = "" if call.key_project == INSTANCE else project
        named, after = "projects", ""
        if request.page_token:
            (after,) = opened_token(request, named, call.key_project, (str,))
        found = await self._store.list_projects(name=own, after=after, limit=size + 1)
        response = pb.ListProjectsResponse(
            projects=[
                query_pb2.Project(
                    project_id=entry.name,
                    create_time=timestamp_from_ns(entry.created_ns),
                    retention_days=entry.retention_days,
                    limits=_own_limits(entry),
                )
                for entry in found[:size]
            ]
        )
        if len(found) > size:
            last = [found[size - 1].name]
            response.next_page_token = sealed_list(named, call.key_project, last)
        return response


def _own_limits(entry: ProjectEntry) -> query_pb2.ProjectLimits | None:
    given = entry.limits.given
    return query_pb2.ProjectLimits(**given) if given else None


def _checked_id(request: Any, noun: Noun, name: str) -> str:
    """The id that a request needs. One that nothing can have is not found."""
    value: str = getattr(request, name)
    if not value:
        raise invalid_field(json_path(type(request))(name), "is required")
    if not possible_id(value):
        raise not_found(noun, value[:64])
    return value
