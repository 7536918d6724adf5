"""Messages in any JSON shape.

Rules: docs/contracts/agent_chat.md, sections 2.3, 2.11 and 3.6.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.chat.messages import by_speaker, joined_text
from spanloom.genai.json_text import printed, reprinted
from spanloom.genai.read import genai_messages
from spanloom.genai.text import text_of
from spanloom.model.genai import GenAiMessage
from tests.chat.spans import chat, lines, parts, reasoning, text, tool


def read_messages(raw: Any, speaker: str) -> list[GenAiMessage]:
    return by_speaker(genai_messages(raw, speaker))


def shown(raw: Any) -> list[tuple[str, str]]:
    return [(message.role, text_of(message)) for message in read_messages(raw, "user")]


def test_parts_win_over_content_and_content_over_nothing() -> None:
    assert shown([{"role": "user", "content": "c", "parts": [text("p")]}]) == [("user", "p")]
    assert shown([{"role": "user", "content": "c", "parts": "odd"}]) == [("user", "c")]
    assert shown([{"role": "user", "content": "c", "parts": []}]) == [("user", "")]


@pytest.mark.parametrize("content", [{"text": "x"}, 5, None, True])
def test_content_that_is_no_text_or_list_is_empty(content: Any) -> None:
    assert shown([{"role": "user", "content": content}]) == [("user", "")]


def test_bare_texts_and_items_without_a_role_are_the_speakers() -> None:
    raw = ["a", {"content": "b"}, {"role": "", "content": "c"}, {"role": 7, "content": "d"}]
    assert shown(raw) == [("user", x) for x in "abcd"]
    assert [m.role for m in read_messages(raw, "assistant")] == ["assistant"] * 4


def test_one_object_without_a_role_is_read_as_what_was_asked() -> None:
    assert shown({"content": "no role"}) == [("user", "no role")]
    assert shown({"messages": [{"role": "human", "content": "q"}]}) == [("user", "q")]


@pytest.mark.parametrize("raw", [None, 5, True, {}, [], [None, 5, ["nested"]], ""])
def test_what_is_no_message_is_left_out(raw: Any) -> None:
    assert shown(raw) == []


def test_one_object_with_a_role_is_one_message() -> None:
    assert shown({"role": "assistant", "content": "x"}) == [("assistant", "x")]


def test_a_text_is_json_or_else_one_message() -> None:
    assert shown('[{"role": "tool", "content": "x"}]') == [("tool", "x")]
    assert shown('[{"role": ') == [("user", '[{"role": ')]
    assert shown("hello") == [("user", "hello")]


def test_the_texts_of_parts_are_lines_and_those_of_messages_paragraphs() -> None:
    raw = [
        parts("assistant", text("a"), {"type": "text", "text": "b"}, "c"),
        {"role": "assistant", "content": "d"},
    ]
    assert joined_text(read_messages(raw, "assistant")) == "a\nb\nc\n\nd"


@pytest.mark.parametrize(
    "part",
    [
        reasoning("r"),
        {"type": "uri", "uri": "u", "content": "x"},
        {"type": "blob", "content": "AAAA"},
        {"type": "file", "content": "x"},
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {}},
        {"type": "odd", "value": "x"},
        {"type": "text", "content": 5},
        {},
        5,
        None,
        ["x"],
    ],
)
def test_reasoning_media_and_what_is_no_text_are_not_shown(part: Any) -> None:
    assert shown([parts("user", text("a"), part, text("b"))]) == [("user", "a\nb")]


def test_a_text_that_holds_parts_is_read_as_parts() -> None:
    assert shown([{"role": "user", "content": json.dumps([text("a"), reasoning("r")])}]) == [
        ("user", "a")
    ]
    assert shown([{"role": "user", "content": '["a", "b"]'}]) == [("user", "a\nb")]


@pytest.mark.parametrize(
    "answer", ["[1, 2]", "[]", '[{"name": "x"}]', "[x](http://y)", " [1]", '{"a": 1}']
)
def test_any_other_text_is_shown_as_it_is_even_a_json_answer(answer: str) -> None:
    assert shown([{"role": "assistant", "content": answer}]) == [("assistant", answer)]


def test_non_user_output_is_the_answer_whatever_its_role() -> None:
    outputs = [{"role": role, "content": role} for role in ("user", "tool", "system", "assistant")]
    assert lines(chat("l", outputs=outputs)) == ["assistant: tool\n\nsystem\n\nassistant"]


def test_reasoning_is_that_of_parts_and_not_of_list_content() -> None:
    spread = [
        parts("assistant", reasoning("a"), text("t"), reasoning("b")),
        parts("assistant", reasoning("c")),
    ]
    assert lines(chat("l", outputs=spread)) == ["assistant: <a\nb\nc> t"]
    listed = [{"role": "assistant", "content": [reasoning("a"), text("t")]}]
    assert lines(chat("l", outputs=listed)) == ["assistant: t"]


def test_the_spans_reasoning_goes_before_that_of_its_parts() -> None:
    span = chat(
        "l",
        outputs=[parts("assistant", reasoning("part"), text("t"))],
        body={"reasoning": "column"},
    )
    assert lines(span) == ["assistant: <column> t"]


def test_items_that_are_parts_are_the_tools_or_the_models() -> None:
    raw = [{"type": "function_call", "name": "f"}, {"type": "function_call_output", "output": "x"}]
    assert [m.role for m in read_messages(raw, "user")] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"city": "Zürich", "n": [1, 2.0, None, True]},
            '{"city": "Zürich", "n": [1, 2.0, null, true]}',
        ),
        ('{"a":1,"b":[1,2]}', '{"a": 1, "b": [1, 2]}'),
        ("{}", "{}"),
        ({}, "{}"),
        ([], "[]"),
        (0, "0"),
        (False, "false"),
        (None, ""),
        ("", ""),
        ("plain {text", "plain {text"),
        ("{not json}", "{not json}"),
        ("00", "00"),
        ("\ud800", "\ud800"),
    ],
)
def test_arguments_and_results_stay_readable_and_whole(value: Any, expected: str) -> None:
    # docs/contracts/agent_chat.md, sections 2.11 and 3.6
    assert lines(tool("t", arguments=value)) == [f"tool: look({expected})"]
    assert lines(tool("t", result=value)) == [
        "tool: look()" + (f" = {expected}" if expected else "")
    ]


def test_texts_arguments_and_results_are_never_cut() -> None:
    long = "x" * 1_000_000
    spans = [
        tool("t", arguments=long, result=long),
        chat("l", start=1, outputs=[{"role": "assistant", "content": long}]),
    ]
    assert lines(*spans) == [f"tool: look({long}) = {long}", f"assistant: {long}"]


def test_what_cannot_be_printed_is_nothing() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert printed(circle) == printed({("a",): 1}) == printed(object()) == ""
    assert reprinted("[" * 100_000) == "[" * 100_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["role", "content", "parts", "type", "text", "tool_calls", "function"])
            | st.text(),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(json_values)
def test_no_json_makes_reading_raise(raw: Any) -> None:
    for message in read_messages(raw, "user"):
        assert message.role in ("user", "assistant", "system", "tool")
        assert isinstance(text_of(message), str)
