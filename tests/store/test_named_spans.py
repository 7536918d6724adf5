"""Spans by trace and id: who may replace what, updates of one span, lists, deletions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from spanloom.adapters.native.read import read_spans
from spanloom.adapters.restore import restore
from spanloom.errors import SpanloomError
from spanloom.model import Feedback, Span, SpanQuery
from spanloom.model.checks import Violations
from spanloom.model.span import NATIVE
from spanloom.store.sql.index import search
from spanloom.store.store import Store
from spanloom.v1 import span_pb2
from tests.store.conftest import Run
from tests.store.samples import a_span

SECOND = 10**9


@pytest.fixture(scope="module")
def store(url: str, runner: asyncio.Runner) -> Iterator[Store]:
    opened = runner.run(Store.open(url, restore=restore))
    yield opened
    runner.run(opened.close())


def native(span_id: str, start: int = 1, end: int | None = None, **fields: Any) -> Span:
    """A span as SpanService reads it; times in seconds."""
    times = {"startTime": f"1970-01-01T00:{start // 60:02}:{start % 60:02}Z"}
    if end is not None:
        times["endTime"] = f"1970-01-01T00:00:{end:02}Z"
    sent = {"traceId": "t", "spanId": span_id, **times, **fields}
    message = ParseDict(sent, span_pb2.Span())
    [span] = read_spans([message], received_ns=1, bad=Violations())
    return span


def record(store: Store, project: str, *spans: Span, **options: Any) -> Any:
    return store.record_spans(project, spans, **options)


def name_of(store: Store, run: Run[Any], project: str, span_id: str, trace_id: str = "t") -> Any:
    span = run(store.find_span(project, trace_id, span_id))
    return span and span.name


def listed(store: Store, run: Run[Any], project: str, **conditions: Any) -> list[str]:
    found: list[str] = []

    def take(span: Span) -> bool:
        found.append(span.span_id)
        return True

    last, number = run(store.list_spans(project, SpanQuery(**conditions), take, seconds=60))
    assert last is None
    assert number >= len(found)
    return found


def test_with_only_own_nothing_is_stored_over_a_span_of_another(
    store: Store, run: Run[Any], project: str
) -> None:
    run(store.write_spans(project, [a_span("theirs", name="theirs")]))
    run(record(store, project, native("mine"), only_own=True))
    with pytest.raises(SpanloomError) as refused:
        run(record(store, project, native("new"), native("theirs"), only_own=True))
    assert [violation.field for violation in refused.value.violations] == ["spans[1]"]
    assert name_of(store, run, project, "new") is None
    assert name_of(store, run, project, "theirs") == "theirs"
    run(record(store, project, native("mine", name="again"), only_own=True))
    assert name_of(store, run, project, "mine") == "again"
    run(record(store, project, native("theirs", name="replaced")))
    assert name_of(store, run, project, "theirs") == "replaced"


def test_of_two_adapters_at_once_the_own_row_is_never_lost(
    store: Store, run: Run[Any], project: str
) -> None:
    """Whichever commits first, the refusal and what is stored agree."""

    async def both(number: int) -> tuple[bool, Span | None]:
        span_id = str(number)
        theirs = store.write_spans(project, [a_span(span_id, name="theirs")])
        mine = record(store, project, native(span_id, name="mine"), only_own=True)
        refusals: Any = await asyncio.gather(theirs, mine, return_exceptions=True)
        return isinstance(refusals[1], SpanloomError), await store.find_span(project, "t", span_id)

    async def many() -> list[tuple[bool, Span | None]]:
        return await asyncio.gather(*map(both, range(40)))

    for _, span in run(many()):
        assert span is not None
        # The other API has no such rule, so it replaces what was stored before.
        assert span.name == "theirs"


def test_what_follows_from_an_update_follows_from_what_was_sent(
    store: Store, project: str, run: Run[Any]
) -> None:
    """Updates one by one give what all at once give: an end that follows from a duration is no end
    that was sent."""
    run(record(store, project, native("a", start=10)))
    run(store.write_spans(project, [a_span("b", start_ns=10)]))
    for duration_ms in (2.5, 5.0):
        for span_id in "ab":
            run(store.patch_event(project, span_id, {"duration_ms": duration_ms}))
    for span_id in "ab":
        span = run(store.find_span(project, "t", span_id))
        assert (span.duration_ms, span.end_ns - span.start_ns) == (5.0, 5_000_000)
        assert span.updated == ("duration_ms",)


def test_updates_of_times_do_not_reopen_a_span(store: Store, project: str, run: Run[Any]) -> None:
    run(record(store, project, native("a", end=2)))
    run(store.patch_span(project, "t", "a", {"start_ns": 7, "end_ns": 9}))
    run(record(store, project, native("a", name="open")))
    assert name_of(store, run, project, "a") != "open"
    span = run(store.find_span(project, "t", "a"))
    assert (span.start_ns, span.end_ns) == (7, 9)


def test_an_open_span_does_not_replace_its_ended_self(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, native("a", end=2, name="ended")))
    run(record(store, project, native("a", name="open"), native("b", name="other")))
    assert name_of(store, run, project, "a") == "ended"
    assert name_of(store, run, project, "b") == "other"
    run(record(store, project, native("a", start=3, name="later")))
    assert name_of(store, run, project, "a") == "later"


def test_a_span_that_only_an_update_ended_can_be_written_again(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, native("a", name="one")))
    run(store.patch_span(project, "t", "a", {"end_ns": 5 * SECOND}))
    run(record(store, project, native("a", name="two")))
    span = run(store.find_span(project, "t", "a"))
    assert (span.name, span.end_ns) == ("two", 5 * SECOND)


def test_an_update_is_of_one_span(store: Store, run: Run[Any], project: str) -> None:
    run(store.patch_span(project, "t", "a", {"name": "before it came"}))
    run(record(store, project, native("a"), native("a", traceId="other")))
    assert name_of(store, run, project, "a") == "before it came"
    assert name_of(store, run, project, "a", "other") == "unknown"
    assert run(store.event_patch(project, "a")) == {}
    run(record(store, project, native("a", name="again")))
    assert name_of(store, run, project, "a") == "before it came"


def test_updates_of_a_span_and_of_its_event_are_applied_in_their_order(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, native("a", eventId="e")))
    for number in range(40):
        run(store.patch_span(project, "t", "a", {"name": f"span {number}"}))
        run(store.patch_event(project, "e", {"name": f"event {number}"}))
    assert name_of(store, run, project, "a") == "event 39"
    run(store.patch_span(project, "t", "a", {"name": "last"}))
    run(record(store, project, native("a", eventId="e")))
    assert name_of(store, run, project, "a") == "last"


def test_many_updates_of_a_span_become_one(store: Store, run: Run[Any], project: str) -> None:
    run(record(store, project, native("a")))
    for number in range(40):
        run(store.patch_span(project, "t", "a", {"metadata": {str(number): number}}))
    span = run(store.find_span(project, "t", "a"))
    assert span.io.metadata == {str(number): number for number in range(40)}
    run(store.patch_span(project, "t", "a", {"cleared": ["metadata"], "metadata": {"x": 1}}))
    assert run(store.find_span(project, "t", "a")).io.metadata == {"x": 1}
    run(store.patch_span(project, "t", "a", {"cleared": ["metadata"]}))
    assert run(store.find_span(project, "t", "a")).io.metadata is None


def test_an_update_of_one_adapter_is_not_applied_to_anothers_span(
    store: Store, run: Run[Any], project: str
) -> None:
    patch = {"name": "updated"}
    run(store.patch_span(project, "t", "a", patch, only_of=NATIVE))
    run(store.write_spans(project, [a_span("a", name="theirs")]))
    assert name_of(store, run, project, "a") == "theirs"
    with pytest.raises(SpanloomError, match="another API"):
        run(store.patch_span(project, "t", "a", patch, only_of=NATIVE))
    run(record(store, project, native("a")))
    assert name_of(store, run, project, "a") == "updated"


def test_metadata_does_not_change_the_columns_of_a_native_span(
    store: Store, run: Run[Any], project: str
) -> None:
    span = native("a", model={"requestModel": "m", "costUsd": 2.0, "inputTokens": "3"})
    run(record(store, project, span))
    told = {"cost": "none", "prompt_tokens": 9, "model": "other"}
    run(store.patch_span(project, "t", "a", {"metadata": told}))
    found = run(store.find_span(project, "t", "a"))
    assert (found.cost, found.input_tokens, found.model) == (2.0, 3, "m")
    assert found.io.metadata == told


def test_deleted_spans_take_their_updates_and_feedback_along(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, native("a"), native("b"), native("a", traceId="other")))
    for trace_id, span_id in (("t", "a"), ("t", "b"), ("other", "a")):
        run(store.patch_span(project, trace_id, span_id, {"name": "new"}))
        feedback = Feedback(
            id=f"{trace_id} {span_id}", target="span", target_id=span_id, trace_id=trace_id
        )
        run(store.write_feedback(project, feedback))
    gone = {("t", "a"), ("other", "b"), ("t", "nobody")}
    run(store.patch_span(project, "t", "nobody", {"name": "waits"}))
    assert run(store.delete_spans(project, gone)) == 1
    assert name_of(store, run, project, "a", "other") == "new"
    left = run(store.feedback_on(project, [("span", "a"), ("span", "b")]))
    assert {one.id for one in left} == {"t b", "other a"}
    run(record(store, project, native("a"), native("nobody")))
    assert name_of(store, run, project, "a") == "unknown"
    assert name_of(store, run, project, "nobody") == "unknown"
    assert run(store.delete_trace_spans(project, "t")) == 3
    assert run(store.delete_trace_spans(project, "t")) is None
    run(record(store, project, native("b")))
    assert name_of(store, run, project, "b") == "unknown"


def test_a_deleted_event_keeps_the_updates_of_another_traces_span(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, native("a", traceId="other")))
    run(store.patch_span(project, "other", "a", {"name": "kept"}))
    run(store.write_spans(project, [replace(a_span("x"), event_id="y", session_id="a")]))
    assert run(store.delete_session(project, "a"))
    run(record(store, project, native("a", traceId="other")))
    assert name_of(store, run, project, "a", "other") == "kept"


@pytest.mark.parametrize("part", [1, 2, 100])
def test_lists_go_on_behind_any_span(
    store: Store, run: Run[Any], project: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_SLICE", part)
    monkeypatch.setattr(search, "_LARGEST_SLICE", part)
    spans = [native(str(number), start=number // 2) for number in range(9)]
    run(record(store, project, *spans, native("x", start=2, traceId="u")))
    places = sorted((span.start_ns, span.trace_id, span.span_id) for span in (*spans,))
    places.append((2 * SECOND, "u", "x"))
    places.sort()
    assert listed(store, run, project) == [place[2] for place in reversed(places)]
    for oldest_first in (False, True):
        found: list[tuple[int, str, str]] = []
        after: Any = None
        while True:
            taken: list[Span] = []

            def take(span: Span, taken: list[Span] = taken) -> bool:
                if len(taken) == 2:
                    return False
                taken.append(span)
                return True

            after, number = run(
                store.list_spans(
                    project,
                    SpanQuery(),
                    take,
                    oldest_first=oldest_first,
                    after=after,
                    seconds=60,
                )
            )
            assert number == len(taken)
            found += [(span.start_ns, span.trace_id, span.span_id) for span in taken]
            if after is None:
                break
        assert found == (places if oldest_first else places[::-1])


def test_a_list_ends_in_time_and_always_comes_further(
    store: Store, run: Run[Any], project: str
) -> None:
    run(record(store, project, *(native(str(number), start=number) for number in range(5))))
    seen: list[str] = []
    after: Any = None
    for _ in range(5):
        after, number = run(
            store.list_spans(
                project,
                SpanQuery(),
                lambda span: not seen.append(span.span_id),  # type: ignore[func-returns-value]
                after=after,
                seconds=0,
            )
        )
        assert number == 1
    assert seen == ["4", "3", "2", "1", "0"]


def test_a_text_is_found_whatever_its_case(store: Store, run: Run[Any], project: str) -> None:
    run(record(store, project, native("a", output="A Needle, here"), native("b", output="hay")))
    for text in ("needle", "NEEDLE, h", "eedl"):
        assert listed(store, run, project, text=text) == ["a"]
    assert listed(store, run, project, text="nothing like it") == []
    for odd in ("\0", "\ud800"):
        assert listed(store, run, project, text=odd) == []
        assert listed(store, run, project, name=odd) == []
