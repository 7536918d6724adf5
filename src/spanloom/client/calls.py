"""Calls with the key, a deadline and repetitions; pages and streams as iterators.

`Calls` and `AsyncCalls` are the same for threads and for an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from spanloom.client.connection import Connection
from spanloom.client.errors import call_error, pause_before_retry, pause_of_tail

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Calls:
    """Calls on one channel.

    Args:
        channel: A channel to use instead of a new one; it is not closed.
        timeout: The seconds that a call may take with all its attempts.
        attempts: The number of times that a call is tried.
    """

    def __init__(
        self, made: Connection, channel: grpc.Channel | None, timeout: float, attempts: int
    ) -> None:
        self._owned: grpc.Channel | None = None
        if channel is None:
            channel = self._owned = (
                grpc.secure_channel(made.target, made.credentials, made.options)
                if made.credentials
                else grpc.insecure_channel(made.target, made.options)
            )
        self.channel = channel
        self.metadata = made.metadata
        self._timeout, self._attempts = timeout, attempts

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        repeat: bool = True,
    ) -> ResponseT:
        """Call a method. `repeat`: whether it may be called again after a failure."""
        return self.repeated(
            lambda left: method(request, timeout=left, metadata=self.metadata),
            None if repeat else 1,
        )

    def repeated(self, attempt: Callable[[float], T], attempts: float | None = None) -> T:
        """Try something so often. It is given the seconds that are left."""
        end = time.monotonic() + self._timeout
        number = 0
        while True:
            number += 1
            try:
                return attempt(max(end - time.monotonic(), 0.001))
            except grpc.RpcError as failure:
                error = call_error(failure)
                pause = pause_before_retry(error, number, end - time.monotonic())
                if pause is None or number >= (attempts or self._attempts):
                    raise error from None
            time.sleep(pause)

    def pages(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        items: str,
    ) -> Iterator[Any]:
        """The items of all pages of a list."""
        page: Any = request
        while True:
            response: Any = self.call(method, page)
            yield from getattr(response, items)
            if not response.next_page_token:
                return
            page.page_token = response.next_page_token

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> Iterator[ResponseT]:
        """The responses of one call. It is not repeated."""
        try:
            yield from method(request, metadata=self.metadata)
        except grpc.RpcError as failure:
            raise call_error(failure) from None

    def tail(
        self, method: grpc.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> Generator[Any, None, None]:
        """The responses of a stream, which begins again where it was interrupted."""
        position: Any = request
        failures = 0
        while True:
            responses: Any = method(position, metadata=self.metadata)
            try:
                for response in responses:
                    failures = 0
                    position.cursor = response.cursor
                    yield response
                return
            except grpc.RpcError as failure:
                error = call_error(failure)
                failures += 1
                pause = pause_of_tail(error, failures)
                if pause is None or failures >= self._attempts:
                    raise error from None
            finally:
                responses.cancel()
            time.sleep(pause)


class AsyncCalls:
    """As `Calls`."""

    def __init__(
        self, made: Connection, channel: aio.Channel | None, timeout: float, attempts: int
    ) -> None:
        self._owned: aio.Channel | None = None
        if channel is None:
            channel = self._owned = (
                aio.secure_channel(made.target, made.credentials, made.options)
                if made.credentials
                else aio.insecure_channel(made.target, made.options)
            )
        self.channel = channel
        self.metadata = made.metadata
        self._timeout, self._attempts = timeout, attempts

    async def close(self) -> None:
        if self._owned is not None:
            await self._owned.close()

    async def call(
        self,
        method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        repeat: bool = True,
    ) -> ResponseT:
        """As `Calls.call`."""
        return await self.repeated(
            lambda left: method(request, timeout=left, metadata=self.metadata),
            None if repeat else 1,
        )

    async def repeated(
        self, attempt: Callable[[float], Awaitable[T]], attempts: float | None = None
    ) -> T:
        """As `Calls.repeated`."""
        end = time.monotonic() + self._timeout
        number = 0
        while True:
            number += 1
            try:
                return await attempt(max(end - time.monotonic(), 0.001))
            except grpc.RpcError as failure:
                error = call_error(failure)
                pause = pause_before_retry(error, number, end - time.monotonic())
                if pause is None or number >= (attempts or self._attempts):
                    raise error from None
            await asyncio.sleep(pause)

    async def pages(
        self,
        method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        items: str,
    ) -> AsyncIterator[Any]:
        """As `Calls.pages`."""
        page: Any = request
        while True:
            response: Any = await self.call(method, page)
            for item in getattr(response, items):
                yield item
            if not response.next_page_token:
                return
            page.page_token = response.next_page_token

    async def stream(
        self, method: aio.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> AsyncIterator[ResponseT]:
        """As `Calls.stream`."""
        try:
            async for response in method(request, metadata=self.metadata):
                yield response
        except grpc.RpcError as failure:
            raise call_error(failure) from None

    async def tail(
        self, method: aio.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> AsyncGenerator[Any, None]:
        """As `Calls.tail`."""
        position: Any = request
        failures = 0
        while True:
            responses: Any = method(position, metadata=self.metadata)
            try:
                async for response in responses:
                    failures = 0
                    position.cursor = response.cursor
                    yield response
                return
            except grpc.RpcError as failure:
                error = call_error(failure)
                failures += 1
                pause = pause_of_tail(error, failures)
                if pause is None or failures >= self._attempts:
                    raise error from None
            finally:
                responses.cancel()
            await asyncio.sleep(pause)
