"""Conversations, the search of messages and the list of agents, by their promises in agent_chat_service.proto."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.model import Span
from spanloom.v1 import agent_chat_service_pb2 as pb
from spanloom.v1 import event_service_pb2, feedback_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project

SECOND = 10**9


def store(project: Project, *spans: Span) -> None:
    project.server.run(project.server.running.store.write_spans(project.name, spans))


def said(trace_id: str, span_id: str, start_s: int, *texts: str, **fields: Any) -> Span:
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
    return Span(trace_id=trace_id, span_id=span_id, body=body, **given)


def conversation(project: Project, **fields: Any) -> Any:
    request = pb.GetConversationChatRequest(project_id=project.name, conversation_id="c")
    return project("AgentChatService/GetConversationChat", json_format.ParseDict(fields, request))


def search(project: Project, query: str = "", **fields: Any) -> Any:
    request = pb.SearchMessagesRequest(project_id=project.name, query=query)
    return project("AgentChatService/SearchMessages", json_format.ParseDict(fields, request))


def found(project: Project, query: str = "", **fields: Any) -> list[tuple[str, str]]:
    return [
        (message.role, message.content_preview)
        for result in search(project, query, **fields).results
        for message in result.matched_messages
    ]


def agents(project: Project, **fields: Any) -> Any:
    request = json_format.ParseDict({"project_id": project.name, **fields}, pb.ListAgentsRequest())
    return project("AgentChatService/ListAgents", request)


def test_a_conversation_is_paged_from_its_newest_turn(project: Project) -> None:
    for n in range(7):
        store(
            project,
            said(f"t{n}", "s", n, f"question {n}", f"answer {n}", session_id="c", cost=2.0**n),
        )
    store(project, said("elsewhere", "s", 9, "q", "a"))
    seen: list[str] = []
    for offset in (0, 3, 6):
        page = conversation(project, limit=3, offset=offset)
        assert (page.conversation_id, page.total_turns) == ("c", 7)
        assert (page.limit, page.offset, page.has_more) == (3, offset, offset < 6)
        ids = [turn.trace_id for turn in page.turns]
        assert ids == sorted(ids)
        assert page.total_cost_usd == sum(2.0 ** int(i.removeprefix("t")) for i in ids)
        seen = ids + seen
    assert seen == [f"t{n}" for n in range(7)]
    whole = conversation(project)
    assert (len(whole.turns), whole.limit, whole.has_more) == (7, 50, False)
    texts = [m.user_message.text for m in whole.turns[2].messages if m.type == "user_message"]
    assert texts == ["question 2"]
    none = conversation(project, limit=0)
    assert (len(none.turns), none.total_turns, none.has_more) == (0, 7, True)


def test_a_turn_takes_the_spans_of_its_conversation_or_of_none(project: Project) -> None:
    store(
        project,
        said("t", "mine", 1, "mine", "a", session_id="c"),
        said("t", "nobodys", 2, "nobody's", "b"),
        said("t", "other", 3, "another's", "d", session_id="other"),
    )
    turn = conversation(project).turns[0]
    assert {m.span_id for m in turn.messages if m.type == "assistant_message"} == {
        "mine",
        "nobodys",
    }


def test_an_unknown_conversation_has_no_turns(project: Project) -> None:
    answer = conversation(project, limit=5, offset=2)
    assert (len(answer.turns), answer.total_turns, answer.has_more) == (0, 0, False)
    assert not answer.HasField("total_cost_usd")


def test_a_session_of_events_is_a_conversation_of_one_turn(project: Project) -> None:
    events = [
        {
            "event_type": "model",
            "event_id": "m",
            "session_id": "c",
            "inputs": {"question": "What?"},
            "outputs": {"content": "That."},
        }
    ]
    request = json_format.ParseDict({"events": events}, event_service_pb2.CreateEventBatchRequest())
    project("EventService/CreateEventBatch", request)
    (turn,) = conversation(project).turns
    assert turn.trace_id == "c"
    assert found(project) == [("user", "What?"), ("assistant", "That.")]


def test_feedback_on_a_conversation_its_turns_and_spans_is_shown_when_asked_for(
    project: Project,
) -> None:
    store(project, said("t", "s", 1, "q", "a", session_id="c"))
    for target in ("agent_conversation/c", "agent_turn/t", "agent_span/s", "agent_turn/c"):
        request = feedback_service_pb2.CreateFeedbackRequest(
            project_id=project.name, feedback_type="x", id=target
        )
        request.weave_ref = f"weave:///e/{project.name}/{target}"
        project("FeedbackService/CreateFeedback", request)
    answer = conversation(project, include_feedback=True)
    assert [f.id for f in answer.feedback] == ["agent_conversation/c"]
    assert [f.id for f in answer.turns[0].feedback] == ["agent_turn/t"]
    assert [f.id for m in answer.turns[0].messages for f in m.feedback] == ["agent_span/s"]
    assert not conversation(project).feedback


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
def test_a_bad_conversation_request_is_named(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        conversation(project, **fields)
    assert set(refused.value.violations) == {named}


def test_messages_are_found_by_their_text(project: Project) -> None:
    body = {"metadata": {"note": "only in metadata"}}
    store(
        project,
        said("a", "1", 1, "Où est la gare?", 'Rue "de\n Lyon"\\1', session_id="c", body=body),
        said("a", "2", 2, "Merci 😀", "De rien", session_id="c"),
        said("b", "3", 3, "OÙ?", "Là"),
    )
    assert found(project, "Où est") == [("user", "Où est la gare?")]
    assert found(project, "où") == []
    assert found(project, '"de\n Lyon"\\') == [("assistant", 'Rue "de\n Lyon"\\1')]
    assert found(project, "😀") == [("user", "Merci 😀")]
    assert found(project, "only in metadata") == []
    assert found(project, "%") == []
    assert found(project, "\0") == []
    everything = search(project)
    assert [r.conversation_id for r in everything.results] == ["b", "c"]
    assert everything.total_conversations == 2
    assert [m.span_id for m in everything.results[1].matched_messages] == ["2", "2", "1", "1"]
    assert everything.results[1].last_activity.seconds == 2


def test_text_is_found_inside_json_inside_json(project: Project) -> None:
    body = {
        "tool": {
            "name": "search",
            "arguments": '{"q": "\\u00e9t\\u00e9", "n": [1, 2]}',
            "result": "3 hits",
        }
    }
    tool = Span(
        trace_id="t",
        span_id="s",
        event_id="s",
        session_id="t",
        start_ns=1,
        operation="execute_tool",
        kind="tool",
        body=body,
    )
    store(project, tool)
    assert [role for role, _ in found(project, "été")] == ["tool_call"]
    assert found(project, "3 hits") == [("tool_result", "3 hits")]
    assert [role for role, _ in found(project, roles=["tool"])] == ["tool_call", "tool_result"]
    assert found(project, roles=["user", "assistant"]) == []


def test_messages_are_found_by_role_agent_model_provider_trace_and_time(project: Project) -> None:
    store(
        project,
        said("a", "1", 1, "q", "one", agent_name="Ada", model="m1", provider="OpenAI"),
        said("b", "2", 2, "q", "two", agent_name="Bob", model="m2", session_id="c"),
        said("b", "3", 3, "q", "three", body={"system_instructions": "Be kind."}, session_id="c"),
    )

    def answers(**fields: Any) -> set[str]:
        return {text for _, text in found(project, roles=["assistant"], **fields)}

    assert answers() == {"one", "two", "three"}
    assert answers(agent_name="Ada") == {"one"}
    assert answers(request_model="m2") == {"two"}
    assert answers(provider_name="openai") == {"one"}
    assert answers(trace_id="b") == {"two", "three"}
    assert answers(conversation_id="c") == {"two", "three"}
    assert answers(started_after="1970-01-01T00:00:02Z") == {"two", "three"}
    assert answers(started_before="1970-01-01T00:00:02Z") == {"one"}
    assert answers(agent_name="Nobody") == set()
    assert found(project, roles=["system"]) == [("system", "Be kind.")]
    # What a trace says twice is found once, where it was said last.
    assert found(project, roles=["user"], trace_id="b") == [("user", "q")]


def test_a_history_that_is_read_again_is_not_found_again(project: Project) -> None:
    history = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ]
    store(project, said("t", "s", 1, "x", body={"input_messages": history}))
    assert found(project) == [("user", "second"), ("assistant", "x")]


def test_matches_are_paged_by_message_and_cut_at_500_characters(project: Project) -> None:
    store(project, *(said(f"t{n:03}", "s", n, f"q{n}", "x" * 600 + str(n)) for n in range(250)))
    assert len(found(project)) == 20
    pages = [found(project, roles=["user"], limit=100, offset=offset) for offset in (0, 100, 200)]
    assert [text for page in pages for _, text in page] == [f"q{n}" for n in reversed(range(250))]
    assert {len(text) for _, text in found(project, "x", limit=5)} == {500}
    (_, whole), *_ = found(project, "x", truncate_content=False)
    assert whole == "x" * 600 + "249"
    assert found(project, limit=0) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"roles": ["user", "nobody"]}, "roles[1]"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10_001}, "offset"),
    ],
)
def test_a_bad_search_is_named(project: Project, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CallError) as refused:
        search(project, **fields)
    assert set(refused.value.violations) == {named}


def of_agent(name: str, number: int, **fields: Any) -> Span:
    return Span(
        trace_id=f"t{number}",
        span_id=name,
        event_id=name,
        session_id="s",
        **{"start_ns": number * SECOND, "agent_name": name, **fields},
    )


def test_agents_are_listed_with_what_their_spans_add_up_to(project: Project) -> None:
    invoked = {"operation": "invoke_agent", "end_ns": 5 * SECOND}
    store(
        project,
        of_agent("Ada", 1, input_tokens=10, output_tokens=1, cost=0.25, status="ERROR", **invoked),
        of_agent("Ada", 3, input_tokens=20, output_tokens=2, cost=0.5, operation="chat"),
        of_agent("Bob", 2, **invoked),
        of_agent("", 9, input_tokens=1000),
    )
    answer = agents(project)
    assert answer.total_count == 2
    ada, bob = answer.agents
    assert json_format.MessageToDict(ada) == {
        "project_id": project.name,
        "agent_name": "Ada",
        "invocation_count": 1,
        "span_count": 2,
        "total_input_tokens": 30.0,
        "total_output_tokens": 3.0,
        "total_duration_ms": 4000.0,
        "error_count": 1,
        "total_cost_usd": 0.75,
        "first_seen": "1970-01-01T00:00:01Z",
        "last_seen": "1970-01-01T00:00:03Z",
    }
    assert (bob.agent_name, bob.invocation_count, bob.HasField("total_cost_usd")) == (
        "Bob",
        1,
        False,
    )
    assert [a.agent_name for a in agents(project, filters={"agent_name": "Bob"}).agents] == ["Bob"]


def test_agents_are_sorted_and_paged(project: Project) -> None:
    store(project, *(of_agent(f"agent {n}", n, input_tokens=n % 3, cost=n) for n in range(9)))

    def names(**fields: Any) -> list[int]:
        return [int(a.agent_name.removeprefix("agent ")) for a in agents(project, **fields).agents]

    assert names() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    by_tokens = [{"field": "total_input_tokens"}, {"field": "first_seen", "direction": "asc"}]
    assert names(sort_by=by_tokens) == [2, 5, 8, 1, 4, 7, 0, 3, 6]
    assert names(sort_by=by_tokens, limit=4, offset=2) == [8, 1, 4, 7]
    assert names(sort_by=[{"field": "total_cost_usd", "direction": "asc"}], limit=2) == [0, 1]
    assert agents(project, limit=0).total_count == 9


def test_the_versions_of_an_agent_are_listed(project: Project) -> None:
    for number, version in enumerate(["1", "2", "2", None]):
        body = {"agent": {"version": version}} if version else {}
        store(project, of_agent("Ada", number, body=body))
    store(project, of_agent("Bob", 9, body={"agent": {"version": "7"}}))
    request = pb.ListAgentVersionsRequest(project_id=project.name, agent_name="Ada")
    answer = project("AgentChatService/ListAgentVersions", request)
    assert [(v.agent_version, v.span_count) for v in answer.versions] == [
        ("", 1),
        ("2", 2),
        ("1", 1),
    ]
    assert answer.total_count == 3
    request.agent_name = ""
    with pytest.raises(CallError) as refused:
        project("AgentChatService/ListAgentVersions", request)
    assert set(refused.value.violations) == {"agent_name"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sort_by": [{"field": "charm"}]}, "sort_by[0].field"),
        ({"sort_by": [{"field": "errors"}]}, "sort_by[0].field"),
        ({"sort_by": [{"field": "last_seen", "direction": "up"}]}, "sort_by[0].direction"),
        ({"limit": 10_001}, "limit"),
    ],
)
def test_a_bad_list_of_agents_is_named(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        agents(project, **fields)
    assert set(refused.value.violations) == {named}


def test_another_projects_agents_and_messages_are_walled_off(project: Project) -> None:
    store(project, said("t", "s", 1, "q", "a", session_id="c", agent_name="Ada"))
    name = f"{project.name} other"
    other = Project(name, project.server.key(name), project.client, project.server)
    assert not conversation(other).turns
    assert not search(other).results
    assert not agents(other).agents
    for call in (conversation, search, agents):
        with pytest.raises(CallError) as refused:
            call(other, project_id=project.name)
        assert refused.value.code == "PERMISSION_DENIED"
