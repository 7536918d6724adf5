"""Every RPC, over every transport: no key, a wrong key, a wrong role, another project's key, a revoked key."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.protobuf.message import Message

from spanloom.v1 import (
    agent_chat_service_pb2,
    event_service_pb2,
    feedback_service_pb2,
    session_service_pb2,
    trace_service_pb2,
)
from tests.clients import CallError, method_descriptor, request_class, until
from tests.contract.conftest import METHODS, Project


def request_for(method: str) -> Message:
    """A request that names things, so that paths with variables can be built."""
    request = request_class(method_descriptor(method))()
    for field in ("trace_id", "event_id", "session_id", "experiment_id", "slug"):
        if field in request.DESCRIPTOR.fields_by_name:
            setattr(request, field, "x")
    return request


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_which_role_it_needs(method: str) -> None:
    assert METHODS[method].role in ("ingest", "read", "admin")


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_strangers(project: Project, method: str) -> None:
    good = project.key
    wrong = [
        "nonsense",
        "sl_0123456789abcdef_" + "A" * 43,
        good[:-1] + ("A" if good[-1] != "A" else "B"),
    ]
    with pytest.raises(CallError) as refused:
        project(method, request_for(method), key=None)
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "MISSING_CREDENTIALS")
    for key in wrong:
        with pytest.raises(CallError) as refused:
            project(method, request_for(method), key=key)
        assert (refused.value.code, refused.value.reason) == (
            "UNAUTHENTICATED",
            "INVALID_CREDENTIALS",
        )


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_a_wrong_role(project: Project, method: str) -> None:
    for role in {"ingest", "read"} - {METHODS[method].role}:
        with pytest.raises(CallError) as refused:
            project(method, request_for(method), key=project.server.key(project.name, role))
        assert (refused.value.code, refused.value.reason) == (
            "PERMISSION_DENIED",
            "ROLE_NOT_ALLOWED",
        )


def _write(project: Project) -> None:
    trace = trace_service_pb2.CreateTraceRequest()
    trace.trace.id = "t"
    project("TraceService/CreateTrace", trace)
    event = event_service_pb2.CreateEventRequest()
    event.event.event_type, event.event.event_id, event.event.session_id = "tool", "e", "s"
    project("EventService/CreateEvent", event)
    feedback = feedback_service_pb2.CreateFeedbackRequest(
        project_id=project.name, weave_ref="weave:///e/p/agent_turn/t", feedback_type="x", id="f"
    )
    project("FeedbackService/CreateFeedback", feedback)


def test_another_projects_key_sees_and_changes_nothing(project: Project) -> None:
    _write(project)
    walled = f"{project.name} walled"
    other = Project(walled, project.server.key(walled), project.client, project.server)
    method: str
    request: Any
    for method, request in (
        ("TraceService/GetTrace", trace_service_pb2.GetTraceRequest(trace_id="t")),
        ("TraceService/DeleteTrace", trace_service_pb2.DeleteTraceRequest(trace_id="t")),
        ("EventService/GetEvent", event_service_pb2.GetEventRequest(event_id="e")),
        ("SessionService/GetSession", session_service_pb2.GetSessionRequest(session_id="s")),
    ):
        with pytest.raises(CallError) as refused:
            other(method, request)
        assert refused.value.code == "NOT_FOUND"
    assert not other("TraceService/ListTraces", trace_service_pb2.ListTracesRequest()).traces
    assert not other("EventService/ExportEvents", event_service_pb2.ExportEventsRequest()).events
    query = feedback_service_pb2.QueryFeedbackRequest(project_id=walled)
    assert not other("FeedbackService/QueryFeedback", query).result
    chat = agent_chat_service_pb2.GetTraceChatRequest(project_id=walled, trace_id="t")
    assert not other("AgentChatService/GetTraceChat", chat).messages
    for method, naming in (
        ("AgentChatService/GetTraceChat", agent_chat_service_pb2.GetTraceChatRequest),
        ("FeedbackService/QueryFeedback", feedback_service_pb2.QueryFeedbackRequest),
        ("FeedbackService/CreateFeedback", feedback_service_pb2.CreateFeedbackRequest),
    ):
        request = naming(project_id=project.name)
        if "trace_id" in request.DESCRIPTOR.fields_by_name:
            request.trace_id = "t"
        with pytest.raises(CallError) as refused:
            other(method, request)
        assert (refused.value.code, refused.value.reason) == (
            "PERMISSION_DENIED",
            "PROJECT_MISMATCH",
        )
    _write(other)
    delete = trace_service_pb2.DeleteTraceRequest(trace_id="t")
    other("TraceService/DeleteTrace", delete)
    assert (
        project("TraceService/GetTrace", trace_service_pb2.GetTraceRequest(trace_id="t")).trace.id
        == "t"
    )


def test_a_project_header_must_be_the_keys_project(project: Project) -> None:
    request = trace_service_pb2.ListTracesRequest()
    project("TraceService/ListTraces", request, project=project.name)
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        project("TraceService/ListTraces", request, project="other")


def test_an_instance_key_works_in_the_project_it_names(project: Project) -> None:
    instance = project.server.key()
    name = project.name + " made on first write"
    create = trace_service_pb2.CreateTraceRequest()
    create.trace.id = "t"
    project("TraceService/CreateTrace", create, key=instance, project=name)
    get = trace_service_pb2.GetTraceRequest(trace_id="t")
    assert project("TraceService/GetTrace", get, key=instance, project=name).trace.id == "t"
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        project("TraceService/GetTrace", get)
    for word in ("*", "x" * 129):
        with pytest.raises(CallError) as refused:
            project("TraceService/CreateTrace", create, key=instance, project=word)
        assert set(refused.value.violations) == {"project"}


def test_events_name_their_project_to_an_instance_key(project: Project) -> None:
    instance = project.server.key()
    request = event_service_pb2.CreateEventBatchRequest()
    for project_name in (project.name, project.name):
        request.events.add(event_type="tool", project=project_name)
    project("EventService/CreateEventBatch", request, key=instance)
    assert project("EventService/ExportEvents", event_service_pb2.ExportEventsRequest()).count == 2
    request.events[1].project = "another"
    with pytest.raises(CallError) as refused:
        project("EventService/CreateEventBatch", request, key=instance)
    assert set(refused.value.violations) == {"events[1].project"}


def test_a_revoked_key_is_refused_within_a_second(project: Project) -> None:
    key = project.server.key(project.name)
    request = trace_service_pb2.ListTracesRequest()
    project("TraceService/ListTraces", request, key=key)
    key_id = key.split("_")[1]
    assert project.server.run(project.server.running.store.revoke_key(key_id, time.time_ns()))

    def refused() -> bool:
        try:
            project("TraceService/ListTraces", request, key=key)
        except CallError as error:
            return error.reason == "INVALID_CREDENTIALS"
        return False

    until(refused, 3)
