"""What every call passes, whichever transport it came by.

That is a request id, admission limits, authentication, the role, a deadline, the log, and one
funnel for errors. Refusals of what is no call at all pass it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from spanloom import metrics
from spanloom.errors import Code, Reason, SpanloomError, role_not_allowed, shutting_down
from spanloom.model import uuid7
from spanloom.model.caller import CALLER, DEADLINE
from spanloom.model.projects import INSTANCE
from spanloom.server.admission import ByteBudget, Pace, Turns
from spanloom.server.auth import Authenticator
from spanloom.server.methods import Method, Request
from spanloom.services.context import CallContext, Notes

log = structlog.get_logger("spanloom.request")

REQUEST_ID = "x-request-id"
# The key of a stream is checked again with the first message after so many seconds.
_KEY_SECONDS = 10.0

_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# The roles that may call a method, by the role that the method requires.
_ALLOWED = {
    "": {"ingest", "read", "review", "admin"},
    "ingest": {"ingest", "admin"},
    "read": {"read", "review", "admin"},
    "review": {"review", "admin"},
    "admin": {"admin"},
}

# What a method takes: its request, or the requests of a client stream.
Read = Callable[[], Awaitable[Request | AsyncIterator[Request | SpanloomError]]]
T = TypeVar("T")


def request_id_of(metadata: Mapping[str, str]) -> str:
    """The caller's `x-request-id` if it can be one, else a new id."""
    given = metadata.get(REQUEST_ID, "")
    return given if _VALID_REQUEST_ID.fullmatch(given) else uuid7()


@dataclass(slots=True)
class _Places:
    """How many calls of a kind there may be at once, and are."""

    of: str
    most: int
    most_of_key: int
    taken: int = 0
    of_key: Counter[str] = field(default_factory=Counter)

    def take_of_key(self, key_id: str, most: int) -> None:
        """Count a call of a key.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if the key has so many.
        """
        if self.of_key[key_id] >= most:
            raise _too_many(f"{self.of} of this key", f"{self.of}_per_key", most)
        self.of_key[key_id] += 1

    def leave(self, key_id: str) -> None:
        """A call has ended; "" if it is not counted for a key."""
        self.taken -= 1
        if key_id:
            self.of_key[key_id] -= 1
            if not self.of_key[key_id]:
                del self.of_key[key_id]


