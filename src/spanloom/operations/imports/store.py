"""Stores what was made of records, in batches, and reports what cannot be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.client import CallError, Client
from spanloom.operations.imports import langfuse, phoenix
from spanloom.operations.imports.records import BadRecord, Place
from spanloom.v1 import review_pb2, span_pb2

_BATCH_SPANS: Final = 500
_BATCH_BYTES: Final = 8 << 20
# What the server says of one thing; other failures are of the whole import.
_REFUSALS: Final = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")

Make = Callable[[Mapping[str, Any]], Iterable[Any]]
MAKERS: Final[dict[str, Make]] = {
    "langfuse": langfuse.made_of,
    "phoenix": lambda record: [phoenix.span_of(record)],
}


@dataclass
class Import:
    """One run.

    Attributes:
        report: Is called with the place of each record that cannot be stored, and why.
        advance: Is called with the number of spans and reviews of each step.
        spans, reviews, rejected: How many were stored, and how many could not be.
    """

    client: Client
    report: Callable[[str, str], None]
    advance: Callable[[int], None]
    spans: int = 0
    reviews: int = 0
    rejected: int = 0
    _places: list[str] = field(default_factory=list)
    _waiting: list[Any] = field(default_factory=list)
    _size: int = 0

    def run(self, records: Iterable[Place], make: Make) -> None:
        """Store all records."""
        for place, made in self._made(records, make):
            if isinstance(made, review_pb2.Review):
                self._write_review(place, made)
                continue
            size = made.ByteSize()
            full = len(self._waiting) == _BATCH_SPANS or self._size + size > _BATCH_BYTES
            if self._waiting and full:
                self._flush()
            self._places.append(place)
            self._waiting.append(made)
            self._size += size
        self._flush()

    def _made(self, records: Iterable[Place], make: Make) -> Iterator[tuple[str, Any]]:
        for place, record in records:
            if isinstance(record, BadRecord):
                self._reject(place, record.why)
                continue
            try:
                found = list(make(record))
            except (ValueError, OverflowError) as error:
                self._reject(place, str(error))
                continue
            for made in found:
                yield place, made

    def _reject(self, place: str, why: str) -> None:
        self.rejected += 1
        self.report(place, why)

    def _flush(self) -> None:
        places, spans = self._places, self._waiting
        self._places, self._waiting, self._size = [], [], 0
        if not spans:
            return
        if isinstance(spans[0], span_pb2.Span):
            response = self.client.import_spans(spans)
            self.spans += response.stored_count
            for one in response.rejections:
                self._reject(places[one.position - 1], one.message)
            self.rejected += response.rejected_count - len(response.rejections)
        elif not self._export(spans):
            self.spans += len(spans)
        else:  # which of them, is found by sending each alone; a repetition changes nothing
            for place, span in zip(places, spans, strict=True):
                if why := self._export([span]):
                    self._reject(place, why)
                else:
                    self.spans += 1
        self.advance(len(spans))

    def _export(self, spans: list[trace_pb2.Span]) -> str:
        """Store spans of OpenTelemetry; why some cannot be stored, "" if all are."""
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = "phoenix"
        scope.spans.extend(spans)
        stub = TraceServiceStub(self.client.channel)  # type: ignore[no-untyped-call]
        try:
            answer = self.client.call(stub.Export, request)
        except CallError as error:
            if error.code not in _REFUSALS:
                raise
            return str(error)
        partial = answer.partial_success
        return partial.error_message or "is refused" if partial.rejected_spans else ""

    def _write_review(self, place: str, review: review_pb2.Review) -> None:
        try:
            self.client.write_review(review)
        except CallError as error:
            if error.code not in _REFUSALS:
                raise
            self._reject(place, str(error))
            return
        self.reviews += 1
        self.advance(1)
