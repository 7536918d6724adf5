"""Calls that the tests of several services make, and what they send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from spanloom.model import Span
from spanloom.v1 import trace_pb2
from tests.contract.conftest import Project
from tests.parts import parts

SECOND = 10**9
EVENT = {
    "event_id": "e",
    "session_id": "s",
    "event_name": "call",
    "start_time": 1000,
    "end_time": 1500,
    "metadata": {"a": 1, "b": {"deep": 1}},
    "feedback": {"rating": 5},
    "config": {"model": "m"},
    "outputs": {"o": 1, "p": 2},
    "inputs": {"q": "hi"},
}


def documented(name: str) -> dict[str, Any]:
    """The request of an example that clients' documentation gives."""
    path = Path("tests/data/documented", f"{name}.json")
    request: dict[str, Any] = json.loads(path.read_text())["request"]
    return request


def as_dict(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(message)
    return fields


def create_trace(project: Project, **fields: Any) -> Any:
    return project.send("TraceService/CreateTrace", trace=fields)


def get_trace(project: Project, trace_id: str) -> trace_pb2.Trace:
    trace: trace_pb2.Trace = project.send("TraceService/GetTrace", traceId=trace_id).trace
    return trace


def list_traces(project: Project, **conditions: Any) -> list[str]:
    listed = project.send("TraceService/ListTraces", **conditions).traces
    return [trace.id for trace in listed]


def create_events(project: Project, *events: dict[str, Any], **fields: Any) -> Any:
    """Events without a type are tools."""
    typed = [{"event_type": "tool", **event} for event in events]
    return project.send("EventService/CreateEventBatch", events=typed, **fields)


def get_event(project: Project, event_id: str) -> dict[str, Any]:
    return as_dict(project.send("EventService/GetEvent", event_id=event_id).event)


def update_event(project: Project, event_id: str, **fields: Any) -> None:
    assert project.send("EventService/UpdateEvent", event_id=event_id, **fields).success


def export_events(project: Project, *filters: tuple[str, str], **fields: Any) -> Any:
    """`filters` are pairs of a field and the text that it is."""
    if filters:
        fields["filters"] = [
            {"field": field, "operator": "is", "value": value, "type": "string"}
            for field, value in filters
        ]
    return project.send("EventService/ExportEvents", **fields)


def exported_ids(project: Project, **fields: Any) -> list[str]:
    return [event.event_id for event in export_events(project, **fields).events]


def get_session(project: Project, session_id: str) -> Any:
    return project.send("SessionService/GetSession", session_id=session_id)


def start_session(project: Project, **session: Any) -> Any:
    return project.send("SessionService/StartSession", session=session)


def create_feedback(project: Project, **fields: Any) -> Any:
    note = {"feedback_type": "wandb.note.1", "payload": {"note": "n"}}
    return project.send(
        "FeedbackService/CreateFeedback", **{"project_id": project.name, **note, **fields}
    )


def query_feedback(project: Project, **fields: Any) -> Any:
    fields = {"project_id": project.name, **fields}
    return project.send("FeedbackService/QueryFeedback", **fields).result


def create_evaluator(project: Project, slug: str, kind: str, **settings: Any) -> Any:
    evaluator = {"slug": slug, "kind": kind, "settings": settings}
    return project.send("EvaluatorService/CreateEvaluator", evaluator=evaluator).evaluator


def write_spans(project: Project, *spans: Span) -> None:
    """Store spans as an adapter would have read them."""
    project.server.run(project.server.running.store.write_spans(project.name, spans))


def model_call(trace_id: str, span_id: str, start_s: int, *texts: str, **fields: Any) -> Span:
    """A model call in which the last text answers the one before."""
    *asked, answer = texts
    body = {
        "input_messages": [{"role": "user", "content": text} for text in asked],
        "output_messages": [{"role": "assistant", "content": answer}],
        **fields.pop("body", {}),
    }
    given = {
        "session_id": trace_id,
        "event_id": span_id,
        "operation": "chat",
        "kind": "model",
        "start_ns": start_s * SECOND,
        "end_ns": (start_s + 1) * SECOND,
        **fields,
    }
    return Span(trace_id=trace_id, span_id=span_id, **parts(body), **given)


def get_conversation_chat(project: Project, **fields: Any) -> Any:
    """Of the conversation `c`."""
    fields = {"project_id": project.name, "conversation_id": "c", **fields}
    return project.send("AgentChatService/GetConversationChat", **fields)


def search_messages(project: Project, query: str = "", **fields: Any) -> Any:
    fields = {"project_id": project.name, "query": query, **fields}
    return project.send("AgentChatService/SearchMessages", **fields)


def found_messages(project: Project, query: str = "", **fields: Any) -> list[tuple[str, str]]:
    """The role and the text of each message that is found."""
    return [
        (message.role, message.content_preview)
        for result in search_messages(project, query, **fields).results
        for message in result.matched_messages
    ]


def list_agents(project: Project, **fields: Any) -> Any:
    return project.send("AgentChatService/ListAgents", **{"project_id": project.name, **fields})