class Middleware:
    """Runs methods.

    Args:
        timeout: Seconds that a call with one request and one answer may take, if the caller's own
            deadline is not shorter. A stream has the caller's deadline only; one of requests alone
            may pause for so long.
        max_in_flight: So many calls at once are accepted; more get RESOURCE_EXHAUSTED.
        max_streams: The same of streams, which may be idle for any time. A key has half of them.
        max_calls_per_key: The same of the calls of one key.
        max_bytes_in_flight: The bytes of all requests that are under way.
        target_latency: Seconds in which calls that write are answered, or else fewer are let in; 0
            for no such limit.
        is_deleting: Whether a project is being deleted, and takes no calls.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        timeout: float = 60.0,
        max_in_flight: int = 1024,
        max_streams: int = 4096,
        max_calls_per_key: int = 512,
        max_bytes_in_flight: int = 192 << 20,
        target_latency: float = 0.0,
        is_deleting: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._is_deleting = is_deleting
        self.pace = Pace(max_in_flight, target_latency)
        self._turns = Turns()
        self._writing = 0
        self.budget = ByteBudget(max_bytes_in_flight)
        self._authenticator = authenticator
        self._timeout = timeout
        self._calls = _Places("calls", max_in_flight, max_calls_per_key)
        self._streams = _Places("streams", max_streams, max(1, max_streams // 2))
        self._last_call = -math.inf
        self._open_streams: set[asyncio.Timeout] = set()
        self.draining = False

    @property
    def is_busy(self) -> bool:
        """Whether calls are in flight; open streams may be idle."""
        return self._calls.taken > 0

    @property
    def has_streams(self) -> bool:
        return self._streams.taken > 0

    def was_called_within(self, seconds: float) -> bool:
        """Whether a call came in the last so many seconds."""
        return time.monotonic() - self._last_call < seconds

    @property
    def needs_no_key(self) -> bool:
        return self._authenticator.needs_no_key

    def drain(self) -> None:
        """Answer new calls and streams under way with UNAVAILABLE from now on."""
        self.draining = True
        for stream in self._open_streams:
            if not stream.expired():
                stream.reschedule(asyncio.get_running_loop().time())

    async def unary(
        self,
        method: Method,
        metadata: Mapping[str, str],
        read: Read,
        *,
        request_id: str,
        transport: str,
        time_left: float | None = None,
        notes: Notes | None = None,
    ) -> Message | SpanloomError:
        """Answer one call of a method with one answer.

        Args:
            notes: Takes what the service says of its answer.
            metadata: HTTP headers or gRPC metadata, names in lower case.
            read: Parses the request, or begins to iterate over the requests. It runs after
                authentication, so that callers without a key cost no parsing.
            time_left: Seconds to the caller's own deadline.
        """
        started = time.perf_counter()
        project, code, reason, key_id = "", "CANCELLED", "", ""
        notes = Notes() if notes is None else notes
        places = self._streams if method.takes_many else self._calls
        places.taken += 1
        writes = method.role == "ingest" and not method.takes_many
        self._writing += writes
        read_at = 0.0
        try:
            if writes and self._writing > self.pace.most:
                raise _too_many("calls that write", "paced_calls", self.pace.most)
            limit = time_left
            if not method.takes_many:
                limit = self._timeout if time_left is None else min(time_left, self._timeout)
                DEADLINE.set(time.monotonic() + limit)
            async with asyncio.timeout(limit):
                call = await self._admit(method, metadata, request_id, notes, places)
                project = call.key_project
                key_id = self._take_of_key(places, call.key_id)
                request: Any = await read()
                read_at = time.perf_counter()
                result: Message
                if method.takes_many:
                    result = await self._step(method.answer(self._in_time(request), call))
                else:
                    result = await method.answer(request, call)
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = self._refusal(error, request_id, method, notes.on_deadline)
            code, reason = refusal.code, refusal.reason
            return refusal
        finally:
            places.leave(key_id)
            self._writing -= writes
            if writes and read_at:
                self.pace.ended(time.perf_counter() - read_at)
            seconds = None if method.takes_many else time.perf_counter() - started
            metrics.called(method.full_name, code, reason, project, seconds)
            _log(method.full_name, request_id, started, transport, project, code, reason)
        return result

    async def stream(
        self,
        method: Method,
        metadata: Mapping[str, str],
        read: Read,
        *,
        request_id: str,
        transport: str,
        time_left: float | None = None,
    ) -> AsyncGenerator[Message | SpanloomError, None]:
        """Answer one call of a method with many answers; as `unary`.

        An error, if any, comes last. Whoever does not read to the end must close the generator.
        """
        started = time.perf_counter()
        project, code, reason, key_id = "", "CANCELLED", "", ""
        deadline = None if time_left is None else asyncio.get_running_loop().time() + time_left
        self._streams.taken += 1
        try:
            call = await self._admit(method, metadata, request_id, Notes(), self._streams)
            project, checked = call.key_project, time.monotonic()
            key_id = self._take_of_key(self._streams, call.key_id)
            request = await self._step(read(), deadline)
            async with contextlib.aclosing(method.answer(request, call)) as answers:
                while (
                    message := await self._step(self._turns.next(answers), deadline)
                ) is not None:
                    if time.monotonic() > checked + _KEY_SECONDS:
                        await self._authenticator.authenticate(metadata)
                        checked = time.monotonic()
                    answer = [message]
                    del message  # it may be large, and its client slow
                    yield answer.pop()
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = self._refusal(error, request_id, method)
            code, reason = refusal.code, refusal.reason
            yield refusal
        finally:
            self._streams.leave(key_id)
            metrics.called(method.full_name, code, reason, project, None)
            _log(method.full_name, request_id, started, transport, project, code, reason)

    def _take_of_key(self, places: _Places, key_id: str) -> str:
        """Count a call of a key; its id, "" where there are no keys.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if the key has too many.
        """
        if key_id:
            most = places.most_of_key
            if places is self._calls:
                most = min(most, self.pace.most // 2)
            places.take_of_key(key_id, most)
        return key_id

    async def _in_time(self, requests: AsyncIterator[T]) -> AsyncIterator[T]:
        """The requests of a client that does not pause for longer than the timeout."""
        while True:
            async with asyncio.timeout(self._timeout):
                request = await anext(requests, None)
            if request is None:
                return
            yield request

    async def _step(self, work: Awaitable[T], deadline: float | None = None) -> T:
        """Wait for one step of a stream, until the deadline or until the server drains.

        A deadline over the whole generator would also interrupt whoever iterates over it.
        """
        async with asyncio.timeout_at(deadline) as scope:
            if self.draining:
                scope.reschedule(asyncio.get_running_loop().time())
            self._open_streams.add(scope)
            try:
                return await work
            finally:
                self._open_streams.discard(scope)

    def _refusal(
        self, error: Exception, request_id: str, method: Method, on_deadline: str = ""
    ) -> SpanloomError:
        """The caller's error; a stream that the drain interrupts ends with a TimeoutError."""
        is_stream = method.takes_many or method.gives_many
        if isinstance(error, TimeoutError) and self.draining and is_stream:
            return shutting_down()
        return as_error(error, request_id, method.full_name, on_deadline)

    async def _admit(
        self,
        method: Method,
        metadata: Mapping[str, str],
        request_id: str,
        notes: Notes,
        places: _Places,
    ) -> CallContext:
        received_ns = time.time_ns()
        self._last_call = time.monotonic()
        if self.draining:
            raise shutting_down()
        if places.taken > places.most:
            raise _too_many(places.of, places.of, places.most)
        principal = await self._authenticator.authenticate(metadata)
        role = principal.role
        if role not in _ALLOWED[method.role]:
            raise role_not_allowed(role, method.role)
        CALLER.set(principal.key_id if principal.project == INSTANCE else principal.project)
        return CallContext(
            request_id=request_id,
            key_project=principal.project,
            role=role,
            key_id=principal.key_id,
            received_ns=received_ns,
            header_project=metadata.get("x-spanloom-project", ""),
            header_hint=metadata.get("project_id", "").rpartition("/")[2]
            or metadata.get("x-phoenix-project-name", ""),
            header_host=metadata.get("host", ""),
            notes=notes,
            is_draining=lambda: self.draining,
            is_deleting=self._is_deleting,
        )


