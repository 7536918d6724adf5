"""What is stored is sent on: to another Spanloom, and to receivers that refuse, fail and lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanloom import metrics
from spanloom.adapters.restore import restore
from spanloom.errors import SetupError
from spanloom.forwarding import forwarder
from spanloom.forwarding.forwarder import Forwarding, forward_until
from spanloom.forwarding.receiver import Receiver, receiver
from spanloom.model import Io, Span
from spanloom.store.store import Store
from tests.clients import until
from tests.databases import DATABASES, new_url
from tests.forwarding.receivers import Reply, ScriptedReceiver, partly
from tests.servers import LiveServer

P = "app"


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "_LEAST_PAUSE", 0.01)
    monkeypatch.setattr(forwarder, "_MOST_PAUSE", 0.05)
    monkeypatch.setattr(forwarder, "_IDLE_SECONDS", 0.02)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_url(request.param, tmp_path)


@pytest.fixture
def scripted() -> Iterator[ScriptedReceiver]:
    with ScriptedReceiver() as made:
        yield made


def span(name: str, **facts: Any) -> Span:
    made = Span(
        trace_id=name,
        span_id=name,
        event_id=name,
        session_id=name,
        kind="tool",
        name=name,
        start_ns=1_000_000_000,
        end_ns=2_000_000_000,
        io=Io(outputs={"said": name}),
    )
    return replace(made, **facts)


def on_store(url: str, work: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        store = await Store.open(url, restore=restore)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


class Sending:
    """`async with`: forwards from a store to a receiver."""

    def __init__(self, store: Store, to: Forwarding) -> None:
        self._stop = asyncio.Event()
        self._store, self._to = store, to

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(forward_until(self._stop, self._store, self._to))
        # The first cursor begins behind what is there when it is made.
        await asyncio.sleep(0.3)

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task


async def soon(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition, 30)


def sent(outcome: str) -> float:
    return float(metrics.FORWARDED_SPANS.labels(outcome)._value.get())


def test_what_has_ended_is_sent_once_and_an_open_span_when_it_ends(
    url: str, scripted: ScriptedReceiver
) -> None:
    async def work(store: Store) -> None:
        await store.write_spans(P, [span("earlier")])
        async with Sending(store, Forwarding(receiver(scripted.url, "X-Key=a%20b, y=2"))):
            await store.write_spans(P, [span("ended"), span("open", end_ns=None)])
            await soon(lambda: scripted.names() == [["ended"]])
            await store.write_spans(P, [span("open")])
            await soon(lambda: scripted.names() == [["ended"], ["open"]])
        path, headers, request = scripted.requests[0]
        assert path == "/v1/traces"
        assert (headers["x-key"], headers["y"]) == ("a b", "2")
        [resource] = request.resource_spans
        attributes = resource.scope_spans[0].spans[0].attributes
        assert any("said" in one.value.string_value for one in attributes)

    on_store(url, work)


def test_nothing_is_lost_while_the_receiver_or_this_server_is_away(
    url: str, scripted: ScriptedReceiver
) -> None:
    scripted.replies += [Reply(503, headers={"retry-after": "0"}), Reply(401), Reply(500)]
    to = Forwarding(receiver(scripted.url))

    async def first(store: Store) -> None:
        async with Sending(store, to):
            await store.write_spans(P, [span("a")])
            await soon(lambda: len(scripted.requests) == 4)
        await store.write_spans(P, [span("b")])  # while nothing forwards

    async def second(store: Store) -> None:
        async with Sending(store, to):
            await soon(lambda: scripted.names()[4:] == [["b"]])

    on_store(url, first)
    assert scripted.names() == [["a"]] * 4
    on_store(url, second)


def test_what_is_too_large_is_sent_in_parts(url: str, scripted: ScriptedReceiver) -> None:
    scripted.replies += [Reply(413), Reply(413), Reply(), Reply(413), Reply()]
    refused = sent("refused")

    async def work(store: Store) -> None:
        async with Sending(store, Forwarding(receiver(scripted.url))):
            await store.write_spans(P, [span(name) for name in "abcd"])
            await soon(lambda: len(scripted.requests) == 5)
            await store.write_spans(P, [span("e")])
            await soon(lambda: scripted.names()[-1] == ["e"])

    on_store(url, work)
    assert [*map(len, scripted.names())] == [4, 2, 1, 1, 2, 1]
    assert sent("refused") == refused + 1  # the one that is too large by itself


def test_what_the_receiver_refuses_is_counted_and_holds_nothing_up(
    url: str, scripted: ScriptedReceiver
) -> None:
    scripted.replies += [Reply(400), partly(1, "no name"), Reply(body=b"{not protobuf}")]
    refused, taken = sent("refused"), sent("taken")

    async def work(store: Store) -> None:
        async with Sending(store, Forwarding(receiver(scripted.url))):
            for names in ("ab", "cd", "e"):
                before = len(scripted.requests)
                await store.write_spans(P, [span(name) for name in names])
                await soon(lambda before=before: len(scripted.requests) > before)  # type: ignore[misc]

    on_store(url, work)
    assert scripted.names() == [["a", "b"], ["c", "d"], ["e"]]
    assert sent("refused") == refused + 3
    assert sent("taken") == taken + 2


def test_one_process_sends_and_another_goes_on_for_it(url: str, scripted: ScriptedReceiver) -> None:
    async def work(store: Store) -> None:
        to = Forwarding(receiver(scripted.url))
        async with Sending(store, to):
            async with Sending(store, to):
                await store.write_spans(P, [span("a")])
                await soon(lambda: len(scripted.requests) == 1)
            await store.write_spans(P, [span("b")])
            await soon(lambda: len(scripted.requests) == 2)
        assert scripted.names() == [["a"], ["b"]]
        assert await store.take_cursor("forward", "third", 60) is not None
        assert await store.take_cursor("forward", "fourth", 60) is None
        assert not await store.move_cursor("forward", "fourth", 10**9, 60)
        assert await store.move_cursor("forward", "third", 10**9, 0)
        assert await store.take_cursor("forward", "fourth", 60) == 10**9

    on_store(url, work)


def test_only_the_chosen_projects_are_sent(url: str, scripted: ScriptedReceiver) -> None:
    async def work(store: Store) -> None:
        to = Forwarding(receiver(scripted.url), frozenset({"b"}))
        async with Sending(store, to):
            await store.write_spans("a", [span("a")])
            await store.write_spans("b", [span("b")])
            await soon(lambda: len(scripted.requests) == 1)

    on_store(url, work)
    assert scripted.names() == [["b"]]


def test_another_spanloom_has_what_came_by_each_api(tmp_path: Path) -> None:
    databases = [f"sqlite:///{tmp_path}/{name}.db" for name in ("there", "here")]
    with LiveServer(database=databases[0], log_level="error") as there:
        headers = f"authorization=Bearer%20{there.key('copy', 'ingest')}"
        reader = {"authorization": f"Bearer {there.key('copy', 'read')}"}
        to = f"http://{there.running.http_address}"
        with LiveServer(
            database=databases[1], forward_url=to, forward_headers=headers, log_level="error"
        ) as here:
            writer = {"authorization": f"Bearer {here.key(P)}"}
            base = f"http://{here.running.http_address}"
            at = "2026-01-02T03:04:05Z"
            native = {"traceId": "n1", "spanId": "n1", "name": "native", "startTime": at}
            event = {
                "project": P,
                "event_name": "event",
                "event_type": "tool",
                "source": "s",
                "start_time": 1767323045000,
                "end_time": 1767323046000,
            }
            written = (
                ("/v1/spans:write", {"spans": [{**native, "endTime": at}]}),
                ("/events/batch", {"events": [event]}),
                ("/monitor/trace", {"featureSlug": "trace", "input": "in", "output": "out"}),
            )

            def names() -> set[str]:
                answer = httpx.get(f"{to}/v1/spans", headers=reader, trust_env=False)
                return {one["name"] for one in answer.json()["spans"]}

            until(lambda: here.running.store.summaries is not None)
            for path, body in written:
                answer = httpx.post(base + path, json=body, headers=writer, trust_env=False)
                assert answer.status_code == 200, answer.text
            until(lambda: names() >= {"native", "event", "trace"}, 30)


def test_a_receiver_that_leads_elsewhere_does_not_get_the_key() -> None:
    with ScriptedReceiver() as other, ScriptedReceiver() as first:
        first.replies.append(Reply(307, headers={"location": f"{other.url}/v1/traces"}))
        answer = receiver(first.url, "authorization=secret").send(b"")
        assert answer.again
        assert "307" in answer.message
        assert other.requests == []


def test_a_receiver_is_a_setting() -> None:
    assert receiver("http://a:4318").url == "http://a:4318/v1/traces"
    assert receiver("https://a/api/public/otel/").url == "https://a/api/public/otel/v1/traces"
    assert receiver("https://a/x/v1/traces").url == "https://a/x/v1/traces"
    assert "secret" not in repr(receiver("http://a", "k=secret"))
    for wrong in ("a:4318", "ftp://a", "http://"):
        with pytest.raises(SetupError, match="forward_url"):
            receiver(wrong)
    with pytest.raises(SetupError, match="forward_headers"):
        receiver("http://a", "name")
    away = Receiver("http://127.0.0.1:1/v1/traces").send(b"")
    assert away.again
    assert "refused" in away.message
