"""Spans on their way to the server: collected, sent in batches, with bounds on what may wait."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable

from spanloom.v1.span_pb2 import Span

BATCH_SPANS = 500
BATCH_BYTES = 4 << 20
WAITING_SPANS = 10_000
WAITING_BYTES = 64 << 20
# The longest time that a span waits for others.
INTERVAL = 0.5

_LOG = logging.getLogger("spanloom.client")


class LostSpansError(Exception):
    """Spans that could not be stored since the last flush.

    Attributes:
        count: Their number.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} span{'s' if count != 1 else ''} could not be stored")
        self.count = count


class _Waiting:
    """The spans that wait, with the numbers of those that were put, are done, and were lost."""

    def __init__(self) -> None:
        self._spans: deque[tuple[Span, int]] = deque()
        self._bytes = 0
        self.put_count = 0
        self.done_count = 0
        self.lost_count = 0
        self.lost_to: Exception | None = None

    def __bool__(self) -> bool:
        return bool(self._spans)

    @property
    def is_full(self) -> bool:
        return len(self._spans) >= WAITING_SPANS or self._bytes >= WAITING_BYTES

    @property
    def fills_a_batch(self) -> bool:
        return len(self._spans) >= BATCH_SPANS or self._bytes >= BATCH_BYTES

    def put(self, span: Span) -> None:
        size = span.ByteSize()
        self._spans.append((span, size))
        self._bytes += size
        self.put_count += 1

    def take(self) -> list[Span]:
        """The next batch: at least one span, if one waits."""
        taken: list[Span] = []
        size = 0
        while self._spans and len(taken) < BATCH_SPANS:
            span, bytes_of_it = self._spans[0]
            if taken and size + bytes_of_it > BATCH_BYTES:
                break
            self._spans.popleft()
            taken.append(span)
            size += bytes_of_it
        self._bytes -= size
        return taken

    def lose(self, count: int, error: Exception) -> None:
        _LOG.warning("%d spans could not be stored: %s", count, error)
        self.lost_count += count
        self.lost_to = error

    def report(self) -> None:
        """Raise LostSpansError for what was lost since the last report."""
        lost, error = self.lost_count, self.lost_to
        self.lost_count, self.lost_to = 0, None
        if lost:
            raise LostSpansError(lost) from error


class Batches:
    """Sends spans from a thread of its own.

    Args:
        send: Stores spans, and returns how many the server rejected and an error that says why. It
            ends within a bounded time, so that `put` never waits for ever.
    """

    def __init__(self, send: Callable[[list[Span]], tuple[int, Exception | None]]) -> None:
        self._send = send
        self._waiting = _Waiting()
        self._changed = threading.Condition()
        self._flushes = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, span: Span) -> None:
        """Add a span. It waits while too many others wait. After `close` the span is lost."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="spanloom", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.wait_for(lambda: self._closed or not self._waiting.is_full)
            if self._closed:
                self._waiting.lose(1, RuntimeError("the client is closed"))
                return
            is_first = not self._waiting
            self._waiting.put(span)
            if is_first or self._waiting.fills_a_batch:
                self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all spans that were put before are stored.

        Raises:
            LostSpansError: Spans could not be stored since the last flush.
            TimeoutError: Spans still wait after so many seconds.
        """
        with self._changed:
            last = self._waiting.put_count
            self._flushes += 1
            self._changed.notify_all()
            try:
                if not self._changed.wait_for(lambda: self._waiting.done_count >= last, timeout):
                    raise TimeoutError("spans are still waiting to be stored")
            finally:
                self._flushes -= 1
            self._waiting.report()

    def close(self) -> None:
        """Send what waits, and take no more. What was lost is in the log."""
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while spans := self._next():
            try:
                lost, error = self._send(spans)
            except Exception as failure:  # noqa: BLE001 - the thread continues with the next spans
                lost, error = len(spans), failure
            with self._changed:
                if error is not None:
                    self._waiting.lose(lost, error)
                self._waiting.done_count += len(spans)
                self._changed.notify_all()

    def _next(self) -> list[Span]:
        """The next batch, once it is full or old enough; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._waiting))
            self._changed.wait_for(
                lambda: self._closed or self._flushes > 0 or self._waiting.fills_a_batch,
                INTERVAL,
            )
            return self._waiting.take()


class AsyncBatches:
    """The same from a task of the running event loop."""

    def __init__(
        self, send: Callable[[list[Span]], Awaitable[tuple[int, Exception | None]]]
    ) -> None:
        self._send = send
        self._waiting = _Waiting()
        self._changed = asyncio.Condition()
        self._flushes = 0
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def put(self, span: Span) -> None:
        """As `Batches.put`."""
        async with self._changed:
            if self._task is None and not self._closed:
                self._task = asyncio.create_task(self._run())
            await self._changed.wait_for(lambda: self._closed or not self._waiting.is_full)
            if self._closed:
                self._waiting.lose(1, RuntimeError("the client is closed"))
                return
            self._waiting.put(span)
            self._changed.notify_all()

    async def flush(self) -> None:
        """As `Batches.flush`; bounded by `asyncio.timeout`."""
        async with self._changed:
            last = self._waiting.put_count
            self._flushes += 1
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: self._waiting.done_count >= last)
            finally:
                self._flushes -= 1
            self._waiting.report()

    async def close(self) -> None:
        """As `Batches.close`."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while spans := await self._next():
            try:
                lost, error = await self._send(spans)
            except Exception as failure:  # noqa: BLE001 - the task continues with the next spans
                lost, error = len(spans), failure
            async with self._changed:
                if error is not None:
                    self._waiting.lose(lost, error)
                self._waiting.done_count += len(spans)
                self._changed.notify_all()

    async def _next(self) -> list[Span]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._waiting))
            with contextlib.suppress(TimeoutError):  # old enough
                async with asyncio.timeout(INTERVAL):
                    await self._changed.wait_for(
                        lambda: self._closed or self._flushes > 0 or self._waiting.fills_a_batch
                    )
            return self._waiting.take()
