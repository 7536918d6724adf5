"""The search in a trace, and the paths of what it finds."""

from __future__ import annotations

import time

from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from spanloom.adapters.native.strings import strings
from spanloom.model.summaries import SearchPlace
from spanloom.services.queries.trace_search import TraceSearch, folded
from spanloom.v1 import span_pb2
from tests.store.samples import a_span

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def at(value: object, path: str) -> object:
    """What is at a path, read as SpanService.ReadSpanText reads it."""
    while path:
        if path.startswith("`"):
            end = 1
            while path[end] != "`" or path[end : end + 2] == "``":
                end += 2 if path[end] == "`" else 1
            step, path = path[1:end].replace("``", "`"), path[end + 1 :]
        else:
            step, dot, path = path.partition(".")
            path = dot + path
        if isinstance(value, list):
            value = value[int(step)]
        else:
            assert isinstance(value, dict)
            value = value[step]
        if not path:
            return value
        path = path.removeprefix(".")
        if not path:
            assert isinstance(value, dict)
            return value[""]
    return value


@given(st.dictionaries(TEXTS, JSON, max_size=3))
def test_each_string_is_at_its_path(metadata: dict[str, object]) -> None:
    message = span_pb2.Span()
    json_format.ParseDict(metadata, message.metadata)
    document = {"metadata": json_format.MessageToDict(message.metadata)}
    found = list(strings(message))
    for path, string in found:
        assert at(document, path) == string
    assert len({path for path, _ in found}) == len(found)


def test_strings_are_found_in_every_kind_of_field() -> None:
    message = span_pb2.Span(name="n", trace_id="t")
    message.attributes["a.b"].string_value = "x"
    message.attributes["list"].list_value.values.add(string_value="y")
    message.events.add(name="event")
    message.input.CopyFrom(struct_pb2.Value(string_value="in"))
    assert dict(strings(message, {"trace_id"})) == {
        "name": "n",
        "input": "in",
        "attributes.`a.b`.string_value": "x",
        "attributes.list.list_value.values.0.string_value": "y",
        "events.0.name": "event",
    }


@given(st.text(), st.text(min_size=1, max_size=4))
def test_places_in_a_folded_text_are_those_in_the_text(text: str, more: str) -> None:
    assert len(folded(text)) == len(text)
    assert folded(text + more) == folded(text) + folded(more) or "Σ" in text + more


def test_a_text_that_matches_nearly_everywhere_takes_no_longer() -> None:
    span = a_span("s", body={"outputs": "a" * 4_000_000})
    search = TraceSearch("a" * 1_000 + "b", match_case=False, limit=5, seconds=10, done=0)
    begin = time.process_time()
    assert search.visit(span, SearchPlace(1, 1))
    assert search.matches == []
    assert time.process_time() - begin < 2
