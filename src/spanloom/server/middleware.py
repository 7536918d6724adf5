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
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from spanloom import metrics
from spanloom.errors import SpanloomError, role_not_allowed, shutting_down
from spanloom.model import uuid7
from spanloom.model.caller import CALLER, DEADLINE
from spanloom.model.held import HELD
from spanloom.model.limits import METER
from spanloom.model.projects import INSTANCE
from spanloom.server.admission import ByteBudget, Pace, Places, Turns
from spanloom.server.auth import Authenticator, Principal
from spanloom.server.call_log import CallLine, RefusalSums
from spanloom.server.funnel import as_error
from spanloom.server.methods import Method, Request
from spanloom.server.rates import CallMeter, Rates
from spanloom.services.context import CallContext, Notes
from spanloom.tracing import SPAN, OwnSpan, Recorder

REQUEST_ID = "x-request-id"
# The key of a stream is checked again with the first message after so many seconds.
_KEY_SECONDS = 10.0
# Bulk streams leave most of the time to others for so long after a call.
_YIELD_SECONDS = 1.0

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
        recorder: Records calls as spans.
        rates: What projects and keys may take in a time.
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
        recorder: Recorder | None = None,
        rates: Rates | None = None,
    ) -> None:
        self._recorder = recorder
        self._is_deleting = is_deleting
        self.pace = Pace(max_in_flight, target_latency)
        self._rates = rates or Rates()
        self._turns = Turns()
        self._bulk_turns = Turns(lambda: self.was_called_within(_YIELD_SECONDS))
        self.budget = ByteBudget(max_bytes_in_flight)
        self._authenticator = authenticator
        self._timeout = timeout
        self._calls = Places("calls", "calls", max_in_flight)
        self._writes = Places("calls that write", "paced_calls", max_in_flight)
        self._streams = Places("streams", "streams", max_streams)
        self._most_calls_of_key = max_calls_per_key
        self._most_streams_of_key = max(1, max_streams // 2)
        self._refusals = RefusalSums()
        self._last_call = -math.inf
        self._open_streams: set[asyncio.Timeout] = set()
        self.draining = False

    @property
    def is_busy(self) -> bool:
        """Whether calls are in flight; open streams may be idle."""
        return self._calls.come > 0

    @property
    def has_streams(self) -> bool:
        return self._streams.come > 0

    def was_called_within(self, seconds: float) -> bool:
        """Whether a call came in the last so many seconds."""
        return time.monotonic() - self._last_call < seconds

    @property
    def needs_no_key(self) -> bool:
        return self._authenticator.needs_no_key

    def drain(self) -> None:
        """Answer new calls and streams under way with UNAVAILABLE from now on."""
        self.draining = True
        self._refusals.write()
        for stream in self._open_streams:
            if not stream.expired():
                stream.reschedule(asyncio.get_running_loop().time())

    def is_crowded(self, method: Method) -> bool:
        """Whether `refused` may have a refusal. Own spans need the whole of a call."""
        is_free = self._calls.inside < self._most_of_key()
        return not is_free and method.is_paced and self._recorder is None

    def refused(
        self, method: Method, metadata: Mapping[str, str], request_id: str, transport: str
    ) -> SpanloomError | None:
        """The refusal of a call that writes and for which there is plainly no place.

        It costs a fraction of `unary`, which refuses the same calls with the same errors, and
        decides about all others. Such refusals are counted and logged in sums.
        """
        principal = None if self.draining else self._authenticator.known(metadata)
        if principal is None or principal.role not in _ALLOWED[method.role]:
            return None
        caller, key_id = principal.caller, principal.key_id
        refusal = self._writes.refusal(
            caller, key_id, self.pace.most, self.pace.most
        ) or self._calls.refusal(caller, key_id, self._calls.most, self._most_of_key())
        if refusal:
            self._last_call = time.monotonic()
            self._refusals.add(method, principal, refusal, request_id, transport)
        return refusal

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
        code, reason = "CANCELLED", ""
        logged = CallLine(method, request_id, transport, started)
        notes = Notes() if notes is None else notes
        span = self._begin_span(method, metadata)
        places = self._streams if method.takes_many else self._calls
        places.come += 1
        inside = contextlib.ExitStack()
        number = 0
        try:
            limit = time_left
            if not method.takes_many:
                limit = self._timeout if time_left is None else min(time_left, self._timeout)
                DEADLINE.set(time.monotonic() + limit)
            async with asyncio.timeout(limit):
                call = await self._admit(
                    method, metadata, request_id, notes, places, logged, inside
                )
                request: Any = await read()
                logged.request = request
                number = self.pace.begin() if method.is_paced else 0
                if span and (held := HELD.get()) and held.size:
                    span.attributes["spanloom.request_bytes"] = held.size
                result: Message
                if method.takes_many:
                    result = await self._step(method.answer(self._in_time(request), call))
                else:
                    result = await method.answer(request, call)
            logged.answer = result
            code = "OK"
            if span:
                span.attributes["spanloom.response_bytes"] = result.ByteSize()
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = self._refusal(error, request_id, method, notes.on_deadline)
            code, reason = refusal.code, refusal.reason
            return refusal
        finally:
            places.come -= 1
            inside.close()
            if number:
                self.pace.end(number)
            seconds = None if method.takes_many else time.perf_counter() - started
            metrics.called(method.full_name, code, reason, logged.project, seconds)
            self._end_span(span, code, reason, logged)
            logged.write(code, reason)
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
        code, reason = "CANCELLED", ""
        span = self._begin_span(method, metadata)
        logged = CallLine(method, request_id, transport, started)
        deadline = None if time_left is None else asyncio.get_running_loop().time() + time_left
        self._streams.come += 1
        inside = contextlib.ExitStack()
        try:
            call = await self._admit(
                method, metadata, request_id, Notes(), self._streams, logged, inside
            )
            checked = time.monotonic()
            turns = self._bulk_turns if method.is_bulk else self._turns
            request = await self._step(read(), deadline)
            async with contextlib.aclosing(method.answer(request, call)) as answers:
                while (message := await self._step(turns.next(answers), deadline)) is not None:
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
            self._streams.come -= 1
            inside.close()
            metrics.called(method.full_name, code, reason, logged.project, None)
            self._end_span(span, code, reason, logged)
            logged.write(code, reason)

    def _begin_span(self, method: Method, metadata: Mapping[str, str]) -> OwnSpan | None:
        if self._recorder is None:
            return None
        span = self._recorder.begin(method.full_name, metadata.get("traceparent", ""))
        SPAN.set(span)
        return span

    def _end_span(self, span: OwnSpan | None, code: str, reason: str, logged: CallLine) -> None:
        if span is None:
            return
        facts = {
            "project": logged.project,
            "request_id": logged.request_id,
            "transport": logged.transport,
        }
        span.recorder.end_call(
            span, code, reason, {f"spanloom.{name}": value for name, value in facts.items()}
        )

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
        refusal = as_error(error, request_id, method.full_name, on_deadline)
        # Its frames have the request, and the error: only a full collection would free them.
        refusal.__traceback__ = refusal.__context__ = None
        return refusal

    async def _admit(
        self,
        method: Method,
        metadata: Mapping[str, str],
        request_id: str,
        notes: Notes,
        places: Places,
        logged: CallLine,
        inside: contextlib.ExitStack,
    ) -> CallContext:
        """The context of a call that may be done.

        Args:
            inside: Is closed when the call has ended, which gives its places back.
        """
        received_ns = time.time_ns()
        self._last_call = time.monotonic()
        if self.draining:
            raise shutting_down()
        places.check()
        principal = await self._authenticator.authenticate(metadata)
        role = principal.role
        logged.caller(principal, metadata.get("x-spanloom-project", ""))
        if role not in _ALLOWED[method.role]:
            raise role_not_allowed(role, method.role)
        caller = principal.caller
        CALLER.set(caller)
        enter = self._take(method, principal, caller, places, inside)
        if principal.project != INSTANCE:
            enter(principal.project)
        return CallContext(
            request_id=request_id,
            key_project=principal.project,
            role=role,
            key_id=principal.key_id,
            proof=principal.proof,
            received_ns=received_ns,
            header_project=metadata.get("x-spanloom-project", ""),
            header_hint=metadata.get("project_id", "").rpartition("/")[2]
            or metadata.get("x-phoenix-project-name", ""),
            header_host=metadata.get("host", ""),
            notes=notes,
            is_draining=lambda: self.draining,
            is_deleting=self._is_deleting,
            enter=enter,
        )

    def _take(
        self,
        method: Method,
        principal: Principal,
        caller: str,
        places: Places,
        inside: contextlib.ExitStack,
    ) -> Callable[[str], None]:
        """Take what a call needs of the limits; what takes it of a project's.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED.
        """
        most_of_key = self._most_streams_of_key
        if places is self._calls:
            most_of_key = self._most_of_key()
            if method.is_paced:
                most = self.pace.most
                inside.enter_context(self._writes.taken(caller, principal.key_id, most, most))
        inside.enter_context(places.taken(caller, principal.key_id, places.most, most_of_key))
        meter = CallMeter(
            self._rates,
            principal.key_id,
            is_stream=method.takes_many,
            writes=method.is_paced,
        )
        meter.begin()
        METER.set(meter)
        return meter.enter

    def _most_of_key(self) -> int:
        return min(self._most_calls_of_key, self.pace.most // 2)
