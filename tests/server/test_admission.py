"""One client takes a part of a worker, and what is beyond is refused at once, with its limit."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import Key, api_keys
from spanloom.model.caller import CALLER
from spanloom.server.admission import ByteBudget, Pace, Turns
from spanloom.server.auth import ApiKeyAuthenticator, Principal
from spanloom.server.metadata import PEER, peer_of
from spanloom.server.methods import Method, method_table
from spanloom.server.middleware import Middleware
from spanloom.services.events import EventService
from tests.server.lab import PATHS, Lab, service

MB = 1 << 20
EVENTS = "spanloom.v1.EventService"


class Keys:
    """The key is the project's name."""

    needs_no_key = False

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        return None

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal(metadata["key"], "admin", metadata["key"])


def test_a_key_takes_its_places_and_leaves_the_others() -> None:
    async def work() -> None:
        middleware = Middleware(Keys(), max_in_flight=10, max_calls_per_key=2)
        table = {m.descriptor.name: m for m in method_table({service(PATHS): Lab()})}
        method: Method = table["Wait"]
        go_on = asyncio.Event()

        async def read() -> Any:
            await go_on.wait()
            return method.request_class(value="0")

        def call(key: str) -> asyncio.Task[Any]:
            answer = middleware.unary(method, {"key": key}, read, request_id="r", transport="test")
            return asyncio.create_task(answer)

        first = [call("a"), call("a")]
        await asyncio.sleep(0)
        refused = await call("a")
        assert isinstance(refused, SpanloomError)
        assert (refused.code, refused.metadata) == (
            "RESOURCE_EXHAUSTED",
            {"limit_calls_per_key": "2"},
        )
        assert refused.retry_after
        others = [call("b"), call("b")]
        go_on.set()
        for answer in (*await asyncio.gather(*first, *others), await call("a")):
            assert not isinstance(answer, SpanloomError)

    asyncio.run(work())


def test_bytes_are_counted_for_all_and_for_each_caller() -> None:
    budget = ByteBudget(100 * MB)
    with budget.held() as first, budget.held() as second, budget.held() as third:
        CALLER.set("a")
        first.take(40 * MB)
        with pytest.raises(SpanloomError, match="of this key have more than 52428800 bytes"):
            second.take(20 * MB)
        second.take(1000)  # a small one costs nearly nothing
        CALLER.set("b")
        third.take(50 * MB)
        CALLER.set("c")
        with budget.held() as fourth, pytest.raises(SpanloomError, match="104857600 bytes"):
            fourth.take(20 * MB)
    with budget.held() as all_of_it:  # everything was given back
        all_of_it.take(100 * MB)
        with budget.held() as large, pytest.raises(SpanloomError):
            large.take(100 * MB)
    with budget.held() as alone:
        alone.take(1000 * MB)  # another limit says how large a request may be


def test_fewer_calls_are_let_in_while_they_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("spanloom.server.admission.time.monotonic", lambda: now)
    pace = Pace(1000, 1.0)

    def answered(number: int, took: float) -> None:
        """So many calls end in a second, each of which took so many seconds."""
        nonlocal now
        end = now
        for n in range(1, number + 1):
            now = end + n / number - took
            call = pace.begin()
            now += took
            pace.end(call)

    answered(400, 0.5)
    assert pace.most == 1000
    answered(400, 2.0)  # 400 a second
    assert 380 <= pace.most <= 420
    answered(10, 2.0)
    assert pace.most == 64
    answered(400, 0.5)
    answered(400, 0.5)
    assert 100 < pace.most < 1000
    for _ in range(5):
        answered(400, 0.5)
    assert pace.most == 1000


