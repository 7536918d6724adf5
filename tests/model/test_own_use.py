"""What each span used itself."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.own_use import Own, Reported, dollars, own_uses, picodollars

USES = st.tuples(*[st.none() | st.integers(0, 50)] * 2)
SPANS = st.lists(
    st.builds(
        Reported,
        st.sampled_from("abcdefgh"),
        st.sampled_from(["", "a", "b", "c", "d", "x"]),
        st.sampled_from(["model", "chain", "tool", "session"]),
        st.sampled_from(["", "chat", "invoke_agent", "execute_tool"]),
        USES,
    ),
    max_size=8,
    unique_by=lambda span: span.span_id,
)


def agent(span_id: str, parent_id: str, *use: int | None) -> Reported:
    return Reported(span_id, parent_id, "chain", "invoke_agent", use)


def model(span_id: str, parent_id: str, *use: int | None) -> Reported:
    return Reported(span_id, parent_id, "model", "chat", use)


def tool(span_id: str, parent_id: str, *use: int | None) -> Reported:
    return Reported(span_id, parent_id, "tool", "execute_tool", use)


@pytest.mark.parametrize(
    ("spans", "own"),
    [
        # An agent repeats the sum of its models.
        ([agent("a", "", 30), model("b", "a", 10), model("c", "a", 20)], {"a": Own((0,))}),
        # It reports more than was recorded, or less.
        ([agent("a", "", 35), model("b", "a", 30)], {"a": Own((5,))}),
        ([agent("a", "", 10), model("b", "a", 30)], {"a": Own((0,))}),
        # Agents inside agents, and a step between.
        (
            [agent("a", "", 30), agent("b", "a", 30), tool("t", "b", None), model("c", "t", 30)],
            {"a": Own((0,)), "b": Own((0,))},
        ),
        # Two libraries, or steps, of one call.
        ([model("a", "", 9), model("b", "a", 9)], {"a": Own((0,), is_repeated=True)}),
        ([model("a", "", None), model("b", "a", 9)], {"a": Own((None,), is_repeated=True)}),
        # What a tool inside a call used is not a part of the call.
        ([model("a", "", 9), tool("t", "a", None), model("b", "t", 9)], {}),
        # Nothing is inside anything.
        ([agent("a", "", 9), agent("b", "", 9)], {}),
        # A cycle accounts for nothing.
        ([agent("a", "b", 9), agent("b", "a", 9)], {}),
    ],
)
def test_own_use_is_what_is_not_accounted_for(spans: list[Reported], own: dict[str, Own]) -> None:
    assert own_uses(spans) == own


@given(SPANS, st.randoms(use_true_random=False))
def test_the_order_of_the_spans_does_not_matter(
    spans: list[Reported], order: random.Random
) -> None:
    shuffled = order.sample(spans, len(spans))
    assert own_uses(shuffled) == own_uses(spans)


@given(SPANS)
def test_nothing_is_counted_that_was_not_reported(spans: list[Reported]) -> None:
    reported = {span.span_id: span.use for span in spans}
    for span_id, own in own_uses(spans).items():
        for used, of in zip(own.use, reported[span_id], strict=True):
            assert (used is None) is (of is None)
            assert used is None or of is None or 0 <= used <= of


@given(st.floats(0, 1000))
def test_a_cost_is_kept_to_the_picodollar(cost: float) -> None:
    kept = dollars(picodollars(cost))
    assert kept == pytest.approx(cost, abs=1e-12)
    assert picodollars(kept) == picodollars(cost)


def test_a_cost_that_cannot_be_is_bounded() -> None:
    assert dollars(picodollars(1e300)) == 1e6
    assert picodollars(None) is None
    assert dollars(None) is None
