"""A project that floods a server does not keep others out."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from spanloom.errors import SpanloomError
from spanloom.server.auth import Principal
from spanloom.server.methods import Method, method_table
from spanloom.server.middleware import Middleware
from tests.clients import until
from tests.databases import new_url
from tests.server.lab import PATHS, Lab, service
from tests.servers import LiveServer


class Keys:
    """A key is the name of its project and a number."""

    needs_no_key = False

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        return None

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal(metadata["key"].partition("-")[0], "admin", metadata["key"])


def test_another_project_has_its_part_of_places_that_are_all_taken() -> None:
    async def work() -> None:
        middleware = Middleware(Keys(), max_in_flight=8, max_calls_per_key=4)
        table = {m.descriptor.name: m for m in method_table({service(PATHS): Lab()})}
        method: Method = table["Wait"]
        go_on = asyncio.Event()

        async def read() -> Any:
            await go_on.wait()
            return method.request_class(value="0")

        def call(key: str) -> asyncio.Task[Any]:
            answer = middleware.unary(method, {"key": key}, read, request_id="r", transport="test")
            return asyncio.create_task(answer)

        flood = [call(f"flood-{n % 4}") for n in range(12)]
        await asyncio.sleep(0)
        others = [call("other-1") for _ in range(5)]
        await asyncio.sleep(0)
        go_on.set()
        is_in = [not isinstance(answer, SpanloomError) for answer in await asyncio.gather(*flood)]
        assert Counter(is_in) == {True: 8, False: 4}
        is_in = [not isinstance(answer, SpanloomError) for answer in await asyncio.gather(*others)]
        assert is_in == [True] * 4 + [False]
        assert not middleware.is_busy

    asyncio.run(work())


def test_a_flood_by_several_keys_does_not_keep_another_project_from_writing(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {"queue_rows": 20, "max_in_flight": 6, "max_calls_per_key": 3}
    with LiveServer(database=new_url("sqlite", tmp_path), log_level="error", **settings) as server:
        url = f"http://{server.running.http_address}/v1/spans:write"
        answers: Counter[int] = Counter()
        is_over = threading.Event()

        def write(http: httpx.Client, key: str, name: str) -> int:
            spans = [{"traceId": name, "spanId": str(n)} for n in range(10)]
            headers = {"authorization": f"Bearer {key}"}
            return http.post(url, json={"spans": spans}, headers=headers).status_code

        def flood(key: str, number: int) -> None:
            with httpx.Client(timeout=60) as http:
                while not is_over.is_set():
                    answers[write(http, key, f"flood-{number}")] += 1

        keys = [server.key("flood", "ingest") for _ in range(4)]
        threads = [threading.Thread(target=flood, args=(keys[n % 4], n)) for n in range(8)]
        other = server.key("other", "ingest")
        try:
            for thread in threads:
                thread.start()
            until(lambda: answers[429] > 10 and answers[200])
            with httpx.Client(timeout=60) as http:
                found = [write(http, other, f"other-{n}") for n in range(30)]
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert found == [200] * 30
    assert set(answers) == {200, 429}
