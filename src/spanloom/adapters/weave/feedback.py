"""Feedback as the contract shows it."""

from __future__ import annotations

from spanloom.codec.json_fields import put_json
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import Feedback
from spanloom.v1 import feedback_pb2

REFS = ("wb_user_id", "runnable_ref", "call_ref", "trigger_ref", "annotation_ref")
SCORER_MAPS = (
    "scorer_tag_reasons",
    "scorer_tag_confidences",
    "scorer_ratings",
    "scorer_rating_reasons",
    "scorer_rating_confidences",
)


def feedback_message(feedback: Feedback) -> feedback_pb2.Feedback:
    body = feedback.body
    message = feedback_pb2.Feedback(
        id=feedback.id,
        feedback_type=feedback.type,
        weave_ref=feedback.ref,
        created_at=timestamp_from_ns(feedback.created_ns),
        scorer_tags=body.get("scorer_tags", ()),
        **{name: body[name] for name in (*REFS, *SCORER_MAPS) if name in body},
    )
    if feedback.creator:
        message.creator = feedback.creator
    if "payload" in body:
        put_json(message, {"payload": body["payload"]})
    return message
