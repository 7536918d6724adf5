from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spanloom.codec.json_codec import to_object
from spanloom.codec.text_cuts import shortened
from spanloom.codec.value_path import path_steps
from spanloom.v1 import span_pb2
from tests.native.spans import spans


def at(message: Any, path: str) -> Any:
    """The value at a path, by the names of fields."""
    found = message
    for step in path_steps(path) or ():
        if hasattr(found, "DESCRIPTOR"):
            name = found.DESCRIPTOR.full_name
            if name in ("google.protobuf.Value", "google.protobuf.Struct"):
                found = to_object(found)
        if isinstance(found, dict):
            found = found[step]
        elif hasattr(found, "DESCRIPTOR"):
            found = getattr(found, step)
        else:
            found = found[step] if hasattr(found, "keys") else found[int(step)]
    if hasattr(found, "DESCRIPTOR"):
        found = to_object(found)
    return found


@given(spans, st.integers(1, 9))
def test_every_longer_string_is_shortened_and_reported(span: span_pb2.Span, limit: int) -> None:
    whole = span_pb2.Span()
    whole.CopyFrom(span)
    cuts = shortened(span, limit=limit, kept=frozenset({"trace_id", "span_id"}))
    assert len({cut.path for cut in cuts}) == len(cuts)
    for cut in cuts:
        before, after = at(whole, cut.path), at(span, cut.path)
        assert after == before[:limit]
        assert cut.length == len(before) > limit
        data = before if isinstance(before, bytes) else before.encode()
        assert cut.sha256 == hashlib.sha256(data).hexdigest()
    assert (span.trace_id, span.span_id) == (whole.trace_id, whole.span_id)
    assert shortened(span, limit=limit) == []


@given(st.lists(st.integers(0, 5000), max_size=8), st.integers(400, 9000))
def test_a_message_is_not_larger_than_its_limit(sizes: list[int], most: int) -> None:
    span = span_pb2.Span(trace_id="t", span_id="s")
    for index, size in enumerate(sizes):
        span.metadata[str(index)] = "é" * size
    size = span.ByteSize()
    cuts = shortened(span, most_bytes=most, kept=frozenset({"trace_id", "span_id"}))
    assert span.ByteSize() <= most
    assert bool(cuts) == (size > most)


def test_numbers_that_are_too_many_are_left_out() -> None:
    span = span_pb2.Span(span_id="s", name="kept")
    span.input.list_value.extend(range(1000))
    cuts = shortened(span, most_bytes=1000)
    assert [cut.path for cut in cuts] == ["input"]
    assert not span.HasField("input")
    assert span.name == "kept"
