"""Handoffs from agent to agent.

Rules: docs/contracts/agent_chat.md, section 3.10.
"""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model.turn import AgentHandoff
from tests.chat.spans import agent, assistant, call, chat, lines, messages_of, parts, span, tool


def transfer(span_id: str, parent: str = "r", *, to: str = "billing", **given: Any) -> Any:
    return tool(span_id, parent, name=f"transfer_to_{to}", **given)


def test_a_transfer_call_followed_by_its_agent_is_a_handoff_right_behind_the_call() -> None:
    spans = [
        agent("r", name="triage"),
        transfer("h", start=1, to="billing_desk", arguments={}),
        agent("s", "r", name="Billing Desk", start=5),
    ]
    assert lines(*spans) == [
        "start(triage)",
        "tool(triage): transfer_to_billing_desk({})",
        "handoff: triage to Billing Desk",
        "start(Billing Desk)",
    ]
    handoff = messages_of(*spans)[2]
    assert (handoff.type, handoff.span_id, handoff.agent_name) == ("agent_handoff", "h", "triage")


def test_a_transfer_that_holds_its_agent_is_a_handoff() -> None:
    spans = [
        agent("r", name="a"),
        transfer("h", start=1),
        chat("l", "h", agent_name="billing", outputs=[assistant("hi")]),
    ]
    assert lines(*spans)[2:] == ["handoff: a to billing", "assistant(billing): hi"]


def test_a_transfer_whose_agent_never_comes_is_just_a_call() -> None:
    assert lines(agent("r", name="a"), transfer("h"), agent("s", name="sales", start=5))[1:] == [
        "tool(a): transfer_to_billing()",
        "start(sales)",
    ]


def test_a_transfer_that_failed_is_just_a_call() -> None:
    spans = [
        agent("r", name="a"),
        transfer("h", start=1, status="ERROR"),
        transfer("i", start=2),
        agent("s", name="billing", start=5),
    ]
    assert [m.span_id for m in messages_of(*spans) if m.type == "agent_handoff"] == ["i"]


def test_there_and_back_are_two_handoffs() -> None:
    spans = [
        agent("r", name="a", end=9),
        transfer("h", start=1, to="b"),
        agent("s", name="b", start=10, end=19),
        transfer("i", "s", start=11, to="a"),
        agent("u", name="a", start=20),
    ]
    assert [m.payload for m in messages_of(*spans) if m.type == "agent_handoff"] == [
        AgentHandoff(from_agent="a", to_agent="b"),
        AgentHandoff(from_agent="b", to_agent="a"),
    ]


@pytest.mark.parametrize("shown", [False, True])
def test_a_transfer_that_only_a_model_asked_for_is_a_handoff(shown: bool) -> None:
    asking = chat(
        "l", "r", agent_name="a", outputs=[parts("assistant", call("1", "Transfer_To_b"))]
    )
    spans = [agent("r", name="a"), asking, agent("s", name="b", start=5)]
    expected = ["tool(a): Transfer_To_b()"] if shown else []
    assert lines(*spans, include_model_tool_calls=shown)[1:] == [
        *expected,
        "handoff: a to b",
        "start(b)",
    ]


def test_a_transfer_asked_for_and_carried_out_is_one_handoff() -> None:
    asking = chat("l", "r", outputs=[parts("assistant", call("1", "transfer_to_billing"))])
    spans = [
        agent("r", name="a"),
        asking,
        transfer("h", start=2, call_id="1"),
        agent("s", name="billing", start=5),
    ]
    assert [m.span_id for m in messages_of(*spans) if m.type == "agent_handoff"] == ["h"]


def handoff_span(**given: Any) -> Any:
    return span("h", "r", operation="handoff", start=2, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"body": {"handoff": {"from_agent": "a", "to_agent": "b"}}},
        {"name": "Handoff: a → b"},
        {"name": "a -> b.handoff"},
        {"name": "handoff to b"},
        {"name": "handoff: b"},
        {"name": "handoff"},
    ],
)
def test_a_handoff_span_tells_its_agents_by_attributes_or_name_or_by_who_comes_next(
    given: dict[str, Any],
) -> None:
    spans = [agent("r", name="a"), handoff_span(**given), agent("s", name="b", start=5)]
    assert lines(*spans) == ["start(a)", "handoff: a to b", "start(b)"]


def test_a_handoff_span_is_shown_even_if_the_agent_never_comes() -> None:
    assert lines(agent("r", name="a"), handoff_span(body={"handoff": {"to_agent": "b"}})) == [
        "start(a)",
        "handoff: a to b",
    ]
    assert lines(agent("r", name="a"), handoff_span()) == ["start(a)", "handoff: a to "]


def test_a_handoff_span_and_the_call_behind_it_are_one_handoff() -> None:
    asking = chat("l", "r", outputs=[parts("assistant", call("1", "transfer_to_b"))])
    spans = [
        agent("r", name="a"),
        asking,
        handoff_span(body={"handoff": {"to_agent": "B"}}),
        agent("s", name="B", start=5),
    ]
    assert lines(*spans) == ["start(a)", "handoff: a to B", "start(B)"]
    assert [m.span_id for m in messages_of(*spans)] == ["r", "h", "s"]


def test_a_failed_handoff_span_tells_its_failure() -> None:
    spans = [
        agent("r", name="a"),
        handoff_span(status="ERROR", body={"handoff": {"to_agent": "b"}}),
    ]
    assert [m.status_code for m in messages_of(*spans)][1:] == ["ERROR", "ERROR"]
