"""Streams of spans that are stored: the parts of SpanService.RecordSpans and ImportSpans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from spanloom.adapters.native.read import read_spans
from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import Code, Reason, SpanloomError, invalid_field, shutting_down
from spanloom.model import Span, trace_scan
from spanloom.model.checks import MOST_VIOLATIONS, Violations
from spanloom.model.evaluations import traces_requesting_evaluation
from spanloom.services.recording.read_ahead import ReadAhead, size_of
from spanloom.store.store import Store
from spanloom.v1 import error_reason_pb2
from spanloom.v1 import span_service_pb2 as pb

MOST_SPANS: Final = 10_000
# Spans that an import stores at once.
_GROUP: Final = 500
_GROUP_BYTES: Final = 4 << 20
_MOST_REJECTIONS: Final = 100
# A stream waits so long where the queue before the database is full.
_FULL_SECONDS: Final = 0.05
# Requests from this size on are converted in a thread, which loses their order.
_LARGE: Final = 1 << 20
_REFUSED: Final = (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED)
_LIMITED: Final = (Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED)


async def read_request(
    spans: Sequence[Any], kind: type[Any], size: int, received_ns: int
) -> list[Span]:
    """The spans of a request that stores 1 to 10,000 of them.

    Args:
        kind: The class of the request, for paths.
        size: The bytes of the request.
    """
    bad = Violations(spelled=json_path(kind))
    if not spans:
        bad.add("spans", "is required: at least one span")
    if len(spans) > MOST_SPANS:
        bad.add("spans", f"must have at most {MOST_SPANS} elements, but has {len(spans)}")
        bad.refuse()
    return await run_in_thread_if_large(
        max(len(spans), size // 4096), lambda: read_spans(spans, received_ns=received_ns, bad=bad)
    )


@dataclass(frozen=True, slots=True)
class Recorder:
    """Stores spans in a project, for the role of a key."""

    store: Store
    project: str
    only_own: bool

    async def record(self, spans: Sequence[Span]) -> None:
        """Store spans atomically."""
        certain, possible = traces_requesting_evaluation(spans)
        # Each time: the project may have been deleted since the stream began.
        await self.store.ensure_project(self.project)
        await self.store.record_spans(
            self.project,
            spans,
            evaluations=[trace_scan(trace_id) for trace_id in sorted(certain)],
            scan_if_sampled=possible,
            only_own=self.only_own,
        )

    async def record_patiently(self, spans: Sequence[Span]) -> None:
        """The same, once the queue before the database has room and the limits of the project and
        of the key allow it."""
        while True:
            try:
                return await self.record(spans)
            except SpanloomError as error:
                if error.reason is Reason.QUEUE_FULL:
                    wait = _FULL_SECONDS
                elif error.reason is Reason.RATE_LIMITED:
                    wait = error.retry_after or _FULL_SECONDS
                else:
                    raise
            await asyncio.sleep(wait)


@dataclass(slots=True)
class _Progress:
    """What a stream of requests has come to, as far as it is not acknowledged yet."""

    sequence: int = 0
    stored: int = 0
    rejections: list[pb.RecordSpansResponse.Rejection] = field(default_factory=list)

    def settle(self, sequence: int, outcome: int | SpanloomError) -> None:
        """A request is durable, with so many spans, or rejected.

        Raises:
            SpanloomError: The server failed, not the request.
        """
        if isinstance(outcome, SpanloomError):
            if outcome.code not in _REFUSED and outcome.reason not in _LIMITED:
                raise outcome
            self.rejections.append(_rejection(sequence, outcome))
        else:
            self.stored += outcome
        self.sequence = sequence

    def response(self) -> pb.RecordSpansResponse:
        rejections, self.rejections = self.rejections, []
        return pb.RecordSpansResponse(
            acknowledged_sequence=self.sequence,
            stored_count=self.stored,
            rejections=rejections,
        )


async def record(
    recorder: Recorder,
    requests: AsyncIterator[pb.RecordSpansRequest],
    is_draining: Callable[[], bool],
) -> AsyncGenerator[pb.RecordSpansResponse, None]:
    """Store requests in order, each atomically, and acknowledge them in groups.

    What was read together is stored together. When the server drains, what is being stored is
    acknowledged before the call ends.
    """
    progress = _Progress()
    last = 0
    async with ReadAhead(requests) as ahead:
        while taken := await ahead.take():
            failure: SpanloomError | None = None
            group: list[pb.RecordSpansRequest] = []
            for request in taken:
                if request.sequence <= last:
                    failure = _not_greater(request, last)
                    break
                last = request.sequence
                group.append(request)
            storing = asyncio.create_task(_store(recorder, group, progress))
            try:
                failure = await asyncio.shield(storing) or failure
            except asyncio.CancelledError:
                if not is_draining():
                    raise
                failure = await storing or failure
            ahead.settle(sum(map(size_of, taken)))
            if group:
                yield progress.response()
            if failure:
                raise failure
            if is_draining():
                raise shutting_down()


async def _store(
    recorder: Recorder, group: Sequence[pb.RecordSpansRequest], progress: _Progress
) -> SpanloomError | None:
    """Store requests; the failure of the server that ended it, if one did."""
    waiting: list[tuple[int, asyncio.Task[int | SpanloomError]]] = []
    at = 0
    try:
        while at < len(group):
            request = group[at]
            size = request.ByteSize()
            if size > _LARGE:
                await _settle(waiting, progress)
            outcome = await _read(request, size)
            writing = asyncio.create_task(_written(recorder, outcome))
            # It comes as far as the queue, which keeps the order, or is refused by it.
            await asyncio.sleep(0)
            if size > _LARGE:
                await asyncio.wait([writing])
            if writing.done() and _is_full(writing.result()):
                await _settle(waiting, progress)
                await asyncio.sleep(_FULL_SECONDS)
                continue
            waiting.append((request.sequence, writing))
            at += 1
        await _settle(waiting, progress)
    except SpanloomError as error:
        return error
    finally:
        for _, task in waiting:
            task.cancel()
    return None


async def _settle(
    waiting: list[tuple[int, asyncio.Task[int | SpanloomError]]], progress: _Progress
) -> None:
    while waiting:
        sequence, task = waiting[0]
        outcome = await task
        progress.settle(sequence, outcome)
        waiting.pop(0)


async def _read(request: pb.RecordSpansRequest, size: int) -> list[Span] | SpanloomError:
    try:
        return await read_request(request.spans, type(request), size, time.time_ns())
    except SpanloomError as error:
        return error


async def _written(recorder: Recorder, outcome: list[Span] | SpanloomError) -> int | SpanloomError:
    if isinstance(outcome, SpanloomError):
        return outcome
    try:
        await recorder.record(outcome)
    except SpanloomError as error:
        return error
    return len(outcome)


def _is_full(outcome: int | SpanloomError) -> bool:
    return isinstance(outcome, SpanloomError) and outcome.reason is Reason.QUEUE_FULL


def _not_greater(request: pb.RecordSpansRequest, last: int) -> SpanloomError:
    return invalid_field("sequence", f"must be greater than {last}, but is {request.sequence}")


def _rejection(sequence: int, error: SpanloomError) -> pb.RecordSpansResponse.Rejection:
    fields = [violation.field for violation in error.violations if violation.field]
    rejection = pb.RecordSpansResponse.Rejection(
        sequence=sequence,
        reason=_reason(error),
        message=error.message,
        fields=fields[:MOST_VIOLATIONS],
    )
    if error.retry_after is not None:
        rejection.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
    return rejection


def _reason(error: SpanloomError) -> Any:
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")


class Import:
    """Stores single spans in groups, and counts what was stored and what was rejected."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._position = 0
        self.response = pb.ImportSpansResponse()

    async def read(self, requests: AsyncIterator[pb.ImportSpansRequest | SpanloomError]) -> None:
        """Store all spans of a stream. What could not be read as a span is an error in it."""
        async with ReadAhead(requests) as ahead:
            while taken := await ahead.take():
                group: list[tuple[int, Span]] = []
                size = 0
                for request in taken:
                    self._position += 1
                    size += size_of(request)
                    try:
                        if isinstance(request, SpanloomError):
                            raise request
                        bad = Violations(spelled=json_path(type(request)))
                        [span] = read_spans(
                            [request.span], received_ns=time.time_ns(), bad=bad, field="span"
                        )
                        group.append((self._position, span))
                    except SpanloomError as error:
                        self._reject(self._position, error)
                    if len(group) >= _GROUP or size >= _GROUP_BYTES:
                        await self._store(group)
                        group.clear()
                        ahead.settle(size)
                        size = 0
                        await asyncio.sleep(0)  # other calls
                await self._store(group)
                ahead.settle(size)

    async def _store(self, group: Sequence[tuple[int, Span]]) -> None:
        """Store a group; if it is refused, each span alone."""
        if not group:
            return
        try:
            await self._recorder.record_patiently([span for _, span in group])
        except SpanloomError as error:
            if error.code not in _REFUSED:
                raise
            if len(group) == 1:
                self._reject(group[0][0], error)
                return
            for one in group:
                await self._store([one])
            return
        self.response.stored_count += len(group)

    def _reject(self, position: int, error: SpanloomError) -> None:
        if error.code not in _REFUSED:
            raise error
        self.response.rejected_count += 1
        if len(self.response.rejections) < _MOST_REJECTIONS:
            self.response.rejections.add(
                position=position,
                reason=_reason(error),
                message=error.message.replace("span[0].", ""),
            )
