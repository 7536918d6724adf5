"""AgentChatService and FeedbackService, by their promises in the proto files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import (
    agent_chat_service_pb2,
    event_service_pb2,
    feedback_service_pb2,
    trace_service_pb2,
)
from tests.clients import CallError
from tests.contract.conftest import Project

DATA = Path("tests/data/documented")


def documented(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())["request"]


def chat(project: Project, trace_id: str, **fields: Any) -> Any:
    request = agent_chat_service_pb2.GetTraceChatRequest(
        **{"project_id": project.name, "trace_id": trace_id, **fields}
    )
    return project("AgentChatService/GetTraceChat", request)


def send_trace(project: Project, **fields: Any) -> str:
    request = json_format.ParseDict({"trace": fields}, trace_service_pb2.CreateTraceRequest())
    return str(project("TraceService/CreateTrace", request).trace.id)


def send_events(project: Project, body: dict[str, Any]) -> None:
    request = json_format.ParseDict(body, event_service_pb2.CreateEventBatchRequest())
    project("EventService/CreateEventBatch", request)


def give(project: Project, **fields: Any) -> Any:
    fields = {
        "project_id": project.name,
        "feedback_type": "wandb.note.1",
        "payload": {"note": "n"},
        **fields,
    }
    request = json_format.ParseDict(fields, feedback_service_pb2.CreateFeedbackRequest())
    return project("FeedbackService/CreateFeedback", request)


def spoken(messages: Any) -> list[tuple[str, str]]:
    return [
        (message.type, getattr(message, message.type).text)
        for message in messages
        if message.type in ("user_message", "assistant_message")
    ]


def test_the_documented_batch_is_a_chat(project: Project) -> None:
    body = documented("create_event_batch")
    send_events(project, body)
    answer = chat(project, body["events"][0]["session_id"])
    assert spoken(answer.messages) == [
        ("user_message", "What is in the context?"),
        ("assistant_message", "Hello world"),
    ]
    said = next(m for m in answer.messages if m.type == "assistant_message")
    assert said.span_id == body["events"][0]["event_id"]
    assert said.assistant_message.model == "gpt-3.5-turbo"
    assert (said.assistant_message.input_tokens, said.assistant_message.output_tokens) == (35, 23)
    assert answer.root_span_name == "Playground Session"
    assert (answer.total_input_tokens, answer.total_output_tokens) == (35, 23)


def test_the_documented_trace_is_a_chat(project: Project) -> None:
    trace_id = send_trace(project, **documented("create_trace"))
    answer = chat(project, trace_id)
    assert spoken(answer.messages) == [
        ("user_message", "What is the capital of France?"),
        ("assistant_message", "Paris"),
    ]
    assert answer.root_span_name == "qa-chatbot"
    assert answer.total_duration_ms == 0


def test_tools_of_a_trace_are_tool_calls(project: Project) -> None:
    logs = [
        {
            "id": "g",
            "type": "generation",
            "input": "q",
            "output": "a",
            "startTime": "2026-01-01T00:00:02Z",
            "endTime": "2026-01-01T00:00:03Z",
        },
        {
            "id": "t",
            "type": "tool",
            "name": "search",
            "input": {"q": "é"},
            "output": ["hit"],
            "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-01-01T00:00:01Z",
        },
    ]
    trace_id = send_trace(project, name="bot", input="q", output="a", logs=logs)
    messages = chat(project, trace_id).messages
    assert [m.type for m in messages if m.type != "agent_start"] == [
        "user_message",
        "tool_call",
        "assistant_message",
    ]
    call = next(m.tool_call for m in messages if m.type == "tool_call")
    assert call.tool_name == "search"
    assert json.loads(call.tool_arguments) == {"q": "é"}
    assert "é" in call.tool_arguments
    assert json.loads(call.tool_result) == ["hit"]
    assert call.duration_ms == 1000


def test_an_unknown_trace_has_no_messages(project: Project) -> None:
    answer = chat(project, "nobody")
    assert (answer.trace_id, list(answer.messages)) == ("nobody", [])
    assert not answer.HasField("root_span_name")


def test_the_project_must_be_the_keys(project: Project) -> None:
    send_trace(project, id="t", input="q")
    for named in (project.name, f"entity/{project.name}"):
        assert chat(project, "t", project_id=named).messages
    for foreign in ("other", f"{project.name}/other"):
        with pytest.raises(CallError) as refused:
            chat(project, "t", project_id=foreign)
        assert (refused.value.code, refused.value.reason) == (
            "PERMISSION_DENIED",
            "PROJECT_MISMATCH",
        )
    for missing in ({"project_id": ""}, {"trace_id": ""}):
        with pytest.raises(CallError) as refused:
            project(
                "AgentChatService/GetTraceChat",
                json_format.ParseDict(
                    {"project_id": project.name, "trace_id": "t", **missing},
                    agent_chat_service_pb2.GetTraceChatRequest(),
                ),
            )
        assert set(refused.value.violations) == set(missing)


def test_feedback_stands_where_it_belongs_when_asked_for(project: Project) -> None:
    send_trace(project, id="t", input="q", logs=[{"id": "g", "type": "generation", "output": "a"}])
    ref = f"weave:///e/{project.name}"
    give(
        project,
        id="on-trace",
        weave_ref=f"{ref}/agent_turn/t",
        feedback_type="wandb.reaction.1",
        payload={"emoji": "👍"},
    )
    give(
        project,
        id="on-span",
        weave_ref=f"{ref}/agent_span/g",
        scorer_ratings={"helpful": 0.5},
        scorer_tags=["ok"],
    )
    give(project, id="elsewhere", weave_ref=f"{ref}/agent_turn/other")
    answer = chat(project, "t", include_feedback=True)
    assert [f.id for f in answer.feedback] == ["on-trace"]
    assert json_format.MessageToDict(answer.feedback[0].payload) == {"emoji": "👍"}
    said = next(m for m in answer.messages if m.type == "assistant_message")
    assert [f.id for f in said.feedback] == ["on-span"]
    assert dict(said.feedback[0].scorer_ratings) == {"helpful": 0.5}
    asked_without = chat(project, "t")
    assert not asked_without.feedback
    assert not any(m.feedback for m in asked_without.messages)


def test_feedback_is_queried_newest_first(project: Project) -> None:
    for n in range(5):
        give(project, id=str(n), weave_ref=f"weave:///e/p/agent_turn/{n % 2}")
    query = feedback_service_pb2.QueryFeedbackRequest(project_id=project.name)
    found = project("FeedbackService/QueryFeedback", query).result
    assert [f.id for f in found] == ["4", "3", "2", "1", "0"]
    query.weave_ref = "weave:///e/p/agent_turn/0"
    query.limit, query.offset = 2, 1
    assert [f.id for f in project("FeedbackService/QueryFeedback", query).result] == ["2", "0"]
    query = feedback_service_pb2.QueryFeedbackRequest(project_id=project.name, feedback_type="none")
    assert not project("FeedbackService/QueryFeedback", query).result


def test_the_same_feedback_again_replaces(project: Project) -> None:
    for note in ("first", "second"):
        answer = give(
            project, id="f", weave_ref="weave:///e/p/agent_turn/t", payload={"note": note}
        )
        assert answer.id == "f"
    query = feedback_service_pb2.QueryFeedbackRequest(project_id=project.name)
    found = project("FeedbackService/QueryFeedback", query).result
    assert [json_format.MessageToDict(f.payload) for f in found] == [{"note": "second"}]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"weave_ref": ""}, "weave_ref"),
        ({"feedback_type": ""}, "feedback_type"),
        ({"payload": {"note": "x" * 1025}}, "payload.note"),
        ({"span_trace_id": "another"}, "span_trace_id"),
        (
            {"weave_ref": "weave:///e/p/agent_conversation/c", "span_trace_id": "t"},
            "span_trace_id",
        ),
    ],
)
def test_bad_feedback_is_named(project: Project, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CallError) as refused:
        give(project, **{"weave_ref": "weave:///e/p/agent_turn/t", **fields})
    assert set(refused.value.violations) == {named}
