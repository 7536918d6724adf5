"""KeyService: what proto/spanloom/v1/key_service.proto promises."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

from spanloom.codec.json_path import json_path
from spanloom.codec.page_token import list_query, page_token, position_of
from spanloom.codec.timestamps import ns_from_duration, ns_from_timestamp, timestamp_from_ns
from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    invalid_field,
    not_found,
    request_id_reused,
)
from spanloom.model import Key
from spanloom.model.api_keys import is_text_of, new_key, successor, text_of
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size
from spanloom.model.projects import INSTANCE
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.services.repeats import answer_once
from spanloom.store.control import ControlStore
from spanloom.store.once import Once
from spanloom.v1 import access_pb2, key_pb2
from spanloom.v1 import key_service_pb2 as pb

_DEFAULT_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1000
_PREFIX: Final = "ROLE_"
_DEFAULT_OVERLAP_NS: Final = 3600 * 10**9
_MAX_OVERLAP_NS: Final = 90 * 24 * 3600 * 10**9
# In the place of the proof of a caller without a key.
_PROOF_OF_PROCESS: Final = secrets.token_bytes(32)


class KeyService:
    """Keys of a project, or of all."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create_key(
        self, request: pb.CreateKeyRequest, call: CallContext
    ) -> pb.CreateKeyResponse:
        project = call.project()
        if request.instance_key:
            if call.key_project != INSTANCE:
                raise SpanloomError(
                    Code.PERMISSION_DENIED,
                    Reason.PROJECT_MISMATCH,
                    "only an instance key may create an instance key",
                    metadata={"project": project},
                )
            project = INSTANCE
        spelled = json_path(type(request))
        violations = Violations(spelled=spelled)
        if len(request.roles) != 1:
            violations.add("roles", "must have exactly one element")
        elif request.roles[0] not in access_pb2.Role.values()[1:]:
            violations.add("roles[0]", "is not a known role")
        violations.check_text("name", request.name)
        expires_ns = None
        if request.HasField("expire_time"):
            expires_ns = ns_from_timestamp(request.expire_time)
            if expires_ns is None:
                violations.add("expire_time", OUT_OF_RANGE)
        violations.refuse()
        role = access_pb2.Role.Name(request.roles[0]).removeprefix(_PREFIX).lower()
        try:
            key, text = new_key(project, role, name=request.name, expires_ns=expires_ns)
        except SpanloomError as error:
            fields = {"role": "roles", "expires": "expire_time"}
            bad = error.violations[0]
            field = fields.get(bad.field, bad.field)
            raise invalid_field(spelled(field), bad.description) from None
        if project != INSTANCE:
            await self._store.ensure_project(project)
        await self._store.create_key(key)
        return pb.CreateKeyResponse(key=_message(key), text=text)

    async def list_keys(
        self, request: pb.ListKeysRequest, call: CallContext
    ) -> pb.ListKeysResponse:
        project = _managed(call)
        spelled = json_path(type(request))
        size = clamped_page_size(
            spelled("page_size"),
            request.page_size,
            default=_DEFAULT_PAGE_SIZE,
            maximum=_MAX_PAGE_SIZE,
        )
        named = list_query("keys", asked="")
        after = (-1, "")
        if request.page_token:
            field = spelled("page_token")
            after = position_of(request.page_token, named, project, field=field)
        found = [
            key
            for key in await self._store.list_keys()
            if project in (INSTANCE, key.project) and (key.created_ns, key.id) > after
        ]
        response = pb.ListKeysResponse(keys=map(_message, found[:size]))
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_token(named, project, (last.created_ns, last.id))
        return response

    async def rotate_key(
        self, request: pb.RotateKeyRequest, call: CallContext
    ) -> pb.RotateKeyResponse:
        project = _managed(call)
        spelled = json_path(type(request))
        violations = Violations(spelled=spelled)
        if not request.key_id:
            violations.add("key_id", "is required")
        violations.check_text("key_id", request.key_id)
        overlap_ns: int | None = _DEFAULT_OVERLAP_NS
        if request.HasField("overlap"):
            overlap_ns = ns_from_duration(request.overlap)
        if overlap_ns is None or overlap_ns > _MAX_OVERLAP_NS:
            violations.add("overlap", "must be between 0 and 90 days")
        violations.refuse()
        proof = call.proof or _PROOF_OF_PROCESS

        async def create(once: Once) -> pb.RotateKeyResponse:
            """The response with the salt in the place of the text: what is remembered for repeats
            does not open anything."""
            key = await self._find(request.key_id, project)
            salt = secrets.token_urlsafe(32)
            made, _ = successor(key, salt, proof)
            if key.project != INSTANCE:
                await self._store.ensure_project(key.project)
            until_ns = made.created_ns + (overlap_ns or 0)
            if key.expires_ns is not None:
                until_ns = min(until_ns, key.expires_ns)
            answer = pb.RotateKeyResponse(
                key=_message(made), text=salt, old_key_expire_time=timestamp_from_ns(until_ns)
            )
            once = once.answering(lambda _: answer.SerializeToString())
            await self._store.rotate_key(project, key.id, made, until_ns, once)
            return answer

        response = await answer_once(self._store, project, request, pb.RotateKeyResponse, create)
        response.text = text_of(response.key.key_id, response.text, proof)
        made = await self._find(response.key.key_id, project)
        if not is_text_of(made, response.text):  # of a caller with another key
            raise request_id_reused(spelled("request_id"))
        return response

    async def revoke_key(
        self, request: pb.RevokeKeyRequest, call: CallContext
    ) -> pb.RevokeKeyResponse:
        project = _managed(call)
        if not request.key_id:
            raise invalid_field(json_path(type(request))("key_id"), "is required")
        violations = Violations(spelled=json_path(type(request)))
        violations.check_text("key_id", request.key_id)
        violations.refuse()
        key = await self._find(request.key_id, project)
        await self._store.revoke_key(key.id, time.time_ns())
        revoked = await self._store.find_key(key.id)
        return pb.RevokeKeyResponse(key=_message(revoked or key))

    async def _find(self, key_id: str, project: str) -> Key:
        """A key of the project, or of any; NOT_FOUND if there is none."""
        key = await self._store.find_key(key_id)
        if key is None or project not in (INSTANCE, key.project):
            raise not_found("key", key_id[:64])
        return key


def _managed(call: CallContext) -> str:
    """The project whose keys the caller manages, INSTANCE for all."""
    if call.key_project == INSTANCE and not call.header_project:
        return INSTANCE
    return call.project()


def _message(key: Key) -> key_pb2.Key:
    times: dict[str, Any] = {
        "create_time": key.created_ns,
        "expire_time": key.expires_ns,
        "revoke_time": key.revoked_ns,
        "last_use_time": key.last_used_ns,
    }
    return key_pb2.Key(
        key_id=key.id,
        project_id="" if key.project == INSTANCE else key.project,
        instance_key=key.project == INSTANCE,
        roles=[access_pb2.Role.Value(f"{_PREFIX}{key.role.upper()}")],
        name=key.name,
        replaced_by=key.replaced_by,
        **{name: timestamp_from_ns(ns) for name, ns in times.items() if ns is not None},
    )