def test_a_call_that_waits_lets_fewer_in_before_it_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("spanloom.server.admission.time.monotonic", lambda: now)
    pace = Pace(1000, 1.0)

    def pass_time(seconds: float, answers: int = 0) -> None:
        nonlocal now
        for n in range(20):
            now += seconds / 20
            for _ in range(answers * (n + 1) // 20 - answers * n // 20):
                pace.end(pace.begin())
            pace.look()

    pass_time(1.0, 200)
    call = pace.begin()
    pass_time(0.2, 40)
    assert pace.most == 1000
    pass_time(0.1, 20)  # the oldest has waited for a quarter of the time
    assert 190 <= pace.most <= 210  # as many as were answered in the last second
    pass_time(1.0, 100)
    assert 90 <= pace.most <= 110
    pass_time(2.0)
    assert pace.most == 64
    pace.end(call)
    pass_time(5.0, 1000)
    assert pace.most == 1000
    unlimited = Pace(10, 0.0)
    unlimited.begin()
    pass_time(10.0)
    unlimited.look()
    assert unlimited.most == 10


def test_the_look_up_of_an_unknown_key_is_that_of_its_address() -> None:
    class Store:
        def __init__(self) -> None:
            self.callers: list[str] = []
            self.key, self.text = api_keys.new_key("p", "read")

        async def find_key(self, key_id: str) -> Key | None:
            self.callers.append(CALLER.get())
            return self.key if key_id == self.key.id else None

    async def work() -> None:
        store = Store()
        authenticator = ApiKeyAuthenticator(store)
        _, guessed = api_keys.new_key("p", "read")
        for _ in range(2):
            with pytest.raises(SpanloomError, match="not valid"):
                await authenticator.authenticate(
                    {"authorization": f"Bearer {guessed}", PEER: "10.0.0.1"}
                )
        valid = {"authorization": f"Bearer {store.text}", PEER: "10.0.0.2"}
        await authenticator.authenticate(valid)
        authenticator._known = {text: (0.0, of) for text, (_, of) in authenticator._known.items()}
        await authenticator.authenticate(valid)
        assert store.callers == ["10.0.0.1", "10.0.0.1", "10.0.0.2", ""]

    asyncio.run(work())


def test_an_address_may_send_so_many_wrong_keys_in_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("spanloom.server.auth.time", SimpleNamespace(monotonic=lambda: now))

    class Store:
        def __init__(self) -> None:
            self.key, self.text = api_keys.new_key("p", "read")
            self.lookups = 0

        async def find_key(self, key_id: str) -> Key | None:
            self.lookups += 1
            return self.key if key_id == self.key.id else None

    store = Store()
    authenticator = ApiKeyAuthenticator(store, max_failed_keys=3)

    def refusal(text: str, address: str) -> str:
        call = authenticator.authenticate({"authorization": f"Bearer {text}", PEER: address})
        try:
            asyncio.run(call)
        except SpanloomError as error:
            return f"{error.code} {error.metadata} {error.retry_after}"
        return ""

    _, wrong = api_keys.new_key("p", "read")
    assert refusal(store.text, "a") == ""
    assert [refusal(wrong, "a") for _ in range(4)] == [
        *["UNAUTHENTICATED {} None"] * 3,
        "RESOURCE_EXHAUSTED {'limit_failed_keys': '3'} 60.0",
    ]
    assert store.lookups == 4
    assert refusal(wrong, "b") == "UNAUTHENTICATED {} None"
    now += 2.0  # the key that was valid is looked up again, whoever guesses beside it
    assert refusal(store.text, "a") == ""
    now += 60.0
    assert refusal(wrong, "a") == "UNAUTHENTICATED {} None"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "%5B::1%5D"),
        ("unix:", "unix:"),
    ],
)
def test_the_host_of_a_peer_is_known_without_its_port(address: str, host: str) -> None:
    assert peer_of(address) == host


IGNORES = """
import asyncio, sys, time
from spanloom import serving

async def main():
    stop = serving._stop_at_signals(1.0)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    {then}

asyncio.run(main())
"""


