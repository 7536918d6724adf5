"""Texts that clients pass on: they give their content back, and content that nobody can store is
refused, for anybody can make a text of any content.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.opaque import opened_list, sealed, sealed_list

KINDS = (int, str)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)


@given(INTEGERS, TEXTS)
def test_a_list_is_given_back_to_its_purpose_and_project_alone(number: int, text: str) -> None:
    made = sealed_list("list", "p", (number, text))
    assert opened_list(made, "list", "p", KINDS) == [number, text]
    assert opened_list(made, "other", "p", KINDS) is None
    assert opened_list(made, "list", "q", KINDS) is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"5", b"null", b"{}", b"[", b"[]", b'["a", 1]', b'[1, "a", 2]', b'[true, "a"]'),
        *(b'[1.5, "a"]', b"[1, null]", b'[1, "\xff"]'),
        *(b'[9223372036854775808, "a"]', b'[-9223372036854775809, "a"]', b'[1, "\\u0000"]'),
    ],
)
def test_content_that_no_list_has_is_refused(content: bytes) -> None:
    assert opened_list(sealed("list", "p", content), "list", "p", KINDS) is None


@given(st.binary(max_size=40))
def test_any_content_is_of_the_kinds_or_refused(content: bytes) -> None:
    values = opened_list(sealed("list", "p", content), "list", "p", KINDS)
    assert values is None or tuple(map(type, values)) == KINDS
