"""Messages in the conventions' own words are used as they came: as the whole reader reads them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spanloom.genai.chat_history import chat_history
from spanloom.genai.conventional import Conventional, conventional
from spanloom.genai.json import messages_to_json
from spanloom.genai.read import genai_messages, received
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.stored import messages_json
from spanloom.genai.text import length_of, reasoning_of
from tests.genai.test_json import composed, json_values, sent_messages, texts

# Objects that differ from the conventions' own words in a key or a value, or not at all.
_TEXTS = texts | st.sampled_from(["", "[1]", "a"])
_NEAR = _TEXTS | st.none() | st.just({"a": 1})
_PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "reasoning"]), "content": _TEXTS}),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "id": _TEXTS, "name": _TEXTS, "arguments": _NEAR}
    ),
    st.fixed_dictionaries({"type": st.just("tool_call_response"), "id": _TEXTS, "response": _NEAR}),
    st.dictionaries(
        st.sampled_from(["type", "content", "id", "response", "name", "arguments", "x"]),
        _NEAR | st.sampled_from(["text", "reasoning", "tool_call", "tool_call_response", "uri"]),
    ),
)
_ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer", "User", "planner"])
_MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"role": _ROLES, "parts": st.lists(_PARTS, max_size=3)},
        optional={"name": _NEAR, "finish_reason": _NEAR},
    ),
    st.fixed_dictionaries(
        {"role": _ROLES},
        optional={
            "content": _NEAR | st.lists(_PARTS, max_size=2),
            "parts": _NEAR,
            "name": _NEAR,
            "finish_reason": _NEAR,
            "tool_call_id": _NEAR,
        },
    ),
)


@given(st.lists(_MESSAGES | sent_messages | composed.map(lambda m: messages_to_json([m])[0])))
@example([{"role": "tool", "parts": [{"type": "text", "content": "R"}]}])
@example([{"role": "tool", "parts": [{"type": "reasoning", "content": "R"}]}])
@example([{"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "R"}]}])
@example([{"role": "user", "content": "a", "parts": None}])
def test_they_are_what_the_whole_reader_makes_of_them(sent: list[Any]) -> None:
    found = conventional(sent)
    if found is not None and sent:
        messages = genai_messages(sent, USER)
        assert list(found) == messages
        assert messages_json(found) == messages_to_json(messages)
        assert found.history == chat_history(messages)
        assert found.reasoning == reasoning_of(messages)
        assert found.length == length_of(messages)


@given(
    st.lists(_MESSAGES, max_size=2) | _MESSAGES | json_values | st.lists(json_values),
    st.booleans(),
    st.sampled_from([USER, ASSISTANT]),
)
@example("{", False, USER)
@example("", False, USER)
@example({"a": 1}, True, USER)
@example([], True, USER)
def test_whatever_is_received_is_read_in_the_same_way(value: Any, as_text: bool, role: str) -> None:
    value = orjson.dumps(value).decode() if as_text else value
    assert list(received(value, role)) == genai_messages(value, role)


@pytest.mark.parametrize(
    "sent",
    [
        {"role": "system", "parts": [{"type": "text", "content": "S"}]},
        {"role": "user", "content": "Q", "name": "Ann"},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "r"},
                {"type": "text", "content": "T"},
                {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
            ],
            "finish_reason": "tool_call",
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "1", "response": "R"}],
        },
    ],
)
def test_what_most_clients_send_is_in_these_words(sent: Any) -> None:
    assert isinstance(received(orjson.dumps([sent]).decode(), USER), Conventional)
