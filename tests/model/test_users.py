"""Whose the spans of a trace are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.model import Span
from spanloom.model.users import carries, named_users, spans_of_user
from tests.store.samples import a_span

ADA, BOB = "ada", "bob"


def span(span_id: str, parent_id: str = "", user: str = "") -> Span:
    body = {"user": {"id": user}} if user else {}
    return a_span(span_id, body=body, parent_id=parent_id)


def ids(spans: list[Span], user: str, trace_user: str = "") -> set[str]:
    return {each.span_id for each in spans_of_user(spans, user, trace_user)}


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"user_id": ADA}, [ADA]),
        ({"user": ADA, "id": BOB}, [ADA, BOB]),
        ({"user_id": 42}, ["42"]),
        ({"user_id": True, "user": None, "id": {"id": ADA}, "email": ADA}, []),
        ({}, []),
    ],
)
def test_a_span_names_users_by_its_properties(properties: Any, named: list[str]) -> None:
    assert named_users(a_span(body={"user_properties": properties})) == named


def test_a_span_names_the_user_of_its_trace_first() -> None:
    both = {"user": {"id": ADA}, "user_properties": {"user_id": BOB}}
    assert named_users(a_span(body=both)) == [ADA, BOB]


def test_what_names_nobody_is_of_the_nearest_user_above() -> None:
    trace = [span("root", user=ADA), span("a", "root", BOB), span("b", "a"), span("c", "root")]
    assert ids(trace, BOB) == {"a", "b"}
    assert ids(trace, ADA) == {"root", "c"}


def test_else_it_is_of_the_user_of_the_trace() -> None:
    trace = [span("root"), span("a", "root", BOB)]
    assert ids(trace, ADA, trace_user=ADA) == {"root"}
    assert ids(trace, BOB, trace_user=ADA) == {"a"}


def test_else_of_the_one_user_whom_the_trace_names() -> None:
    assert ids([span("root"), span("a", "root", BOB)], BOB) == {"root", "a"}
    two = [span("root"), span("a", "root", BOB), span("b", "root", ADA)]
    assert ids(two, BOB) == {"a"}
    assert ids([span("root")], BOB) == set()


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-1, 12), st.sampled_from(["", ADA, BOB])),
        unique_by=lambda each: each[0],
    ),
    st.sampled_from(["", ADA, BOB]),
)
def test_any_parents_give_each_span_to_whom_it_names(
    found: list[tuple[int, int, str]], trace_user: str
) -> None:
    """Circles and parents that are not there too."""
    trace = [span(str(n), "" if parent < 0 else str(parent), user) for n, parent, user in found]
    of_ada, of_bob = ids(trace, ADA, trace_user), ids(trace, BOB, trace_user)
    assert not of_ada & of_bob
    for n, _, user in found:
        assert not user or (str(n) in of_ada) == (user == ADA)
    if trace_user or len({user for *_, user in found} - {""}) == 1:
        assert len(of_ada | of_bob) == len(trace)


@pytest.mark.parametrize(
    ("value", "does"),
    [
        ({"user_id": ADA}, True),
        ({"values": [{"user": {"id": ADA}}]}, True),
        ({"user_properties": {"user": ADA}}, True),
        ({"endUserId": ADA}, True),
        ({"enduser.id": ADA}, True),
        ({"answer": ADA}, False),
        ({"id": ADA}, False),
        ({"text": f"user_id: {ADA}"}, False),
        (None, False),
    ],
)
def test_json_carries_a_user_under_keys_that_mean_one(value: Any, does: bool) -> None:
    assert carries(value, ADA) is does
