"""AgentSpanService: what proto/spanloom/v1/agent_span_service.proto promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from spanloom.adapters.weave.feedback_query import condition
from spanloom.adapters.weave.spans import (
    agent_span,
    conversation_feedback,
    conversation_span,
    custom_attributes,
    span_fields,
)
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.errors import invalid_field
from spanloom.model import Span, SpanQuery
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

_Request = (
    pb.GetConversationSpansRequest | pb.QueryAgentSpansRequest | pb.GetCustomAttributesSchemaRequest
)


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
        if request.group_by:
            raise invalid_field("group_by", "is not served: spans are listed one by one")
        limit = _page_size(request)
        offset = not_negative("offset", request.offset)
        response = pb.QueryAgentSpansResponse()

        def use(span: Span, message: pb.AgentSpan) -> None:
            response.total_count += 1
            if offset < response.total_count <= offset + limit:
                response.spans.append(message)

        await self._each(project, request, call, use)
        return response

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
        request: pb.QueryAgentSpansRequest | pb.GetCustomAttributesSchemaRequest,
        call: CallContext,
        use: Callable[[Span, pb.AgentSpan], None],
    ) -> None:
        """Use each span that meets the conditions, the latest first, as far as they are looked
        at."""
        holds = condition(struct_object(request.query)) if request.HasField("query") else None
        since, before = _times(request)
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


def _times(request: _Request) -> tuple[int | None, int | None]:
    found = []
    for name in ("started_after", "started_before"):
        ns = None
        if request.HasField(name):
            ns = ns_from_timestamp(getattr(request, name))
            if ns is None:
                raise invalid_field(name, OUT_OF_RANGE)
        found.append(ns)
    return found[0], found[1]
