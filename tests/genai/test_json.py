"""GenAI messages as JSON, and back without loss."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.genai.json import messages_from_json, messages_to_json
from spanloom.model.genai import (
    GenAiMessage,
    MediaPart,
    OtherPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
words = st.sampled_from(["", "yes", "[1]", '["a"]', "{}", '{"a": 1}', " [", "ü"]) | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
# What a tool returned is a text where it was nothing but text blocks.
plain = st.none() | st.integers(0, 9) | words | st.dictionaries(texts, json_values, max_size=2)
parts = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ReasoningPart, texts),
    st.builds(ToolCallPart, texts, texts, plain),
    st.builds(ToolResultPart, texts, texts, plain),
    st.builds(MediaPart, st.sampled_from(["uri", "blob", "file"]), texts, texts, texts),
    st.builds(OtherPart, st.none() | st.integers(0, 9) | st.just({"type": "server_tool", "x": 1})),
)
composed = st.builds(
    GenAiMessage,
    st.sampled_from(["user", "assistant", "system", "tool", "developer", "planner"]),
    st.lists(parts, max_size=3).map(tuple),
    texts,
    texts,
    st.booleans(),
)


@given(st.lists(composed, max_size=3).map(tuple))
def test_what_was_composed_comes_back(messages: tuple[GenAiMessage, ...]) -> None:
    written = orjson.loads(orjson.dumps(messages_to_json(messages)))
    assert messages_from_json(written) == messages


keys = st.sampled_from(["type", "content", "text", "id", "name", "arguments", "response", "x"])
values = json_values | st.sampled_from(["text", "reasoning", "tool_call", "tool_use", "uri"])
sent_messages = st.fixed_dictionaries(
    {"role": words},
    optional={
        "content": json_values | st.lists(st.dictionaries(keys, values, max_size=4), max_size=3),
        "parts": json_values | st.lists(st.dictionaries(keys, values, max_size=4), max_size=3),
        "tool_calls": json_values | st.lists(st.dictionaries(keys, values, max_size=4), max_size=2),
        "tool_call_id": json_values,
        "finish_reason": json_values,
        "name": json_values,
        "cache_control": json_values,
    },
)


@given(st.lists(sent_messages, max_size=3))
def test_whatever_was_sent_keeps_every_field(sent: list[Any]) -> None:
    messages = messages_from_json(sent)
    assert messages_to_json(messages) == sent
    assert messages_from_json(messages_to_json(messages)) == messages


@given(json_values | st.lists(json_values | sent_messages))
def test_no_json_makes_reading_raise(value: Any) -> None:
    assert all(isinstance(message, GenAiMessage) for message in messages_from_json(value))


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            {"role": "user", "content": "a"},
            GenAiMessage("user", (TextPart("a"),), as_content=True),
        ),
        (
            {"role": "user", "parts": [{"type": "text", "content": "a"}], "name": "Ann"},
            GenAiMessage("user", (TextPart("a"),), name="Ann"),
        ),
        (
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "r"},
                    {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
                ],
                "finish_reason": "tool_call",
            },
            GenAiMessage(
                "assistant",
                (ReasoningPart("r"), ToolCallPart("1", "f", {"a": 1})),
                finish_reason="tool_call",
            ),
        ),
        (
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "1", "response": {"ok": True}}],
            },
            GenAiMessage("tool", (ToolResultPart("1", "", {"ok": True}),)),
        ),
        (
            {"role": "user", "parts": [{"type": "uri", "uri": "u:1", "mime_type": "image/png"}]},
            GenAiMessage("user", (MediaPart("uri", "u:1", "", "image/png"),)),
        ),
    ],
)
def test_the_words_of_the_conventions_need_no_copy(sent: Any, message: GenAiMessage) -> None:
    assert messages_from_json([sent]) == (message,)
    assert messages_to_json([message]) == [sent]


@pytest.mark.parametrize(
    "sent",
    [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"x": 1}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {}}]},
        {"role": "tool", "content": "R", "tool_call_id": "1"},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "result": "R"}]},
        {"role": "user", "parts": ["a", None, 5, {"type": "blob", "uri": "x"}]},
    ],
)
def test_other_words_are_kept_beside_what_they_mean(sent: Any) -> None:
    [message] = messages_from_json([sent])
    assert message.sent == sent
    assert message.parts
