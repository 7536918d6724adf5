"""The services of the API in this process, behind the interface of a gRPC channel.

So the client, and with it every command, works on a database without a server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Self

from spanloom.app import methods, open_store, redaction_of
from spanloom.config import Settings
from spanloom.model import uuid7
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE
from spanloom.services.context import CallContext


class LocalChannel:
    """Calls of the stubs, answered from a database; to be used in a `with` block.

    Args:
        settings: Of the database.
        project: The project of the calls.
        create: Whether a database that does not exist is created, and an old one upgraded.

    Raises:
        SetupError: The database cannot be used.
    """

    def __init__(
        self, settings: Settings, *, project: str = DEFAULT_PROJECT, create: bool = False
    ) -> None:
        self._settings, self._project, self._create = settings, project, create
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._store = self._run(open_store(self._settings, migrate=self._create))
        except BaseException:
            self._stop()
            raise
        table = methods(self._store, redaction=redaction_of(self._settings, self._store))
        self._methods = {method.full_name: method for method in table}
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._store.close())
        finally:
            self._stop()

    def unary_unary(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        answer = self._answer(path)
        return lambda request, **_: self._run(answer(request, self._context()))

    def stream_unary(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        answer = self._answer(path)
        return lambda requests, **_: self._run(answer(_each(requests), self._context()))

    def unary_stream(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        answer = self._answer(path)
        return lambda request, **_: _Responses(self._run, answer(request, self._context()))

    def stream_stream(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        answer = self._answer(path)
        return lambda requests, **_: _Responses(self._run, answer(_each(requests), self._context()))

    def _answer(self, path: str) -> Callable[..., Any]:
        return self._methods[path.removeprefix("/")].answer

    def _context(self) -> CallContext:
        return CallContext(
            request_id=uuid7(),
            key_project=INSTANCE,
            role="admin",
            received_ns=time.time_ns(),
            header_project=self._project,
        )

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Responses:
    """The responses of a stream, one by one."""

    def __init__(self, run: Callable[[Any], Any], responses: Any) -> None:
        self._call, self._responses = run, responses

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        response = self._call(_next(self._responses))
        if response is None:
            raise StopIteration
        return response

    def cancel(self) -> None:
        self._call(self._responses.aclose())


async def _next(responses: AsyncIterator[Any]) -> Any:
    """The next response, None at the end: a future cannot hold StopAsyncIteration."""
    return await anext(responses, None)


async def _each(requests: Iterable[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request
