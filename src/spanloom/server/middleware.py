"""What every call goes through, whatever transport brought it: request id, limits, key, role, deadline, log, errors."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.message import Message

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import uuid7
from spanloom.server.auth import Authenticator
from spanloom.server.methods import Method
from spanloom.services.context import CallContext

log = structlog.get_logger("spanloom.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What each role may call, by the role that a method requires.
_ALLOWED = {
    "": {"ingest", "read", "admin"},
    "ingest": {"ingest", "admin"},
    "read": {"read", "admin"},
    "admin": {"admin"},
}

Read = Callable[[], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, a message or an error, and the id it is logged under."""

    request_id: str
    result: Message | SpanloomError


class Middleware:
    """Runs methods. `timeout` (seconds) bounds every unary call, beside the caller's own deadline; past `max_in_flight`
    calls at once a call is refused with RESOURCE_EXHAUSTED."""

    def __init__(
        self, authenticator: Authenticator, *, timeout: float = 60.0, max_in_flight: int = 1024
    ) -> None:
        self._authenticator = authenticator
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self.draining = False

    @property
    def is_busy(self) -> bool:
        return self._in_flight > 0

    async def unary(
        self,
        method: Method,
        metadata: Mapping[str, str],
        read: Read,
        *,
        transport: str,
        time_left: float | None = None,
    ) -> Outcome:
        """Answer one call. `read` gives the request message once the caller is known, so that strangers cost little."""
        request_id, started = _request_id(metadata), time.perf_counter()
        project, code, reason = "", "CANCELLED", ""
        result: Message | SpanloomError
        self._in_flight += 1
        try:
            limit = self._timeout if time_left is None else min(time_left, self._timeout)
            async with asyncio.timeout(limit):
                call = await self._admit(method, metadata, request_id)
                project = call.key_project
                result = await method.answer(await read(), call)
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the funnel
            result = as_error(error, request_id, method.full_name)
            code, reason = result.code, result.reason
        finally:
            self._in_flight -= 1
            _log(method, request_id, started, transport, project, code, reason)
        return Outcome(request_id, result)

    async def stream(
        self, method: Method, metadata: Mapping[str, str], read: Read, *, transport: str
    ) -> AsyncGenerator[Outcome, None]:
        """Answer one call of a server stream: an outcome a message; an error, if any, is the last outcome. To be closed by who
        does not read to the end."""
        request_id, started = _request_id(metadata), time.perf_counter()
        project, code, reason = "", "CANCELLED", ""
        self._in_flight += 1
        try:
            call = await self._admit(method, metadata, request_id)
            project = call.key_project
            async for message in method.answer(await read(), call):
                yield Outcome(request_id, message)
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = as_error(error, request_id, method.full_name)
            code, reason = refusal.code, refusal.reason
            yield Outcome(request_id, refusal)
        finally:
            self._in_flight -= 1
            _log(method, request_id, started, transport, project, code, reason)

    async def _admit(
        self, method: Method, metadata: Mapping[str, str], request_id: str
    ) -> CallContext:
        received_ns = time.time_ns()
        if self.draining:
            raise SpanloomError(
                Code.UNAVAILABLE,
                Reason.SHUTTING_DOWN,
                "the server is shutting down",
                retry_after=1.0,
            )
        if self._in_flight > self._max_in_flight:
            raise SpanloomError(
                Code.RESOURCE_EXHAUSTED,
                Reason.QUEUE_FULL,
                "too many calls at once; send this one again",
                metadata={"limit_calls": str(self._max_in_flight)},
                retry_after=1.0,
            )
        principal = await self._authenticator.authenticate(metadata)
        role = principal.role
        if role not in _ALLOWED[method.role]:
            raise SpanloomError(
                Code.PERMISSION_DENIED,
                Reason.ROLE_NOT_ALLOWED,
                f"this call needs a key with the role {method.role}; this key's role is {role}",
                metadata={"role": role, "required": method.role},
            )
        return CallContext(
            request_id=request_id,
            key_project=principal.project,
            role=role,
            received_ns=received_ns,
            header_project=metadata.get("x-spanloom-project", ""),
            header_project_id=metadata.get("project_id", "").rpartition("/")[2],
        )


def _log(
    method: Method,
    request_id: str,
    started: float,
    transport: str,
    project: str,
    code: str,
    reason: str,
) -> None:
    facts: dict[str, Any] = {
        "method": method.full_name,
        "transport": transport,
        "code": code,
        "ms": round((time.perf_counter() - started) * 1000, 3),
        "request_id": request_id,
    }
    if project:
        facts["key_project"] = project
    if reason:
        facts["reason"] = reason
    log.info("call", **facts)


def as_error(error: Exception, request_id: str, method: str) -> SpanloomError:
    """The one funnel: what is known goes to the caller, anything else only to the log."""
    if isinstance(error, SpanloomError):
        return error
    if isinstance(error, TimeoutError):
        return SpanloomError(
            Code.DEADLINE_EXCEEDED,
            Reason.DEADLINE_EXCEEDED,
            "the call took too long; a write may have been stored, and may be sent again safely",
        )
    log.error("internal error", method=method, request_id=request_id, exc_info=error)
    return SpanloomError(
        Code.INTERNAL,
        Reason.INTERNAL,
        f"internal error; the server's log has the cause under request id {request_id}",
        metadata={"request_id": request_id},
    )


def _request_id(metadata: Mapping[str, str]) -> str:
    given = metadata.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid7()
