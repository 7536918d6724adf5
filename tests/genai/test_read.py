"""Messages of every dialect, read by one reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.genai.json import messages_from_json, messages_to_json
from spanloom.genai.read import Reader, answered, asked, genai_messages, messages_of
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import text_of
from spanloom.model.genai import (
    GenAiMessage,
    MediaPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)


def said(role: str, *parts: Any, reason: str = "") -> GenAiMessage:
    return GenAiMessage(role, parts, finish_reason=reason)


ANSWER = said("assistant", TextPart("a"))


@pytest.mark.parametrize(
    ("outputs", "messages"),
    [
        ({"choices": [{"message": {"content": "a"}}]}, [ANSWER]),
        ({"choices": [{"delta": {"role": "assistant", "content": "a"}}]}, [ANSWER]),
        (
            {"choices": [{"text": "a", "finish_reason": "STOP"}]},
            [said("assistant", TextPart("a"), reason="stop")],
        ),
        ({"generations": [[{"text": "a"}]]}, [ANSWER]),
        ({"output_text": "a", "usage": {}}, [ANSWER]),
        ([{"generated_text": "a"}], [ANSWER]),
        ({"completion": "a", "stop": "x"}, [ANSWER]),
        (
            [
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            ],
            [said("assistant", TextPart("a"), ToolCallPart("1", "f", {}))],
        ),
        (
            [{"text": "a"}, {"functionCall": {"name": "f", "args": {"x": 1}}}],
            [said("assistant", TextPart("a"), ToolCallPart("", "f", {"x": 1}))],
        ),
        (
            {
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
            },
            [said("assistant", ToolCallPart("1", "f", {}))],
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
            },
            [said("assistant", ToolCallPart("1", "f", {}))],
        ),
        (
            {"response": {"role": "ai", "content": "a"}, "tool_calls": [{"tool_name": "f"}]},
            [ANSWER],
        ),
        ({"messages": [["user", "q"], ["assistant", "a"]]}, [ANSWER]),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "r"}, {"type": "text", "text": "a"}],
            },
            [said("assistant", ReasoningPart("r"), TextPart("a"))],
        ),
        (
            {
                "output": [
                    {"type": "reasoning", "summary": [{"text": "r"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                ]
            },
            [said("assistant", ReasoningPart("r")), ANSWER],
        ),
        (
            {
                "output": {
                    "message": {
                        "content": [
                            {"reasoningContent": {"reasoningText": {"text": "r"}}},
                            {"text": "a"},
                        ]
                    }
                }
            },
            [said("assistant", ReasoningPart("r"), TextPart("a"))],
        ),
        (
            {"message": {"role": "assistant", "content": {"capital": "Paris"}}},
            [said("assistant", TextPart('{"capital": "Paris"}'))],
        ),
        ('{"answer": "a"}', [ANSWER]),
        ('{"a": 1,"b":2}', [said("assistant", TextPart('{"a": 1, "b": 2}'))]),
        ({"n": 123456789012345678901}, [said("assistant", TextPart("123456789012345678901"))]),
        ("{not JSON", [said("assistant", TextPart("{not JSON"))]),
        ({"choices": []}, []),
        ("", []),
    ],
)
def test_what_was_answered(outputs: Any, messages: list[GenAiMessage]) -> None:
    assert answered(outputs) == messages


QUESTION = said("user", TextPart("q"))


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ({"input": "q", "chat_history": []}, [QUESTION]),
        (
            {"messages": [{"role": "user", "content": "q"}], "system": "s"},
            [said("system", TextPart("s")), QUESTION],
        ),
        (
            {
                "contents": [{"parts": [{"text": "q"}], "role": "user"}],
                "config": {"system_instruction": "s"},
            },
            [said("system", TextPart("s")), QUESTION],
        ),
        ({"prompt": json.dumps([{"role": "user", "content": "q"}])}, [QUESTION]),
        ({"question": '{"message": "q"}'}, [said("user", TextPart('{"message": "q"}'))]),
        ({"question": "[1, 2]"}, [said("user", TextPart("[1, 2]"))]),
        ({"input": {"question": "q", "k": 3}}, [QUESTION]),
        ({"messages": {"data": {"content": "q"}, "type": "human"}}, [QUESTION]),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
                }
            ],
            [said("user", MediaPart("uri", "https://x/y.png", "image"))],
        ),
        (
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "1",
                    "content": [{"type": "text", "text": "R"}],
                }
            ],
            [said("tool", ToolResultPart("1", "", "R"))],
        ),
        ({"_params_": {"question": "q"}}, [QUESTION]),
    ],
)
def test_what_was_asked(inputs: Any, messages: list[GenAiMessage]) -> None:
    assert asked(inputs) == messages


def test_json_that_is_no_conversation_is_a_text_only_if_any_json_may_be_one() -> None:
    assert [text_of(m) for m in asked({"a": 1, "b": 2})] == ['{"a": 1, "b": 2}']
    assert asked({"a": 1, "b": 2}, any_json=False) == []
    assert asked({"a": "q"}, any_json=False) == [QUESTION]
    assert answered([1, 2], any_json=False) == []


def test_genai_messages_keep_every_field() -> None:
    sent = [
        {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"x": 1}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {}}]},
        {"role": "tool", "tool_call_id": "1", "content": "R", "artifact": {"rows": 3}},
        {"role": "assistant", "parts": [{"type": "text", "content": "a", "score": 0.5}]},
    ]
    assert messages_to_json(genai_messages(sent, USER)) == sent
    assert messages_to_json(genai_messages(json.dumps(sent), USER)) == sent


@pytest.mark.parametrize(
    ("sent", "texts"),
    [
        ("text", ["text"]),
        ('["a", "b"]', ["a", "b"]),
        ('[{"x": 1}]', ['[{"x": 1}]']),
        ('{"messages": [{"role": "human", "content": "q"}]}', ["q"]),
        ("[]", []),
    ],
)
def test_an_attribute_of_genai_messages_in_odd_forms(sent: str, texts: list[str]) -> None:
    assert [text_of(message) for message in genai_messages(sent, USER)] == texts


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.sampled_from(
    [
        *("role", "content", "parts", "type", "text", "tool_calls", "function", "id", "name"),
        *("messages", "choices", "message", "contents", "candidates", "lc", "kwargs", "data"),
        *("functionCall", "toolUse", "toolResult", "inlineData", "image_url", "source", "output"),
        *("chat_history", "question", "input", "arguments", "thinking", "reasoning", "_params_"),
    ]
)
words = st.sampled_from(
    [
        *("user", "assistant", "tool", "human", "ai", "HumanMessage", "text", "tool_use"),
        *("function_call", "function_call_output", "reasoning", "message", "image", "blob", "[1]"),
        *('{"role": "user", "content": "x"}', '[{"type": "text", "text": "x"}]', "[", "{"),
    ]
)
json_values = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys | st.text(max_size=3), inner | words, max_size=5)
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_json_makes_the_reader_raise(value: Any) -> None:
    for messages in (
        genai_messages(value, USER),
        genai_messages(value, ASSISTANT),
        messages_of(value, USER),
        messages_of(value, ASSISTANT),
        asked(value),
        answered(value),
        Reader().asked_before(value),
    ):
        written = messages_to_json(messages)
        assert messages_from_json(written) == tuple(messages)
        for message in messages:
            assert isinstance(text_of(message), str)


@given(st.lists(json_values, max_size=4))
def test_a_reader_that_remembers_reads_the_same(values: list[Any]) -> None:
    reader = Reader(remember=True)
    for value in [*values, values, [*values, *values], *values]:
        assert reader.genai_messages(value, USER) == genai_messages(value, USER)
        assert reader.asked(value) == asked(value)
        assert reader.answered(value) == answered(value)
