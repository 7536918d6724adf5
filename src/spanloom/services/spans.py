"""SpanService: what proto/spanloom/v1/span_service.proto promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any

from spanloom.adapters.native.filters import Condition, span_query
from spanloom.adapters.native.texts import shown_span, whole_text
from spanloom.adapters.native.update import read_update
from spanloom.codec.json_path import json_path
from spanloom.codec.list_token import list_name, position_in, token_of
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.required_fields import missing_fields
from spanloom.codec.text_cuts import MOST_BYTES
from spanloom.errors import SpanloomError, invalid_field, not_found
from spanloom.model import Span
from spanloom.model.checks import Violations, possible_id
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.model.span import NATIVE
from spanloom.services.context import CallContext
from spanloom.services.prices import ProjectPrices
from spanloom.services.queries.cursors import position_of_cursor
from spanloom.services.recording.spans import MOST_SPANS, Import, Recorder, read_request, record
from spanloom.services.tails.follower import Follower
from spanloom.services.tails.spans import METHOD, SpanGroup
from spanloom.services.trace_ids import stored_trace_id
from spanloom.store.store import Store
from spanloom.v1 import span_pb2
from spanloom.v1 import span_service_pb2 as pb

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
DEFAULT_TEXT, MAX_TEXT = 65_536, 262_144
# How long one page is searched for.
SLICE_SECONDS = 1.0
_MAX_WARNINGS = 100


class SpanService:
    """Spans in and out, in Spanloom's own shape."""

    def __init__(self, store: Store, follower: Follower) -> None:
        self._store = store
        self._follower = follower
        self._prices = ProjectPrices(store)

    async def write_spans(
        self, request: pb.WriteSpansRequest, call: CallContext
    ) -> pb.WriteSpansResponse:
        recorder = await self._recorder(call)
        size = request.ByteSize()
        spans = await read_request(request.spans, type(request), size, call.received_ns)
        await recorder.record(spans)
        return pb.WriteSpansResponse(warnings=await self._warnings(recorder.project, spans))

    async def import_spans(
        self, requests: AsyncIterator[pb.ImportSpansRequest | SpanloomError], call: CallContext
    ) -> pb.ImportSpansResponse:
        imported = Import(await self._recorder(call))
        await imported.read(requests)
        return imported.response

    import_spans.takes_refusals = True  # type: ignore[attr-defined]

    async def record_spans(
        self, requests: AsyncIterator[pb.RecordSpansRequest], call: CallContext
    ) -> AsyncIterator[pb.RecordSpansResponse]:
        recorder = await self._recorder(call)
        async with aclosing(record(recorder, requests, call.is_draining)) as responses:
            async for response in responses:
                yield response

    async def tail_spans(
        self, request: pb.TailSpansRequest, call: CallContext
    ) -> AsyncIterator[pb.TailSpansResponse]:
        project = call.project()
        bad = _view_of(request)
        query, matches = span_query(request.filter, request.trace_id, bad)
        is_basic, limit = request.view == span_pb2.SPAN_VIEW_BASIC, _text_limit(request)
        if request.cursor:
            position = position_of_cursor(request.cursor, METHOD, project, call.received_ns)
        else:
            position = await self._store.summaries.present()
        holds = self._store.condition(query)

        def make() -> SpanGroup:
            return SpanGroup(
                self._store,
                project,
                lambda span: holds(span) and matches(span),
                basic=is_basic,
                limit=limit,
            )

        asked = type(request)()
        asked.CopyFrom(request)
        asked.ClearField("cursor")
        key = asked.SerializeToString(deterministic=True)
        async with aclosing(self._follower.read(project, METHOD, key, position, make)) as responses:
            async for response in responses:
                yield response

    async def get_span(self, request: pb.GetSpanRequest, call: CallContext) -> pb.GetSpanResponse:
        span = await self._span(request, call)
        limit = _text_limit(request)
        weight = len(span.genai.input_messages) + len(span.genai.output_messages)
        message = await run_in_thread_if_large(
            max(weight, MOST_BYTES), lambda: shown_span(span, limit=limit)
        )
        return pb.GetSpanResponse(span=message)

    async def list_spans(
        self, request: pb.ListSpansRequest, call: CallContext
    ) -> pb.ListSpansResponse:
        project = call.project()
        spelled = json_path(type(request))
        size = clamped_page_size(
            spelled("page_size"),
            request.page_size,
            default=DEFAULT_PAGE_SIZE,
            maximum=MAX_PAGE_SIZE,
        )
        limit = _text_limit(request)
        bad = _view_of(request)
        query, matches = span_query(request.filter, request.trace_id, bad)
        name = list_name("ListSpans", request)
        after = position_in(
            request.page_token, name, project, (int, int, str, str), spelled("page_token")
        )
        page = _Page(matches, size, limit, basic=request.view == span_pb2.SPAN_VIEW_BASIC)
        last, _ = await self._store.list_spans(
            project,
            query,
            page.take,
            oldest_first=bool(request.trace_id),
            after=None if after is None else tuple(after),
            seconds=SLICE_SECONDS,
        )
        return pb.ListSpansResponse(
            spans=page.spans,
            next_page_token="" if last is None else token_of(name, project, list(last)),
        )

    async def read_span_text(
        self, request: pb.ReadSpanTextRequest, call: CallContext
    ) -> pb.ReadSpanTextResponse:
        span = await self._span(request, call)
        offset = not_negative("offset", request.offset)
        limit = clamped_page_size("limit", request.limit, default=DEFAULT_TEXT, maximum=MAX_TEXT)

        def read() -> pb.ReadSpanTextResponse | None:
            whole = whole_text(span, request.path)
            if whole is None:
                return None
            return pb.ReadSpanTextResponse(
                text=whole[offset : offset + limit],
                offset=min(offset, len(whole)),
                length=len(whole),
                sha256=sha256(whole.encode()).hexdigest(),
            )

        try:
            found = await run_in_thread_if_large(MOST_BYTES, read)
        except ValueError:
            raise invalid_field("path", "is not a path of a value") from None
        if found is None:
            raise not_found("text", request.path[:256])
        return found

    async def update_span(
        self, request: pb.UpdateSpanRequest, call: CallContext
    ) -> pb.UpdateSpanResponse:
        project = call.project()
        bad = _required(request)
        for name in ("trace_id", "span_id"):
            if value := getattr(request.span, name):
                bad.check_id(f"span.{name}", value)
        patch = read_update(request, bad)
        await self._store.ensure_project(project)
        if patch:
            await self._store.patch_span(
                project,
                request.span.trace_id,
                request.span.span_id,
                patch,
                only_of=NATIVE if call.only_ingests else "",
            )
        return pb.UpdateSpanResponse()

    async def delete_spans(
        self, request: pb.DeleteSpansRequest, call: CallContext
    ) -> pb.DeleteSpansResponse:
        project = call.project()
        bad = _required(request)
        _check_number(request.spans, bad)
        bad.refuse()
        keys = {(span.trace_id, span.span_id) for span in request.spans}
        possible = {key for key in keys if all(map(possible_id, key))}
        number = await self._store.delete_spans(project, possible) if possible else 0
        return pb.DeleteSpansResponse(deleted_count=number)

    async def delete_trace_spans(
        self, request: pb.DeleteTraceSpansRequest, call: CallContext
    ) -> pb.DeleteTraceSpansResponse:
        project = call.project()
        _required(request).refuse()
        trace_id = request.trace_id
        number = None
        if possible_id(trace_id):
            number = await self._store.delete_trace_spans(project, trace_id)
        if number is None and not request.allow_missing:
            raise not_found("trace", trace_id[:64])
        return pb.DeleteTraceSpansResponse(deleted_count=number or 0)

    async def _recorder(self, call: CallContext) -> Recorder:
        project = call.project()
        await self._prices.use(project)
        return Recorder(self._store, project, call.only_ingests)

    async def _span(
        self, request: pb.GetSpanRequest | pb.ReadSpanTextRequest, call: CallContext
    ) -> Span:
        project = call.project()
        _required(request).refuse()
        trace_id = await stored_trace_id(self._store, project, request.trace_id)
        key = trace_id, request.span_id
        span = await self._store.find_span(project, *key) if all(map(possible_id, key)) else None
        if span is None:
            raise not_found("span", "/".join(part[:64] for part in key))
        return span

    async def _warnings(self, project: str, spans: Sequence[Span]) -> list[str]:
        """What was understood differently than it was sent."""
        lines = [
            f'the span "{span.span_id}" ends before it starts'
            for span in spans
            if span.end_ns is not None and span.end_ns < span.start_ns
        ]
        if slugs := {slug for span in spans for slug in span.trace.evaluators}:
            known = {one.slug for one in await self._store.catalog.evaluators(project, slugs)}
            lines += [f'the project has no evaluator "{slug}"' for slug in sorted(slugs - known)]
        if len(lines) > _MAX_WARNINGS:
            lines[_MAX_WARNINGS - 1 :] = [f"and {len(lines) - _MAX_WARNINGS + 1} more"]
        return lines


