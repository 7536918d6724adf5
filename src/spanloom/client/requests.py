"""What both clients send, and what they make of the answers; no input or output."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from spanloom.client.recording import Facts, RecordedSpan
from spanloom.client.values import to_timestamp, to_value
from spanloom.v1 import chat_pb2, query_pb2, review_pb2, span_pb2
from spanloom.v1 import chat_service_pb2 as chat
from spanloom.v1 import query_service_pb2 as query
from spanloom.v1 import review_service_pb2 as review
from spanloom.v1 import span_service_pb2 as span

# The most code points that ReadSpanText returns.
_LONGEST_PART = 262_144


class MessageConditions(TypedDict, total=False):
    """Conditions of SearchChatMessages."""

    match_case: bool
    roles: Iterable[chat_pb2.MessageRole.ValueType]
    trace_id: str
    conversation_id: str
    agent_name: str
    provider: str
    model: str
    since: datetime | None
    before: datetime | None


class ReviewConditions(TypedDict, total=False):
    """Conditions of ListReviews."""

    trace_ids: Iterable[str]
    span_id: str
    conversation_id: str
    name: str
    author: str
    source: review_pb2.ReviewSource.ValueType
    since: datetime | None
    before: datetime | None


def list_spans(
    filter: span_pb2.SpanFilter | None, trace_id: str, basic: bool, text_limit: int
) -> span.ListSpansRequest:
    return span.ListSpansRequest(
        filter=filter, trace_id=trace_id, view=_view(basic), text_limit=text_limit
    )


def read_text(trace_id: str, span_id: str, path: str) -> span.ReadSpanTextRequest:
    # The server reads the whole span for each part.
    return span.ReadSpanTextRequest(
        trace_id=trace_id, span_id=span_id, path=path, limit=_LONGEST_PART
    )


def tail_spans(
    filter: span_pb2.SpanFilter | None, trace_id: str, cursor: str, basic: bool, text_limit: int
) -> span.TailSpansRequest:
    return span.TailSpansRequest(
        filter=filter, trace_id=trace_id, cursor=cursor, view=_view(basic), text_limit=text_limit
    )


def update_span(changed: span_pb2.Span, paths: Sequence[str]) -> span.UpdateSpanRequest:
    request = span.UpdateSpanRequest(span=changed)
    if paths:
        request.update_mask.CopyFrom(FieldMask(paths=paths))
    return request


def usage(
    since: datetime,
    before: datetime | None,
    by: Iterable[query_pb2.UsageDimension.ValueType],
    bucket: query_pb2.UsageBucket.ValueType,
    filter: query_pb2.UsageFilter | None,
    time_zone: str,
    max_groups: int,
) -> query.GetUsageRequest:
    return query.GetUsageRequest(
        start_time_from=to_timestamp(since),
        start_time_before=to_timestamp(before),
        group_by=by,
        bucket=bucket,
        filter=filter,
        time_zone=time_zone,
        max_groups=max_groups,
    )


def search_messages(text: str, conditions: MessageConditions) -> chat.SearchChatMessagesRequest:
    given = dict(conditions)
    times = {
        "start_time_from": to_timestamp(conditions.get("since")),
        "start_time_before": to_timestamp(conditions.get("before")),
    }
    named = {name: given[name] for name in given.keys() - {"since", "before"}}
    return chat.SearchChatMessagesRequest(text=text, **times, **named)  # type: ignore[arg-type]


def list_reviews(conditions: ReviewConditions) -> review.ListReviewsRequest:
    given = dict(conditions)
    times = {
        "create_time_from": to_timestamp(conditions.get("since")),
        "create_time_before": to_timestamp(conditions.get("before")),
    }
    named = {name: given[name] for name in given.keys() - {"since", "before"}}
    return review.ListReviewsRequest(**times, **named)  # type: ignore[arg-type]


def write_review(written: review_pb2.Review) -> review.WriteReviewRequest:
    request = review.WriteReviewRequest(review=written)
    if not written.review_id:
        request.review.review_id = secrets.token_hex(16)
    return request


def rejected(response: span.ImportSpansResponse) -> tuple[int, Exception | None]:
    """How many spans an import did not store, and why."""
    if not response.rejected_count:
        return 0, None
    first = response.rejections[0]
    return response.rejected_count, ValueError(first.message)


def note_result(recorded: RecordedSpan, facts: Facts, result: object) -> None:
    """The result of a traced function is the output, unless the function has stated another."""
    if "output" not in facts and not recorded.message.HasField("output"):
        recorded.message.output.CopyFrom(to_value(result))


def _view(basic: bool) -> span_pb2.SpanView.ValueType:
    return span_pb2.SPAN_VIEW_BASIC if basic else span_pb2.SPAN_VIEW_UNSPECIFIED
