"""What belongs to a session, and what is counted once, in every view: the chat, the session, the
agents."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.contract.calls import (
    as_dict,
    create_events,
    export_events,
    get_conversation_chat,
    list_agents,
)
from tests.contract.conftest import Project
from tests.contract.test_otlp_trace_service import EXPORT

START = 1_795_000_000_000_000_000
TRACE_ID = "96c7de58b29e7a8abadfb34430388b9f"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}
AGENT = {"gen_ai.operation.name": "invoke_agent"}


def export(
    project: Project, *spans: tuple[str, str, dict[str, Any]], trace_id: str = TRACE_ID
) -> None:
    """Spans of one trace: id, parent and attributes; each an instrumentation of its own."""
    request = ExportTraceServiceRequest()
    for number, (span_id, parent_id, attributes) in enumerate(spans):
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = f"library-{number}"
        span = scope.spans.add()
        span.trace_id, span.span_id = bytes.fromhex(trace_id), bytes.fromhex(span_id * 16)
        span.parent_span_id = bytes.fromhex(parent_id * 16)
        span.name = "span " + span_id
        span.start_time_unix_nano = START + number * 10**6
        span.end_time_unix_nano = START + 10**9 - number * 10**6
        for key, value in attributes.items():
            of = AnyValue(int_value=value) if isinstance(value, int) else None
            span.attributes.append(KeyValue(key=key, value=of or AnyValue(string_value=value)))
    assert not project(EXPORT, request).partial_success.rejected_spans


def used(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {"gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}


def session_of(project: Project, session_id: str) -> dict[str, Any]:
    found: dict[str, Any] = as_dict(
        project.send("SessionService/GetSession", session_id=session_id)
    )
    return found


def totals_of(project: Project, session_id: str) -> tuple[int, int, int, float]:
    metadata = session_of(project, session_id)["metadata"]
    return (
        *(int(metadata[name]) for name in ("prompt_tokens", "completion_tokens")),
        int(metadata["num_model_events"]),
        metadata.get("cost", 0.0),
    )


def chat_of(project: Project, trace_id: str = TRACE_ID) -> Any:
    return project.send("AgentChatService/GetTraceChat", project_id=project.name, trace_id=trace_id)


def test_what_an_agent_repeats_of_its_models_counts_once(project: Project) -> None:
    named = {"gen_ai.agent.name": "w", "session.id": "k09"}
    export(
        project,
        ("a", "", {**AGENT, **named, **used(30, 32)}),
        ("b", "a", {**CHAT, **named, **used(10, 16)}),
        ("c", "a", {**CHAT, **named, **used(20, 16)}),
    )
    chat = chat_of(project)
    assert (chat.total_input_tokens, chat.total_output_tokens) == (30, 32)
    [agent] = list_agents(project).agents
    assert (agent.total_input_tokens, agent.total_output_tokens) == (30, 32)
    assert totals_of(project, "k09") == (30, 32, 2, chat.total_cost_usd)
    assert agent.total_cost_usd == chat.total_cost_usd


NAMED = {"gen_ai.agent.name": "w", "session.id": "k"}
# What two libraries recorded of one call, and an agent that repeats its models.
TWICE = {**CHAT, **NAMED, **used(1000, 100)}
CASES = {
    "an agent repeats its models": (
        ("a", "", {**AGENT, **NAMED, **used(30, 32)}),
        ("b", "a", {**CHAT, **NAMED, **used(10, 16)}),
        ("c", "a", {**CHAT, **NAMED, **used(20, 16)}),
    ),
    "an agent has some of its own": (
        ("a", "", {**AGENT, **NAMED, **used(35, 32)}),
        ("b", "a", {**CHAT, **NAMED, **used(10, 16)}),
        ("c", "b", {**CHAT, **NAMED, **used(4, 16)}),
    ),
    "two libraries recorded a call": (("a", "", TWICE), ("b", "a", TWICE)),
}


@pytest.mark.parametrize("spans", CASES.values(), ids=list(CASES))
def test_every_view_counts_the_same(project: Project, spans: Any) -> None:
    export(project, *spans)
    chat = chat_of(project)
    [agent] = list_agents(project).agents
    summary = project.send("QueryService/GetTraceSummary", traceId=TRACE_ID).trace_summary
    conversation = project.send("QueryService/GetConversation", conversationId="k").conversation
    hour = {"start_time_from": "2026-11-01T00:00:00Z", "start_time_before": "2026-12-01T00:00:00Z"}
    [usage] = project.send("QueryService/GetUsage", **hour).points
    [of_agent] = project.send(
        "QueryService/GetUsage", **hour, group_by=["USAGE_DIMENSION_AGENT"]
    ).points
    tokens_in, tokens_out, calls, cost = totals_of(project, "k")
    of_figures = [
        (f.input_tokens, f.output_tokens, f.cost_usd, f.model_call_count)
        for f in (each.figures for each in (summary, conversation, usage, of_agent))
    ]
    assert of_figures == [(tokens_in, tokens_out, cost, calls)] * 4
    for total in (chat, agent):
        assert total.total_input_tokens == tokens_in
        assert total.total_output_tokens == tokens_out
        assert total.total_cost_usd == cost > 0


def test_an_agent_has_the_use_of_models_that_name_no_agent(project: Project) -> None:
    export(
        project,
        ("a", "", {**AGENT, "gen_ai.agent.name": "w", **used(30, 32)}),
        ("b", "a", {**CHAT, **used(30, 32)}),
    )
    [agent] = list_agents(project).agents
    assert (agent.span_count, agent.total_input_tokens, agent.total_output_tokens) == (1, 30, 32)
    assert agent.total_cost_usd == chat_of(project).total_cost_usd > 0


def test_a_call_that_two_libraries_recorded_counts_once(project: Project) -> None:
    call = {**CHAT, **used(1000, 100), "session.id": "k10"}
    export(project, ("a", "", call), ("b", "a", call))
    cost = chat_of(project).total_cost_usd
    assert cost == 0.00021
    assert totals_of(project, "k10") == (1000, 100, 1, cost)


def test_steps_inside_a_call_count_once(project: Project) -> None:
    call = {**CHAT, **used(1000, 100), "session.id": "k10"}
    export(project, ("a", "", call), ("b", "a", call), ("c", "b", call))
    assert totals_of(project, "k10") == (1000, 100, 1, 0.00021)


def test_a_trace_seen_by_opentelemetry_and_events_alike_counts_once(project: Project) -> None:
    export(project, ("a", "", {**CHAT, **used(10, 5), "session.id": TRACE_ID}))
    # A client that knows the trace's id as that of its session reports the step around the call.
    create_events(
        project,
        {
            "event_id": "step",
            "event_type": "chain",
            "session_id": TRACE_ID,
            "metadata": {"prompt_tokens": 10, "completion_tokens": 5},
        },
        {
            "event_id": "call",
            "event_type": "model",
            "session_id": TRACE_ID,
            "parent_id": "step",
            "metadata": {"prompt_tokens": 2, "completion_tokens": 1},
        },
    )
    assert totals_of(project, TRACE_ID)[:3] == (20, 10, 2)
    chat = chat_of(project)
    assert (chat.total_input_tokens, chat.total_output_tokens) == (20, 10)


def test_spans_without_a_session_are_in_their_traces(project: Project) -> None:
    export(
        project,
        ("a", "", {**AGENT, "session.id": "k06"}),
        ("b", "a", {**CHAT, **used(7, 3)}),
    )
    assert totals_of(project, "k06")[:3] == (7, 3, 1)
    assert len(export_events(project, ("session_id", "k06")).events) == 2
    assert get_conversation_chat(project, conversation_id="k06").total_turns == 1
    assert project.send("SessionService/DeleteSession", session_id="k06").success
    assert not chat_of(project).messages
    assert not export_events(project).events


def test_a_session_named_inside_the_trace_has_what_names_none(project: Project) -> None:
    export(
        project,
        ("a", "", AGENT),
        ("b", "a", {**CHAT, **used(7, 3), "session.id": "k06"}),
        ("c", "a", {**CHAT, **used(1, 1), "session.id": "another"}),
    )
    assert totals_of(project, "k06")[:2] == (7, 3)
    assert totals_of(project, "another")[:2] == (1, 1)


def test_a_frameworks_conversation_does_not_hide_the_applications_session(
    project: Project,
) -> None:
    random = {"gen_ai.conversation.id": "random-1"}
    export(
        project,
        ("a", "", {"session.id": "k05"}),
        ("b", "a", {**AGENT, **random}),
        ("c", "b", {**CHAT, **random, **used(100, 10)}),
    )
    both = {**CHAT, "gen_ai.conversation.id": "random-2", "session.id": "k05", **used(100, 10)}
    export(project, ("a", "", both), trace_id="ab" * 16)
    turns = get_conversation_chat(project, conversation_id="k05").turns
    assert [turn.total_input_tokens for turn in turns] == [100, 100]
    assert totals_of(project, "k05")[:3] == (200, 20, 2)
    # The framework's name finds what has it, too.
    assert get_conversation_chat(project, conversation_id="random-1").total_turns == 1
    assert totals_of(project, "random-1")[:3] == (100, 10, 1)
