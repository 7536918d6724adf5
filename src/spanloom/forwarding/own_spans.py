"""Sends what the server records of itself (`spanloom.tracing`) to a receiver of OpenTelemetry.

Spans that cannot be sent are kept for a while and then dropped: the server never waits for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom import metrics
from spanloom.forwarding.receiver import Answer, Receiver
from spanloom.tracing import OwnSpan, Recorder

log = structlog.get_logger("spanloom.tracing")

_MOST_SPANS: Final = 512
_PAUSE_SECONDS: Final = 1.0
_MOST_PAUSE: Final = 60.0


async def send_own_spans_until(
    stop: asyncio.Event, recorder: Recorder, to: Receiver, version: str
) -> None:
    """Send until stopped, and then what is left, once.

    Args:
        version: Of this server, for the receiver.
    """
    resource = _attributes(
        {
            "service.name": "spanloom",
            "service.version": version,
            "service.instance.id": str(uuid.uuid4()),
            "process.pid": os.getpid(),
        }
    )
    waiting: list[OwnSpan] = []
    pause = _PAUSE_SECONDS
    while True:
        is_last = stop.is_set()
        new, dropped = recorder.take(_MOST_SPANS - len(waiting))
        waiting += new
        if dropped:
            metrics.OWN_SPANS.labels("dropped").inc(dropped)
        is_full, failed = len(waiting) == _MOST_SPANS, False
        if waiting:
            answer = await asyncio.to_thread(to.send, _request(waiting, resource))
            failed = answer.again
            if failed and not is_last:
                if pause == _PAUSE_SECONDS:
                    log.warning("own spans cannot be sent yet", cause=answer.message)
            else:
                _count(len(waiting), answer)
                waiting = []
        if is_last and (failed or not is_full):
            return
        pause = min(2 * pause, _MOST_PAUSE) if failed else _PAUSE_SECONDS
        if failed or not is_full:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)


def _count(number: int, answer: Answer) -> None:
    refused = answer.refused_spans if answer.stored else number
    metrics.OWN_SPANS.labels("sent").inc(number - refused)
    if refused:
        metrics.OWN_SPANS.labels("dropped").inc(refused)
        log.warning("own spans are dropped", spans=refused, cause=answer.message)


def _request(spans: Sequence[OwnSpan], resource: Sequence[KeyValue]) -> bytes:
    request = ExportTraceServiceRequest()
    of_server = request.resource_spans.add()
    of_server.resource.attributes.extend(resource)
    scope = of_server.scope_spans.add()
    scope.scope.name = "spanloom"
    scope.spans.extend(map(_message, spans))
    return request.SerializeToString()


def _message(span: OwnSpan) -> trace_pb2.Span:
    kind = trace_pb2.Span.SPAN_KIND_SERVER if span.is_call else trace_pb2.Span.SPAN_KIND_INTERNAL
    message = trace_pb2.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        name=span.name,
        kind=kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        links=[trace_pb2.Span.Link(trace_id=t, span_id=s) for t, s in span.links],
    )
    if span.error:
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        message.status.message = span.error
    return message


def _attributes(values: dict[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(
            key=name,
            value=AnyValue(int_value=value)
            if isinstance(value, int)
            else AnyValue(string_value=value),
        )
        for name, value in values.items()
    ]
