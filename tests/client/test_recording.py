"""Spans of running programs: trees, facts, batches, and what is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from spanloom.client import AsyncClient, Client, LostSpansError, batches, current_span
from spanloom.client.values import to_attribute, to_struct, to_value
from spanloom.v1 import span_pb2
from tests.client.test_client import server  # noqa: F401 - a fixture
from tests.servers import LiveServer


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:  # noqa: F811
    with Client(server.running.grpc_address, key=server.key("recording")) as made:
        yield made


def tree(client: Client, trace_id: str) -> dict[str, str]:
    """The parent of each span of a trace, by their names."""
    found = {span.span_id: span for span in client.list_spans(trace_id=trace_id)}
    names = {span_id: span.name for span_id, span in found.items()}
    return {span.name: names.get(span.parent_span_id, "") for span in found.values()}


def test_blocks_make_a_tree(client: Client) -> None:
    with client.record("root", agent="Ada", kind="agent", conversation_id="talk") as root:
        with client.record("left"):
            with client.record("leaf", kind="tool", tool="search", input={"q": 1}) as leaf:
                leaf.update(output=[1, 2], attributes={"n": 1, "b": True}, metadata={"m": None})
            assert current_span() is not leaf
        with client.record("right"):
            pass
    assert current_span() is None
    client.flush(30)
    assert tree(client, root.trace_id) == {
        "root": "",
        "left": "root",
        "leaf": "left",
        "right": "root",
    }
    stored = client.get_span(leaf.trace_id, leaf.span_id)
    assert (stored.conversation_id, stored.agent.name) == ("talk", "Ada")
    assert (stored.kind, stored.tool.name) == (span_pb2.SPAN_KIND_TOOL, "search")
    output: Any = json_format.MessageToDict(stored.output)
    assert output == [1, 2]
    assert stored.attributes["n"].int_value == 1
    assert stored.status.code == span_pb2.STATUS_CODE_OK
    assert stored.end_time.ToNanoseconds() >= stored.start_time.ToNanoseconds()


def test_an_exception_marks_the_span_and_goes_on(client: Client) -> None:
    with pytest.raises(KeyError), client.record("fails") as span:
        raise KeyError("no such city")
    with client.record("told") as told:
        told.fail("refused")
    client.flush(30)
    stored = client.get_span(span.trace_id, span.span_id).status
    assert stored.code == span_pb2.STATUS_CODE_ERROR
    assert (stored.error_type, stored.message) == ("KeyError", "'no such city'")
    assert client.get_span(told.trace_id, told.span_id).status.message == "refused"


def test_a_traced_function_records_arguments_and_result(client: Client) -> None:
    seen: list[Any] = []

    class Weather:
        @client.traced(kind="tool", tool="weather")
        def ask(self, city: str, days: int = 1) -> dict[str, Any]:
            """Asks."""
            seen.append(current_span())
            return {city: days}

        @client.traced("later", kind="function", output="hidden")
        async def later(self, city: str) -> Any:
            seen.append(current_span())
            return self.ask(city)[city]

    assert Weather().ask("Paris", days=2) == {"Paris": 2}
    assert Weather.ask.__doc__ == "Asks."
    assert asyncio.run(Weather().later("Rome")) == 1
    client.flush(30)
    stored = client.get_span(seen[0].trace_id, seen[0].span_id)
    assert stored.name.endswith("Weather.ask")
    assert json_format.MessageToDict(stored.input) == {"city": "Paris", "days": 2}
    assert json_format.MessageToDict(stored.output) == {"Paris": 2}
    outer = client.get_span(seen[1].trace_id, seen[1].span_id)
    assert (outer.name, outer.output.string_value) == ("later", "hidden")
    assert seen[2].message.parent_span_id == outer.span_id


def test_tasks_and_threads_have_their_own_current_span(server: LiveServer) -> None:  # noqa: F811
    async def run() -> None:
        async with AsyncClient(server.running.grpc_address, key=server.key("recording")) as client:

            @client.traced()
            async def work(number: int) -> int:
                await asyncio.sleep(0)
                async with client.record(f"inner {number}"):
                    return number

            async with client.record("root") as root:
                assert await asyncio.gather(*map(work, range(3))) == [0, 1, 2]
                with ThreadPoolExecutor() as pool:
                    inside = pool.submit(copy_context().run, current_span).result()
            assert inside is root
            await client.flush()
            spans = [s async for s in client.list_spans(trace_id=root.trace_id)]
            below = [s.span_id for s in spans if s.parent_span_id == root.span_id]
            assert len(below) == 3
            inner = [s for s in spans if s.name.startswith("inner")]
            assert sorted(s.parent_span_id for s in inner) == sorted(below)

    asyncio.run(run())


def test_a_fact_that_no_span_has_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="no fact 'colour'"), client.record("x", colour="red"):  # type: ignore[call-arg]
        pass
    assert current_span() is None


def test_one_invalid_span_does_not_take_the_others_with_it(client: Client) -> None:
    good = [span_pb2.Span(trace_id="mixed", span_id=str(n)) for n in range(20)]
    for span in (*good[:10], span_pb2.Span(trace_id="mixed"), *good[10:]):
        client.put(span)
    with pytest.raises(LostSpansError, match="1 span could not") as lost:
        client.flush(30)
    assert lost.value.count == 1
    assert "span" in str(lost.value.__cause__)
    assert len(list(client.list_spans(trace_id="mixed"))) == 20
    client.flush(30)  # what was lost is reported once


def test_a_full_queue_makes_who_records_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WAITING_SPANS", 3)
    monkeypatch.setattr(batches, "BATCH_SPANS", 1)
    go_on = threading.Semaphore(0)
    taken: list[str] = []

    def send(spans: list[span_pb2.Span]) -> tuple[int, Exception | None]:
        go_on.acquire()
        taken.extend(span.span_id for span in spans)
        return 0, None

    waiting = batches.Batches(send)
    done = threading.Event()

    def write() -> None:
        for n in range(6):
            waiting.put(span_pb2.Span(span_id=str(n)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    # One is being sent and three wait; the fifth has no place.
    assert not done.wait(0.3)
    for _ in range(6):
        go_on.release()
    writer.join(30)
    waiting.close()
    assert taken == [str(n) for n in range(6)]
    waiting.put(span_pb2.Span())
    with pytest.raises(LostSpansError):
        waiting.flush()


def test_batches_are_bounded_and_a_failure_of_one_is_not_the_end_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    sizes: list[int] = []

    def send(spans: list[span_pb2.Span]) -> tuple[int, Exception | None]:
        sizes.append(len(spans))
        if len(sizes) == 1:
            raise OSError("once")
        return 0, None

    waiting = batches.Batches(send)
    for n in range(8):
        waiting.put(span_pb2.Span(span_id=str(n), name="x" * 400))
    with pytest.raises(LostSpansError) as lost:
        waiting.flush(30)
    waiting.close()
    assert lost.value.count == sizes[0]
    assert sum(sizes) == 8
    assert max(sizes) <= 3


def test_a_batch_is_not_stored_twice_and_not_lost_by_closing(server: LiveServer) -> None:  # noqa: F811
    key = server.key("closing")
    with Client(server.running.grpc_address, key=key) as client, client.record("last") as span:
        pass
    with Client(server.running.grpc_address, key=key) as client:
        assert [found.name for found in client.list_spans(trace_id=span.trace_id)] == ["last"]


@dataclass
class Point:
    x: int
    y: Any


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(Rude)
    | st.characters(categories=["Cs"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=10,
)


@given(ANYTHING)
def test_any_object_can_be_sent(value: Any) -> None:
    for made in (to_value(value), to_attribute(value), to_struct({"v": value})):
        assert type(made).FromString(made.SerializeToString()) == made


def test_an_object_that_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert to_value(loop).list_value.values[0].list_value.values
    assert to_attribute(loop).list_value.values
