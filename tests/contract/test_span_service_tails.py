"""TailSpans, by its promises in span_service.proto, and what TailChat has in common with it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from spanloom.services.tails import group
from tests.clients import CallError, GrpcClient
from tests.contract.conftest import Project, request_of
from tests.streams import stream

TAIL = "SpanService/TailSpans"
CHAT = "ChatService/TailChat"


def write(project: Project, *spans: dict[str, Any]) -> None:
    whole = [{"traceId": "t", "startTime": "2026-01-01T00:00:01Z", **span} for span in spans]
    project.send("SpanService/WriteSpans", spans=whole)


def said(number: int, text: str = "", **fields: Any) -> dict[str, Any]:
    """A model's span that answers a question."""
    return {
        "spanId": f"s{number}",
        "startTime": f"2026-01-01T00:00:{number:02}Z",
        "kind": "SPAN_KIND_MODEL",
        "inputMessages": [{"role": "user", "parts": [{"text": f"question {number}"}]}],
        "outputMessages": [{"role": "assistant", "parts": [{"text": text or f"answer {number}"}]}],
        **fields,
    }


@contextmanager
def tail(project: Project, method: str = TAIL, **fields: Any) -> Iterator[Iterator[Any]]:
    request = request_of(method, fields)
    with stream(project.client, method, request, key=project.key) as responses:
        yield responses


def ids(responses: Iterator[Any], number: int) -> tuple[list[str], str]:
    """The ids of the next spans, at least so many, and the cursor behind them."""
    found: list[str] = []
    cursor = ""
    while len(found) < number:
        response = next(responses)
        cursor = response.cursor
        found += [span.span_id for span in response.spans]
    return found, cursor


def rest(responses: Iterator[Any]) -> tuple[list[str], str, CallError]:
    """The ids of the spans that still come, the last cursor, and the error that ends the tail."""
    found: list[str] = []
    cursor = ""
    try:
        for response in responses:
            found += [span.span_id for span in response.spans]
            cursor = response.cursor
    except CallError as error:
        return found, cursor, error
    raise AssertionError("the tail has ended without an error")


def test_tail_spans_gives_spans_in_the_order_in_which_they_are_stored(project: Project) -> None:
    write(project, {"spanId": "before"})
    with tail(project) as responses:
        first = next(responses)
        assert (list(first.spans), bool(first.cursor)) == ([], True)
        write(project, {"spanId": "b"}, {"spanId": "a"})
        write(project, {"spanId": "c", "traceId": "u", "name": "whole", "input": {"x": [1]}})
        assert ids(responses, 3)[0] == ["b", "a", "c"]
        write(project, {"spanId": "b", "name": "again"})
        [again] = next(responses).spans
    assert (again.span_id, again.name) == ("b", "again")


def test_a_span_arrives_whole_or_as_the_view_has_it(project: Project) -> None:
    with tail(project) as whole, tail(project, view="SPAN_VIEW_BASIC") as basic:
        next(whole), next(basic)
        write(project, said(1))
        [one], [other] = next(whole).spans, next(basic).spans
    assert one == project.send("SpanService/GetSpan", traceId="t", spanId="s1").span
    assert (other.span_id, list(other.output_messages)) == ("s1", [])


def test_a_tail_shows_what_its_conditions_meet(project: Project) -> None:
    spans: list[dict[str, Any]] = [
        {"spanId": "a", "name": "x", "kind": "SPAN_KIND_TOOL", "feature": "f"},
        {"spanId": "b", "name": "y", "status": {"code": "STATUS_CODE_ERROR"}},
        {"spanId": "c", "name": "x", "traceId": "u", "model": {"provider": "OpenAI"}},
        {"spanId": "d", "name": "z", "conversationId": "k", "input": "Needle in here"},
        {"spanId": "e", "name": "end", "endTime": "2026-01-01T00:00:09Z"},
    ]
    filters: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"name": "x"}, {}),
        ({"statusCode": "STATUS_CODE_ERROR"}, {}),
        ({"kinds": ["SPAN_KIND_TOOL"]}, {}),
        ({"model": "none"}, {}),
        ({"provider": "openai"}, {}),
        ({"conversationId": "k"}, {}),
        ({"text": "needle"}, {}),
        ({"minDuration": "3s"}, {}),
        ({}, {"traceId": "u"}),
        ({"name": "x"}, {"traceId": "u"}),
    ]
    for asked, others in filters:
        fields = {**({"filter": asked} if asked else {}), **others}
        start = _cursor(project)
        write(project, *spans, {"spanId": "last", "name": "nothing"})
        listed = project.direct().send("SpanService/ListSpans", **fields).spans
        wanted = {span.span_id for span in listed}
        with tail(project, cursor=start, **fields) as responses:
            found = set(ids(responses, len(wanted))[0]) if wanted else set()
        assert found == wanted, asked


