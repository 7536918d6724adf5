"""Follows the log of changes, and sends each span that has ended to another receiver.

The log itself is the queue: a cursor in the database says how far the receiver has all, and moves
after the receiver's answer. So nothing is lost by a crash of either side, and what was sent and not
yet noted is sent again (at least once). The log has each span once, at the place of its newest
version: a span that is written again is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom import metrics
from spanloom.adapters.otlp.write import traces_data
from spanloom.errors import SpanloomError
from spanloom.forwarding.receiver import Answer, Receiver
from spanloom.model import Span, uuid7
from spanloom.store.store import Store

log = structlog.get_logger("spanloom.forwarding")

_NAME: Final = "forward"
_MOST_SPANS: Final = 500
_MOST_BYTES: Final = 2 << 20
_LEASE_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 0.5
_LEAST_PAUSE: Final = 0.5
_MOST_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What is sent, and where to.

    Args:
        projects: Only these; None for all.
        name: Of the cursor.
    """

    receiver: Receiver
    projects: frozenset[str] | None = None
    name: str = _NAME


async def forward_until(stop: asyncio.Event, store: Store, what: Forwarding) -> None:
    """Send what is stored until stopped. Of several processes one does so at a time."""
    forwarder = _Forwarder(stop, store, what)
    try:
        while not stop.is_set():
            try:
                await forwarder.run()
            except SpanloomError as error:
                log.warning("the log of changes cannot be forwarded", reason=error.reason)
            except Exception:
                log.exception("spans cannot be forwarded")
            await forwarder.pause(_IDLE_SECONDS)
    finally:
        with contextlib.suppress(SpanloomError):  # it expires by itself
            await store.release_cursor(what.name, forwarder.owner)


class _Forwarder:
    def __init__(self, stop: asyncio.Event, store: Store, what: Forwarding) -> None:
        self.owner = uuid7()
        self._stop, self._store, self._what = stop, store, what

    async def run(self) -> None:
        """Send until another process has the cursor, or the program stops."""
        position = await self._store.take_cursor(self._what.name, self.owner, _LEASE_SECONDS)
        noted = time.monotonic()
        changes = self._store.summaries
        while position is not None and not self._stop.is_set():
            own_writes = changes.own_writes()
            part = await changes.stored(
                self._what.projects, position, limit=_MOST_SPANS, size=_MOST_BYTES
            )
            ended = [one.span for one in part.spans if one.span.end_ns is not None]
            if not await self._send(ended, position):
                return
            if part.reached > position or time.monotonic() > noted + _LEASE_SECONDS / 3:
                position = part.reached
                if not await self._keep(position):
                    return
                noted = time.monotonic()
            if not part.more:
                await changes.wait_for_own_write(own_writes, _IDLE_SECONDS)

    async def _keep(self, position: int) -> bool:
        """Move the cursor, or stay and keep it; whether this process has it still."""
        return await self._store.move_cursor(self._what.name, self.owner, position, _LEASE_SECONDS)

    async def _send(self, spans: Sequence[Span], position: int) -> bool:
        """Send spans until they are taken or refused for good; False if it did not come to that."""
        waiting = [spans] if spans else []
        seconds = _LEAST_PAUSE
        while waiting:
            part = waiting.pop()
            answer = await asyncio.to_thread(self._sent, part)
            if answer.stored:
                _count(len(part) - answer.refused_spans, answer.refused_spans, answer)
            elif answer.too_large and len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
                continue
            elif not answer.again:
                _count(0, len(part), answer)
            else:
                waiting.append(part)
                metrics.FORWARD_REPEATS.inc()
                log.warning("spans are not forwarded yet", spans=len(part), cause=answer.message)
                await self.pause(max(answer.retry_after or 0.0, seconds))
                seconds = min(2 * seconds, _MOST_PAUSE)
                if self._stop.is_set() or not await self._keep(position):
                    return False
                continue
            seconds = _LEAST_PAUSE
        return True

    def _sent(self, spans: Sequence[Span]) -> Answer:
        data = traces_data(spans)
        request = ExportTraceServiceRequest(resource_spans=data.resource_spans)
        return self._what.receiver.send(request.SerializeToString())

    async def pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _count(taken: int, refused: int, answer: Answer) -> None:
    metrics.FORWARDED_SPANS.labels("taken").inc(taken)
    if refused:
        metrics.FORWARDED_SPANS.labels("refused").inc(refused)
        log.error("the receiver refuses spans", spans=refused, cause=answer.message)
