"""AgentChatService: what proto/spanloom/v1/agent_chat_service.proto promises."""

from __future__ import annotations

from spanloom.chat.feedback import attach_feedback
from spanloom.chat.view import trace_chat
from spanloom.errors import invalid_field
from spanloom.ingest.checks import possible_id
from spanloom.services.call import Call
from spanloom.services.conversion import converted
from spanloom.services.views.chat import chat_message
from spanloom.store.store import Store
from spanloom.v1 import agent_chat_service_pb2


class AgentChatService:
    """Traces as chats."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_trace_chat(
        self, request: agent_chat_service_pb2.GetTraceChatRequest, call: Call
    ) -> agent_chat_service_pb2.GetTraceChatResponse:
        project = call.named_project(request.project_id)
        trace_id = request.trace_id
        if not trace_id:
            raise invalid_field("trace_id", "is required")
        known = possible_id(trace_id)
        spans = await self._store.trace_spans(project, trace_id) if known else []
        turn = await converted(
            len(spans),
            lambda: trace_chat(
                trace_id, spans, include_model_tool_calls=request.include_model_tool_calls
            ),
        )
        if request.include_feedback and known:
            shown = {message.span_id for message in turn.messages if message.span_id}
            targets = [("trace", trace_id), *(("span", span_id) for span_id in sorted(shown))]
            turn = attach_feedback(turn, await self._store.feedback_on(project, targets))
        return await converted(len(turn.messages), lambda: chat_message(turn))
