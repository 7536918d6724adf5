"""`spanloom.Client` and `AsyncClient` against a whole server, and one that fails as a test says."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

import spanloom
from spanloom.client import AsyncClient, CallError, Client
from spanloom.client.connection import connection
from spanloom.v1 import query_pb2, review_pb2, span_pb2, span_service_pb2
from spanloom.v1.span_service_pb2_grpc import (
    SpanServiceServicer,
    add_SpanServiceServicer_to_server,
)
from tests.client.scripted import refuse, scripted
from tests.servers import LiveServer

PAGES = 230  # spans, more than a page has


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    database = f"sqlite:///{tmp_path_factory.mktemp('client')}/spanloom.db"
    with LiveServer(database=database, log_level="error") as running:
        yield running


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    with Client(server.running.grpc_address, key=server.key("client")) as made:
        yield made


def spans_of(trace_id: str, number: int, **fields: Any) -> list[span_pb2.Span]:
    return [
        span_pb2.Span(trace_id=trace_id, span_id=f"{n:04}", name=f"n{n}", **fields)
        for n in range(number)
    ]


def test_the_package_gives_the_clients() -> None:
    assert (spanloom.Client, spanloom.AsyncClient) == (Client, AsyncClient)


def test_the_client_loads_nothing_of_the_server() -> None:
    code = (
        "import spanloom, sys; spanloom.Client('127.0.0.1:1').close();"
        "print(*[m for m in sys.modules if m.startswith(('spanloom.', 'sqlalchemy', 'uvicorn'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.split()
    assert "spanloom.client" in loaded
    assert [m for m in loaded if not m.startswith(("spanloom.client", "spanloom.v1"))] == []


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        made = inspect.getmembers(kind, inspect.isfunction)
        public = {name: function for name, function in made if not name.startswith("_")}
        return {name: list(inspect.signature(f).parameters) for name, f in public.items()}

    blocking = methods(Client)
    blocking["flush"].remove("timeout")  # there is asyncio.timeout
    assert blocking == methods(AsyncClient)


def test_what_is_written_is_read_by_pages(client: Client) -> None:
    assert list(client.write_spans(spans_of("pages", PAGES))) == []
    found = [span.name for span in client.list_spans(trace_id="pages")]
    assert sorted(found) == sorted(f"n{n}" for n in range(PAGES))
    assert client.get_span("pages", "0007").name == "n7"
    kept = span_pb2.SpanFilter(name="n8")
    assert [span.span_id for span in client.list_spans(kept, trace_id="pages")] == ["0008"]


def test_an_error_names_code_reason_fields_and_request(client: Client) -> None:
    with pytest.raises(CallError) as missing:
        client.get_span("none", "none")
    assert missing.value.code == "NOT_FOUND"
    assert missing.value.reason == "ERROR_REASON_SPAN_NOT_FOUND"
    assert missing.value.request_id
    with pytest.raises(CallError) as invalid:
        client.write_spans([span_pb2.Span(trace_id="t")])
    assert list(invalid.value.violations) == ["spans[0].spanId"]


def test_traces_conversations_chats_and_sums(client: Client) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    with (
        client.record("ask", kind="agent", agent="Ada", conversation_id="c", user_id="u"),
        client.record("model", kind="model", model="gpt-4o", input_tokens=3) as made,
    ):
        made.update(
            input=[{"role": "user", "content": "What is a loom?"}],
            output={"role": "assistant", "content": "A machine that weaves."},
            output_tokens=5,
        )
    client.flush(30)
    trace = made.trace_id
    found = list(client.list_traces(query_pb2.TraceFilter(conversation_id="c")))
    assert [summary.trace_id for summary in found] == [trace]
    assert client.get_trace(trace).figures.output_tokens == 5
    assert client.count_traces(query_pb2.TraceFilter(user_id="u")).trace_count == 1
    assert "c" in [c.conversation_id for c in client.list_conversations()]
    assert client.get_conversation("c").trace_count == 1
    said = [m.user.text or m.response.text for m in client.list_messages(conversation_id="c")]
    assert [text for text in said if text] == ["What is a loom?", "A machine that weaves."]
    assert [m.trace_id for m in client.search_messages("loom", since=since)] == [trace]
    assert {m.span_id for m in client.search_trace(trace, "weaves")} == {made.span_id}
    points = client.usage(since, by=[query_pb2.USAGE_DIMENSION_MODEL])
    assert {tuple(p.group): p.figures.input_tokens for p in points}["gpt-4o",] == 3
    assert client.caller().project_id == "client"
    assert [p.project_id for p in client.list_projects()] == ["client"]


def test_a_review_is_stored_once_changed_listed_and_deleted(client: Client) -> None:
    client.write_spans(spans_of("reviewed", 1))
    target = review_pb2.ReviewTarget(trace_id="reviewed")
    made = client.write_review(review_pb2.Review(target=target, name="good", score=1))
    assert made.review_id
    made.score = 0.5
    client.write_review(made)
    assert [r.score for r in client.list_reviews(trace_ids=["reviewed"])] == [0.5]
    client.delete_review(made.review_id)
    assert list(client.list_reviews(trace_ids=["reviewed"])) == []


def test_spans_are_updated_read_in_parts_and_deleted(client: Client) -> None:
    long = "0123456789" * 200_000
    [span] = spans_of("long", 1)
    span.input.string_value = long
    client.write_spans([span])
    changed = span_pb2.Span(trace_id="long", span_id="0000")
    changed.metadata["tested"] = True
    client.update_span(changed, ["metadata"])
    assert client.get_span("long", "0000", text_limit=100).metadata["tested"] is True
    assert client.read_text("long", "0000", "input") == long
    one = span_pb2.SpanReference(trace_id="long", span_id="0000")
    assert client.delete_spans([one]) == 1
    assert client.delete_trace("long", allow_missing=True) == 0


def test_a_tail_gives_what_is_stored_from_now_on(client: Client) -> None:
    responses = client.tail_spans(trace_id="tailed")
    assert list(next(responses).spans) == []
    client.write_spans(spans_of("tailed", 1))
    response = next(responses)
    assert [span.name for span in response.spans] == ["n0"]
    client.write_spans(spans_of("tailed", 2))
    after = client.tail_spans(trace_id="tailed", cursor=response.cursor)
    found: set[str] = set()
    while len(found) < 2:
        found |= {span.name for span in next(after).spans}
    assert found == {"n0", "n1"}


def test_the_calls_of_an_event_loop(server: LiveServer) -> None:
    async def run() -> None:
        async with AsyncClient(server.running.grpc_address, key=server.key("loop")) as client:
            await client.write_spans(spans_of("t", PAGES))
            assert len([s async for s in client.list_spans(trace_id="t")]) == PAGES
            responses = client.tail_spans()
            await anext(responses)
            async with client.record("outer") as outer, client.record("inner"):
                pass
            await client.flush()
            assert (await client.get_trace(outer.trace_id)).figures.span_count == 2
            names: set[str] = set()
            while len(names) < 2:
                names |= {span.name for span in (await anext(responses)).spans}
            assert names == {"inner", "outer"}
            with pytest.raises(CallError, match="span"):
                await client.get_span("t", "none")

    asyncio.run(run())


class Busy(SpanServiceServicer):
    """Refuses calls so many times, and interrupts its tails."""

    def __init__(self, refusals: int, code: grpc.StatusCode, retry: float | None) -> None:
        self.left, self.code, self.retry = refusals, code, retry
        self.calls = 0
        self.cursors: list[str] = []
        self.metadata: dict[str, Any] = {}

    def GetSpan(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        if self.left:
            self.left -= 1
            refuse(context, self.code, retry=self.retry)
        return span_service_pb2.GetSpanResponse(span=span_pb2.Span(name="at last"))

    def TailSpans(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.cursors.append(request.cursor)
        yield span_service_pb2.TailSpansResponse(cursor=f"after {request.cursor}")
        refuse(context, grpc.StatusCode.UNAVAILABLE, retry=0.01)


@pytest.mark.parametrize(
    ("code", "retry", "refusals", "calls"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.01, 2, 3),
        (grpc.StatusCode.UNAVAILABLE, None, 2, 3),
        (grpc.StatusCode.UNAVAILABLE, 0.01, 9, 5),  # all attempts
        (grpc.StatusCode.UNAVAILABLE, 3600.0, 9, 1),  # not before the deadline
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, 9, 1),
        (grpc.StatusCode.INTERNAL, None, 9, 1),
    ],
)
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_call_is_repeated_as_the_server_asks(
    kind: str, code: grpc.StatusCode, retry: float | None, refusals: int, calls: int
) -> None:
    busy = Busy(refusals, code, retry)  # type: ignore[abstract]

    async def get(url: str) -> str:
        async with AsyncClient(url) as client:
            return (await client.get_span("t", "s")).name

    with scripted(add_SpanServiceServicer_to_server, busy) as url:
        try:
            if kind == "asyncio":
                found = asyncio.run(get(url))
            else:
                with Client(url) as client:
                    found = client.get_span("t", "s").name
        except CallError as error:
            found = error.reason
    assert busy.calls == calls
    assert found == ("at last" if calls > refusals else "ERROR_REASON_QUEUE_FULL")


def test_an_interrupted_tail_goes_on_after_its_last_response() -> None:
    busy = Busy(0, grpc.StatusCode.OK, None)  # type: ignore[abstract]
    with scripted(add_SpanServiceServicer_to_server, busy) as url, Client(url) as client:
        responses = client.tail_spans(cursor="a")
        assert [next(responses).cursor for _ in range(3)] == [
            "after a",
            "after after a",
            "after after after a",
        ]
        responses.close()
    assert busy.cursors == ["a", "after a", "after after a"]


def test_key_and_project_are_sent_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy(0, grpc.StatusCode.OK, None)  # type: ignore[abstract]
    monkeypatch.setenv("SPANLOOM_KEY", "sl_secret")
    monkeypatch.setenv("SPANLOOM_PROJECT", "naïve")
    with scripted(add_SpanServiceServicer_to_server, busy) as url:
        monkeypatch.setenv("SPANLOOM_URL", url)
        with Client() as client:
            client.get_span("t", "s")
    assert busy.metadata["authorization"] == "Bearer sl_secret"
    assert busy.metadata["x-spanloom-project-bin"] == "naïve".encode()
    assert "secret" not in repr(connection(None, None, None, None))


@pytest.mark.parametrize("url", ["ftp://h:1", "http://h", "h:x", "http://h:1/path", "h"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the URL must be"):
        Client(url)


def test_a_server_that_is_not_there_is_named() -> None:
    with Client("127.0.0.1:1", attempts=1) as client, pytest.raises(CallError) as error:
        client.caller()
    assert error.value.code == "UNAVAILABLE"


def test_the_package_of_the_client_is_whole() -> None:
    """Every module of it is reached from what the package imports, but the one for notebooks."""
    found = {path.stem for path in Path(inspect.getfile(Client)).parent.glob("*.py")}
    loaded = {
        name.rpartition(".")[2] for name in sys.modules if name.startswith("spanloom.client.")
    }
    assert found - loaded <= {"__init__", "tables"}
