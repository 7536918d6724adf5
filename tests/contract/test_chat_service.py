"""ChatService, by its promises in proto/spanloom/v1/chat_service.proto."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from spanloom.v1 import chat_pb2
from spanloom.v1 import chat_service_pb2 as pb
from tests.clients import CallError
from tests.contract.calls import as_dict
from tests.contract.conftest import Project
from tests.contract.test_span_service import LIMIT, at, read_text, write


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def model_call(
    span_id: str, second: float, question: str, answer: str, **fields: Any
) -> dict[str, Any]:
    return {
        "spanId": span_id,
        "startTime": at(second),
        "endTime": at(second + 0.25),
        "model": {"provider": "openai", "requestModel": "m", "inputTokens": "7"},
        "inputMessages": [said("user", question)],
        "outputMessages": [said("assistant", answer)],
        **fields,
    }


def agent_turn(trace_id: str, start: float, **fields: Any) -> list[dict[str, Any]]:
    """An agent that asks a model, and looks something up."""
    given = {"traceId": trace_id, "agent": {"name": "Ada", "version": "7"}, **fields}
    return [
        {
            "spanId": "agent",
            "kind": "SPAN_KIND_AGENT",
            "startTime": at(start),
            "endTime": at(start + 2),
            **given,
        },
        model_call("call", start + 0.5, "what?", "that", parentSpanId="agent", **given),
        {
            "spanId": "look",
            "parentSpanId": "agent",
            "startTime": at(start + 1),
            "endTime": at(start + 1.5),
            "tool": {"name": "look", "callId": "c1"},
            "input": {"q": "x"},
            "output": {"found": [1]},
            **given,
        },
    ]


def chat(project: Project, **fields: Any) -> list[chat_pb2.ChatMessage]:
    """All messages, page by page."""
    fields = fields or {"traceId": "t"}
    found: list[chat_pb2.ChatMessage] = []
    token = ""
    while True:
        page: pb.ListChatMessagesResponse = project.send(
            "ChatService/ListChatMessages", **fields, pageToken=token
        )
        found += page.messages
        token = page.next_page_token
        if not token:
            return found


def kinds(messages: list[chat_pb2.ChatMessage]) -> list[str]:
    return [str(message.WhichOneof("content")) for message in messages]


def test_list_chat_messages_of_a_trace(project: Project) -> None:
    write(project, *agent_turn("t", 1))
    messages = chat(project)
    assert kinds(messages) == ["user", "agent_start", "response", "tool_call"]
    user, start, response, call = messages
    assert user.user.text == "what?"
    assert not user.HasField("agent")
    assert user.span_id
    assert (start.agent.name, start.agent.version) == ("Ada", "7")
    assert response.response.text == "that"
    assert response.response.model.request_model == "m"
    assert response.response.model.input_tokens == 7
    assert response.duration.nanos == 250_000_000
    assert (call.tool_call.name, call.tool_call.call_id) == ("look", "c1")
    assert call.tool_call.arguments.struct_value["q"] == "x"
    assert as_dict(call.tool_call.result) == {"found": [1]}
    assert call.tool_call.executed
    assert {message.trace_id for message in messages} == {"t"}
    assert len({message.message_id for message in messages}) == 4


def test_list_chat_messages_keeps_ids_while_spans_come(project: Project) -> None:
    write(project, *agent_turn("t", 1))
    before = {message.message_id for message in chat(project)}
    write(project, model_call("again", 3.5, "more?", "this", parentSpanId="agent"))
    write(project, *agent_turn("t", 1))
    after = {message.message_id for message in chat(project)}
    assert before < after


def test_list_chat_messages_by_pages_and_kinds(project: Project) -> None:
    write(project, *agent_turn("t", 1))
    whole = [message.message_id for message in chat(project)]
    for size in (1, 3):
        paged = chat(project, traceId="t", pageSize=size)
        assert [message.message_id for message in paged] == whole
    newest = chat(project, traceId="t", pageSize=1, order="CHAT_ORDER_NEWEST_FIRST")
    assert [message.message_id for message in newest] == whole[::-1]
    some = ["CHAT_MESSAGE_KIND_USER", "CHAT_MESSAGE_KIND_TOOL_CALL"]
    assert kinds(chat(project, traceId="t", kinds=some, pageSize=1)) == ["user", "tool_call"]
    page = project.send("ChatService/ListChatMessages", traceId="t", pageSize=1)
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send(
            "ChatService/ListChatMessages", conversationId="t", pageToken=page.next_page_token
        )


def test_list_chat_messages_of_a_conversation(project: Project) -> None:
    for number, trace_id in enumerate(("one", "two", "three")):
        write(project, *agent_turn(trace_id, 1 + 3 * number, conversationId="c"))
    for size in (1, 2, 100):
        messages = chat(project, conversationId="c", pageSize=size)
        assert [message.trace_id for message in messages] == [
            trace_id for trace_id in ("one", "two", "three") for _ in range(4)
        ]
    newest = chat(project, conversationId="c", pageSize=3, order="CHAT_ORDER_NEWEST_FIRST")
    assert [message.message_id for message in newest] == [
        message.message_id for message in reversed(chat(project, conversationId="c"))
    ]


def test_list_chat_messages_goes_on_behind_a_trace_that_came_earlier(project: Project) -> None:
    write(project, *agent_turn("two", 10, conversationId="c"))
    write(project, *agent_turn("three", 20, conversationId="c"))
    first = project.send("ChatService/ListChatMessages", conversationId="c", pageSize=2)
    write(project, *agent_turn("one", 1, conversationId="c"))
    rest = project.send(
        "ChatService/ListChatMessages",
        conversationId="c",
        pageSize=2,
        pageToken=first.next_page_token,
    )
    shown = [message.trace_id for message in (*first.messages, *rest.messages)]
    assert shown == ["two"] * 4
    assert len({m.message_id for m in (*first.messages, *rest.messages)}) == 4


def test_list_chat_messages_refuses_what_is_unknown(project: Project) -> None:
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        chat(project.direct(), traceId="t")
    with pytest.raises(CallError, match="CONVERSATION_NOT_FOUND"):
        chat(project, conversationId="c")
    for fields in ({}, {"traceId": "t", "conversationId": "c"}, {"traceId": "t", "kinds": [0]}):
        with pytest.raises(CallError, match="INVALID_FIELD"):
            project.direct().send("ChatService/ListChatMessages", **fields)


def test_list_chat_messages_shortens_and_counts_reviews(project: Project) -> None:
    long = "x" * (2 << 20)
    write(project, model_call("a", 1, "what?", long), model_call("b", 2, "and?", long))
    project.direct().send(
        "FeedbackService/CreateFeedback",
        project_id=project.name,
        weave_ref=f"weave:///e/{project.name}/agent_span/a",
        feedback_type="x",
        payload={"n": 1},
    )
    page = project.send("ChatService/ListChatMessages", traceId="t")
    assert page.ByteSize() < LIMIT
    messages = chat(project)
    assert kinds(messages) == ["user", "response", "user", "response"]
    assert [message.review_count for message in messages if message.span_id == "a"][-1] == 1
    [short] = chat(project, traceId="t", kinds=["CHAT_MESSAGE_KIND_RESPONSE"], textLimit=10)[:1]
    assert short.response.text == "x" * 10
    [cut] = short.text_cuts
    assert (cut.field, cut.length) == ("response.text", len(long))
    assert long[:100] in read_text(project, cut.path).text


def search(project: Project, **fields: Any) -> list[chat_pb2.MessageMatch]:
    found: list[chat_pb2.MessageMatch] = []
    token = ""
    while True:
        page = project.send("ChatService/SearchChatMessages", **fields, pageToken=token)
        found += page.matches
        token = page.next_page_token
        if not token:
            assert not page.HasField("searched_back_to_time")
            return found


def test_search_chat_messages(project: Project) -> None:
    write(project, *agent_turn("t", 1, conversationId="c"))
    write(project, model_call("other", 9, "WHAT else", "nothing", traceId="u"))
    found = search(project, text="what")
    assert [(match.trace_id, match.preview) for match in found] == [
        ("u", "WHAT else"),
        ("t", "what?"),
    ]
    [exact] = search(project, text="WHAT", matchCase=True)
    assert (exact.span_id, exact.role) == ("other", chat_pb2.MESSAGE_ROLE_USER)
    assert exact.sha256 == hashlib.sha256(b"WHAT else").hexdigest()
    assert (exact.length, exact.path) == (9, "input_messages")
    [tool] = search(project, roles=["MESSAGE_ROLE_TOOL_RESULT"])
    assert tool.agent.name == "Ada"
    assert tool.conversation_id == "c"
    assert tool.path == "output"
    assert len(search(project, traceId="t", pageSize=1)) == 4
    assert len(search(project, conversationId="c")) == 4
    assert len(search(project, agentName="Ada", provider="OPENAI", model="m")) == 2
    assert [match.trace_id for match in search(project, text="a", startTimeFrom=at(5))] == ["u"]
    assert search(project, startTimeBefore=at(1)) == []
    assert search(project, text="nowhere") == []


def test_search_chat_messages_shows_the_place_of_the_text(project: Project) -> None:
    write(project, model_call("a", 1, "é" * 700 + " needle " + "x" * 700, "ok"))
    [match] = search(project, text="Needle")
    assert len(match.preview) == 500
    begin = match.preview_match_offset
    assert match.preview[begin : begin + 6] == "needle"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_search_chat_messages_returns_a_text_of_a_trace_once(project: Project, size: int) -> None:
    """Models repeat the conversation, also across the pages of a search."""
    for number in range(4):
        write(project, model_call(str(number), number, "same", f"answer {number}"))
    found = search(project, pageSize=size)
    assert sorted(match.preview for match in found) == sorted(
        ["same", *(f"answer {number}" for number in range(4))]
    )


def test_search_chat_messages_ends_in_time_and_goes_on(project: Project) -> None:
    for number in range(30):
        write(project, model_call(str(number), number, f"question {number}", "x"))
    page = project.send("ChatService/SearchChatMessages", text="question 0", timeLimit="0.000001s")
    assert page.next_page_token
    assert page.searched_span_count >= 1
    assert page.HasField("searched_back_to_time")
    assert [m.preview for m in search(project, text="question 0", timeLimit="0.000001s")] == [
        "question 0"
    ]


def test_search_chat_messages_refuses_bad_fields(project: Project) -> None:
    fields = {"text": "x" * 1025, "roles": [0], "timeLimit": "11s"}
    with pytest.raises(CallError, match="INVALID_FIELD") as refused:
        project.send("ChatService/SearchChatMessages", **fields)
    assert set(refused.value.violations) == {"text", "roles[0]", "timeLimit"}
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        project.send("ChatService/SearchChatMessages", pageToken="x")
