from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.value_path import path_steps, path_text

steps = st.lists(st.text(st.sampled_from("a.`0é ")), min_size=1, max_size=4)


@given(steps)
def test_a_path_gives_its_steps_back(expected: list[str]) -> None:
    assert path_steps(path_text(expected)) == expected


@given(st.text(st.sampled_from("a.`"), max_size=9))
def test_a_text_is_a_path_or_refused(text: str) -> None:
    found = path_steps(text)
    assert found is None or path_steps(path_text(found)) == found


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "`a", "a`b", "`a`b", "`a``"])
def test_what_is_no_path(text: str) -> None:
    assert path_steps(text) is None
