"""Shapes in which clients send reasoning, refusals, calls, results, choices and media."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.genai.chat_history import chat_history
from spanloom.genai.media import mark_of, reference_of
from spanloom.genai.read import answered, genai_messages, messages_of
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model.genai import (
    GenAiMessage,
    MediaPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tests.genai.test_json import json_values

keys = st.sampled_from(
    [
        *("role", "content", "parts", "type", "text", "message", "delta", "choices", "results"),
        *("tool_calls", "reasoning", "thinking", "image", "source", "data", "toolResult", "id"),
        *("index", "finish_reason", "candidates", "output", "refusal", "summary", "file"),
    ]
)
R, A = ReasoningPart("r"), TextPart("a")
CALL = ToolCallPart("1", "f", {"x": 1})
BLOCK = {"type": "text", "text": "a"}
OPENAI_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def parts_in(messages: Any) -> list[Any]:
    return [part for message in messages for part in message.parts]


REASONINGS: list[Any] = [
    [{"type": "thinking", "thinking": "r"}, BLOCK],
    [{"type": "thinking", "thinking": "r", "signature": "s"}, BLOCK],
    [{"type": "thinking", "content": "r"}, BLOCK],
    [{"type": "thinking", "text": "r"}, BLOCK],
    [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, BLOCK],
    [{"type": "reasoning", "text": "r"}, BLOCK],
    [{"type": "reasoning", "content": "r"}, BLOCK],
    [{"type": "reasoning", "reasoning": "r"}, BLOCK],
    [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]}, BLOCK],
    [{"type": "reasoning", "summary": "r"}, BLOCK],
    [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "r"}]}, BLOCK],
    [{"type": "reasoning", "content": [], "summary": [{"text": "r"}]}, BLOCK],
    [{"type": "reasoning", "content": "", "text": "r"}, BLOCK],
    [{"type": "reasoning_content", "reasoning_content": {"text": "r"}}, BLOCK],
    [{"type": "reasoning_content", "reasoningContent": {"reasoningText": {"text": "r"}}}, BLOCK],
    [{"reasoningContent": {"reasoningText": {"text": "r", "signature": "s"}}}, {"text": "a"}],
    [{"reasoning_content": {"reasoning_text": {"text": "r"}}}, {"text": "a"}],
    [{"text": "r", "thought": True}, {"text": "a"}],
    [{"type": "thought", "content": "r"}, BLOCK],
    [{"type": "redacted_thinking", "data": "x"}, {"type": "thinking", "thinking": "r"}, BLOCK],
    [{"type": "reasoning", "details": [{"type": "text", "text": "r"}]}, BLOCK],
]


@pytest.mark.parametrize("blocks", REASONINGS)
@pytest.mark.parametrize("key", ["content", "parts"])
def test_reasoning_is_no_answer(blocks: Any, key: str) -> None:
    for sent in ([{"role": "assistant", key: blocks}], {"role": "assistant", key: blocks}):
        for value in (sent, orjson.dumps(sent).decode()):
            found = parts_in(genai_messages(value, ASSISTANT))
            assert [p for p in found if isinstance(p, ReasoningPart | TextPart)] == [R, A]


@pytest.mark.parametrize(
    "beside",
    [
        {"reasoning_content": "r"},
        {"reasoning": "r"},
        {"thinking": "r"},
        {"reasoning_text": "r"},
        {"reasoning": {"content": "r"}},
        {"reasoning": {"summary": [{"type": "summary_text", "text": "r"}]}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
        {"reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
        {"reasoning_content": "r", "reasoning": "r"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "r", "signature": "s"}]},
        {"provider_specific_fields": {"reasoning_content": "r"}},
        {"additional_kwargs": {"reasoning_content": "r"}},
    ],
)
def test_reasoning_beside_a_content(beside: Any) -> None:
    message = {"role": "assistant", "content": "a", **beside}
    for value in (
        [message],
        {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]},
        [{"index": 0, "message": message, "finish_reason": "stop"}],
        [{"role": "assistant", "parts": [BLOCK], **beside}],
    ):
        assert parts_in(genai_messages(value, ASSISTANT)) == [R, A]
    assert parts_in(answered({"choices": [{"message": message}]})) == [R, A]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "refusal": "a"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "a"}]},
        {"role": "assistant", "parts": [{"type": "refusal", "content": "a"}]},
        {"role": "assistant", "content": "", "refusal": "a"},
        {"role": "assistant", "refusal": "a"},
    ],
)
def test_a_refusal_is_what_was_said(message: Any) -> None:
    choice = {"index": 0, "message": message, "finish_reason": "content_filter"}
    output = {"type": "message", **message}
    for value in ([message], [choice], {"choices": [choice]}, choice, {"output": [output]}):
        assert parts_in(genai_messages(value, ASSISTANT)) == [A], value


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "1", "content": "R"},
        {"type": "tool_result", "toolCallId": "1", "output": "R"},
        {"type": "tool-result", "toolCallId": "1", "toolName": "f", "result": "R"},
        {"type": "tool-result", "toolCallId": "1", "output": {"type": "text", "value": "R"}},
        {"type": "tool_result", "id": "1", "details": "R"},
        {"type": "tool_result", "id": "1", "response": "R"},
        {"type": "tool_result", "tool_call_id": "1", "response": None, "output": "R"},
        {"type": "tool_call_response", "id": "1", "result": "R"},
        {"type": "tool_call_response", "id": "1", "response": "", "content": "R"},
        {"type": "tool_call_response", "id": "1", "content": [{"type": "text", "text": "R"}]},
        {"type": "tool-response", "id": "1", "content": "R"},
        {"type": "tool_call_result", "id": "1", "content": "R"},
        {"type": "tool_call_output", "call_id": "1", "output": "R"},
        {"type": "function_call_output", "call_id": "1", "output": "R"},
        {"type": "function_response", "id": "1", "name": "f", "response": "R"},
        {"type": "function_result", "call_id": "1", "result": "R"},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "R"},
        {"type": "mcp_tool_result", "tool_use_id": "1", "content": [BLOCK | {"text": "R"}]},
        {"type": "tool-return", "tool_call_id": "1", "content": "R"},
        {"toolResult": {"toolUseId": "1", "content": [{"text": "R"}]}},
        {"tool_result": {"tool_use_id": "1", "content": "R"}},
        {"tool_call_response": {"id": "1", "response": "R"}},
        {"functionResponse": {"id": "1", "name": "f", "response": "R"}},
    ],
)
def test_a_result_in_each_shape(block: Any) -> None:
    for role in ("tool", "user", "assistant"):
        for key in ("parts", "content"):
            [part] = parts_in(genai_messages([{"role": role, key: [block]}], USER))
            assert isinstance(part, ToolResultPart)
            assert (part.id, part.result) == ("1", "R")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {"x": 1}},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
        {"type": "tool-call", "toolCallId": "1", "toolName": "f", "input": {"x": 1}},
        {"type": "tool-call", "toolCallId": "1", "toolName": "f", "args": '{"x":1}'},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"x":1}'},
        {"type": "custom_tool_call", "call_id": "1", "name": "f", "input": {"x": 1}},
        {"type": "mcp_tool_use", "id": "1", "name": "f", "input": {"x": 1}},
        {"type": "server_tool_use", "id": "1", "name": "f", "input": {"x": 1}},
        {"type": "toolCall", "id": "1", "name": "f", "arguments": {"x": 1}},
        {"toolUse": {"toolUseId": "1", "name": "f", "input": {"x": 1}}},
        {"tool_use": {"tool_use_id": "1", "name": "f", "input": {"x": 1}}},
        {"tool_call": {"id": "1", "name": "f", "arguments": {"x": 1}}},
        {"functionCall": {"id": "1", "name": "f", "args": {"x": 1}}},
        OPENAI_CALL,
    ],
)
def test_a_call_in_each_shape(block: Any) -> None:
    for key in ("parts", "content"):
        assert parts_in(genai_messages([{"role": "assistant", key: [block]}], ASSISTANT)) == [CALL]


CHOICES: list[Any] = [
    [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}],
    [{"index": 0, "finish_reason": "stop", "message": {"content": "a"}}],
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}},
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]},
    [{"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]}],
    [{"index": 0, "message": {"role": "assistant", "content": [BLOCK]}}],
    [{"index": 0, "text": "a", "finish_reason": "stop"}],
    [{"finish_reason": "stop", "index": 0, "delta": {"content": "a"}}],
    [{"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "STOP"}],
    [{"generated_text": "a"}],
    [[{"generated_text": "a"}]],
    [{"role": "assistant", "message": {"role": "assistant", "content": "a"}}],
    [{"role": "assistant", "message": "a"}],
    ['{"role": "assistant", "content": "a"}'],
    ['{"index": 0, "message": {"role": "assistant", "content": "a"}}'],
    ['[{"role": "assistant", "parts": [{"type": "text", "content": "a"}]}]'],
    '"{\\"role\\": \\"assistant\\", \\"content\\": \\"a\\"}"',
    '"a"',
    "a",
    ["a"],
    {"content": "a"},
    {"text": "a"},
    {"parts": [{"type": "text", "content": "a"}]},
    {"message": {"content": "a"}},
    {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "a"}},
    {"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}}},
    {"results": [{"outputText": "a", "completionReason": "FINISH"}]},
    {"generation": "a", "stop_reason": "stop"},
    {"message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]}, "id": "x"},
    {"response": {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}},
    {"generations": [[{"text": "a", "message": {"kwargs": {"content": "a"}}}]]},
    {"generations": [[{"message": {"lc": 1, "id": ["AIMessage"], "kwargs": {"content": "a"}}}]]},
]


@pytest.mark.parametrize("value", CHOICES)
def test_an_answer_in_each_wrapping(value: Any) -> None:
    for sent in (value,) if isinstance(value, str) else (value, orjson.dumps(value).decode()):
        found = genai_messages(sent, ASSISTANT)
        assert (parts_in(found), [m.role for m in found]) == ([A], [ASSISTANT]), sent


def test_a_choice_has_its_calls_and_its_reason() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]}
    sent = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
    for value in (sent, sent[0], orjson.dumps(sent).decode(), [orjson.dumps(sent[0]).decode()]):
        [found] = genai_messages(value, ASSISTANT)
        assert (found.parts, found.finish_reason) == ((CALL,), "tool_calls")


def test_several_choices_are_messages_each() -> None:
    sent = [
        {"index": i, "message": {"role": "assistant", "content": c}} for i, c in enumerate("ab")
    ]
    assert parts_in(genai_messages(sent, ASSISTANT)) == [TextPart("a"), TextPart("b")]


IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"


@pytest.mark.parametrize(
    ("block", "kind", "modality", "mime"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/i.png"}}, "uri", "image", ""),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
            "blob",
            "image",
            "image/png",
        ),
        ({"type": "input_image", "image_url": "https://x/i.png"}, "uri", "image", ""),
        ({"type": "input_image", "file_id": "f1"}, "file", "image", ""),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": IMAGE},
            },
            "blob",
            "image",
            "image/png",
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://x/i"}}, "uri", "image", ""),
        ({"inlineData": {"mimeType": "image/png", "data": IMAGE}}, "blob", "image", "image/png"),
        (
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}},
            "uri",
            "video",
            "video/mp4",
        ),
        ({"image": {"format": "png", "source": {"bytes": IMAGE}}}, "blob", "image", "image/png"),
        (
            {"document": {"format": "pdf", "name": "n", "source": {"bytes": IMAGE}}},
            "blob",
            "document",
            "application/pdf",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": IMAGE, "format": "wav"}},
            "blob",
            "audio",
            "audio/wav",
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, "file", "document", ""),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": IMAGE}},
            "blob",
            "document",
            "",
        ),
        ({"type": "file", "mediaType": "image/png", "data": IMAGE}, "blob", "image", "image/png"),
        (
            {"type": "file", "mediaType": "image/png", "url": "https://x/i"},
            "uri",
            "image",
            "image/png",
        ),
        ({"type": "image", "image": IMAGE, "mimeType": "image/png"}, "blob", "image", "image/png"),
        ({"type": "video_url", "video_url": {"url": "https://x/v"}}, "uri", "video", ""),
        ({"type": "audio_url", "audio_url": {"url": "https://x/v"}}, "uri", "audio", ""),
        (
            {"type": "media", "mime_type": "audio/wav", "data": IMAGE},
            "blob",
            "audio",
            "audio/wav",
        ),
        (
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": IMAGE},
            "blob",
            "image",
            "image/png",
        ),
        (
            {"type": "blob", "modality": "image", "mime_type": "image/png", "data": IMAGE},
            "blob",
            "image",
            "image/png",
        ),
        ({"type": "uri", "modality": "image", "uri": "https://x/i"}, "uri", "image", ""),
        ({"type": "file", "modality": "image", "file_id": "f1"}, "file", "image", ""),
    ],
)
def test_media_in_each_shape(block: Any, kind: str, modality: str, mime: str) -> None:
    for key in ("parts", "content"):
        [part] = parts_in(genai_messages([{"role": "user", key: [block]}], USER))
        assert isinstance(part, MediaPart)
        assert (part.kind, part.modality, part.mime_type) == (kind, modality, mime)
        assert part.value


PNG = base64.b64decode(IMAGE)
DIGEST = hashlib.sha256(PNG).hexdigest()


@pytest.mark.parametrize(
    ("part", "mark", "reference"),
    [
        (
            MediaPart("blob", IMAGE, "image", "image/png"),
            f"[image/png, {len(PNG)} bytes, sha256:{DIGEST}]",
            f"attachment:sha256:{DIGEST}?type=image/png&size={len(PNG)}",
        ),
        (
            MediaPart("blob", base64.urlsafe_b64encode(PNG).decode().rstrip("="), "image"),
            f"[image, {len(PNG)} bytes, sha256:{DIGEST}]",
            f"attachment:sha256:{DIGEST}?type=image&size={len(PNG)}",
        ),
        (MediaPart("uri", "https://x/i", "image"), "[image https://x/i]", "https://x/i"),
        (MediaPart("file", "f1", "document"), "[document f1]", "file:f1"),
    ],
)
def test_marks_of_media(part: MediaPart, mark: str, reference: str) -> None:
    assert (mark_of(part), reference_of(part)) == (mark, reference)
    assert chat_history([GenAiMessage("user", (TextPart("see"), part))]) == [
        {"role": "user", "content": f"see\n{mark}"}
    ]


@given(st.text())
def test_any_content_has_a_mark(value: str) -> None:
    assert mark_of(MediaPart("blob", value)).startswith("[file, ")


@given(st.recursive(json_values, lambda inner: st.lists(inner) | st.dictionaries(keys, inner)))
def test_no_shape_makes_the_reader_raise(value: Any) -> None:
    for role in (USER, ASSISTANT):
        for found in (genai_messages(value, role), answered(value), messages_of(value, role)):
            chat_history(found)


@pytest.mark.parametrize(("value", "text"), [(42, "42"), (True, "true"), (0.5, "0.5"), ("7", "7")])
def test_an_answer_may_be_a_number(value: Any, text: str) -> None:
    assert parts_in(genai_messages(value, ASSISTANT)) == [TextPart(text)]
