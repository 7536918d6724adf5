"""FeedbackService: what proto/spanloom/v1/feedback_service.proto promises."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import NamedTuple, cast
from urllib.parse import unquote

from google.protobuf.message import Message

from spanloom.adapters.weave.feedback import REFS, SCORER_MAPS, feedback_message
from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import MAX_ID_LENGTH, Feedback, Json, dashed, uuid7
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import feedback_service_pb2

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_NOTE = 1024

_REF = re.compile(r"weave:///[^/]+/[^/]+/agent_(turn|span|conversation)/([^/]*)", re.DOTALL)
_TARGETS = {"turn": "trace", "span": "span", "conversation": "conversation"}
_SPAN_FACTS = (
    "span_trace_id",
    "span_conversation_id",
    "span_agent_name",
    "span_agent_version",
    "span_status_code",
)
_CONFIDENCES = ("scorer_tag_confidences", "scorer_rating_confidences")


class FeedbackService:
    """Feedback in and out."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create_feedback(
        self, request: feedback_service_pb2.CreateFeedbackRequest, call: CallContext
    ) -> feedback_service_pb2.CreateFeedbackResponse:
        project = call.named_project(request.project_id)
        feedback = _read(request, call.received_ns)
        await self._store.ensure_project(project)
        if call.only_ingests:
            # The answer says nothing of what was stored under the id.
            await self._store.replace_feedback(project, feedback, only_own=True)
            return _response(request, feedback)
        if request.id:
            # What is replaced keeps the time it was stored first.
            target = (feedback.target, feedback.target_id)
            for earlier in await self._store.feedback_on(project, [target]):
                if earlier.id == feedback.id:
                    feedback = replace(feedback, created_ns=earlier.created_ns)
        await self._store.write_feedback(project, feedback)
        return _response(request, feedback)

    async def query_feedback(
        self, request: feedback_service_pb2.QueryFeedbackRequest, call: CallContext
    ) -> feedback_service_pb2.QueryFeedbackResponse:
        project = call.named_project(request.project_id)
        violations = Violations()
        violations.check_text("weave_ref", request.weave_ref)
        violations.check_text("feedback_type", request.feedback_type)
        violations.refuse()
        page = await self._store.find_feedback(
            project,
            ref=request.weave_ref,
            type=request.feedback_type,
            limit=clamped_page_size(
                "limit", request.limit, default=DEFAULT_LIMIT, maximum=MAX_LIMIT
            ),
            offset=not_negative("offset", request.offset),
        )
        return feedback_service_pb2.QueryFeedbackResponse(
            result=[feedback_message(feedback) for feedback in page.items]
        )


def _response(
    request: feedback_service_pb2.CreateFeedbackRequest, feedback: Feedback
) -> feedback_service_pb2.CreateFeedbackResponse:
    response = feedback_service_pb2.CreateFeedbackResponse(
        id=feedback.id, created_at=timestamp_from_ns(feedback.created_ns)
    )
    if request.HasField("wb_user_id"):
        response.wb_user_id = request.wb_user_id
    if "payload" in feedback.body:
        put_json(response, {"payload": feedback.body["payload"]})
    return response


class _Target(NamedTuple):
    kind: str
    id: str


def _read(request: feedback_service_pb2.CreateFeedbackRequest, created_ns: int) -> Feedback:
    """The feedback of a request. INVALID_ARGUMENT names all that is wrong."""
    violations = Violations()
    if request.id:
        violations.check_id("id", request.id)
    violations.check_id("feedback_type", request.feedback_type)
    violations.check_text("creator", request.creator)
    target = _target(request, violations)
    trace_id = _trace_id(request, target, violations)
    has = cast(Message, request).HasField
    body: dict[str, Json] = {
        name: getattr(request, name) for name in (*REFS, *_SPAN_FACTS) if has(name)
    }
    if request.scorer_tags:
        body["scorer_tags"] = list(request.scorer_tags)
    body |= {name: dict(getattr(request, name)) for name in SCORER_MAPS if getattr(request, name)}
    _check_numbers(body, violations)
    if request.HasField("payload"):
        body["payload"] = struct_object(request.payload)
    _check_payload(request.feedback_type, body.get("payload", {}), violations)
    violations.refuse()
    return Feedback(
        id=request.id or dashed(uuid7()),
        target=target.kind,
        target_id=target.id,
        trace_id=trace_id,
        ref=request.weave_ref,
        type=request.feedback_type,
        creator=request.creator,
        created_ns=created_ns,
        body=body,
    )


def _target(request: feedback_service_pb2.CreateFeedbackRequest, violations: Violations) -> _Target:
    """The target of the ref. An unknown kind of ref names an object that is not stored here."""
    ref = request.weave_ref
    if not ref:
        violations.add("weave_ref", "is required")
    violations.check_text("weave_ref", ref)
    found = _REF.fullmatch(ref)
    if not found:
        return _Target("", ref[:MAX_ID_LENGTH])
    try:
        target_id = unquote(found[2], errors="strict")
    except UnicodeDecodeError:
        violations.add("weave_ref", "must end in a percent-encoded id")
        return _Target("", "")
    if not target_id or len(target_id) > MAX_ID_LENGTH or "\0" in target_id:
        violations.add(
            "weave_ref",
            f"must end in an id of 1 to {MAX_ID_LENGTH} characters, none of which is NUL",
        )
    return _Target(_TARGETS[found[1]], target_id)


def _trace_id(
    request: feedback_service_pb2.CreateFeedbackRequest, target: _Target, violations: Violations
) -> str:
    """The trace that contains the target, "" if unknown; a field that contradicts the ref is a
    violation."""
    trace_id = request.span_trace_id
    conversation_id = request.span_conversation_id
    for name, value in (("span_trace_id", trace_id), ("span_conversation_id", conversation_id)):
        if value:
            violations.check_id(name, value)
    if target.kind == "trace":
        if trace_id not in ("", target.id):
            violations.add("span_trace_id", "must be the trace that weave_ref names")
        return target.id
    if target.kind == "conversation":
        if trace_id:
            violations.add("span_trace_id", "must not be set if weave_ref names a conversation")
        if conversation_id not in ("", target.id):
            violations.add("span_conversation_id", "must be the conversation that weave_ref names")
    return trace_id


def _check_numbers(body: dict[str, Json], violations: Violations) -> None:
    for name in _CONFIDENCES:
        for key, value in body.get(name, {}).items():
            if not 0 <= value <= 1:
                violations.add(f"{name}.{key}", "must be from 0 to 1")
    for key, value in body.get("scorer_ratings", {}).items():
        if not math.isfinite(value):
            violations.add(f"scorer_ratings.{key}", "must be a finite number")


def _check_payload(feedback_type: str, payload: dict[str, Json], violations: Violations) -> None:
    if feedback_type == "wandb.note.1":
        note = payload.get("note")
        if not isinstance(note, str) or not 1 <= len(note) <= MAX_NOTE:
            violations.add("payload.note", f"must be a string of 1 to {MAX_NOTE} characters")
    elif feedback_type == "wandb.reaction.1":
        emoji = payload.get("emoji")
        if not isinstance(emoji, str) or not emoji:
            violations.add("payload.emoji", "must be a string")
