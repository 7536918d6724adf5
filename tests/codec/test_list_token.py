from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.list_token import list_name, position_in, token_of
from spanloom.errors import SpanloomError
from spanloom.v1 import span_service_pb2

KINDS = (int, str)


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=9))
def test_a_token_gives_its_position_back(number: int, text: str) -> None:
    token = token_of("list", "p", [number, text])
    assert position_in(token, "list", "p", KINDS, "page_token") == [number, text]
    for name, project in (("other", "p"), ("list", "q")):
        with pytest.raises(SpanloomError, match="not a page token"):
            position_in(token, name, project, KINDS, "page_token")


@given(st.text(max_size=30))
def test_any_text_is_refused(text: str) -> None:
    if text:
        with pytest.raises(SpanloomError, match="not a page token"):
            position_in(text, "list", "p", KINDS, "page_token")


@pytest.mark.parametrize("position", [["a", 1], [1], [1, "a", 2], [True, "a"], [1.5, "a"]])
def test_a_position_of_other_types_is_refused(position: list[object]) -> None:
    with pytest.raises(SpanloomError, match="not a page token"):
        position_in(token_of("list", "p", position), "list", "p", KINDS, "page_token")


def test_another_spelling_of_a_token_is_refused() -> None:
    token = token_of("list", "p", [1, "ab"])
    assert len(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for other in (token + "=", token + "A", token[:-1]):
        with pytest.raises(SpanloomError, match="not a page token"):
            position_in(other, "list", "p", KINDS, "page_token")


def test_a_list_is_named_by_its_conditions() -> None:
    request = span_service_pb2.ListSpansRequest(trace_id="t", page_size=3)
    name = list_name("ListSpans", request)
    request.page_size, request.page_token = 9, "x"
    assert list_name("ListSpans", request) == name
    request.filter.name = "n"
    assert list_name("ListSpans", request) != name
