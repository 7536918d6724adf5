"""AgentChatService: ListAgents and ListAgentVersions, by its promises in its proto file."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model import GenAi, Span
from spanloom.model.genai import Agent
from tests.clients import CallError
from tests.contract.calls import (
    SECOND,
    as_dict,
    get_conversation_chat,
    list_agents,
    model_call,
    search_messages,
    write_spans,
)
from tests.contract.conftest import Project


def span_of_agent(name: str, number: int, **fields: Any) -> Span:
    return Span(
        trace_id=f"t{number}",
        span_id=name,
        event_id=name,
        session_id="s",
        **{"start_ns": number * SECOND, "agent_name": name, **fields},
    )


def list_agent_versions(project: Project, agent_name: str) -> Any:
    return project.send(
        "AgentChatService/ListAgentVersions", project_id=project.name, agent_name=agent_name
    )


def test_list_agents_adds_up_the_spans_of_each(project: Project) -> None:
    invoked = {"operation": "invoke_agent", "end_ns": 5 * SECOND}
    write_spans(
        project,
        span_of_agent(
            "Ada", 1, input_tokens=10, output_tokens=1, cost=0.25, status="ERROR", **invoked
        ),
        span_of_agent("Ada", 3, input_tokens=20, output_tokens=2, cost=0.5, operation="chat"),
        span_of_agent("Bob", 2, **invoked),
        span_of_agent("", 9, input_tokens=1000),
    )
    answer = list_agents(project)
    assert answer.total_count == 2
    ada, bob = answer.agents
    assert as_dict(ada) == {
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
    assert [a.agent_name for a in list_agents(project, filters={"agent_name": "Bob"}).agents] == [
        "Bob"
    ]


def test_list_agents_sorts_and_pages(project: Project) -> None:
    write_spans(
        project, *(span_of_agent(f"agent {n}", n, input_tokens=n % 3, cost=n) for n in range(9))
    )

    def names(**fields: Any) -> list[int]:
        return [
            int(a.agent_name.removeprefix("agent ")) for a in list_agents(project, **fields).agents
        ]

    assert names() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    by_tokens = [{"field": "total_input_tokens"}, {"field": "first_seen", "direction": "asc"}]
    assert names(sort_by=by_tokens) == [2, 5, 8, 1, 4, 7, 0, 3, 6]
    assert names(sort_by=by_tokens, limit=4, offset=2) == [8, 1, 4, 7]
    assert names(sort_by=[{"field": "total_cost_usd", "direction": "asc"}], limit=2) == [0, 1]
    assert list_agents(project, limit=0).total_count == 9


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sort_by": [{"field": "charm"}]}, "sort_by[0].field"),
        ({"sort_by": [{"field": "errors"}]}, "sort_by[0].field"),
        ({"sort_by": [{"field": "last_seen", "direction": "up"}]}, "sort_by[0].direction"),
        ({"limit": 10_001}, "limit"),
    ],
)
def test_list_agents_names_a_bad_field(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        list_agents(project, **fields)
    assert set(refused.value.violations) == {named}


def test_list_agents_search_messages_and_get_conversation_chat_stay_in_the_project(
    project: Project,
) -> None:
    write_spans(project, model_call("t", "s", 1, "q", "a", session_id="c", agent_name="Ada"))
    other = project.neighbour()
    assert not get_conversation_chat(other).turns
    assert not search_messages(other).results
    assert not list_agents(other).agents
    for call in (get_conversation_chat, search_messages, list_agents):
        with pytest.raises(CallError) as refused:
            call(other, project_id=project.name)
        assert refused.value.code == "PERMISSION_DENIED"


def test_list_agent_versions_lists_the_versions_of_an_agent(project: Project) -> None:
    for number, version in enumerate(["1", "2", "2", None]):
        genai = GenAi(agent=Agent(version=version) if version else None)
        write_spans(project, span_of_agent("Ada", number, genai=genai))
    write_spans(project, span_of_agent("Bob", 9, genai=GenAi(agent=Agent(version="7"))))
    answer = list_agent_versions(project, "Ada")
    assert [(v.agent_version, v.span_count) for v in answer.versions] == [
        ("", 1),
        ("2", 2),
        ("1", 1),
    ]
    assert answer.total_count == 3
    with pytest.raises(CallError) as refused:
        list_agent_versions(project, "")
    assert set(refused.value.violations) == {"agent_name"}
