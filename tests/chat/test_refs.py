"""References to stored objects.

Rules: docs/contracts/agent_chat.md, section 2.9.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.chat.spans import agent, assistant, chat, messages_of, parts, reasoning, text, tool, user

REF = "weave:///e/p/object/"


def refs(*spans: Any, **options: Any) -> list[list[str]]:
    return [list(m.payload.content_refs) for m in messages_of(*spans, **options)]  # type: ignore[union-attr]


def media(uri: str, kind: str = "uri") -> dict[str, str]:
    return {"type": kind, "uri": uri}


def of_span(*names: str) -> dict[str, list[str]]:
    return {"content_refs": [REF + name for name in names]}


def test_a_tool_call_has_all_references_of_its_span() -> None:
    assert refs(tool("t", body=of_span("a:1", "b:2"))) == [[REF + "a:1", REF + "b:2"]]


def test_a_reference_that_no_part_mentions_is_shown_nowhere() -> None:
    assert refs(chat("l", inputs=[user("q")], outputs=[assistant("a")], body=of_span("a:1"))) == [
        [],
        [],
    ]


def test_a_reference_goes_to_the_message_whose_media_part_has_its_digest() -> None:
    spans = chat(
        "l",
        inputs=[
            parts("user", text("see"), media("1")),
            parts("user", text("and"), media("x:2", "blob")),
        ],
        outputs=[parts("assistant", text("here"), media("3", "file"))],
        body=of_span("a:1", "b:2", "c:3", "d:4"),
    )
    assert refs(spans) == [[REF + "a:1"], [REF + "b:2"], [REF + "c:3"]]


def test_only_media_parts_name_a_digest() -> None:
    message = parts(
        "user", text("q"), {"type": "image", "uri": "1"}, {"type": "uri", "uri": 1}, {"type": "uri"}
    )
    [found] = refs(chat("l", inputs=[message], body=of_span("a:1")))
    # The image has a mark of its own (docs/contracts/agent_chat.md, section 3.23).
    assert [ref.partition(":")[0] for ref in found] == ["attachment"]


def test_media_without_a_reference_leave_a_mark() -> None:
    blob = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "AAEC"}
    digest = hashlib.sha256(bytes(range(3))).hexdigest()
    mark = f"attachment:sha256:{digest}?type=image/png&size=3"
    url = {"type": "image_url", "image_url": {"url": "https://host/i.png"}}
    file = {"type": "file", "modality": "document", "file_id": "f1"}
    spans = chat(
        "l",
        inputs=[parts("user", text("q"), media("1"), blob, url, file)],
        outputs=[parts("assistant", text("a"), blob, blob)],
        body=of_span("a:1"),
    )
    assert refs(spans) == [[REF + "a:1", mark, "https://host/i.png", "file:f1"], [mark]]


def test_references_written_in_a_message_come_after_those_of_the_span_each_once() -> None:
    odd = {"type": "odd", "deep": [{"x": REF + "c:3"}, json.dumps({"y": [REF + "d:4"]})]}
    message = parts("user", text("q"), media(REF + "b:2"), media("1"), odd, media(REF + "b:2"))
    assert refs(chat("l", inputs=[message], body=of_span("a:1", "b:2"))) == [
        [REF + name for name in ("a:1", "b:2", "c:3", "d:4")]
    ]


def test_a_reference_inside_a_sentence_is_text() -> None:
    assert refs(chat("l", inputs=[user(f"look at {REF}a:1")])) == [[]]
    assert refs(chat("l", inputs=[user(REF + "a:1")])) == [[REF + "a:1"]]


def test_references_are_looked_for_eight_levels_deep() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = f"{REF}n:{levels}"
        for _ in range(levels):
            value = [value]
        return {"type": "odd", "x": value}

    message = parts("user", text("q"), nested(4), nested(5), nested(500))
    assert refs(chat("l", inputs=[message])) == [[f"{REF}n:4"]]


def test_the_inner_form_of_a_reference_counts_alike() -> None:
    inner = "weave-trace-internal:///p/object/a:1"
    assert refs(chat("l", inputs=[parts("user", media(inner))])) == [[inner]]


def test_one_text_with_other_media_is_another_message() -> None:
    spans = [
        chat(str(i), start=i, inputs=[parts("user", text("q"), media(f"{REF}a:{i}"))])
        for i in range(2)
    ]
    assert refs(*spans) == [[REF + "a:0"], [REF + "a:1"]]


def test_the_fall_back_question_has_the_references_of_all_spans() -> None:
    spans = [
        agent("r", inputs=[parts("user", text("q"), media("1"))], body=of_span("a:1")),
        chat("l", "r", inputs=[parts("user", text("x"), media(REF + "b:2")), assistant("a")]),
    ]
    assert refs(*spans) == [[REF + "a:1", REF + "b:2"]]


def test_each_piece_of_an_answer_has_its_own_references() -> None:
    call = {"type": "tool_call", "id": "1", "name": "f"}
    output = parts("assistant", media("1"), call, text("b"), media("2"))
    span = chat("l", outputs=[output], body=of_span("a:1", "b:2"))
    assert refs(span, include_model_tool_calls=True) == [[REF + "a:1"], [], [REF + "b:2"]]


def test_a_failure_that_only_gave_media_has_their_references() -> None:
    span = chat("l", outputs=[parts("assistant", media("1"))], body=of_span("a:1"), status="ERROR")
    assert refs(span) == [[REF + "a:1"]]


def test_media_alone_are_no_answer() -> None:
    assert refs(chat("l", outputs=[parts("assistant", media("1"))], body=of_span("a:1"))) == []


def test_reasoning_with_media_has_their_references() -> None:
    output = parts("assistant", reasoning("r"), media("1"))
    assert refs(chat("l", outputs=[output], body=of_span("a:1"))) == [[REF + "a:1"]]
