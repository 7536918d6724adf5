"""AgentChatService: what proto/spanloom/v1/agent_chat_service.proto promises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.adapters.weave.agent import SORT_FIELDS, agent_message, match_of, search_response
from spanloom.adapters.weave.chat import MAX_UINT32, chat_message, weight_of
from spanloom.adapters.weave.feedback import feedback_message
from spanloom.chat.feedback import attach_feedback
from spanloom.chat.search import MatchPage
from spanloom.chat.spoken import ROLES, TOOL_CALL, TOOL_RESULT
from spanloom.chat.view import trace_chat
from spanloom.codec.gradual_release import release_gradually
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field
from spanloom.model import MAX_TIME_NS, AgentQuery, AgentTotals, Feedback, Page, Span, SpokenQuery
from spanloom.model.checks import Violations, possible_id
from spanloom.model.paging import bounded_limit, bounded_offset, not_negative
from spanloom.model.turn import TurnChat
from spanloom.services.context import CallContext
from spanloom.services.trace_ids import stored_trace_id
from spanloom.services.trace_views import TraceViews
from spanloom.store.spans import Position, position_of
from spanloom.store.store import Store
from spanloom.v1 import agent_chat_service_pb2 as pb
from spanloom.v1 import agent_pb2

MAX_TURNS = 50
DEFAULT_MATCHES, MAX_MATCHES = 20, 1000
# A search reads all that precedes its page.
MAX_MATCHES_OFFSET = 10_000
DEFAULT_AGENTS, MAX_AGENTS = 100, 10_000
_SEARCHED_AT_ONCE = 200
_NARROW = (
    "the deadline expired before all spans that may contain the query were read; narrow the search"
    " by started_after and started_before, conversation_id, trace_id or agent_name"
)

# A needle may be a whole message.
_LONGEST_QUERY = 65_536
_ROLES = {**{role: (role,) for role in ROLES}, "tool": (TOOL_CALL, TOOL_RESULT)}
_DIRECTIONS = {"": True, "desc": True, "asc": False}
_LAST_SEEN_FIRST = (("last_ns", True),)


class AgentChatService:
    """Traces and conversations as chats; messages and agents across them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views = TraceViews(store)

    async def get_trace_chat(
        self, request: pb.GetTraceChatRequest, call: CallContext
    ) -> pb.GetTraceChatResponse:
        project = call.named_project(request.project_id)
        trace_id = request.trace_id
        if not trace_id:
            raise invalid_field("trace_id", "is required")
        trace_id = await stored_trace_id(self._store, project, trace_id)
        known = possible_id(trace_id)
        if known and not request.include_feedback:
            chat = await self._views.get(
                project,
                trace_id,
                request.SerializeToString(deterministic=True),
                lambda spans: chat_message(_turn(trace_id, spans, request), request.project_id),
            )
            if chat is not None:
                return chat
            return chat_message(_turn(trace_id, [], request), request.project_id)
        spans = await self._store.trace_spans(project, trace_id) if known else []
        turn = await run_in_thread_if_large(len(spans), partial(_turn, trace_id, spans, request))
        if request.include_feedback and known:
            turn = attach_feedback(turn, await self._feedback_on(project, [turn]))
        return await run_in_thread_if_large(
            weight_of(turn), lambda: chat_message(turn, request.project_id)
        )

    async def get_conversation_chat(
        self, request: pb.GetConversationChatRequest, call: CallContext
    ) -> pb.GetConversationChatResponse:
        project = call.named_project(request.project_id)
        conversation_id = request.conversation_id
        if not conversation_id:
            raise invalid_field("conversation_id", "is required")
        limit = bounded_limit(
            request.limit if request.HasField("limit") else None,
            default=MAX_TURNS,
            maximum=MAX_TURNS,
        )
        offset = not_negative("offset", request.offset)
        response = pb.GetConversationChatResponse(
            conversation_id=conversation_id, limit=limit, offset=offset
        )
        if not possible_id(conversation_id):
            return response
        page, total = await self._store.conversation_turns(
            project, conversation_id, limit=limit, offset=offset
        )
        turns = [
            await run_in_thread_if_large(
                len(spans),
                partial(_turn, trace_id, spans, request),
            )
            for trace_id, spans in reversed(page)
        ]
        if request.include_feedback:
            target = ("conversation", conversation_id)
            found = await self._feedback_on(project, turns, target)
            turns = [attach_feedback(turn, found) for turn in turns]
            on_conversation = (f for f in found if (f.target, f.target_id) == target)
            response.feedback.extend(feedback_message(feedback) for feedback in on_conversation)
        for turn in turns:
            response.turns.append(
                await run_in_thread_if_large(
                    weight_of(turn), partial(chat_message, turn, request.project_id)
                )
            )
        response.total_turns = min(total, MAX_UINT32)
        response.has_more = offset + len(page) < total
        costs = [turn.total_cost_usd for turn in turns if turn.total_cost_usd is not None]
        if costs:
            response.total_cost_usd = math.fsum(costs)
        return response

    async def search_messages(
        self, request: pb.SearchMessagesRequest, call: CallContext
    ) -> pb.SearchMessagesResponse:
        project = call.named_project(request.project_id)
        violations = Violations()
        for index, role in enumerate(request.roles):
            violations.check_word(f"roles[{index}]", role, tuple(_ROLES))
        violations.refuse()
        limit = bounded_limit(
            request.limit if request.HasField("limit") else None,
            default=DEFAULT_MATCHES,
            maximum=MAX_MATCHES,
        )
        offset = bounded_offset(request.offset, maximum=MAX_MATCHES_OFFSET)
        named = (request.trace_id, request.conversation_id)
        if not limit or not all(possible_id(name) for name in named if name):
            return pb.SearchMessagesResponse()
        if len(request.query) > _LONGEST_QUERY:
            raise invalid_field("query", f"must have at most {_LONGEST_QUERY} characters")
        query = SpokenQuery(
            text=request.query,
            trace_id=request.trace_id,
            session_id=request.conversation_id,
            agent_name=request.agent_name,
            provider=request.provider_name,
            model=request.request_model,
            since_ns=_bound(request.started_after) if request.HasField("started_after") else None,
            before_ns=_bound(request.started_before)
            if request.HasField("started_before")
            else None,
        )
        roles = {each for role in request.roles or ROLES for each in _ROLES[role]}
        truncated = request.truncate_content or not request.HasField("truncate_content")
        show = partial(match_of, project_id=request.project_id, truncated=truncated)
        page = MatchPage(query.text, roles, show, offset=offset, limit=limit)
        call.notes.on_deadline = _NARROW
        after: Position | None = None
        while not page.is_full:
            spans = await self._store.speaking_spans(
                project, query, limit=_SEARCHED_AT_ONCE, after=after
            )
            await run_in_thread_if_large(len(spans), partial(page.add, spans))
            if len(spans) < _SEARCHED_AT_ONCE:
                break
            after = position_of(spans[-1])
        return search_response(page.matches)

    async def list_agents(
        self, request: pb.ListAgentsRequest, call: CallContext
    ) -> pb.ListAgentsResponse:
        project = call.named_project(request.project_id)
        page = await self._agents(project, request, request.filters.agent_name)
        return pb.ListAgentsResponse(
            agents=[agent_message(project, totals) for totals in page.items],
            total_count=min(page.total, MAX_UINT32),
        )

    async def list_agent_versions(
        self, request: pb.ListAgentVersionsRequest, call: CallContext
    ) -> pb.ListAgentVersionsResponse:
        project = call.named_project(request.project_id)
        if not request.agent_name:
            raise invalid_field("agent_name", "is required")
        page = await self._agents(project, request, request.agent_name, by_version=True)
        return pb.ListAgentVersionsResponse(
            versions=[agent_message(project, totals) for totals in page.items],
            total_count=min(page.total, MAX_UINT32),
        )

    async def _agents(
        self,
        project: str,
        request: pb.ListAgentsRequest | pb.ListAgentVersionsRequest,
        agent_name: str,
        *,
        by_version: bool = False,
    ) -> Page[AgentTotals]:
        return await self._store.find_agents(
            project,
            AgentQuery(
                agent_name=agent_name,
                by_version=by_version,
                order=_order(request.sort_by) or _LAST_SEEN_FIRST,
                limit=bounded_limit(
                    request.limit if request.HasField("limit") else None,
                    default=DEFAULT_AGENTS,
                    maximum=MAX_AGENTS,
                ),
                offset=not_negative("offset", request.offset),
            ),
        )

    async def _feedback_on(
        self, project: str, turns: Sequence[TurnChat], *targets: tuple[str, str]
    ) -> list[Feedback]:
        """All feedback on the turns, on the spans that they show, and on further targets."""
        shown = {message.span_id for turn in turns for message in turn.messages if message.span_id}
        return await self._store.feedback_on(
            project,
            [
                *(("trace", turn.trace_id) for turn in turns),
                *(("span", span_id) for span_id in sorted(shown)),
                *targets,
            ],
        )


def _turn(
    trace_id: str,
    spans: list[Span],
    request: pb.GetTraceChatRequest | pb.GetConversationChatRequest,
) -> TurnChat:
    """The chat of the spans; the list is emptied."""
    turn = trace_chat(trace_id, spans, include_model_tool_calls=request.include_model_tool_calls)
    release_gradually(spans)
    return turn


def _order(sort_by: Sequence[agent_pb2.AgentSort]) -> list[tuple[str, bool]]:
    violations = Violations()
    for index, sort in enumerate(sort_by):
        violations.check_word(f"sort_by[{index}].field", sort.field, tuple(SORT_FIELDS))
        if sort.direction:
            violations.check_word(f"sort_by[{index}].direction", sort.direction, ("asc", "desc"))
    violations.refuse()
    return [(SORT_FIELDS[sort.field], _DIRECTIONS[sort.direction]) for sort in sort_by]


def _bound(time: Timestamp) -> int:
    """In nanoseconds; a time that no span can have becomes the nearest that is out of range."""
    return max(-1, min(time.seconds * 10**9 + time.nanos, MAX_TIME_NS))