@pytest.mark.parametrize(("then", "code"), [("pass", 0), ("time.sleep(600)", 1)])
def test_a_signal_ends_the_process_whatever_it_does(tmp_path: Path, then: str, code: int) -> None:
    program = IGNORES.format(then=then)
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == code
        assert process.stdout.readline() == "stopping\n"


def test_streams_have_turns_between_which_other_work_is_done() -> None:
    order: list[str] = []

    async def answers(of: str) -> AsyncIterator[str]:
        for _ in range(2):
            order.append(of)
            yield of

    async def read(turns: Turns, of: str) -> None:
        CALLER.set(of)
        stream = answers(of)
        while await turns.next(stream) is not None:
            pass

    async def other() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
            order.append("other")

    async def work() -> None:
        turns = Turns()
        greedy = [asyncio.create_task(read(turns, "greedy")) for _ in range(100)]
        modest = asyncio.create_task(read(turns, "modest"))
        greedy[50].cancel()
        await asyncio.gather(other(), modest, *greedy, return_exceptions=True)

    asyncio.run(work())
    # The one stream of another caller does not wait for those that came before it.
    assert order.index("modest") <= 4
    others = [at for at, name in enumerate(order) if name == "other"]
    between = [after - before for before, after in pairwise([0, *others])]
    assert max(between) <= 6
    assert order.count("greedy") == 2 * 99
    assert order.count("modest") == 2


@pytest.mark.parametrize("yields", [True, False])
def test_bulk_streams_leave_most_of_the_time_to_others(yields: bool) -> None:
    async def answers(use: Any) -> AsyncIterator[int]:
        while True:
            use(0.001)
            yield 1

    class Loop(asyncio.SelectorEventLoop):
        """Its time is what was used or waited for."""

        passed = used = 0.0

        def time(self) -> float:
            return self.passed

        def use(self, seconds: float) -> None:
            self.used += seconds
            self.passed += seconds

    loop = Loop()
    selector: Any = loop._selector  # type: ignore[attr-defined]
    select = selector.select

    def wait(timeout: float | None = None) -> Any:
        loop.passed += timeout or 0
        return select(0)

    selector.select = wait

    async def work() -> int:
        turns = Turns(lambda: yields, lambda: loop.used)
        streams = [answers(loop.use) for _ in range(50)]
        number = 0

        async def read(stream: AsyncIterator[int]) -> None:
            nonlocal number
            while await turns.next(stream):
                number += 1

        tasks = [asyncio.create_task(read(stream)) for stream in streams]
        await asyncio.sleep(3)
        for task in tasks:
            task.cancel()
        return number

    try:
        number = loop.run_until_complete(work())
    finally:
        loop.close()
    # A message takes 1 ms, so 3,000 fit in; a third of the time has 1,000.
    assert 2900 < number < 3100 if not yields else 900 < number < 1300


def test_the_stream_of_all_events_is_a_bulk_stream() -> None:
    bulk = {method.full_name for method in method_table({EVENTS: EventService}) if method.is_bulk}
    assert bulk == {f"{EVENTS}/StreamEvents"}


def test_a_refusal_does_not_keep_the_request_in_memory() -> None:
    class Sent:
        """A request, which may be large."""

    async def refuse(request: Sent, call: object) -> None:
        try:
            raise KeyError(request)
        except KeyError:
            raise SpanloomError(Code.INVALID_ARGUMENT, Reason.INVALID_FIELD, "no") from None

    async def work() -> bool:
        table = {m.descriptor.name: m for m in method_table({service(PATHS): Lab()})}
        method = replace(table["Wait"], answer=refuse)
        sent: list[weakref.ref[Sent]] = []

        async def read() -> Any:
            request = Sent()
            sent.append(weakref.ref(request))
            return request

        middleware = Middleware(Keys())
        call = middleware.unary(method, {"key": "a"}, read, request_id="r", transport="test")
        refusal = await call
        return isinstance(refusal, SpanloomError) and sent[0]() is None

    gc.disable()
    try:
        assert asyncio.run(work())
    finally:
        gc.enable()
