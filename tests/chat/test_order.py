"""Where spans stand, and which is the root.

Rules: docs/contracts/agent_chat.md, sections 1.2, 2.4, 3.2 and 3.3.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from spanloom.model.turn import TurnChat
from tests.chat.spans import agent, assistant, at, chat, lines, span, tool, turn_of, user


def said(span_id: str, parent: str = "", **given: object) -> object:
    return chat(span_id, parent, outputs=[assistant(span_id)], **given)


def order(*spans: object) -> list[str]:
    return [line.removeprefix("assistant: ") for line in lines(*spans)]  # type: ignore[arg-type]


def test_siblings_stand_by_start() -> None:
    assert order(said("a", start=2), said("b", start=1), said("c", start=3)) == ["b", "a", "c"]


def test_of_one_start_the_earlier_end_comes_first_and_then_the_smaller_id() -> None:
    spans = [said("c", end=9), said("b", end=3), said("a", end=3)]
    assert order(*spans) == ["a", "b", "c"]


def test_a_missing_start_comes_last_and_a_missing_end_after_an_end() -> None:
    still_open = replace(said("open"), end_ns=None)  # type: ignore[type-var]
    spans = [said("no start", start=None), still_open, said("ended", end=99)]
    assert order(*spans) == ["ended", "open", "no start"]


def test_the_order_of_the_spans_given_does_not_matter() -> None:
    spans = [
        agent("r", name="a"),
        chat("l", "r", inputs=[user("q")], start=1),
        tool("t", "l", start=2),
    ]
    first, *others = [turn_of(*permuted) for permuted in itertools.permutations(spans)]
    assert others == [first] * 5


def test_a_span_with_an_unknown_parent_is_a_root() -> None:
    assert order(said("a", "nobody", start=2), said("b", start=1)) == ["b", "a"]


def test_a_self_parented_span_is_a_root() -> None:
    # docs/contracts/agent_chat.md, section 3.2
    assert order(said("a", "a"), said("b", "a", start=5)) == ["b", "a"]


def test_a_cycle_is_cut_at_its_earliest_span() -> None:
    # docs/contracts/agent_chat.md, section 3.2
    cycle = [
        tool("x", "z", start=2, name="x"),
        tool("y", "x", start=3, name="y"),
        tool("z", "y", start=1, name="z"),
    ]
    below = tool("w", "y", start=0, name="w")
    assert lines(*cycle, below) == ["tool: z()", "tool: x()", "tool: y()", "tool: w()"]


def test_two_cycles_and_a_tree_are_all_there() -> None:
    # docs/contracts/agent_chat.md, section 3.2
    spans = [
        said("a", "b", start=1),
        said("b", "a", start=2),
        said("c", "d", start=3),
        said("d", "c", start=4),
        said("e"),
    ]
    assert sorted(order(*spans)) == ["a", "b", "c", "d", "e"]


def test_a_duplicate_span_id_stands_once_and_the_last_write_wins() -> None:
    # docs/contracts/agent_chat.md, section 3.2
    assert lines(tool("x", name="old"), tool("x", name="new"), tool("y", "x", start=1)) == [
        "tool: new()",
        "tool: look()",
    ]


def test_a_chain_deeper_than_any_limit_is_shown_to_its_end() -> None:
    # docs/contracts/agent_chat.md, section 3.3
    chain = [tool(str(i), str(i - 1) if i else "", start=i, name=str(i)) for i in range(3000)]
    assert lines(*chain) == [f"tool: {i}()" for i in range(3000)]


def test_the_only_span_without_a_parent_is_the_root() -> None:
    turn = turn_of(
        agent("r", name="a", provider="OpenAI", start=0, end=5), chat("l", "r", start=6, end=90)
    )
    assert (turn.root_span_name, turn.agent_name, turn.provider) == ("a", "a", "openai")
    assert (turn.started_ns, turn.ended_ns, turn.total_duration_ms) == (at(0), at(5), 5)


@pytest.mark.parametrize("parents", [("", ""), ("x", "y")])
def test_with_several_roots_or_none_the_span_that_ends_last_is_the_root(
    parents: tuple[str, str],
) -> None:
    first, second = parents
    inner = chat("c", "a", name="latest", end=50, provider="p")
    spans = [chat("a", first, end=9), chat("b", second, end=50, name="b"), inner]
    assert turn_of(*spans).root_span_name == "latest"


def test_the_roots_name_is_its_agents_else_its_spans() -> None:
    assert turn_of(agent("r", name="a")).root_span_name == "a"
    assert turn_of(span("r", name="GET /")).root_span_name == "GET /"
    assert turn_of(span("r")).root_span_name is None


def test_the_provider_is_the_roots_alone() -> None:
    assert turn_of(agent("r"), chat("l", "r", provider="openai")).provider is None


def test_an_open_root_has_ended_in_1970_and_lasted_no_time() -> None:
    turn = turn_of(replace(agent("r"), end_ns=None))
    assert (turn.ended_ns, turn.total_duration_ms) == (0, 0)


def test_a_duration_is_floored_and_never_negative() -> None:
    assert turn_of(span("r", start=0, end=1.9)).total_duration_ms == 1
    assert turn_of(span("r", start=5, end=1)).total_duration_ms == 0


def test_totals_count_of_an_agent_what_its_calls_do_not_account_for() -> None:
    cached = {"reasoning_tokens": 3, "cache_creation_tokens": 4, "cache_read_tokens": 5}
    turn = turn_of(
        agent("r", input_tokens=10, output_tokens=2, cost=0.5),
        chat("l", "r", input_tokens=10, output_tokens=2, cost=0.25, body=cached),
        chat("m", "r", body=cached),
    )
    assert (turn.total_input_tokens, turn.total_output_tokens, turn.total_reasoning_tokens) == (
        10,
        2,
        6,
    )
    assert (turn.total_cache_creation_input_tokens, turn.total_cache_read_input_tokens) == (8, 10)
    assert turn.total_cost_usd == 0.5


def test_no_priced_span_means_no_cost_and_a_free_one_costs_nothing() -> None:
    assert turn_of(agent("r")).total_cost_usd is None
    assert turn_of(agent("r", cost=0.0)).total_cost_usd == 0.0


def test_an_unknown_trace_has_no_messages_and_no_fields() -> None:
    assert turn_of() == TurnChat(trace_id="t")
    assert (turn_of().status_code, turn_of().total_input_tokens, turn_of().messages) == (
        None,
        0,
        (),
    )


def test_the_user_of_the_root_is_the_turns() -> None:
    assert turn_of(span("r", body={"user": {"id": "u1"}})).user_id == "u1"
    assert turn_of(span("r", body={"user_properties": {"user": "u2"}})).user_id == "u2"
    assert turn_of(span("r", body={"user": {}, "user_properties": {"user": 1}})).user_id is None
