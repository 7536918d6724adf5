"""Calls to the services as one key makes them: fields as JSON in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from spanloom.errors import SpanloomError
from spanloom.services.agent_chat import AgentChatService
from spanloom.services.context import CallContext
from spanloom.services.events import EventService
from spanloom.services.feedback import FeedbackService
from spanloom.services.sessions import SessionService
from spanloom.services.traces import TraceService
from spanloom.store.store import Store
from spanloom.v1 import (
    agent_chat_service_pb2,
    event_service_pb2,
    feedback_service_pb2,
    session_service_pb2,
    trace_pb2,
    trace_service_pb2,
)

RECEIVED_NS = 1_800_000_000 * 10**9


@dataclass
class Caller:
    """Calls of one key: request fields as JSON in, response out."""

    store: Store
    key_project: str
    header_project: str = ""

    def __post_init__(self) -> None:
        self.traces = TraceService(self.store)
        self.events = EventService(self.store)
        self.sessions = SessionService(self.store)
        self.chats = AgentChatService(self.store)
        self.feedback = FeedbackService(self.store)

    def send(
        self,
        method: Callable[[Any, CallContext], Awaitable[Any]],
        request: Message,
        fields: dict[str, Any],
        received_ns: int = RECEIVED_NS,
    ) -> Any:
        call = CallContext(
            request_id="r",
            key_project=self.key_project,
            role="admin",
            received_ns=received_ns,
            header_project=self.header_project,
        )
        return asyncio.run(method(json_format.ParseDict(fields, request), call))  # type: ignore[arg-type]

    def create_trace(self, **trace: Any) -> Any:
        request = trace_service_pb2.CreateTraceRequest()
        return self.send(self.traces.create_trace, request, {"trace": trace})

    def create_log(self, **fields: Any) -> Any:
        return self.send(self.traces.create_log, trace_service_pb2.CreateLogRequest(), fields)

    def get_trace(self, trace_id: str) -> trace_pb2.Trace:
        request = trace_service_pb2.GetTraceRequest()
        trace: trace_pb2.Trace = self.send(
            self.traces.get_trace, request, {"traceId": trace_id}
        ).trace
        return trace

    def list_traces(self, **fields: Any) -> Any:
        return self.send(self.traces.list_traces, trace_service_pb2.ListTracesRequest(), fields)

    def delete_trace(self, trace_id: str) -> Any:
        request = trace_service_pb2.DeleteTraceRequest()
        return self.send(self.traces.delete_trace, request, {"traceId": trace_id})

    def create_batch(self, *events: dict[str, Any], **fields: Any) -> Any:
        request = event_service_pb2.CreateEventBatchRequest()
        return self.send(self.events.create_event_batch, request, {"events": events, **fields})

    def create_event(self, **fields: Any) -> Any:
        request = event_service_pb2.CreateEventRequest()
        return self.send(self.events.create_event, request, fields)

    def get_event(self, event_id: str) -> Any:
        request = event_service_pb2.GetEventRequest()
        return self.send(self.events.get_event, request, {"event_id": event_id}).event

    def export(self, **fields: Any) -> Any:
        return self.send(self.events.export_events, event_service_pb2.ExportEventsRequest(), fields)

    def get_session(self, session_id: str) -> Any:
        request = session_service_pb2.GetSessionRequest()
        return self.send(self.sessions.get_session, request, {"session_id": session_id})

    def get_chat(self, trace_id: str, **fields: Any) -> Any:
        request = agent_chat_service_pb2.GetTraceChatRequest()
        fields = {"project_id": self.key_project, "trace_id": trace_id, **fields}
        return self.send(self.chats.get_trace_chat, request, fields)

    def search(self, **fields: Any) -> Any:
        request = agent_chat_service_pb2.SearchMessagesRequest()
        fields = {"project_id": self.key_project, **fields}
        return self.send(self.chats.search_messages, request, fields)

    def give(self, received_ns: int = RECEIVED_NS, **fields: Any) -> Any:
        request = feedback_service_pb2.CreateFeedbackRequest()
        fields = {"project_id": self.key_project, "feedback_type": "free", **fields}
        return self.send(self.feedback.create_feedback, request, fields, received_ns)

    def feedback_of(self, **fields: Any) -> Any:
        request = feedback_service_pb2.QueryFeedbackRequest()
        fields = {"project_id": self.key_project, **fields}
        return self.send(self.feedback.query_feedback, request, fields).result


def refusal(call: Callable[..., Any], *args: Any, **fields: Any) -> tuple[str, set[str]]:
    """The code or, for NOT_FOUND, the reason; and the fields named."""
    with pytest.raises(SpanloomError) as refused:
        call(*args, **fields)
    error = refused.value
    word = error.reason if error.code == "NOT_FOUND" else error.code
    return word, {violation.field for violation in error.violations}
