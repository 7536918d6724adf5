"""ProjectService: what proto/spanloom/v1/project_service.proto promises."""

from __future__ import annotations

from typing import Final

from spanloom.codec.json_path import json_path
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field
from spanloom.model.checks import Violations
from spanloom.model.limits import LIMIT_NAMES
from spanloom.redaction.rules import Rules, faults
from spanloom.services.context import CallContext
from spanloom.services.redaction import Redaction
from spanloom.store.control import ControlStore
from spanloom.store.erasure import Counts
from spanloom.v1 import project_service_pb2 as pb
from spanloom.v1.query_pb2 import ProjectLimits

_MOST_DAYS: Final = 36_500
# Patterns are compiled in a thread.
_MUCH: Final = 1000


class ProjectService:
    """Erasure of users and projects, retention, redaction, and limits."""

    def __init__(self, store: ControlStore, redaction: Redaction) -> None:
        self._store, self._redaction = store, redaction

    async def delete_user_data(
        self, request: pb.DeleteUserDataRequest, call: CallContext
    ) -> pb.DeleteUserDataResponse:
        project = call.project()
        violations = Violations(spelled=json_path(type(request)))
        violations.check_id("user_id", request.user_id)
        violations.refuse()
        counts = await self._store.erasure.delete_user(project, request.user_id)
        return pb.DeleteUserDataResponse(deleted_counts=_message(counts))

    async def delete_project(
        self, request: pb.DeleteProjectRequest, call: CallContext
    ) -> pb.DeleteProjectResponse:
        if not request.project_id:
            raise invalid_field(json_path(type(request))("project_id"), "is required")
        project = call.project_to_delete(request.project_id)
        counts = await self._store.erasure.delete_project(project)
        return pb.DeleteProjectResponse(deleted_counts=_message(counts))

    async def update_retention(
        self, request: pb.UpdateRetentionRequest, call: CallContext
    ) -> pb.UpdateRetentionResponse:
        project = call.project()
        days = request.retention_days if request.HasField("retention_days") else None
        if days is not None and not 0 <= days <= _MOST_DAYS:
            field = json_path(type(request))("retention_days")
            raise invalid_field(field, f"must be from 0 to {_MOST_DAYS}")
        await self._store.ensure_project(project)
        await self._store.erasure.set_retention(project, days)
        return pb.UpdateRetentionResponse(retention_days=days)

    async def update_redaction(
        self, request: pb.UpdateRedactionRequest, call: CallContext
    ) -> pb.UpdateRedactionResponse:
        project = call.project()
        rules = _rules(request.rules)
        violations = Violations(spelled=json_path(type(request)))
        for path, why in await run_in_thread_if_large(_MUCH, lambda: faults(rules)):
            violations.add(f"rules.{path}", why)
        violations.refuse()
        await self._store.ensure_project(project)
        await self._redaction.write(project, rules, call.received_ns)
        return pb.UpdateRedactionResponse(rules=_rules_message(rules))

    async def get_redaction(
        self, request: pb.GetRedactionRequest, call: CallContext
    ) -> pb.GetRedactionResponse:
        rules = await self._redaction.read(call.project())
        return pb.GetRedactionResponse(rules=_rules_message(rules))

    async def update_limits(
        self, request: pb.UpdateLimitsRequest, call: CallContext
    ) -> pb.UpdateLimitsResponse:
        project = call.project()
        bad = Violations(spelled=json_path(type(request)))
        given = {field.name: value for field, value in request.limits.ListFields()}
        names = list(dict.fromkeys(request.update_mask.paths)) or list(given)
        for name in names:
            if name not in LIMIT_NAMES:
                bad.add("update_mask", f'"{name[:64]}" is not a limit')
            elif given.get(name, 0) < 0:
                bad.add(f"limits.{name}", "must not be negative")
        bad.refuse()
        await self._store.ensure_project(project)
        limits = await self._store.limits.change(project, {name: given.get(name) for name in names})
        return pb.UpdateLimitsResponse(limits=ProjectLimits(**limits.given))


def _rules(message: pb.RedactionRules) -> Rules:
    return Rules(
        tuple(message.presets),
        tuple((each.name, each.pattern) for each in message.patterns),
        tuple(message.paths),
        tuple(message.redactors),
    )


def _rules_message(rules: Rules) -> pb.RedactionRules:
    return pb.RedactionRules(
        presets=rules.presets,
        patterns=[pb.RedactionPattern(name=n, pattern=p) for n, p in rules.patterns],
        paths=rules.paths,
        redactors=rules.redactors,
    )


def _message(counts: Counts) -> pb.DeletedCounts:
    fields = {name.removesuffix("s") + "_count": number for name, number in counts.items()}
    return pb.DeletedCounts(**fields)
