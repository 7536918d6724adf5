"""Traces, services and their calls as both services of Jaeger's API find them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanloom.adapters.jaeger.query import Conditions
from spanloom.adapters.jaeger.write import Recorded, all_tags
from spanloom.adapters.native.filters import is_only_text
from spanloom.adapters.otlp.around import service_in, service_of
from spanloom.adapters.otlp.write import traces_data
from spanloom.adapters.recorded import OTLP
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import not_found
from spanloom.model import Span, SpanQuery, dashed
from spanloom.model.checks import possible_id
from spanloom.model.placed import PlacedSpan
from spanloom.model.span import DAMAGED, NO_SENT
from spanloom.services.trace_ids import other_spellings
from spanloom.store.store import Store

MOST_RESOURCES: Final = 10_000
MOST_SPANS: Final = 10_000
_SEARCH_SECONDS: Final = 5.0
_MOST_BYTES: Final = 16 << 20
_DIGITS: Final = re.compile(r"[0-9a-f]{32}")
_DAMAGE: Final = "what was sent of this span is damaged in the database"
# Keys of what Jaeger has as tags, or a rendering of other spans adds: no index tells their values.
_MADE: Final = ("span.kind", "error", "event", "otel.", "w3c.", "gen_ai.", "spanloom.", "service.")
_MADE_TOO: Final = ("input.value", "output.value", "error.type")


class JaegerTraces:
    """Reads of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def services(self, project: str) -> list[str]:
        """The names of the services: those of resources, and the project's own."""
        found = await self._store.summaries.shared(project, limit=MOST_RESOURCES)
        names = await run_in_thread_if_large(len(found), lambda: set(map(service_in, found)))
        return sorted({*names, project})

    async def operations(self, project: str, service: str) -> list[str]:
        """The names of a service's spans, among the latest spans."""
        placed = await self._store.summaries.placed(project, limit=MOST_SPANS)
        of = service_of_placed(project, placed.envelopes)
        return sorted({span.name for span in placed.spans if of(span) == service})

    async def calls(
        self, project: str, since_ns: int, before_ns: int
    ) -> list[tuple[tuple[str, str], int]]:
        """How many spans of a service have a parent in another, by (service of the parents,
        service)."""
        placed = await self._store.summaries.placed(
            project, since_ns=since_ns, before_ns=before_ns, limit=MOST_SPANS
        )
        of = service_of_placed(project, placed.envelopes)

        def counted() -> list[tuple[tuple[str, str], int]]:
            named = {(span.trace_id, span.span_id): of(span) for span in placed.spans}
            parents = (
                (named.get((span.trace_id, span.parent_id)), of(span)) for span in placed.spans
            )
            found = Counter((a, b) for a, b in parents if a is not None and a != b)
            return sorted(found.items())

        return await run_in_thread_if_large(len(placed.spans), counted)

    async def find(self, project: str, asked: Conditions) -> list[str]:
        """The ids of the latest traces with a span that meets all conditions."""
        found: dict[str, None] = {}

        def take(span: Span) -> bool:
            if span.trace_id not in found and _meets(span, project, asked):
                found[span.trace_id] = None
            return len(found) < asked.limit

        texts = [value for key, value in asked.tags.items() if value and _is_sent(key, value)]
        if asked.service not in ("", project) and is_only_text(asked.service):
            texts.append(asked.service)
        query = SpanQuery(
            name=asked.operation,
            since_ns=asked.since_ns,
            before_ns=asked.before_ns,
            texts=tuple(texts),
        )
        await self._store.list_spans(project, query, take, seconds=_SEARCH_SECONDS)
        return list(found)

    async def stored_ids(self, project: str, trace_ids: Iterable[str]) -> dict[str, str]:
        """By the ids that are asked for those under which traces are stored; others are left
        out."""
        spellings = {asked: _spellings(asked) for asked in trace_ids}
        sought = [one for spelled in spellings.values() for one in spelled]
        existing = await self._store.summaries.existing(project, sought)
        return {
            asked: next(one for one in spelled if one in existing)
            for asked, spelled in spellings.items()
            if not existing.isdisjoint(spelled)
        }

    async def trace(self, project: str, trace_id: str) -> list[Span]:
        """The spans of a trace.

        Raises:
            SpanloomError: NOT_FOUND if there is no such trace.
        """
        stored = await self.stored_ids(project, [trace_id])
        spans = await self._store.trace_spans(project, stored[trace_id]) if stored else []
        if not spans:
            raise not_found("trace", trace_id[:64])
        return spans

    async def traces(self, project: str, trace_ids: Sequence[str]) -> list[list[Span]]:
        """The spans of traces, of as many as the answer has room for. One that was deleted
        meanwhile is left out."""
        found: list[list[Span]] = []
        size = 0
        for trace_id in trace_ids:
            spans = await self._store.trace_spans(project, trace_id)
            if spans:
                found.append(spans)
            size += sum(span.size for span in spans)
            if size > _MOST_BYTES:
                break
        return found


def recorded(span: Span, project: str) -> Recorded:
    """A span with its rendering as OpenTelemetry's."""
    [around] = otel_of([span], project).resource_spans
    return Recorded(span, around, _DAMAGE if span.sent is DAMAGED else "")


def otel_of(spans: Iterable[Span], project: str) -> TracesData:
    """Spans as OpenTelemetry's, each with its service; of a damaged one, what its columns say."""
    legible = (replace(s, sent=NO_SENT) if s.sent is DAMAGED else s for s in spans)
    return traces_data(legible, service=project)


def shown_trace_id(trace_id: str) -> str:
    """The id as clients of Jaeger know it: in 32 digits where it has 16 bytes."""
    digits = trace_id.replace("-", "")
    is_uuid = bool(_DIGITS.fullmatch(digits)) and trace_id == dashed(digits)
    return digits if is_uuid else trace_id


def service_of_placed(
    project: str, envelopes: Mapping[bytes, bytes]
) -> Callable[[PlacedSpan], str]:
    """The service of a span that was read without its contents."""
    names = {digest: service_in(content) for digest, content in envelopes.items()}
    return lambda span: project if span.envelope is None else names.get(span.envelope, project)


def _spellings(trace_id: str) -> list[str]:
    """The ids under which a trace may be stored that a client of Jaeger asks for."""
    if not possible_id(trace_id):
        return []
    others = other_spellings(trace_id)
    return [trace_id, *([dashed(trace_id)] if _DIGITS.fullmatch(trace_id) else others)]


def _meets(span: Span, project: str, asked: Conditions) -> bool:
    if asked.service:
        is_otlp = span.sent.adapter == OTLP
        if asked.service != (service_of(span.sent.fields) if is_otlp else project):
            return False
    if asked.least_ns or asked.most_ns is not None:
        took = max(0, (span.start_ns if span.end_ns is None else span.end_ns) - span.start_ns)
        if took < asked.least_ns or (asked.most_ns is not None and took > asked.most_ns):
            return False
    if not asked.tags:
        return True
    left = set(asked.tags.items())
    left.difference_update(all_tags(recorded(span, project)))
    return not left


def _is_sent(key: str, value: str) -> bool:
    """Whether a span with this tag has the value as a text in what was sent."""
    return is_only_text(value) and not key.startswith(_MADE) and key not in _MADE_TOO
