"""Page tokens open the list and project they were made for, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.page_token import list_query, page_token, position_of
from spanloom.errors import SpanloomError
from spanloom.model import MAX_TIME_NS
from tests.ingest.strategies import ids

positions = st.tuples(st.integers(-MAX_TIME_NS, MAX_TIME_NS), ids)


def refused(token: str, query: str = "traces", project: str = "p") -> bool:
    with pytest.raises(SpanloomError) as error:
        position_of(token, query, project, field="pageToken")
    return (error.value.code, error.value.reason, error.value.violations[0].field) == (
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
        "pageToken",
    )


def test_a_list_is_named_by_the_conditions_that_are_set() -> None:
    named = list_query("traces", name="a", status="", since_ns=None, min_duration_ns=0)
    assert named == list_query("traces", name="a") == 'traces{"name":"a"}'
    assert list_query("traces", b=1, a="x") == list_query("traces", a="x", b=1)
    assert list_query("traces", a="x") != list_query("traces", b="x") != list_query("logs", b="x")


@given(positions)
def test_a_token_opens_its_own_list(position: tuple[int, str]) -> None:
    assert (
        position_of(page_token("traces", "p", position), "traces", "p", field="pageToken")
        == position
    )


@given(positions)
def test_a_token_opens_no_other_list_or_project(position: tuple[int, str]) -> None:
    token = page_token("traces", "p", position)
    assert refused(token, query="agents")
    assert refused(token, project="q")
    assert refused(page_token("traces\0p", "", position))


@given(positions, st.data())
def test_a_token_that_was_changed_is_refused(
    position: tuple[int, str], data: st.DataObject
) -> None:
    token = page_token("traces", "p", position)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda c: c != token[at]))
    assert refused(token[:at] + other + token[at + 1 :])
    assert refused(token[:at])
    assert refused(token + other)


@given(st.text())
def test_a_made_up_token_is_refused(token: str) -> None:
    assert refused(token)
