"""The client for programs without an event loop."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from spanloom.client import requests
from spanloom.client.batches import Batches
from spanloom.client.calls import Calls
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


class Client:
    """A connection to a Spanloom server. Threads may share it.

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
        channel: grpc.Channel | None = None,
    ) -> None:
        made = connection(url, key, project, credentials)
        self._calls = Calls(made, channel, timeout, attempts)
        self.channel = channel = self._calls.channel
        self.project = made.project  # "" for that of the key
        self._spans = SpanServiceStub(channel)
        self._query = QueryServiceStub(channel)
        self._chats = ChatServiceStub(channel)
        self._reviews = ReviewServiceStub(channel)
        self._batches = Batches(self._send)

    def close(self) -> None:
        """Send the spans that wait, and close the connection."""
        self._batches.close()
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()

    # Calls

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        repeat: bool = True,
    ) -> ResponseT:
        """Call a method of any stub on `channel`, with the key, the deadline and the repetitions.

        Args:
            repeat: Whether it may be called again after a failure: not if it would store a second
                object.
        """
        return self._calls.call(method, request, repeat=repeat)

    def list_pages(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        items: str,
    ) -> Iterator[Any]:
        """The items of all pages of any list; `items` is the field of the response."""
        return self._calls.pages(method, request, items)

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> Iterator[ResponseT]:
        """Call a method with many responses once, without a deadline."""
        return self._calls.stream(method, request)

    # Spans

    def write_spans(self, spans: Iterable[span_pb2.Span]) -> Sequence[str]:
        """Store spans, all or none; they are durable when it returns. Returns the warnings."""
        return self.call(self._spans.WriteSpans, span.WriteSpansRequest(spans=spans)).warnings

    def import_spans(self, spans: Sequence[span_pb2.Span]) -> span.ImportSpansResponse:
        """Store each span by itself; the response names those that the server rejected."""

        def attempt(left: float) -> span.ImportSpansResponse:
            each = (span.ImportSpansRequest(span=one) for one in spans)
            return self._spans.ImportSpans(each, timeout=left, metadata=self._calls.metadata)

        return self._calls.repeated(attempt)

    def get_span(self, trace_id: str, span_id: str, *, text_limit: int = 0) -> span_pb2.Span:
        """A span. Strings are shortened if it is larger than 3 MiB; `read_text` reads the rest."""
        request = span.GetSpanRequest(trace_id=trace_id, span_id=span_id, text_limit=text_limit)
        return self.call(self._spans.GetSpan, request).span

    def list_spans(
        self,
        filter: span_pb2.SpanFilter | None = None,
        *,
        trace_id: str = "",
        basic: bool = False,
        text_limit: int = 0,
    ) -> Iterator[span_pb2.Span]:
        """Spans, latest first, or those of a trace, earliest first; `basic` without contents."""
        request = requests.list_spans(filter, trace_id, basic, text_limit)
        return self._calls.pages(self._spans.ListSpans, request, "spans")

    def read_text(self, trace_id: str, span_id: str, path: str) -> str:
        """A whole value of a span: a string, bytes in base64, all else as JSON."""
        text: list[str] = []
        request = requests.read_text(trace_id, span_id, path)
        while True:
            response = self.call(self._spans.ReadSpanText, request)
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
    ) -> Generator[span.TailSpansResponse, None, None]:
        """What is stored from now on, or after the cursor of an earlier response, without an end.

        The first response has no spans: what is stored after it is not missed. An interrupted
        stream goes on after its last response.
        """
        request = requests.tail_spans(filter, trace_id, cursor, basic, text_limit)
        return self._calls.tail(self._spans.TailSpans, request)

    def update_span(self, changed: span_pb2.Span, paths: Sequence[str] = ()) -> None:
        """Replace fields of a stored span: those at the paths, without paths all that are set."""
        self.call(self._spans.UpdateSpan, requests.update_span(changed, paths))

    def delete_spans(self, spans: Iterable[span_pb2.SpanReference]) -> int:
        """Delete spans for ever. Returns how many there were."""
        request = span.DeleteSpansRequest(spans=spans)
        return self.call(self._spans.DeleteSpans, request).deleted_count

    def delete_trace(self, trace_id: str, *, allow_missing: bool = False) -> int:
        """Delete all spans of a trace for ever. Returns how many there were."""
        request = span.DeleteTraceSpansRequest(trace_id=trace_id, allow_missing=allow_missing)
        return self.call(self._spans.DeleteTraceSpans, request).deleted_count

    # Traces, conversations and sums

    def list_traces(
        self,
        filter: query_pb2.TraceFilter | None = None,
        *,
        order: query_pb2.TraceOrder.ValueType = query_pb2.TRACE_ORDER_UNSPECIFIED,
    ) -> Iterator[query_pb2.TraceSummary]:
        """Summaries of traces, latest first if no order is given."""
        request = query.ListTraceSummariesRequest(filter=filter, order=order)
        return self._calls.pages(self._query.ListTraceSummaries, request, "trace_summaries")

    def get_trace(self, trace_id: str) -> query_pb2.TraceSummary:
        """The summary of a trace."""
        request = query.GetTraceSummaryRequest(trace_id=trace_id)
        return self.call(self._query.GetTraceSummary, request).trace_summary

    def count_traces(
        self,
        filter: query_pb2.TraceFilter | None = None,
        *,
        facets: Iterable[query_pb2.TraceFacet.ValueType] = (),
    ) -> query.CountTracesResponse:
        """How many traces meet all conditions, by the values of the facets."""
        request = query.CountTracesRequest(filter=filter, facets=facets)
        return self.call(self._query.CountTraces, request)

    def search_trace(
        self, trace_id: str, text: str, *, match_case: bool = False
    ) -> Iterator[query_pb2.SpanMatch]:
        """The places in a trace that contain a text."""
        request = query.SearchTraceRequest(trace_id=trace_id, text=text, match_case=match_case)
        return self._calls.pages(self._query.SearchTrace, request, "matches")

    def list_conversations(
        self, filter: query_pb2.ConversationFilter | None = None
    ) -> Iterator[query_pb2.ConversationSummary]:
        """Summaries of conversations (sessions), the most recently active first."""
        request = query.ListConversationsRequest(filter=filter)
        return self._calls.pages(self._query.ListConversations, request, "conversations")

    def get_conversation(self, conversation_id: str) -> query_pb2.ConversationSummary:
        """The summary of a conversation."""
        request = query.GetConversationRequest(conversation_id=conversation_id)
        return self.call(self._query.GetConversation, request).conversation

    def usage(
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
        return self.call(self._query.GetUsage, request).points

    def caller(self) -> query.GetCallerResponse:
        """What the server knows of the key, and its own version and limits."""
        return self.call(self._query.GetCaller, query.GetCallerRequest())

    def list_projects(self) -> Iterator[query_pb2.Project]:
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
    ) -> Iterator[chat_pb2.ChatMessage]:
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
    ) -> Generator[chat.TailChatResponse, None, None]:
        """A chat, and then its changes, without an end; see the comment of TailChat."""
        request = chat.TailChatRequest(
            trace_id=trace_id, conversation_id=conversation_id, cursor=cursor
        )
        return self._calls.tail(self._chats.TailChat, request)

    def search_messages(
        self, text: str, **conditions: Unpack[requests.MessageConditions]
    ) -> Iterator[chat_pb2.MessageMatch]:
        """The messages of all chats that contain a text, latest first."""
        request = requests.search_messages(text, conditions)
        return self._calls.pages(self._chats.SearchChatMessages, request, "matches")

    # Reviews (feedback)

    def write_review(self, written: review_pb2.Review) -> review_pb2.Review:
        """Store a review. One without an id gets one, so that a repetition stores it once."""
        request = requests.write_review(written)
        return self.call(self._reviews.WriteReview, request).review

    def list_reviews(
        self, **conditions: Unpack[requests.ReviewConditions]
    ) -> Iterator[review_pb2.Review]:
        """Reviews, latest first."""
        request = requests.list_reviews(conditions)
        return self._calls.pages(self._reviews.ListReviews, request, "reviews")

    def delete_review(self, review_id: str, *, allow_missing: bool = False) -> None:
        """Delete a review for ever."""
        request = review.DeleteReviewRequest(review_id=review_id, allow_missing=allow_missing)
        self.call(self._reviews.DeleteReview, request)

    # Recording

    def put(self, made: span_pb2.Span) -> None:
        """Send a span with the next batch. It waits while too many others wait."""
        self._batches.put(made)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all spans that were recorded or put before are stored.

        Raises:
            LostSpansError: Spans could not be stored since the last flush.
            TimeoutError: Spans still wait after so many seconds.
        """
        self._batches.flush(timeout)

    @contextmanager
    def record(self, name: str, **facts: Unpack[Facts]) -> Iterator[RecordedSpan]:
        """Record the block as a span. Spans that are recorded inside it are below it."""
        recorded = None
        try:
            with recording(name, facts) as recorded:
                yield recorded
        finally:
            if recorded is not None:
                self._batches.put(recorded.message)

    def traced(self, name: str = "", **facts: Unpack[Facts]) -> Callable[[F], F]:
        """A decorator that records each call of a function, with its arguments and its result.

        The span has the name of the function, if no other is given. `input` and `output` replace
        the arguments and the result. A generator is not supported.
        """

        def decorate(function: F) -> F:
            called = name or function.__qualname__

            def begin(args: Any, kwargs: Any) -> Facts:
                return {"input": arguments_of(function, args, kwargs), **facts}

            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                with self.record(called, **begin(args, kwargs)) as recorded:
                    result = function(*args, **kwargs)
                    requests.note_result(recorded, facts, result)
                return result

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self.record(called, **begin(args, kwargs)) as recorded:
                    result = await function(*args, **kwargs)
                    requests.note_result(recorded, facts, result)
                return result

            wrapped: Any = run_async if inspect.iscoroutinefunction(function) else run
            return wrapped  # type: ignore[no-any-return]

        return decorate

    def _send(self, spans: list[span_pb2.Span]) -> tuple[int, Exception | None]:
        request = span.WriteSpansRequest(spans=spans)

        def attempt(left: float) -> span.WriteSpansResponse:
            return self._spans.WriteSpans(request, timeout=left, metadata=self._calls.metadata)

        try:
            self._calls.repeated(attempt, float("inf"))
        except CallError as error:
            if error.code != "INVALID_ARGUMENT" or len(spans) == 1:
                return len(spans), error
            # One of them is invalid; the others are stored.
            return requests.rejected(self.import_spans(spans))
        return 0, None
