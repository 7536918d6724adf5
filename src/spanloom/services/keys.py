"""KeyService: what proto/spanloom/v1/key_service.proto promises."""

from __future__ import annotations

import time
from typing import Any, Final

from spanloom.codec.json_path import json_path
from spanloom.codec.page_token import list_query, page_token, position_of
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.errors import Code, Reason, SpanloomError, invalid_field, not_found
from spanloom.model import Key
from spanloom.model.api_keys import new_key
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size
from spanloom.model.projects import INSTANCE
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import access_pb2, key_pb2
from spanloom.v1 import key_service_pb2 as pb

_DEFAULT_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1000
_PREFIX: Final = "ROLE_"


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

    async def revoke_key(
        self, request: pb.RevokeKeyRequest, call: CallContext
    ) -> pb.RevokeKeyResponse:
        project = _managed(call)
        if not request.key_id:
            raise invalid_field(json_path(type(request))("key_id"), "is required")
        violations = Violations(spelled=json_path(type(request)))
        violations.check_text("key_id", request.key_id)
        violations.refuse()
        key = await self._store.find_key(request.key_id)
        if key is None or project not in (INSTANCE, key.project):
            raise not_found("key", request.key_id[:64])
        await self._store.revoke_key(key.id, time.time_ns())
        revoked = await self._store.find_key(key.id)
        return pb.RevokeKeyResponse(key=_message(revoked or key))


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
    }
    return key_pb2.Key(
        key_id=key.id,
        project_id="" if key.project == INSTANCE else key.project,
        instance_key=key.project == INSTANCE,
        roles=[access_pb2.Role.Value(f"{_PREFIX}{key.role.upper()}")],
        name=key.name,
        **{name: timestamp_from_ns(ns) for name, ns in times.items() if ns is not None},
    )
