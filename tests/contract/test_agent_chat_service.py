"""AgentChatService: GetTraceChat and GetConversationChat, by its promises in its proto file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    as_dict,
    create_events,
    create_feedback,
    create_trace,
    documented,
    found_messages,
    get_conversation_chat,
    model_call,
    write_spans,
)
from tests.contract.conftest import Project


def get_trace_chat(project: Project, trace_id: str, **fields: Any) -> Any:
    fields = {"project_id": project.name, "trace_id": trace_id, **fields}
    return project.send("AgentChatService/GetTraceChat", **fields)


def spoken(messages: Any) -> list[tuple[str, str]]:
    return [
        (message.type, getattr(message, message.type).text)
        for message in messages
        if message.type in ("user_message", "assistant_message")
    ]


def test_get_trace_chat_shows_the_documented_batch(project: Project) -> None:
    body = documented("create_event_batch")
    project.send("EventService/CreateEventBatch", **body)
    answer = get_trace_chat(project, body["events"][0]["session_id"])
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


def test_get_trace_chat_shows_the_documented_trace(project: Project) -> None:
    trace_id = create_trace(project, **documented("create_trace")).trace.id
    answer = get_trace_chat(project, trace_id)
    assert spoken(answer.messages) == [
        ("user_message", "What is the capital of France?"),
        ("assistant_message", "Paris"),
    ]
    assert answer.root_span_name == "qa-chatbot"
    assert answer.total_duration_ms == 0


def test_get_trace_chat_shows_tools_as_tool_calls(project: Project) -> None:
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
    trace_id = create_trace(project, name="bot", input="q", output="a", logs=logs).trace.id
    messages = get_trace_chat(project, trace_id).messages
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


def test_get_trace_chat_of_an_unknown_trace_has_no_messages(project: Project) -> None:
    answer = get_trace_chat(project, "nobody")
    assert (answer.trace_id, list(answer.messages)) == ("nobody", [])
    assert not answer.HasField("root_span_name")


def test_get_trace_chat_requires_the_project_of_the_key(project: Project) -> None:
    create_trace(project, id="t", input="q")
    for named in (project.name, f"entity/{project.name}"):
        assert get_trace_chat(project, "t", project_id=named).messages
    for foreign in ("other", f"{project.name}/other"):
        with pytest.raises(CallError) as refused:
            get_trace_chat(project, "t", project_id=foreign)
        assert (refused.value.code, refused.value.reason) == (
            "PERMISSION_DENIED",
            "PROJECT_MISMATCH",
        )
    for missing in ({"project_id": ""}, {"trace_id": ""}):
        with pytest.raises(CallError) as refused:
            get_trace_chat(project, **{"trace_id": "t", **missing})
        assert set(refused.value.violations) == set(missing)


def test_get_trace_chat_shows_feedback_where_it_belongs_when_asked(project: Project) -> None:
    create_trace(
        project, id="t", input="q", logs=[{"id": "g", "type": "generation", "output": "a"}]
    )
    ref = f"weave:///e/{project.name}"
    create_feedback(
        project,
        id="on-trace",
        weave_ref=f"{ref}/agent_turn/t",
        feedback_type="wandb.reaction.1",
        payload={"emoji": "👍"},
    )
    create_feedback(
        project,
        id="on-span",
        weave_ref=f"{ref}/agent_span/g",
        scorer_ratings={"helpful": 0.5},
        scorer_tags=["ok"],
    )
    create_feedback(project, id="elsewhere", weave_ref=f"{ref}/agent_turn/other")
    answer = get_trace_chat(project, "t", include_feedback=True)
    assert [f.id for f in answer.feedback] == ["on-trace"]
    assert as_dict(answer.feedback[0].payload) == {"emoji": "👍"}
    said = next(m for m in answer.messages if m.type == "assistant_message")
    assert [f.id for f in said.feedback] == ["on-span"]
    assert dict(said.feedback[0].scorer_ratings) == {"helpful": 0.5}
    asked_without = get_trace_chat(project, "t")
    assert not asked_without.feedback
    assert not any(m.feedback for m in asked_without.messages)


def test_get_conversation_chat_pages_from_the_newest_turn(project: Project) -> None:
    for n in range(7):
        write_spans(
            project,
            model_call(
                f"t{n}", "s", n, f"question {n}", f"answer {n}", session_id="c", cost=2.0**n
            ),
        )
    write_spans(project, model_call("elsewhere", "s", 9, "q", "a"))
    seen: list[str] = []
    for offset in (0, 3, 6):
        page = get_conversation_chat(project, limit=3, offset=offset)
        assert (page.conversation_id, page.total_turns) == ("c", 7)
        assert (page.limit, page.offset, page.has_more) == (3, offset, offset < 6)
        ids = [turn.trace_id for turn in page.turns]
        assert ids == sorted(ids)
        assert page.total_cost_usd == sum(2.0 ** int(i.removeprefix("t")) for i in ids)
        seen = ids + seen
    assert seen == [f"t{n}" for n in range(7)]
    whole = get_conversation_chat(project)
    assert (len(whole.turns), whole.limit, whole.has_more) == (7, 50, False)
    texts = [m.user_message.text for m in whole.turns[2].messages if m.type == "user_message"]
    assert texts == ["question 2"]
    none = get_conversation_chat(project, limit=0)
    assert (len(none.turns), none.total_turns, none.has_more) == (0, 7, True)


def test_get_conversation_chat_takes_spans_of_the_conversation_or_of_none(project: Project) -> None:
    write_spans(
        project,
        model_call("t", "mine", 1, "mine", "a", session_id="c"),
        model_call("t", "nobodys", 2, "nobody's", "b"),
        model_call("t", "other", 3, "another's", "d", session_id="other"),
    )
    turn = get_conversation_chat(project).turns[0]
    assert {m.span_id for m in turn.messages if m.type == "assistant_message"} == {
        "mine",
        "nobodys",
    }


def test_get_conversation_chat_of_an_unknown_conversation_has_no_turns(project: Project) -> None:
    answer = get_conversation_chat(project, limit=5, offset=2)
    assert (len(answer.turns), answer.total_turns, answer.has_more) == (0, 0, False)
    assert not answer.HasField("total_cost_usd")


def test_get_conversation_chat_shows_a_session_of_events_as_one_turn(project: Project) -> None:
    event = {
        "event_type": "model",
        "event_id": "m",
        "session_id": "c",
        "inputs": {"question": "What?"},
        "outputs": {"content": "That."},
    }
    create_events(project, event)
    (turn,) = get_conversation_chat(project).turns
    assert turn.trace_id == "c"
    assert found_messages(project) == [("user", "What?"), ("assistant", "That.")]


def test_get_conversation_chat_shows_feedback_when_asked(project: Project) -> None:
    write_spans(project, model_call("t", "s", 1, "q", "a", session_id="c"))
    for target in ("agent_conversation/c", "agent_turn/t", "agent_span/s", "agent_turn/c"):
        ref = f"weave:///e/{project.name}/{target}"
        create_feedback(project, feedback_type="x", id=target, weave_ref=ref)
    answer = get_conversation_chat(project, include_feedback=True)
    assert [f.id for f in answer.feedback] == ["agent_conversation/c"]
    assert [f.id for f in answer.turns[0].feedback] == ["agent_turn/t"]
    assert [f.id for m in answer.turns[0].messages for f in m.feedback] == ["agent_span/s"]
    assert not get_conversation_chat(project).feedback


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"limit": 51}, "limit"),
        ({"limit": -1}, "limit"),
        ({"offset": -1}, "offset"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"project_id": ""}, "project_id"),
    ],
)
def test_get_conversation_chat_names_a_bad_field(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        get_conversation_chat(project, **fields)
    assert set(refused.value.violations) == {named}
