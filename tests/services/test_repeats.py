"""Which spans repeat the tokens of others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.repeats import repeats

Case = tuple[list[int | None], list[tuple[int | None, int | None]]]


@st.composite
def trees(draw: st.DrawFn) -> Case:
    number = draw(st.integers(0, 12))
    parents = [
        draw(st.none() | st.integers(0, place - 1)) if place else None for place in range(number)
    ]
    tokens = [
        draw(st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 2)))
        for _ in range(number)
    ]
    order = draw(st.permutations(range(number)))
    at = {place: new for new, place in enumerate(order)}
    moved = [None if (parent := parents[place]) is None else at[parent] for place in order]
    return moved, [tokens[place] for place in order]


@given(trees())
def test_a_span_repeats_where_it_has_the_sum_of_what_is_inside(case: Case) -> None:
    parents, tokens = case
    found = set()

    def total(place: int) -> tuple[int, int]:
        inner = [total(child) for child, parent in enumerate(parents) if parent == place]
        summed = sum(t[0] for t in inner), sum(t[1] for t in inner)
        own = tokens[place][0] or 0, tokens[place][1] or 0
        if any(own) and own == summed:
            found.add(place)
            return summed
        return summed[0] + own[0], summed[1] + own[1]

    for place, parent in enumerate(parents):
        if parent is None:
            total(place)
    assert repeats(parents, tokens) == found


@given(st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_cycles_of_parents_end(parents: list[int]) -> None:
    repeats(parents, [(1, 1)] * 6)
