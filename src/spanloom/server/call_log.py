"""The log: a line for each call, and for each refusal of what is no call; calls for which there is
no place have lines for many of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from spanloom import metrics
from spanloom.codec.json_parse import printable
from spanloom.errors import SpanloomError
from spanloom.model.projects import MAX_PROJECT_LENGTH
from spanloom.server.auth import Principal
from spanloom.server.methods import Method

log = structlog.get_logger("spanloom.request")

_SUM_SECONDS: Final = 1.0

# Fields that name what a call makes, changes or deletes. None has the id of a user, or a content.
_NAMES: Final = (
    *("key_id", "project_id", "retention_days", "trace_id", "span_id", "event_id"),
    *("session_id", "run_id", "slug", "version", "tag", "new_tag", "dataset_id", "datapoint_id"),
    *("price_id", "chart_id", "function_id", "metric_id", "version_name", "id", "inserted_id"),
)


def log_refusal(error: SpanloomError, request_id: str, *, transport: str, target: str) -> None:
    """The log line of a request that is no call: an unknown path, or no HTTP at all.

    Args:
        target: What it was for, like `GET /nowhere`, in place of the method's name.
    """
    metrics.REFUSALS.labels(error.reason).inc()
    _log(target, request_id, time.perf_counter(), transport, error.code, error.reason)


@dataclass(slots=True)
class CallLine:
    """The line of a call. That of a method that requires the role admin is a line of the audit log:
    it also says what the call was about."""

    method: Method
    request_id: str
    transport: str
    started: float
    facts: dict[str, Any] = field(default_factory=dict)
    request: object = None
    answer: object = None

    @property
    def project(self) -> str:
        """That of the caller's key, "" while it is not known."""
        return str(self.facts.get("key_project", ""))

    def caller(self, principal: Principal, header_project: str) -> None:
        """Who calls, and the project that an instance key selects."""
        self.facts["key_project"] = principal.project
        if principal.key_id:
            self.facts["key_id"] = principal.key_id
        if self.method.role == "admin" and header_project:
            self.facts["project"] = printable(header_project)[:MAX_PROJECT_LENGTH]

    def write(self, code: str, reason: str) -> None:
        """The call has ended."""
        facts = self.facts
        if self.method.role == "admin":
            facts = {**facts, "audit": True, "resource": _resource_of(self.request, self.answer)}
        _log(
            self.method.full_name,
            self.request_id,
            self.started,
            self.transport,
            code,
            reason,
            **facts,
        )


class RefusalSums:
    """Counts and logs refusals once a second: a flood of them has a line for each second, and not
    for each call. For one event loop."""

    def __init__(self) -> None:
        self._number: Counter[tuple[str, ...]] = Counter()
        # The latest request id of each.
        self._request_ids: dict[tuple[str, ...], str] = {}

    def add(
        self,
        method: Method,
        principal: Principal,
        refusal: SpanloomError,
        request_id: str,
        transport: str,
    ) -> None:
        if not self._number:
            asyncio.get_running_loop().call_later(_SUM_SECONDS, self.write)
        of = (
            *(method.full_name, transport, refusal.code, refusal.reason),
            *(principal.project, principal.key_id),
        )
        self._number[of] += 1
        self._request_ids[of] = request_id

    def write(self) -> None:
        """Write what has been added."""
        for of, number in self._number.items():
            method, transport, code, reason, project, key_id = of
            metrics.refused(method, code, reason, project, number)
            log.info(
                "calls refused",
                number=number,
                method=method,
                transport=transport,
                code=code,
                reason=reason,
                key_project=project,
                **({"key_id": key_id} if key_id else {}),
                request_id=self._request_ids[of],
            )
        self._number.clear()
        self._request_ids.clear()


def _log(
    method: str,
    request_id: str,
    started: float,
    transport: str,
    code: str,
    reason: str,
    **facts: Any,
) -> None:
    if reason:
        facts["reason"] = reason
    log.info(
        "call",
        method=method,
        transport=transport,
        code=code,
        ms=round((time.perf_counter() - started) * 1000, 3),
        request_id=request_id,
        **facts,
    )


def _resource_of(*messages: object) -> dict[str, str]:
    """What the messages of a call name, by field, in the order of `_NAMES`.

    A field of a message inside counts as well, such as `key.key_id`. The first message counts.
    """
    found: dict[str, str] = {}
    for message in messages:
        if isinstance(message, Message):
            for part in (message, *_inner(message)):
                for name, value in _named(part):
                    found.setdefault(name, value)
    return {name: found[name] for name in _NAMES if name in found}


def _inner(message: Message) -> list[Message]:
    return [
        value
        for field, value in message.ListFields()
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated
    ]


def _named(message: Message) -> list[tuple[str, str]]:
    fields: Any = message.ListFields()
    return [
        (field.name, printable(str(value)))
        for field, value in fields
        if field.name in _NAMES
        and field.type != FieldDescriptor.TYPE_MESSAGE
        and not field.is_repeated
    ]