def _too_many(what: str, name: str, most: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        f"the server has too many {what} in progress; retry later",
        metadata={f"limit_{name}": str(most)},
        retry_after=1.0,
    )


def log_refusal(error: SpanloomError, request_id: str, *, transport: str, target: str) -> None:
    """The log line of a request that is no call: an unknown path, or no HTTP at all.

    Args:
        target: What it was for, like `GET /nowhere`, in place of the method's name.
    """
    metrics.REFUSALS.labels(error.reason).inc()
    _log(target, request_id, time.perf_counter(), transport, "", error.code, error.reason)


def _log(
    method: str,
    request_id: str,
    started: float,
    transport: str,
    project: str,
    code: str,
    reason: str,
) -> None:
    facts: dict[str, Any] = {
        "method": method,
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


def as_error(
    error: Exception, request_id: str, method: str, on_deadline: str = ""
) -> SpanloomError:
    """The one funnel: known errors are for the caller, the text of all others is only logged."""
    if isinstance(error, SpanloomError):
        return error
    if isinstance(error, TimeoutError):
        return SpanloomError(
            Code.DEADLINE_EXCEEDED,
            Reason.DEADLINE_EXCEEDED,
            on_deadline
            or "the deadline expired before the call was complete; a write may have been stored",
        )
    log.error("internal error", method=method, request_id=request_id, exc_info=error)
    return SpanloomError(
        Code.INTERNAL,
        Reason.INTERNAL,
        f"internal error; the server's log has the cause under the request id {request_id}",
        metadata={"request_id": request_id},
    )
