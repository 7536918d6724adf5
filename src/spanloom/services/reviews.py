"""ReviewService: what proto/spanloom/v1/review_service.proto promises."""

from __future__ import annotations

import math
from typing import Final, cast

from google.protobuf.message import Message

from spanloom.adapters.native.reviews import feedback_of, review_message, source_of
from spanloom.codec.json_path import json_path
from spanloom.codec.page_token import Position, list_query, page_token, position_of
from spanloom.codec.required_fields import missing_fields
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.errors import SpanloomError, invalid_field, not_found
from spanloom.model import EVALUATION, MAX_ID_LENGTH, Feedback, FeedbackQuery
from spanloom.model.checks import Violations, possible_id
from spanloom.model.paging import clamped_page_size
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.services.queries.bounded import fitting
from spanloom.store.control import ControlStore
from spanloom.v1 import review_pb2, review_service_pb2

_DEFAULT_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1000
_MOST_TRACES: Final = 100
_LONGEST = {"name": MAX_ID_LENGTH, "label": 256, "comment": 10_000, "author": 256}
_MOST_METADATA: Final = 1 << 20
# Feedback that is read at once, where the source has to be looked for in its body.
_PART: Final = 500


class ReviewService:
    """Reviews in and out."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def write_review(
        self, request: review_service_pb2.WriteReviewRequest, call: CallContext
    ) -> review_service_pb2.WriteReviewResponse:
        project = call.project()
        _check(request)
        feedback = feedback_of(request.review, project, call.received_ns)
        await self._store.ensure_project(project)
        try:
            [stored] = await self._store.replace_feedback(project, feedback)
        except SpanloomError as error:
            if [v.field for v in error.violations] == ["id"]:
                field = json_path(type(request))("review.review_id")
                raise invalid_field(field, error.violations[0].description) from None
            raise
        return review_service_pb2.WriteReviewResponse(review=review_message(stored))

    async def list_reviews(
        self, request: review_service_pb2.ListReviewsRequest, call: CallContext
    ) -> review_service_pb2.ListReviewsResponse:
        project = call.project()
        query = _query(request)
        size = clamped_page_size(
            json_path(type(request))("page_size"),
            request.page_size,
            default=_DEFAULT_PAGE_SIZE,
            maximum=_MAX_PAGE_SIZE,
        )
        named = _list_name(request)
        after = None
        if request.page_token:
            field = json_path(type(request))("page_token")
            after = position_of(request.page_token, named, project, field=field)
        found = await self._find(project, query, request.source, size + 1, after)
        messages = [review_message(feedback) for feedback in found]
        number = fitting(messages, size)
        response = review_service_pb2.ListReviewsResponse(reviews=messages[:number])
        if number < len(found):
            last = found[number - 1]
            response.next_page_token = page_token(named, project, (last.created_ns, last.id))
        return response

    async def delete_review(
        self, request: review_service_pb2.DeleteReviewRequest, call: CallContext
    ) -> review_service_pb2.DeleteReviewResponse:
        project = call.project()
        review_id = request.review_id
        if not review_id:
            raise invalid_field(json_path(type(request))("review_id"), "is required")
        deleted = possible_id(review_id) and await self._store.delete_feedback(project, review_id)
        if not deleted and not request.allow_missing:
            raise not_found("review", review_id[:64])
        return review_service_pb2.DeleteReviewResponse()

    async def _find(
        self,
        project: str,
        query: FeedbackQuery,
        source: review_pb2.ReviewSource.ValueType,
        number: int,
        after: Position | None,
    ) -> list[Feedback]:
        """The next feedback whose source is the asked one, 0 for any."""
        found: list[Feedback] = []
        while len(found) < number:
            limit = _PART if source else number
            part = await self._store.list_feedback(project, query, limit=limit, after=after)
            found += [item for item in part if not source or source_of(item) == source]
            if len(part) < limit:
                break
            after = part[-1].created_ns, part[-1].id
        return found[:number]


def _check(request: review_service_pb2.WriteReviewRequest) -> None:
    """INVALID_ARGUMENT names all that is wrong with a review."""
    violations = Violations(spelled=json_path(type(request)))
    for path in missing_fields(request):
        violations.add(path, "is required")
    review = request.review
    if review.review_id:
        violations.check_id("review.review_id", review.review_id)
    for name, most in _LONGEST.items():
        text = getattr(review, name)
        violations.check_text(f"review.{name}", text)
        if len(text) > most:
            violations.add(f"review.{name}", f"must have at most {most} characters")
    if review.name == EVALUATION:
        violations.add("review.name", "is the name of the results of evaluators")
    if review.HasField("score") and not math.isfinite(review.score):
        violations.add("review.score", "must be a finite number")
    if not (review.HasField("score") or review.label or review.comment):
        violations.add("review.score", "is required, unless label or comment is set")
    own = (review_pb2.REVIEW_SOURCE_PERSON, review_pb2.REVIEW_SOURCE_PROGRAM)
    if review.source and review.source not in own:
        violations.add("review.source", "must be REVIEW_SOURCE_PERSON or REVIEW_SOURCE_PROGRAM")
    if review.metadata.ByteSize() > _MOST_METADATA:
        violations.add("review.metadata", "must have at most 1 MiB")
    if review.HasField("target"):
        _check_target(review.target, violations)
    violations.refuse()


def _check_target(target: review_pb2.ReviewTarget, violations: Violations) -> None:
    for name in ("trace_id", "span_id", "conversation_id"):
        if value := getattr(target, name):
            violations.check_id(f"review.target.{name}", value)
    if target.trace_id and target.conversation_id:
        violations.add("review.target.conversation_id", "must not be set if trace_id is set")
    if not target.trace_id and target.span_id:
        violations.add("review.target.trace_id", "is required if span_id is set")
    elif not target.trace_id and not target.conversation_id:
        violations.add("review.target", "must name a trace, a span or a conversation")


def _query(request: review_service_pb2.ListReviewsRequest) -> FeedbackQuery:
    violations = Violations(spelled=json_path(type(request)))
    if len(request.trace_ids) > _MOST_TRACES:
        violations.add("trace_ids", f"must have at most {_MOST_TRACES} elements")
    for index, trace_id in enumerate(request.trace_ids):
        violations.check_id(f"trace_ids[{index}]", trace_id)
    if request.span_id and len(request.trace_ids) != 1:
        violations.add("trace_ids", "must have exactly one element if span_id is set")
    for name in ("span_id", "conversation_id", "name", "author"):
        violations.check_text(name, getattr(request, name))
    if request.source not in review_pb2.ReviewSource.values():
        violations.add("source", "is not a known source")
    times: dict[str, int | None] = {}
    for name in ("create_time_from", "create_time_before"):
        times[name] = None
        if cast(Message, request).HasField(name):
            times[name] = ns_from_timestamp(getattr(request, name))
            if times[name] is None:
                violations.add(name, OUT_OF_RANGE)
    violations.refuse()
    is_evaluator = request.source == review_pb2.REVIEW_SOURCE_EVALUATOR
    return FeedbackQuery(
        trace_ids=list(request.trace_ids),
        span_id=request.span_id,
        conversation_id=request.conversation_id,
        name=request.name,
        creator=request.author,
        is_evaluation=is_evaluator if request.source else None,
        since_ns=times["create_time_from"],
        before_ns=times["create_time_before"],
    )


def _list_name(request: review_service_pb2.ListReviewsRequest) -> str:
    """The list that a token is of: all fields of the request but those of the page."""
    asked = review_service_pb2.ListReviewsRequest()
    asked.CopyFrom(request)
    asked.ClearField("page_size")
    asked.ClearField("page_token")
    return list_query("reviews", asked=asked.SerializeToString(deterministic=True).hex())