def _cursor(project: Project) -> str:
    direct = project.direct()
    with tail(direct) as responses:
        return str(next(responses).cursor)


def test_a_tail_resumes_behind_its_cursor(project: Project) -> None:
    with tail(project) as responses:
        cursor = next(responses).cursor
    write(project, {"spanId": "a"})
    write(project, {"spanId": "b"})
    with tail(project, cursor=cursor) as responses:
        found, cursor = ids(responses, 2)
    assert found == ["a", "b"]
    with tail(project, cursor=cursor) as responses:
        write(project, {"spanId": "c"})
        assert ids(responses, 1)[0] == ["c"]


def test_cuts_at_random_places_miss_no_span(project: Project) -> None:
    """50 cuts while spans are written."""
    number, wanted = random.Random(7), [f"s{index}" for index in range(300)]
    cursor, seen = _cursor(project), []
    writer = project.direct()

    def write_all() -> None:
        for index in range(0, len(wanted), 3):
            write(writer, *({"spanId": name} for name in wanted[index : index + 3]))
            time.sleep(0.005)

    writing = threading.Thread(target=write_all)
    writing.start()
    for _ in range(50):
        with tail(project, cursor=cursor) as responses:
            for _ in range(number.randint(1, 4)):
                response = next(responses)
                cursor = response.cursor
                seen += [span.span_id for span in response.spans]
                if len(set(seen)) == len(wanted):
                    break
        if len(set(seen)) == len(wanted):
            break
    writing.join()
    with tail(project, cursor=cursor) as responses:
        seen += ids(responses, len(wanted) - len(set(seen)))[0]
    assert list(dict.fromkeys(seen)) == wanted


def test_a_tail_sees_its_own_project(project: Project) -> None:
    other = project.neighbour()
    with tail(project) as responses:
        next(responses)
        write(other, {"spanId": "foreign"})
        write(project, {"spanId": "own"})
        assert ids(responses, 1)[0] == ["own"]
        cursor = _cursor(other)
    with pytest.raises(CallError) as refused, tail(project, cursor=cursor) as responses:
        next(responses)
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "INVALID_CURSOR")


@pytest.mark.parametrize("method", [TAIL, CHAT])
def test_a_quiet_tail_has_a_response_from_time_to_time(
    project: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "QUIET_SECONDS", 0.3)
    fields = {"traceId": "quiet"}
    with tail(project, method, **fields) as responses:
        cursors = [next(responses).cursor for _ in range(2)]
        write(project, {"spanId": "elsewhere"})
        cursors += [next(responses).cursor for _ in range(2)]
    assert all(cursors)
    with tail(project, TAIL if method == TAIL else CHAT, **fields, cursor=cursors[-1]) as responses:
        assert next(responses).cursor


@pytest.fixture
def slow(project: Project) -> Iterator[Project]:
    """The project by gRPC, whose client does not read ahead."""
    client = GrpcClient(project.server.running.grpc_address)
    yield replace(project, client=client)
    client.close()


def test_a_reader_that_is_too_slow_is_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch, slow: Project
) -> None:
    """A client that takes nothing while more is stored than it may be behind."""
    monkeypatch.setattr(group, "MOST_SPANS", 30)
    text = random.Random(7).randbytes(100_000).hex()  # compressed it would be no load
    with tail(slow) as responses:
        next(responses)
        for index in range(100):
            write(project, {"spanId": f"s{index}", "input": text})
        time.sleep(0.5)
        seen, cursor, error = rest(responses)
    assert (error.code, error.reason) == ("ABORTED", "READER_TOO_SLOW")
    assert 0 < len(seen) < 100
    with tail(project, cursor=cursor) as responses:
        found, _ = ids(responses, 100 - len(seen))
    assert seen + found == [f"s{index}" for index in range(100)]


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        (TAIL, {"view": 7}, "view"),
        (TAIL, {"textLimit": -1}, "textLimit"),
        (TAIL, {"filter": {"attributes": ["bad"]}}, "filter.attributes[0]"),
        (CHAT, {}, "traceId"),
        (CHAT, {"traceId": "t", "conversationId": "c"}, "traceId"),
        (CHAT, {"traceId": "t", "textLimit": -1}, "textLimit"),
    ],
)
def test_a_wrong_request_is_refused(
    project: Project, method: str, fields: dict[str, Any], field: str
) -> None:
    direct = project.direct()
    with pytest.raises(CallError) as refused, tail(direct, method, **fields) as responses:
        next(responses)
    assert refused.value.reason == "INVALID_FIELD"
    assert field in refused.value.violations
