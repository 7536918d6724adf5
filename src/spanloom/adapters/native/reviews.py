"""Reviews of the native API as feedback, and all feedback as reviews.

A review is kept as feedback whose type is its name and whose payload has its score, label and
comment, so that FeedbackService shows it; `review` in the body is what only this adapter reads.
"""

from __future__ import annotations

import math
from typing import cast
from urllib.parse import quote

from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import EVALUATION, Feedback, Json
from spanloom.v1 import review_pb2

_NOUNS = {"trace": "agent_turn", "span": "agent_span", "conversation": "agent_conversation"}
# Reactions that judge.
_SCORES = {"👍": 1.0, "👎": 0.0}
# Fields of FeedbackService that only programs send.
_OF_PROGRAMS = ("runnable_ref", "call_ref", "trigger_ref", "scorer_tags", "scorer_ratings")
_MOST_LABEL = 256
_MOST_COMMENT = 10_000


def feedback_of(review: review_pb2.Review, project: str, created_ns: int) -> Feedback:
    """The feedback that keeps a review, whose fields were checked."""
    target, target_id = target_of(review.target)
    said: dict[str, Json] = {}
    if review.HasField("score"):
        said["score"] = review.score
    said |= {name: text for name in ("label", "comment") if (text := getattr(review, name))}
    own: dict[str, Json] = {"source": review.source or review_pb2.REVIEW_SOURCE_PERSON}
    if review.HasField("metadata"):
        own["metadata"] = struct_object(review.metadata)
    return Feedback(
        id=review.review_id,
        target=target,
        target_id=target_id,
        trace_id=review.target.trace_id,
        ref=f"weave:///spanloom/{quote(project, safe='')}/{_NOUNS[target]}/"
        + quote(target_id, safe=""),
        type=review.name,
        creator=review.author,
        created_ns=created_ns,
        body={"payload": said, "review": own},
    )


def target_of(target: review_pb2.ReviewTarget) -> tuple[str, str]:
    """The kind of what is judged, and its id."""
    if target.span_id:
        return "span", target.span_id
    if target.trace_id:
        return "trace", target.trace_id
    return "conversation", target.conversation_id


def review_message(feedback: Feedback) -> review_pb2.Review:
    """Any feedback as a review."""
    payload = _payload(feedback)
    score = score_of(feedback)
    label, comment = payload.get("label"), payload.get("comment", payload.get("note"))
    message = review_pb2.Review(
        review_id=feedback.id,
        target=_target(feedback),
        name=name_of(feedback),
        score=score,
        label=label[:_MOST_LABEL] if isinstance(label, str) else "",
        comment=comment[:_MOST_COMMENT] if isinstance(comment, str) else "",
        author=feedback.creator,
        source=source_of(feedback),
        create_time=timestamp_from_ns(feedback.created_ns),
    )
    own = feedback.body.get("review")
    metadata = own.get("metadata") if isinstance(own, dict) else dict(feedback.body)
    if metadata is not None and (metadata or own):
        put_json(message, {"metadata": metadata})
    return message


def name_of(feedback: Feedback) -> str:
    """What is judged. All results of evaluators have one type; their slugs tell them apart."""
    return feedback.creator if feedback.type == EVALUATION else feedback.type


def source_of(feedback: Feedback) -> review_pb2.ReviewSource.ValueType:
    """Who judged: what the review said, else what the other API's fields tell."""
    if feedback.type == EVALUATION:
        return review_pb2.REVIEW_SOURCE_EVALUATOR
    own = feedback.body.get("review")
    if isinstance(own, dict):
        return cast(review_pb2.ReviewSource.ValueType, own["source"])
    is_program = any(name in feedback.body for name in _OF_PROGRAMS)
    return review_pb2.REVIEW_SOURCE_PROGRAM if is_program else review_pb2.REVIEW_SOURCE_PERSON


def score_of(feedback: Feedback) -> float | None:
    """The score, also that of a thumb; None if there is none."""
    payload = _payload(feedback)
    score = payload.get("score")
    if isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score):
        return float(score)
    emoji = payload.get("emoji")
    return _SCORES.get(emoji[:1]) if isinstance(emoji, str) else None


def _payload(feedback: Feedback) -> dict[str, Json]:
    payload = feedback.body.get("payload")
    return payload if isinstance(payload, dict) else {}


def _target(feedback: Feedback) -> review_pb2.ReviewTarget:
    match feedback.target:
        case "trace":
            return review_pb2.ReviewTarget(trace_id=feedback.target_id)
        case "span":
            return review_pb2.ReviewTarget(trace_id=feedback.trace_id, span_id=feedback.target_id)
        case "conversation":
            return review_pb2.ReviewTarget(conversation_id=feedback.target_id)
    return review_pb2.ReviewTarget()
