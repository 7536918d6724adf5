"""FeedbackService: what proto/spanloom/v1/feedback_service.proto promises."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple, TypeVar, cast
from urllib.parse import unquote

from google.protobuf.message import Message

from spanloom.adapters.weave.feedback import REFS, SCORER_MAPS, feedback_message
from spanloom.adapters.weave.feedback_query import condition, feedback_json
from spanloom.adapters.weave.feedback_stats import (
    GROUPS,
    aggregated,
    bucket_seconds,
    check_metrics,
    fill_stats,
    names,
    paths_of,
)
from spanloom.codec.json_fields import put_json
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.errors import SpanloomError, Violation, invalid, invalid_field
from spanloom.model import (
    MAX_ID_LENGTH,
    Feedback,
    FeedbackQuery,
    Json,
    Page,
    dashed,
    uuid7,
)
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.model.times import MAX_TIME_MS, OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import feedback_service_pb2 as pb

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_NOTE = 1024
_MAX_INT32 = 2**31 - 1
_NS_PER_MS = 10**6
_SAMPLE, _MOST_SAMPLED = 2_000, 5_000

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
        self, request: pb.CreateFeedbackRequest, call: CallContext
    ) -> pb.CreateFeedbackResponse:
        project = call.named_project(request.project_id)
        feedback = _read(request, call.received_ns)
        await self._store.ensure_project(project)
        if call.only_ingests:
            # The answer says nothing of what was stored under the id.
            await self._store.replace_feedback(project, feedback, only_own=True)
            return _filled(pb.CreateFeedbackResponse(), feedback)
        if request.id:
            # What is replaced keeps the time it was stored first.
            target = (feedback.target, feedback.target_id)
            for earlier in await self._store.feedback_on(project, [target]):
                if earlier.id == feedback.id:
                    feedback = replace(feedback, created_ns=earlier.created_ns)
        await self._store.write_feedback(project, feedback)
        return _filled(pb.CreateFeedbackResponse(), feedback)

    async def batch_create_feedback(
        self, request: pb.BatchCreateFeedbackRequest, call: CallContext
    ) -> pb.BatchCreateFeedbackResponse:
        if not 1 <= len(request.batch) <= MAX_LIMIT:
            raise invalid_field("batch", f"must have 1 to {MAX_LIMIT} items")
        projects = {call.named_project(one.project_id) for one in request.batch}
        if len(projects) > 1:
            raise invalid_field("batch", "must name one project")
        read = []
        for index, one in enumerate(request.batch):
            try:
                read.append(_read(one, call.received_ns))
            except SpanloomError as error:
                raise invalid(
                    [
                        Violation(f"batch[{index}].{wrong.field}", wrong.description)
                        for wrong in error.violations
                    ]
                ) from None
        [project] = projects
        await self._store.ensure_project(project)
        if call.only_ingests:
            await self._store.replace_feedback(project, *read, only_own=True)
        else:
            await self._store.write_feedback(project, *read)
        answers = [_filled(pb.CreateFeedbackResponse(), feedback) for feedback in read]
        return pb.BatchCreateFeedbackResponse(res=answers)

    async def replace_feedback(
        self, request: pb.ReplaceFeedbackRequest, call: CallContext
    ) -> pb.ReplaceFeedbackResponse:
        project = call.named_project(request.project_id)
        if not request.feedback_id:
            raise invalid_field("feedback_id", "is required")
        # The messages have the same fields.
        made = pb.CreateFeedbackRequest.FromString(request.SerializeToString())
        made.id = request.feedback_id
        feedback = _read(made, call.received_ns)
        await self._store.ensure_project(project)
        only_own = call.only_ingests
        [stored] = await self._store.replace_feedback(project, feedback, only_own=only_own)
        # To a key that only ingests, the answer says nothing of what was stored under the id.
        return _filled(pb.ReplaceFeedbackResponse(), feedback if only_own else stored)

    async def query_feedback(
        self, request: pb.QueryFeedbackRequest, call: CallContext
    ) -> pb.QueryFeedbackResponse:
        project = call.named_project(request.project_id)
        violations = Violations()
        violations.check_text("weave_ref", request.weave_ref)
        violations.check_text("feedback_type", request.feedback_type)
        violations.refuse()
        ref, kind = request.weave_ref, request.feedback_type
        limit = clamped_page_size("limit", request.limit, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        offset = not_negative("offset", request.offset)
        if request.HasField("query"):
            holds = condition(struct_object(request.query))
            items = [
                feedback
                async for feedback in self._all(project, FeedbackQuery())
                if ref in ("", feedback.ref)
                and kind in ("", feedback.type)
                and holds(feedback_json(feedback))
            ]
            page = Page(items[offset : offset + limit], len(items))
        else:
            page = await self._store.find_feedback(
                project, ref=ref, type=kind, limit=limit, offset=offset
            )
        return pb.QueryFeedbackResponse(
            result=[feedback_message(feedback) for feedback in page.items],
            total_count=min(page.total, _MAX_INT32),
        )

    async def purge_feedback(
        self, request: pb.PurgeFeedbackRequest, call: CallContext
    ) -> pb.PurgeFeedbackResponse:
        project = call.named_project(request.project_id)
        if not request.HasField("query"):
            raise invalid_field("query", "is required")
        holds = condition(struct_object(request.query))
        found = [
            feedback.id
            async for feedback in self._all(project, FeedbackQuery())
            if holds(feedback_json(feedback))
        ]
        for feedback_id in found:
            await self._store.delete_feedback(project, feedback_id)
        return pb.PurgeFeedbackResponse()

    async def get_feedback_stats(
        self, request: pb.GetFeedbackStatsRequest, call: CallContext
    ) -> pb.GetFeedbackStatsResponse:
        project = call.named_project(request.project_id)
        since, before = _range(request, call)
        check_metrics(request.metrics)
        seconds = bucket_seconds(not_negative("granularity", request.granularity), since, before)
        found = await self._of_trigger(project, request, since, before)
        response = pb.GetFeedbackStatsResponse(
            start=timestamp_from_ns(since),
            end=timestamp_from_ns(before),
            granularity=seconds,
            timezone="UTC",
        )
        await run_in_thread_if_large(
            len(found), lambda: fill_stats(response, found, request.metrics)
        )
        return response

    async def aggregate_feedback(
        self, request: pb.AggregateFeedbackRequest, call: CallContext
    ) -> pb.AggregateFeedbackResponse:
        project = call.named_project(request.project_id)
        for name in request.group_by:
            if name not in GROUPS:
                raise invalid_field("group_by", f"must be of {', '.join(GROUPS)}")
        after_ms = _milliseconds("after_ms", request.after_ms)
        # Without an end, up to now: the millisecond of this call is a part of it.
        now_ms = call.received_ns // _NS_PER_MS + 1
        before_ms = _milliseconds("before_ms", request.before_ms) or now_ms
        since, before = after_ms * _NS_PER_MS, before_ms * _NS_PER_MS
        seconds = not_negative("time_bucket_seconds", request.time_bucket_seconds)
        if seconds:
            bucket_seconds(seconds, since, before)
        asked = FeedbackQuery(since_ns=since, before_ns=before)
        found = [feedback async for feedback in self._all(project, asked)]
        response = pb.AggregateFeedbackResponse(
            after_ms=after_ms,
            before_ms=before_ms,
            buckets=await run_in_thread_if_large(
                len(found), lambda: aggregated(request, found, after_ms)
            ),
        )
        if seconds:
            response.time_bucket_seconds = seconds
        return response

    async def get_feedback_payload_schema(
        self, request: pb.GetFeedbackPayloadSchemaRequest, call: CallContext
    ) -> pb.GetFeedbackPayloadSchemaResponse:
        project = call.named_project(request.project_id)
        since, before = _range(request, call)
        sample = clamped_page_size(
            "sample_limit", request.sample_limit, default=_SAMPLE, maximum=_MOST_SAMPLED
        )
        found = await self._of_trigger(project, request, since, before, most=sample)
        paths = [
            pb.GetFeedbackPayloadSchemaResponse.Path(json_path=path, value_type=kind)
            for path, kind in paths_of(found)
        ]
        return pb.GetFeedbackPayloadSchemaResponse(paths=paths)

    async def _of_trigger(
        self,
        project: str,
        request: pb.GetFeedbackStatsRequest | pb.GetFeedbackPayloadSchemaRequest,
        since: int,
        before: int,
        *,
        most: int | None = None,
    ) -> list[Feedback]:
        """The feedback of a range, of the type and the trigger that are asked for; the latest."""
        found: list[Feedback] = []
        trigger = request.trigger_ref
        async for feedback in self._all(project, FeedbackQuery(since_ns=since, before_ns=before)):
            if request.feedback_type in ("", feedback.type) and (
                not trigger or names(str(feedback.body.get("trigger_ref") or ""), trigger)
            ):
                found.append(feedback)
            if len(found) == most:
                break
        return found

    async def _all(self, project: str, asked: FeedbackQuery) -> AsyncIterator[Feedback]:
        """All feedback, newest first, a part at a time."""
        after: tuple[int, str] | None = None
        while True:
            part = await self._store.list_feedback(project, asked, limit=MAX_LIMIT, after=after)
            for feedback in part:
                yield feedback
            if len(part) < MAX_LIMIT:
                return
            after = (part[-1].created_ns, part[-1].id)


_Answer = TypeVar("_Answer", pb.CreateFeedbackResponse, pb.ReplaceFeedbackResponse)


def _filled(answer: _Answer, feedback: Feedback) -> _Answer:
    """The answer for what was stored. Weave's client requires the user and the payload."""
    answer.id = feedback.id
    answer.created_at.CopyFrom(timestamp_from_ns(feedback.created_ns))
    answer.wb_user_id = feedback.body.get("wb_user_id", "")
    put_json(answer, {"payload": feedback.body.get("payload", {})})
    return answer


def _range(
    request: pb.GetFeedbackStatsRequest | pb.GetFeedbackPayloadSchemaRequest, call: CallContext
) -> tuple[int, int]:
    """The range of times of a request in nanoseconds."""
    if not request.HasField("start"):
        raise invalid_field("start", "is required")
    since = ns_from_timestamp(request.start)
    before = ns_from_timestamp(request.end) if request.HasField("end") else call.received_ns
    if since is None or before is None:
        raise invalid_field("start" if since is None else "end", OUT_OF_RANGE)
    return since, before


def _milliseconds(field: str, value: float) -> int:
    if not 0 <= value <= MAX_TIME_MS:
        raise invalid_field(field, OUT_OF_RANGE)
    return int(value)


class _Target(NamedTuple):
    kind: str
    id: str


def _read(request: pb.CreateFeedbackRequest, created_ns: int) -> Feedback:
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


def _target(request: pb.CreateFeedbackRequest, violations: Violations) -> _Target:
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


def _trace_id(request: pb.CreateFeedbackRequest, target: _Target, violations: Violations) -> str:
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
