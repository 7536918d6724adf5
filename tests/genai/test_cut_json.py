"""Messages of which an SDK kept the beginning only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.genai.cut_json import CUT_MARK, cut_json
from spanloom.genai.read import genai_messages, messages_of, received
from spanloom.genai.roles import SYSTEM, USER
from spanloom.genai.text import text_of
from tests.genai.test_json import json_values, sent_messages

WHOLE: list[Any] = [
    {"role": "system", "parts": [{"type": "text", "content": "You are a helper."}]},
    {"role": "user", "parts": [{"type": "text", "content": 'What is in "é😀\n" the file?'}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "R"}]},
]
OTHERS: list[Any] = [
    [{"role": m["role"], "content": m["parts"][0].get("content", "x")} for m in WHOLE],
    {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "question"}]},
]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_whole_messages_before_the_cut_are_read(ascii_only: bool) -> None:
    sent = json.dumps(WHOLE, ensure_ascii=ascii_only)
    whole = genai_messages(sent, USER)
    ends = [len(json.dumps(WHOLE[: n + 1], ensure_ascii=ascii_only)) - 1 for n in range(4)]
    for end in range(2, len(sent)):
        before = sum(end >= cut for cut in ends)
        for found in (genai_messages(sent[:end], USER), [*received(sent[:end], USER)]):
            if end < len('[{"role": "system"'):
                continue
            assert [text_of(m) for m in found[:before]] == [text_of(m) for m in whole[:before]]
            assert len(found) <= before + 1
            for cut in found[before:]:
                text = text_of(cut)
                assert not text or text.endswith(CUT_MARK) or text == text_of(whole[before])
                assert text.removesuffix(CUT_MARK) in text_of(whole[before])


@pytest.mark.parametrize("value", [WHOLE, *OTHERS])
def test_a_system_prompt_is_never_what_the_user_said(value: Any) -> None:
    sent = json.dumps(value)
    start = sent.index('"system"') + len('"system"')
    for end in range(start, len(sent)):
        for read in (genai_messages, messages_of):
            assert [m.role for m in read(sent[:end], USER)][:1] in ([], [SYSTEM])


def test_a_message_whose_role_is_cut_off_is_the_next_speakers() -> None:
    said = [{"content": c, "role": r} for c, r in (("SYSTEM", "system"), ("QUESTION", "user"))]
    said.append({"content": "ANSWER", "role": "assistant"})
    sent = json.dumps(said)
    request = json.dumps({"messages": said})
    cuts = [text[:end] for text in (sent, request) for end in range(text.index("EM"), len(text))]
    for cut in cuts:
        for message in genai_messages(cut, USER):
            text = text_of(message).removesuffix(CUT_MARK)
            roles = {m["role"] for m in said if text and m["content"].startswith(text)}
            assert roles <= {message.role}


@pytest.mark.parametrize("mark", ["...", "…", "...[truncated]", "<truncated>"])
def test_what_an_sdk_adds_to_a_cut_is_enough(mark: str) -> None:
    sent = json.dumps(WHOLE)
    cut = sent[: sent.index("helper")] + mark
    [message] = genai_messages(cut, USER)
    assert (message.role, text_of(message)) == (SYSTEM, f"You are a {mark}")


@pytest.mark.parametrize("text", ["[INST] hi", "{not JSON", '["a", "b', '[{"name": "x', "[1, 2"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert [text_of(m) for m in genai_messages(text, USER)] == [text]
    assert [text_of(m) for m in messages_of(text, USER)] == [text]


@given(json_values, st.data())
def test_a_cut_value_is_the_beginning_of_the_whole(value: Any, data: st.DataObject) -> None:
    sent = json.dumps([value], ensure_ascii=data.draw(st.booleans()))
    cut = sent[: data.draw(st.integers(1, len(sent) - 1))]
    found = cut_json(cut)
    assert found is None or isinstance(found, list)


@given(st.lists(sent_messages, min_size=1), st.data())
def test_no_cut_makes_the_reader_raise(messages: Any, data: st.DataObject) -> None:
    sent = json.dumps(messages)
    cut = sent[: data.draw(st.integers(0, len(sent)))]
    assert list(received(cut, USER)) == genai_messages(cut, USER)


@given(st.text(st.sampled_from('[]{}",:\\u0dtrue1 ')))
def test_no_text_makes_it_raise(text: str) -> None:
    cut_json(text)
    genai_messages('[{"role":' + text, USER)


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, '"' * 100_001, "[" + "\\" * 99])
def test_a_hostile_text_costs_no_more_than_its_length(deep: str) -> None:
    for text in (deep, '[{"role":"user","content":' + deep):
        cut_json(text)
        genai_messages(text, USER)


def test_a_text_of_more_than_a_mebibyte_is_not_taken_for_a_cut_one() -> None:
    assert cut_json("[" + '"a",' * 262_144) is None
    assert cut_json("[" + '"a",' * 200_000) == ["a"] * 200_000
