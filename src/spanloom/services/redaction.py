"""What calls bring is redacted before any service sees it: so no path of it is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from spanloom.adapters.honeyhive.incoming import EventBatch, SentEvent, changed_event
from spanloom.errors import SpanloomError, redaction_failed
from spanloom.model import Record
from spanloom.model.catalog import REDACTION
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE, is_project
from spanloom.redaction.credentials import CLEAN, may_have_credentials
from spanloom.redaction.documents import redacted_fields
from spanloom.redaction.messages import redact_message
from spanloom.redaction.rules import Compiled, Rules, compile_rules, document_of, rules_of
from spanloom.services.context import CallContext
from spanloom.services.otlp import by_project
from spanloom.store.control import ControlStore

log = structlog.get_logger("spanloom.redaction")

RULES_ID: Final = "rules"
# How long another process may use the rules before a change.
_SECONDS: Final = 0.5
_MOST_PROJECTS: Final = 10_000
# How long functions of others may take for one request, and how many requests at once.
_MOST_SECONDS: Final = 10.0
_THREADS: Final = 8
# About 20 ms of work on the event loop, in bytes: without rules, and with some.
_LARGE: Final = 4 << 20
_LARGE_WITH_RULES: Final = 64 << 10
_GROUPS: Final = ("resource_spans", "resource_logs")
_CHILDREN: Final = "children"
_PROJECT: Final = "project"
_PROJECT_FIELDS: Final = (_PROJECT, "project_name", "task", "project_id")


class _Known(NamedTuple):
    """The rules of a project as they were at a time of the monotonic clock."""

    read_at: float
    rules: Rules
    compiled: Compiled


class Redaction:
    """Redacts requests by the rules of the server and of the project they are for.

    Args:
        credentials: Whether values under the names of credentials are redacted.
        rules: Those for all projects.
        timeout: Seconds that functions of others may take for one request.
    """

    def __init__(
        self,
        store: ControlStore,
        *,
        credentials: bool = True,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        timeout: float = _MOST_SECONDS,
    ) -> None:
        self._records = store.records
        self._credentials, self._server_rules, self._timeout = credentials, rules, timeout
        self._known: dict[str, _Known] = {}
        self._reading: set[str] = set()
        self._places = asyncio.Semaphore(_THREADS)

    async def read(self, project: str) -> Rules:
        """The rules of a project's own."""
        record = await self._records.find(project, REDACTION, RULES_ID)
        return rules_of(record.body) if record else Rules()

    async def write(self, project: str, rules: Rules, now_ns: int) -> None:
        """Store the rules of a project, in place of earlier ones."""
        await self._records.write(project, REDACTION, Record(RULES_ID, now_ns, document_of(rules)))
        self._known.pop(project, None)

    async def request(self, request: Any, call: CallContext) -> tuple[Any, CallContext]:
        """The request redacted, and the context that allows to store it in its projects alone.

        Raises:
            SpanloomError: UNAVAILABLE if it cannot be redacted; or as of `CallContext.project`.
        """
        parts = _parts(request, call)
        compiled = [await self._rules(names) for names, _ in parts]
        is_clean = request is CLEAN.get()
        CLEAN.set(None)
        todo = [
            (rules, part)
            for rules, (_, part) in zip(compiled, parts, strict=True)
            if rules.has_rules or (rules.credentials and not is_clean)
        ]
        if todo:
            request = await self._redacted(request, todo)
        allowed = frozenset(name for names, _ in parts for name in names)
        return request, replace(call, redacted_for=allowed)

    def guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """What answers calls, with their requests redacted."""

        async def answer(request: Any, call: CallContext) -> Any:
            return await method(*await self.request(request, call))

        return answer

    def guarded_stream(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The same of what takes a stream of requests."""

        def answer(requests: AsyncIterator[Any], call: CallContext) -> Any:
            return method(self.requests(requests, call), call)

        return answer

    async def requests(self, requests: AsyncIterator[Any], call: CallContext) -> AsyncIterator[Any]:
        """The same of a stream, one by one. What could not be read as a request stays in it."""
        async for request in requests:
            if isinstance(request, SpanloomError):
                yield request
            else:
                yield (await self.request(request, call))[0]

    async def _redacted(self, request: Any, todo: Sequence[tuple[Compiled, Any]]) -> Any:
        work = partial(_redact, request, todo)
        try:
            if any(rules.redactors for rules, _ in todo):
                return await self._in_time(work)
            has_rules = any(rules.has_rules for rules, _ in todo)
            if _size(request) > (_LARGE_WITH_RULES if has_rules else _LARGE):
                return await asyncio.to_thread(work)
            return work()
        except Exception as error:
            log.error("a request was refused: it could not be redacted", exc_info=error)
            raise redaction_failed() from error

    async def _in_time(self, work: Callable[[], Any]) -> Any:
        """The result of work in a thread that may hang: then it ends with the process."""
        async with asyncio.timeout(self._timeout):
            await self._places.acquire()
            loop = asyncio.get_running_loop()
            done: asyncio.Future[Any] = loop.create_future()

            def settle(result: Any, error: Exception | None) -> None:
                self._places.release()
                if error is not None and not done.done():
                    done.set_exception(error)
                elif not done.done():
                    done.set_result(result)

            def run() -> None:
                result = error = None
                try:
                    result = work()
                except Exception as raised:  # noqa: BLE001 - for whoever waits
                    error = raised
                with contextlib.suppress(RuntimeError):  # the server has ended
                    loop.call_soon_threadsafe(settle, result, error)

            threading.Thread(target=run, name="redactor", daemon=True).start()
            return await done

    async def _rules(self, names: Iterable[str]) -> Compiled:
        """The rules for what is stored in one of these projects."""
        found = [await self._of_project(name) for name in names]
        if len(found) == 1:
            return found[0][1]
        rules = sum((rules for rules, _ in found), Rules())
        return self._compiled("", rules)

    async def _of_project(self, project: str) -> tuple[Rules, Compiled]:
        now = time.monotonic()
        known = self._known.get(project)
        if known:
            age = now - known.read_at
            # While one call reads them, others take those of a second before.
            if age < _SECONDS or (project in self._reading and age < 2 * _SECONDS):
                return known.rules, known.compiled
        self._reading.add(project)
        try:
            rules = await self.read(project)
        finally:
            self._reading.discard(project)
        is_same = known is not None and known.rules == rules
        compiled = known.compiled if known and is_same else self._compiled(project, rules)
        if len(self._known) >= _MOST_PROJECTS:
            self._known.clear()
        self._known[project] = _Known(now, rules, compiled)
        return rules, compiled

    def _compiled(self, project: str, rules: Rules) -> Compiled:
        try:
            return compile_rules(
                self._server_rules + rules, project=project, credentials=self._credentials
            )
        except Exception as error:
            log.error("the rules of a project cannot be used", project=project, exc_info=error)
            raise redaction_failed() from error


def _redact(request: Any, todo: Sequence[tuple[Compiled, Any]]) -> Any:
    """Redact the parts of a request; the request, or what is in its place."""
    for rules, part in todo:
        if isinstance(part, SentEvent):
            return _redact_event(rules, part, partial(redacted_fields, rules))
        if isinstance(part, EventBatch):
            _redact(None, [(rules, part.request)])
            change = partial(redacted_fields, rules)
            return replace(part, events=[_redact_event(rules, e, change) for e in part.events])
        if rules.has_rules or may_have_credentials(part.SerializeToString()):
            redact_message(rules, part)
    return request


def _redact_event(rules: Compiled, event: SentEvent, change: Any) -> SentEvent:
    if rules.has_rules or may_have_credentials(event.kept or b""):
        return changed_event(event, change)
    return event


def _size(request: Any) -> int:
    if isinstance(request, Message):
        return request.ByteSize()
    events = request.events if isinstance(request, EventBatch) else [request]
    return sum(len(event.kept or b"") for event in events)


def _parts(request: Any, call: CallContext) -> list[tuple[tuple[str, ...], Any]]:
    """The parts of a request that go to projects of their own, with the names of the projects it
    may be stored in."""
    if call.key_project != INSTANCE or call.header_project:
        return [((call.project(),), request)]
    for field in _GROUPS:
        if isinstance(request, Message) and field in request.DESCRIPTOR.fields_by_name:
            groups = by_project(getattr(request, field), call)
            return [((name,), group) for name, found in groups.items() for group in found]
    names = dict.fromkeys(name for name in _named(request) if is_project(name))
    return [(tuple(names) or (DEFAULT_PROJECT,), request)]


def _named(request: Any) -> Iterator[str]:
    """The projects that a request names."""
    if isinstance(request, SentEvent):
        yield request.fields.get("project", "")
    elif isinstance(request, EventBatch):
        for event in request.events:
            yield event.fields.get("project", "")
        yield from _named(request.request)
    else:
        yield from _names_of(request)
        for field, value in request.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
                for inner in value if field.is_repeated else (value,):
                    yield from _names_of(inner)


def _is_map(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return inner is not None and bool(inner.GetOptions().map_entry)


def _names_of(message: Any) -> Iterator[str]:
    """The projects that the fields of a message name, or the members of a document; also those of
    the events inside of an event."""
    fields = message.DESCRIPTOR.fields_by_name
    if _CHILDREN in fields:
        for child in getattr(message, _CHILDREN).list_value.values:
            yield from _names_of_child(child.struct_value.fields)
    for name in _PROJECT_FIELDS:
        if name in fields and fields[name].type == FieldDescriptor.TYPE_STRING:
            value = getattr(message, name)
            yield value.rpartition("/")[2] if name == "project_id" else value
        elif message.DESCRIPTOR.full_name == "google.protobuf.Struct" and name in message.fields:
            yield message.fields[name].string_value


def _names_of_child(fields: Any) -> Iterator[str]:
    """The projects that an event inside of another one names, and those inside of it."""
    if _PROJECT in fields:
        yield fields[_PROJECT].string_value
    if _CHILDREN in fields:
        for child in fields[_CHILDREN].list_value.values:
            yield from _names_of_child(child.struct_value.fields)
