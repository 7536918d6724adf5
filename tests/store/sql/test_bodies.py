"""Each row of spans has one body, and no body is without its row, whatever happens to spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.store.sql.compression import compressed, decompressed
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span


def check(url: str) -> int:
    """The number of spans; of a database that one project has to itself."""
    [(spans,)] = select(url, "SELECT count(*) FROM spans")
    [(bodies,)] = select(url, "SELECT count(*) FROM bodies")
    [(both,)] = select(
        url, "SELECT count(*) FROM spans JOIN bodies ON bodies.span_version = spans.version"
    )
    assert spans == bodies == both
    return int(spans)


def test_a_body_lives_as_long_as_its_row(empty_url: str, run: Run[Any], project: str) -> None:
    store = run(Store.open(empty_url))

    def write(*ids: str, trace_id: str = "t", **options: Any) -> None:
        spans = [a_span(i, trace_id, body={"inputs": n}) for n, i in enumerate(ids)]
        run(store.write_spans(project, spans, **options))

    write("a", "b", "a", "c", "a")
    assert check(empty_url) == 3
    assert [span.io.inputs for span in run(store.trace_spans(project, "t"))] == [4, 1, 3]
    write("a", "b")
    assert check(empty_url) == 3
    run(store.patch_event(project, "a", {"metadata": {"k": 1}}))
    run(store.patch_event(project, "a", {"metadata": {"k": 2}}))
    assert check(empty_url) == 3
    write("a", events=True, trace_id="u")  # moved
    assert check(empty_url) == 3
    assert run(store.find_event(project, "a")).io.metadata == {"k": 2}
    run(store.write_trace(project, [a_span("d", "u"), a_span("e", "u")], replace=True))
    assert check(empty_url) == 4
    assert run(store.delete_event(project, "d"))
    assert check(empty_url) == 3
    assert run(store.delete_session(project, "u"))
    assert check(empty_url) == 2
    assert run(store.delete_trace(project, "t"))
    assert check(empty_url) == 0
    run(store.close())


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
@settings(max_examples=50)
def test_what_was_compressed_is_read_back(messages: list[bytes]) -> None:
    assert [decompressed(frame) for frame in compressed(messages)] == messages


def test_a_frame_without_a_dictionary_that_is_known_is_refused() -> None:
    [frame] = compressed([b"x" * 100])
    with pytest.raises(KeyError):
        decompressed(frame[:5] + bytes([frame[5] ^ 0xFF]) + frame[6:])
