"""Long contents in base64 are found in messages, letter by letter."""

from __future__ import annotations

import base64
import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanloom.codec.base64_runs import (
    LEAST_CONTENT,
    LEAST_TEXT,
    UNKNOWN_TYPE,
    encoded,
    find_runs,
)


def content_of(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


def found(message: bytes) -> list[tuple[bytes, str]]:
    runs = list(find_runs(message))
    for run in runs:
        assert encoded(run.content, run.form) == message[run.start : run.end]
    return [(run.content, run.media_type) for run in runs]


@pytest.mark.parametrize("length", range(LEAST_CONTENT, LEAST_CONTENT + 6))
@pytest.mark.parametrize("shift", [0, 1, 2047])
def test_a_content_is_found_wherever_it_is(length: int, shift: int) -> None:
    content = content_of(length)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (encode(content), encode(content).rstrip(b"=")):
            assert len(text) >= LEAST_TEXT
            json = orjson.dumps({"before": "é" * shift, "data": text.decode(), "after": [1]})
            assert found(json) == [(content, UNKNOWN_TYPE)]


@pytest.mark.parametrize("length", range(LEAST_CONTENT, LEAST_CONTENT + 700, 61))
@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "data:image/png;a=b;base64,"])
def test_lengths_and_tags_of_protobuf_are_no_letters(length: int, head: str) -> None:
    """Among these lengths are some whose last byte is a letter of base64; the tag after the
    attribute is one too."""
    content = content_of(length)
    for text in (base64.b64encode(content), base64.b64encode(content).rstrip(b"=")):
        value = AnyValue(string_value=head + text.decode())
        attributes = [KeyValue(key="a", value=value), KeyValue(key="b", value=value)]
        span = Span(trace_id=b"t" * 16, attributes=attributes, dropped_attributes_count=65)
        media_type = "image/png" if head else UNKNOWN_TYPE
        assert found(span.SerializeToString()) == [(content, media_type)] * 2


@pytest.mark.parametrize(
    ("before", "after", "media_type"),
    [
        ('{"type":"base64","media_type":"image/webp","data":"', '"}', "image/webp"),
        ('{"data":"', '","mimeType":"audio/L16"}', "audio/l16"),
        (r"{\"mime_type\": \"image/heic\", \"data\": \"", r"\"}", "image/heic"),
        ("![x](data:image/gif;base64,", ")", "image/gif"),
        ("data:;base64,", '"', UNKNOWN_TYPE),
        ("data:text/html;charset=utf-8;base64,", '"', "text/html"),
        (r"\n", r"\n", UNKNOWN_TYPE),
        (r"\u0020", '"', UNKNOWN_TYPE),
    ],
)
def test_the_type_is_told_beside_a_content(before: str, after: str, media_type: str) -> None:
    content = content_of(5000)
    message = before.encode() + base64.b64encode(content) + after.encode()
    assert found(message) == [(content, media_type)]


@pytest.mark.parametrize(
    ("beginning", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF1234WEBP", "image/webp"),
        (b"RIFF1234WAVE", "audio/wav"),
        (b"%PDF-1.7", "application/pdf"),
    ],
)
def test_a_content_shows_its_type(beginning: bytes, media_type: str) -> None:
    content = beginning + content_of(5000)
    assert found(b'{"data":"' + base64.b64encode(content) + b'"}') == [(content, media_type)]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 20_000,
        content_of(8000).hex(),
        base64.b64encode(content_of(LEAST_CONTENT - 1)).decode(),
        base64.encodebytes(content_of(8000)).decode(),  # in lines
        base64.b64encode(content_of(9000)).decode() + "_-",
        base64.b64encode(content_of(9000)).decode()[:-1],  # 1 letter over
        "What is the answer? " * 1000,
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert found(orjson.dumps({"text": text})) == []


TEXTS = st.one_of(
    st.text(max_size=50),
    st.sampled_from(["data:image/png;base64,", '"data":"', "\\n", "=", "==", "A", "-", "_", "\n"]),
    st.binary(min_size=3000, max_size=9000).map(lambda b: base64.b64encode(b).decode()),
    st.binary(min_size=5000, max_size=6000).map(lambda b: base64.urlsafe_b64encode(b).decode()),
    st.integers(0, 9000).map(lambda n: base64.b64encode(content_of(n, n)).decode()),
)


@given(st.lists(TEXTS, max_size=8), st.booleans())
def test_whatever_is_found_is_there(parts: list[str], as_json: bool) -> None:
    message = orjson.dumps(parts) if as_json else "".join(parts).encode()
    end = 0
    for run in find_runs(message):
        assert run.start >= end
        end = run.end
        assert encoded(run.content, run.form) == message[run.start : run.end]
        assert len(run.content) >= LEAST_CONTENT
