"""The client for programs with an event loop of asyncio. Its calls are those of `Client`."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message
from grpc import aio

from spanloom.client import requests
from spanloom.client.batches import AsyncBatches
from spanloom.client.calls import AsyncCalls
from spanloom.client.connection import connection
from spanloom.client.errors import CallError
from spanloom.client.recording import Facts, RecordedSpan, arguments_of, recording
from spanloom.v1 import chat_pb2, query_pb2, review_pb2, span_pb2
from spanloom.v1 import chat_service_pb2 as chat
from spanloom.v1 import query_service_pb2 as query
from spanloom.v1 import review_service_pb2 as review
from spanloom.v1 import span_service_pb2 as span
from spanloom.v1.chat_service_pb2_grpc import ChatServiceStub
from spanloom.v1.query_service_pb2_grpc import QueryServiceStub
from spanloom.v1.review_service_pb2_grpc import ReviewServiceStub
from spanloom.v1.span_service_pb2_grpc import SpanServiceStub

F = TypeVar("F", bound=Callable[..., Any])
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class AsyncClient:
    """A connection to a Spanloom server. It belongs to one event loop.

    Calls that fail for a while are repeated within their deadline, as the server asks. What still
    fails raises CallError. Lists are iterators that read page after page.

    Args:
        url: The address of gRPC: `http://HOST:PORT`, or `https://HOST:PORT` for TLS. Default:
            `SPANLOOM_URL`, else http://127.0.0.1:4317.
        key: Default: `SPANLOOM_KEY`.
        project: The project of an instance key's calls. Default: `SPANLOOM_PROJECT`.
        timeout: The seconds that a call may take with all its attempts.
        attempts: The number of times that a call is tried.
        credentials: Those of TLS, for a private authority or a certificate of the client.
        channel: A channel to use instead; the client does not close it.

    Raises:
        ValueError: The URL is none, or the key or the project cannot be sent.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        project: str | None = None,
        timeout: float = 30.0,
        attempts: int = 5,
        credentials: grpc.ChannelCredentials | None = None,
        channel: aio.Channel | None = None,
    ) -> None:
        made = connection(url, key, project, credentials)
        self._calls = AsyncCalls(made, channel, timeout, attempts)
        self.channel = channel = self._calls.channel
        self.project = made.project  # "" for that of the key
        self._spans = SpanServiceStub(channel)
        self._query = QueryServiceStub(channel)
        self._chats = ChatServiceStub(channel)
        self._reviews = ReviewServiceStub(channel)
        self._batches = AsyncBatches(self._send)

    async def close(self) -> None:
        """Send the spans that wait, and close the connection."""
        await self._batches.close()
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.close()

    # Calls

    async def call(
        self,
        method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        repeat: bool = True,
    ) -> ResponseT:
        """Call a method of any stub on `channel`, with the key, the deadline and the repetitions.

        Args:
            repeat: Whether it may be called again after a failure: not if it would store a second
                object.
        """
        return await self._calls.call(method, request, repeat=repeat)

    def list_pages(
        self,
        method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        items: str,
    ) -> AsyncIterator[Any]:
        """The items of all pages of any list; `items` is the field of the response."""
        return self._calls.pages(method, request, items)

    def stream(
        self, method: aio.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> AsyncIterator[ResponseT]:
        """Call a method with many responses once, without a deadline."""
        return self._calls.stream(method, request)

    # Spans

    async def write_spans(self, spans: Iterable[span_pb2.Span]) -> Sequence[str]:
        """Store spans, all or none; they are durable when it returns. Returns the warnings."""
        return (
            await self.call(self._spans.WriteSpans, span.WriteSpansRequest(spans=spans))
        ).warnings

    async def import_spans(self, spans: Sequence[span_pb2.Span]) -> span.ImportSpansResponse:
        """Store each span by itself; the response names those that the server rejected."""

        def attempt(left: float) -> Awaitable[span.ImportSpansResponse]:
            each = (span.ImportSpansRequest(span=one) for one in spans)
            return self._spans.ImportSpans(each, timeout=left, metadata=self._calls.metadata)

        return await self._calls.repeated(attempt)

    async def get_span(self, trace_id: str, span_id: str, *, text_limit: int = 0) -> span_pb2.Span:
        """A span. Strings are shortened if it is larger than 3 MiB; `read_text` reads the rest."""
        request = span.GetSpanRequest(trace_id=trace_id, span_id=span_id, text_limit=text_limit)
        return (await self.call(self._spans.GetSpan, request)).span

    def list_spans(
        self,
        filter: span_pb2.SpanFilter | None = None,
        *,
        trace_id: str = "",
        basic: bool = False,
        text_limit: int = 0,
    ) -> AsyncIterator[span_pb2.Span]:
        """Spans, latest first, or those of a trace, earliest first; `basic` without contents."""
        request = requests.list_spans(filter, trace_id, basic, text_limit)
        return self._calls.pages(self._spans.ListSpans, request, "spans")

    async def read_text(self, trace_id: str, span_id: str, path: str) -> str:
        """A whole value of a span: a string, bytes in base64, all else as JSON."""
        text: list[str] = []
        request = requests.read_text(trace_id, span_id, path)
        while True:
            response = await self.call(self._spans.ReadSpanText, request)
            text.append(response.text)
            request.offset = response.offset + len(response.text)
            if request.offset >= response.length:
                return "".join(text)

    def tail_spans(
        self,
        filter: span_pb2.SpanFilter | None = None,
        *,
        trace_id: str = "",
        cursor: str = "",
        basic: bool = False,
        text_limit: int = 0,
    ) -> AsyncGenerator[span.TailSpansResponse, None]:
        """What is stored from now on, or after the cursor of an earlier response, without an end.

        The first response has no spans: what is stored after it is not missed. An interrupted
        stream goes on after its last response.
        """
        request = requests.tail_spans(filter, trace_id, cursor, basic, text_limit)
        return self._calls.tail(self._spans.TailSpans, request)

    async def update_span(self, changed: span_pb2.Span, paths: Sequence[str] = ()) -> None:
        """Replace fields of a stored span: those at the paths, without paths all that are set."""
        await self.call(self._spans.UpdateSpan, requests.update_span(changed, paths))

    async def delete_spans(self, spans: Iterable[span_pb2.SpanReference]) -> int:
        """Delete spans for ever. Returns how many there were."""
        request = span.DeleteSpansRequest(spans=spans)
        return (await self.call(self._spans.DeleteSpans, request)).deleted_count

    async def delete_trace(self, trace_id: str, *, allow_missing: bool = False) -> int:
        """Delete all spans of a trace for ever. Returns how many there were."""
        request = span.DeleteTraceSpansRequest(trace_id=trace_id, allow_missing=allow_missing)
        return (await self.call(self._spans.DeleteTraceSpans, request)).deleted_count

    # Traces, conversations and sums

    def list_traces(
        self,
        filter: query_pb2.TraceFilter | None = None,
        *,
        order: query_pb2.TraceOrder.ValueType = query_pb2.TRACE_ORDER_UNSPECIFIED,
    ) -> AsyncIterator[query_pb2.TraceSummary]:
        """Summaries of traces, latest first if no order is given."""
        request = query.ListTraceSummariesRequest(filter=filter, order=order)
        return self._calls.pages(self._query.ListTraceSummaries, request, "trace_summaries")

    async def get_trace(self, trace_id: str) -> query_pb2.TraceSummary:
        """The summary of a trace."""
        request = query.GetTraceSummaryRequest(trace_id=trace_id)
        return (await self.call(self._query.GetTraceSummary, request)).trace_summary

    async def count_traces(
        self,
        filter: query_pb2.TraceFilter | None = None,
        *,
        facets: Iterable[query_pb2.TraceFacet.ValueType] = (),
    ) -> query.CountTracesResponse:
        """How many traces meet all conditions, by the values of the facets."""
        request = query.CountTracesRequest(filter=filter, facets=facets)
        return await self.call(self._query.CountTraces, request)

    def search_trace(
        self, trace_id: str, text: str, *, match_case: bool = False
    ) -> AsyncIterator[query_pb2.SpanMatch]:
        """The places in a trace that contain a text."""
        request = query.SearchTraceRequest(trace_id=trace_id, text=text, match_case=match_case)
        return self._calls.pages(self._query.SearchTrace, request, "matches")

    def list_conversations(
        self, filter: query_pb2.ConversationFilter | None = None
    ) -> AsyncIterator[query_pb2.ConversationSummary]:
        """Summaries of conversations (sessions), the most recently active first."""
        request = query.ListConversationsRequest(filter=filter)
        return self._calls.pages(self._query.ListConversations, request, "conversations")

    async def get_conversation(self, conversation_id: str) -> query_pb2.ConversationSummary:
        """The summary of a conversation."""
        request = query.GetConversationRequest(conversation_id=conversation_id)
        return (await self.call(self._query.GetConversation, request)).conversation

    async def usage(
        self,
        since: datetime,
        before: datetime | None = None,
        *,
        by: Iterable[query_pb2.UsageDimension.ValueType] = (),
        bucket: query_pb2.UsageBucket.ValueType = query_pb2.USAGE_BUCKET_UNSPECIFIED,
        filter: query_pb2.UsageFilter | None = None,
        time_zone: str = "",
        max_groups: int = 0,
    ) -> Sequence[query_pb2.UsagePoint]:
        """Sums of calls, tokens, costs and durations, by dimensions and by periods of time."""
        request = requests.usage(since, before, by, bucket, filter, time_zone, max_groups)
        return (await self.call(self._query.GetUsage, request)).points

    async def caller(self) -> query.GetCallerResponse:
        """What the server knows of the key, and its own version and limits."""
        return await self.call(self._query.GetCaller, query.GetCallerRequest())

    def list_projects(self) -> AsyncIterator[query_pb2.Project]:
        """The projects that the key may read."""
        return self._calls.pages(self._query.ListProjects, query.ListProjectsRequest(), "projects")

    # Chats

    def list_messages(
        self,
        *,
        trace_id: str = "",
        conversation_id: str = "",
        kinds: Iterable[chat_pb2.ChatMessageKind.ValueType] = (),
        order: chat_pb2.ChatOrder.ValueType = chat_pb2.CHAT_ORDER_UNSPECIFIED,
        include_requested_tool_calls: bool = False,
    ) -> AsyncIterator[chat_pb2.ChatMessage]:
        """The chat of a trace or of a conversation."""
        request = chat.ListChatMessagesRequest(
            trace_id=trace_id,
            conversation_id=conversation_id,
            kinds=kinds,
            order=order,
            include_requested_tool_calls=include_requested_tool_calls,
        )
        return self._calls.pages(self._chats.ListChatMessages, request, "messages")

    def tail_messages(
        self, *, trace_id: str = "", conversation_id: str = "", cursor: str = ""
    ) -> AsyncGenerator[chat.TailChatResponse, None]:
        """A chat, and then its changes, without an end; see the comment of TailChat."""
        request = chat.TailChatRequest(
            trace_id=trace_id, conversation_id=conversation_id, cursor=cursor
        )
        return self._calls.tail(self._chats.TailChat, request)

    def search_messages(
        self, text: str, **conditions: Unpack[requests.MessageConditions]
    ) -> AsyncIterator[chat_pb2.MessageMatch]:
        """The messages of all chats that contain a text, latest first."""
        request = requests.search_messages(text, conditions)
        return self._calls.pages(self._chats.SearchChatMessages, request, "matches")

    # Reviews (feedback)

    async def write_review(self, written: review_pb2.Review) -> review_pb2.Review:
        """Store a review. One without an id gets one, so that a repetition stores it once."""
        request = requests.write_review(written)
        return (await self.call(self._reviews.WriteReview, request)).review

    def list_reviews(
        self, **conditions: Unpack[requests.ReviewConditions]
    ) -> AsyncIterator[review_pb2.Review]:
        """Reviews, latest first."""
        request = requests.list_reviews(conditions)
        return self._calls.pages(self._reviews.ListReviews, request, "reviews")

    async def delete_review(self, review_id: str, *, allow_missing: bool = False) -> None:
        """Delete a review for ever."""
        request = review.DeleteReviewRequest(review_id=review_id, allow_missing=allow_missing)
        await self.call(self._reviews.DeleteReview, request)

    # Recording

    async def put(self, made: span_pb2.Span) -> None:
        """Send a span with the next batch. It waits while too many others wait."""
        await self._batches.put(made)

    async def flush(self) -> None:
        """Wait until all spans that were recorded or put before are stored.

        Raises:
            LostSpansError: Spans could not be stored since the last flush.
        """
        await self._batches.flush()

    @asynccontextmanager
    async def record(self, name: str, **facts: Unpack[Facts]) -> AsyncIterator[RecordedSpan]:
        """Record the block as a span. Spans that are recorded inside it are below it."""
        recorded = None
        try:
            with recording(name, facts) as recorded:
                yield recorded
        finally:
            if recorded is not None:
                await self._batches.put(recorded.message)

    def traced(self, name: str = "", **facts: Unpack[Facts]) -> Callable[[F], F]:
        """A decorator that records each call of a coroutine function, with its
        arguments and its result.

        The span has the name of the function, if no other is given. `input` and `output` replace
        the arguments and the result. A generator is not supported.
        """

        def decorate(function: F) -> F:
            called = name or function.__qualname__

            def begin(args: Any, kwargs: Any) -> Facts:
                return {"input": arguments_of(function, args, kwargs), **facts}

            @functools.wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                async with self.record(called, **begin(args, kwargs)) as recorded:
                    result = await function(*args, **kwargs)
                    requests.note_result(recorded, facts, result)
                return result

            wrapped: Any = run
            return wrapped  # type: ignore[no-any-return]

        return decorate

    async def _send(self, spans: list[span_pb2.Span]) -> tuple[int, Exception | None]:
        request = span.WriteSpansRequest(spans=spans)

        def attempt(left: float) -> Awaitable[span.WriteSpansResponse]:
            return self._spans.WriteSpans(request, timeout=left, metadata=self._calls.metadata)

        try:
            await self._calls.repeated(attempt, float("inf"))
        except CallError as error:
            if error.code != "INVALID_ARGUMENT" or len(spans) == 1:
                return len(spans), error
            # One of them is invalid; the others are stored.
            return requests.rejected(await self.import_spans(spans))
        return 0, None
