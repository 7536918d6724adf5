"""AgentSpanService: what proto/spanloom/v1/agent_span_service.proto promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from google.protobuf.struct_pb2 import Struct

from spanloom.adapters.weave.feedback_query import condition
from spanloom.adapters.weave.feedback_stats import bucket_seconds
from spanloom.adapters.weave.measures import (
    Facts,
    Measure,
    comparable,
    facts_of,
    measure_at,
    value_at,
)
from spanloom.adapters.weave.span_groups import (
    Limits,
    distributions_at,
    group_row,
    grouped,
    limits_at,
    signals,
    sorted_rows,
    values_at,
    within,
)
from spanloom.adapters.weave.span_stats import fill_by_number, fill_by_time, metrics_at
from spanloom.adapters.weave.spans import (
    agent_span,
    conversation_feedback,
    conversation_span,
    custom_attributes,
    span_fields,
)
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.struct_writer import struct_wire
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.errors import invalid_field
from spanloom.model import Json, Span, SpanQuery
from spanloom.model.checks import possible_id
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.store.store import Store
from spanloom.v1 import agent_span_service_pb2 as pb

_MOST_CONVERSATIONS = 100
_DEFAULT_PAGE, _MOST_IN_PAGE = 100, 1_000
_MOST_LOOKED_AT = 10_000
_SECONDS = 2.0
_LOWER_BOUND = "x-total-is-lower-bound"

# The fields with the times between which spans started.
_STARTED = ("started_after", "started_before")
# Targets of feedback that are looked up at once.
_TARGETS = 500

_Filtered = pb.QueryAgentSpansRequest | pb.GetAgentSpanStatsRequest
_Request = _Filtered | pb.GetConversationSpansRequest | pb.GetCustomAttributesSchemaRequest


class AgentSpanService:
    """Spans of agents."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_conversation_spans(
        self, request: pb.GetConversationSpansRequest, call: CallContext
    ) -> pb.GetConversationSpansResponse:
        project = call.named_project(request.project_id)
        if len(request.conversation_ids) > _MOST_CONVERSATIONS:
            raise invalid_field("conversation_ids", f"must be at most {_MOST_CONVERSATIONS}")
        since, before = _times(request)
        response = pb.GetConversationSpansResponse()
        for conversation_id in request.conversation_ids:
            shown = response.conversations.add(conversation_id=conversation_id)
            if not possible_id(conversation_id):
                continue
            spans = [
                span
                for span in await self._store.session_spans(project, conversation_id)
                if (since is None or span.start_ns >= since)
                and (before is None or span.start_ns < before)
            ]
            shown.spans.extend(map(conversation_span, spans))
            targets = [("trace", trace_id) for trace_id in sorted({s.trace_id for s in spans})]
            targets.append(("conversation", conversation_id))
            found = await self._store.feedback_on(project, targets)
            shown.spans_feedback.extend(conversation_feedback(found))
        return response

    async def query_agent_spans(
        self, request: pb.QueryAgentSpansRequest, call: CallContext
    ) -> pb.QueryAgentSpansResponse:
        project = call.named_project(request.project_id)
        limit = _page_size(request)
        offset = not_negative("offset", request.offset)
        response = pb.QueryAgentSpansResponse()
        if request.group_by:
            rows = await self._groups(project, request, call)
            response.total_count = len(rows)
            response.groups.extend(map(_struct, rows[offset : offset + limit]))
            return response
        if request.group_filters or request.HasField("signal_filters") or request.sort_by:
            found = await self._sorted(project, request, call)
            response.total_count = len(found)
            for facts in found[offset : offset + limit]:
                key = facts["trace_id"], facts["span_id"]
                span = await self._store.find_span(project, *key)
                if span is not None:  # not deleted meanwhile
                    response.spans.append(agent_span(request.project_id, span))
            return response

        def use(span: Span, message: pb.AgentSpan) -> None:
            response.total_count += 1
            if offset < response.total_count <= offset + limit:
                response.spans.append(message)

        await self._each(project, request, call, use)
        return response

    async def get_agent_span_stats(
        self, request: pb.GetAgentSpanStatsRequest, call: CallContext
    ) -> pb.GetAgentSpanStatsResponse:
        project = call.named_project(request.project_id)
        if not request.HasField("start"):
            raise invalid_field("start", "is required")
        since, before = _times(request, "start", "end")
        since, before = since or 0, before or call.received_ns
        by = values_at("group_by", map(struct_object, request.group_by))
        limits = limits_at("group_filters", map(struct_object, request.group_filters), by)
        metrics = metrics_at("metrics", map(struct_object, request.metrics))
        group_limit = not_negative("group_limit", request.group_limit)
        bucket_by = struct_object(request.bucket_by)
        if bucket_by.get("type", "time") not in ("time", "number"):
            raise invalid_field("bucket_by.type", "must be time or number")
        response = pb.GetAgentSpanStatsResponse(
            start=timestamp_from_ns(since), end=timestamp_from_ns(before), timezone="UTC"
        )
        by_time = bucket_by.get("type", "time") == "time"
        if by_time:
            asked = not_negative("granularity", request.granularity)
            response.granularity = bucket_seconds(asked, since, before)
        measures = []
        if bucket_by.get("measure"):
            measures.append(measure_at("bucket_by.measure", bucket_by["measure"]))
        with_contents = _ask_contents(measures, limits)
        found = await self._facts(
            project, request, call, ("start", "end"), with_contents=with_contents
        )

        def rows() -> list[dict[str, Json]]:
            spans = within(found, limits)
            if by_time:
                return fill_by_time(response, spans, by, metrics, group_limit)
            return fill_by_number(response, spans, bucket_by, metrics)

        response.rows.extend(map(_struct, await run_in_thread_if_large(len(found), rows)))
        return response

    async def _groups(
        self, project: str, request: pb.QueryAgentSpansRequest, call: CallContext
    ) -> list[dict[str, Json]]:
        """All groups, in their order."""
        by = values_at("group_by", map(struct_object, request.group_by))
        limits = limits_at("group_filters", map(struct_object, request.group_filters), by)
        measures = [
            measure_at(f"measures[{n}]", struct_object(one))
            for n, one in enumerate(request.measures)
        ]
        distributions = distributions_at(
            "group_distributions", map(struct_object, request.group_distributions)
        )
        with_contents = request.include_details or _ask_contents(measures, limits)
        found = await self._facts(project, request, call, with_contents=with_contents)

        def rows() -> list[dict[str, Json]]:
            groups = grouped(within(found, limits), by)
            return sorted_rows(
                [
                    group_row(
                        *(key, by, spans, measures, distributions),
                        with_messages=request.include_details,
                    )
                    for key, spans in groups.items()
                ],
                request.sort_by,
            )

        return await run_in_thread_if_large(len(found), rows)

    async def _sorted(
        self, project: str, request: pb.QueryAgentSpansRequest, call: CallContext
    ) -> list[Facts]:
        """All spans, in their order."""
        limits = limits_at("group_filters", map(struct_object, request.group_filters), ())
        orders = [
            (value_at(f"sort_by[{n}]", {"key": one.field}), one.direction == "desc")
            for n, one in enumerate(request.sort_by)
        ]
        with_contents = _ask_contents((), limits)
        found = await self._facts(project, request, call, with_contents=with_contents)
        found = within(found, limits)
        for value, is_descending in reversed(orders):
            found.sort(key=lambda facts: comparable(value.of(facts)), reverse=is_descending)
        return found

    async def _facts(
        self,
        project: str,
        request: _Filtered,
        call: CallContext,
        names: tuple[str, str] = _STARTED,
        *,
        with_contents: bool,
    ) -> list[Facts]:
        """The spans that meet the conditions, latest first."""
        if request.insight_filters:
            raise invalid_field("insight_filters", "is not served: there are no insights")
        found: list[Facts] = []

        def use(span: Span, message: pb.AgentSpan) -> None:
            found.append(facts_of(message, with_contents=with_contents))

        await self._each(project, request, call, use, names)
        if not request.HasField("signal_filters"):
            return found
        holds = signals("signal_filters", struct_object(request.signal_filters))
        pairs = {
            pair
            for facts in found
            for pair in (("trace", facts["trace_id"]), ("conversation", facts["conversation_id"]))
        }
        targets = sorted(pairs)
        scored: set[tuple[str, str]] = set()
        for start in range(0, len(targets), _TARGETS):
            for one in await self._store.feedback_on(project, targets[start : start + _TARGETS]):
                if holds(one):
                    scored.add((one.target, one.target_id))
        return [
            facts
            for facts in found
            if ("trace", facts["trace_id"]) in scored
            or ("conversation", facts["conversation_id"]) in scored
        ]

    async def get_custom_attributes_schema(
        self, request: pb.GetCustomAttributesSchemaRequest, call: CallContext
    ) -> pb.GetCustomAttributesSchemaResponse:
        project = call.named_project(request.project_id)
        limit = _page_size(request)
        offset = not_negative("offset", request.offset)
        counts: Counter[tuple[str, str]] = Counter()

        def use(span: Span, message: pb.AgentSpan) -> None:
            counts.update({(key, kind) for key, kind, _ in custom_attributes(span)})

        await self._each(project, request, call, use)
        found = sorted(counts.items())
        return pb.GetCustomAttributesSchemaResponse(
            attributes=[
                pb.GetCustomAttributesSchemaResponse.Attribute(
                    key=key, source=f"custom_attrs_{kind}", value_type=kind, span_count=number
                )
                for (key, kind), number in found[offset : offset + limit]
            ],
            has_more=len(found) > offset + limit,
            limit=limit,
            offset=offset,
        )

    async def _each(
        self,
        project: str,
        request: _Filtered | pb.GetCustomAttributesSchemaRequest,
        call: CallContext,
        use: Callable[[Span, pb.AgentSpan], None],
        names: tuple[str, str] = _STARTED,
    ) -> None:
        """Use each span that meets the conditions, the latest first, as far as they are looked
        at."""
        holds = condition(struct_object(request.query)) if request.HasField("query") else None
        since, before = _times(request, *names)
        looked_at = 0

        def take(span: Span) -> bool:
            nonlocal looked_at
            if looked_at == _MOST_LOOKED_AT:
                return False
            looked_at += 1
            message = agent_span(request.project_id, span)
            if holds is None or holds(span_fields(message)):
                use(span, message)
            return True

        query = SpanQuery(since_ns=since, before_ns=before)
        last, _ = await self._store.list_spans(project, query, take, seconds=_SECONDS)
        if last is not None:
            call.notes.headers[_LOWER_BOUND] = "true"


def _page_size(request: pb.QueryAgentSpansRequest | pb.GetCustomAttributesSchemaRequest) -> int:
    return clamped_page_size("limit", request.limit, default=_DEFAULT_PAGE, maximum=_MOST_IN_PAGE)


def _struct(row: dict[str, Json]) -> Struct:
    return Struct.FromString(struct_wire(row))


def _ask_contents(measures: Iterable[Measure], limits: Iterable[Limits]) -> bool:
    """Whether measures have conditions, which may be on contents."""
    return any(one.holds is not None for one in (*measures, *(limit.measure for limit in limits)))


def _times(
    request: _Request, after: str = "started_after", until: str = "started_before"
) -> tuple[int | None, int | None]:
    found = []
    for name in (after, until):
        ns = None
        if request.HasField(name):  # type: ignore[arg-type]
            ns = ns_from_timestamp(getattr(request, name))
            if ns is None:
                raise invalid_field(name, OUT_OF_RANGE)
        found.append(ns)
    return found[0], found[1]