class _Page:
    """One page of a list: the spans that meet a condition, as many as fit."""

    def __init__(self, matches: Condition, size: int, limit: int, *, basic: bool) -> None:
        self._matches, self._size = matches, size
        self._limit, self._basic = limit, basic
        self._left = MOST_BYTES
        self.spans: list[span_pb2.Span] = []

    def take(self, span: Span) -> bool:
        """Add a span if it meets the condition; False if the page has no place for it."""
        if not self._matches(span):
            return True
        if len(self.spans) == self._size:
            return False
        message = shown_span(span, basic=self._basic, limit=self._limit)
        size = message.ByteSize() + 6  # its tag and its length
        if self.spans and size > self._left:
            return False
        self._left -= size
        self.spans.append(message)
        return True


def _required(request: Any) -> Violations:
    """The required fields of a request that are not set."""
    bad = Violations(spelled=json_path(type(request)))
    for path in missing_fields(request):
        bad.add(path, "is required")
    return bad


def _check_number(spans: Sequence[Any], bad: Violations) -> None:
    if len(spans) > MOST_SPANS:
        bad.add("spans", f"must have at most {MOST_SPANS} elements, but has {len(spans)}")
        bad.refuse()


def _view_of(request: pb.ListSpansRequest | pb.TailSpansRequest) -> Violations:
    """What is wrong with the view."""
    bad = Violations(spelled=json_path(type(request)))
    if request.view not in span_pb2.SpanView.values():
        bad.add("view", f"{request.view} is no SpanView")
    return bad


def _text_limit(request: pb.GetSpanRequest | pb.ListSpansRequest | pb.TailSpansRequest) -> int:
    return not_negative(json_path(type(request))("text_limit"), request.text_limit)
