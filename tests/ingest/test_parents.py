"""Cycles of parents are found whatever graph clients make of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.parents import cycle_heads

graphs = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.none() | st.integers(0, size - 1), min_size=size, max_size=size)
)


def cycles(parents: list[int | None]) -> set[frozenset[int]]:
    """By following every node for as many steps as there are nodes, and then around."""
    found = set()
    for node in range(len(parents)):
        at: int | None = node
        for _ in parents:
            at = None if at is None else parents[at]
        around = set()
        while at is not None and at not in around:
            around.add(at)
            at = parents[at]
        if around:
            found.add(frozenset(around))
    return found


@given(graphs)
def test_each_cycle_has_one_head_of_the_lowest_rank(parents: list[int | None]) -> None:
    heads = cycle_heads(parents, lambda node: -node)
    assert sorted(heads) == sorted(max(cycle) for cycle in cycles(parents))


@given(graphs)
def test_cut_at_their_heads_no_cycles_are_left(parents: list[int | None]) -> None:
    for head in cycle_heads(parents, lambda node: node):
        parents[head] = None
    assert not cycles(parents)
