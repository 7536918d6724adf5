"""The errors of Spanloom: one class with a code, a reason, and what the caller can do about it.

`server/status.py` alone knows how a code is written on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Code(StrEnum):
    """The kinds of refusal: the names of google.rpc.Code."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"


class Reason(StrEnum):
    """Why a call was refused: the names of spanloom.v1.ErrorReason without `ERROR_REASON_`.

    proto/spanloom/v1/error_reason.proto describes each with an example.
    """

    INVALID_FIELD = "INVALID_FIELD"
    DUPLICATE_ID = "DUPLICATE_ID"
    MALFORMED_BODY = "MALFORMED_BODY"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - a reason, not a secret
    MISSING_CREDENTIALS = "MISSING_CREDENTIALS"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    PROJECT_MISMATCH = "PROJECT_MISMATCH"
    TRACE_NOT_FOUND = "TRACE_NOT_FOUND"
    EVENT_NOT_FOUND = "EVENT_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    UNSUPPORTED_ENCODING = "UNSUPPORTED_ENCODING"
    QUEUE_FULL = "QUEUE_FULL"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"
    EXPERIMENT_NOT_FOUND = "EXPERIMENT_NOT_FOUND"
    PROMPT_NOT_FOUND = "PROMPT_NOT_FOUND"
    PROMPT_VERSION_EXISTS = "PROMPT_VERSION_EXISTS"
    EVALUATOR_NOT_FOUND = "EVALUATOR_NOT_FOUND"
    DATASET_NOT_FOUND = "DATASET_NOT_FOUND"
    SPAN_NOT_FOUND = "SPAN_NOT_FOUND"
    TEXT_NOT_FOUND = "TEXT_NOT_FOUND"
    CONVERSATION_NOT_FOUND = "CONVERSATION_NOT_FOUND"
    REVIEW_NOT_FOUND = "REVIEW_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    PRICE_NOT_FOUND = "PRICE_NOT_FOUND"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    NO_PUBLIC_URL = "NO_PUBLIC_URL"
    KEY_NOT_ROTATABLE = "KEY_NOT_ROTATABLE"
    REDACTION_FAILED = "REDACTION_FAILED"
    EXPIRED_CURSOR = "EXPIRED_CURSOR"
    INVALID_CURSOR = "INVALID_CURSOR"
    READER_TOO_SLOW = "READER_TOO_SLOW"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    WRITTEN_BY_ANOTHER_API = "WRITTEN_BY_ANOTHER_API"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    FOREIGN_SITE = "FOREIGN_SITE"
    AMBIGUOUS_EVENT = "AMBIGUOUS_EVENT"
    ENTRY_NOT_FOUND = "ENTRY_NOT_FOUND"
    PROJECT_NOT_EMPTY = "PROJECT_NOT_EMPTY"
    ATTACHMENT_NOT_FOUND = "ATTACHMENT_NOT_FOUND"
    PROJECT_BEING_DELETED = "PROJECT_BEING_DELETED"
    RATE_LIMITED = "RATE_LIMITED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"


Noun = Literal[
    "trace",
    "event",
    "session",
    "experiment",
    "prompt",
    "evaluator",
    "dataset",
    "span",
    "text",
    "conversation",
    "review",
    "key",
    "price",
    "file",
    "entry",
    "attachment",
]

_NOT_FOUND: dict[Noun, Reason] = {
    "trace": Reason.TRACE_NOT_FOUND,
    "event": Reason.EVENT_NOT_FOUND,
    "session": Reason.SESSION_NOT_FOUND,
    "experiment": Reason.EXPERIMENT_NOT_FOUND,
    "prompt": Reason.PROMPT_NOT_FOUND,
    "evaluator": Reason.EVALUATOR_NOT_FOUND,
    "dataset": Reason.DATASET_NOT_FOUND,
    "span": Reason.SPAN_NOT_FOUND,
    "text": Reason.TEXT_NOT_FOUND,
    "conversation": Reason.CONVERSATION_NOT_FOUND,
    "review": Reason.REVIEW_NOT_FOUND,
    "key": Reason.KEY_NOT_FOUND,
    "price": Reason.PRICE_NOT_FOUND,
    "file": Reason.FILE_NOT_FOUND,
    "entry": Reason.ENTRY_NOT_FOUND,
    "attachment": Reason.ATTACHMENT_NOT_FOUND,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request.

    `field` is a path in the request's JSON names, like `events[3].event_type`.
    """

    field: str
    description: str


class SpanloomError(Exception):
    """A refusal as the caller sees it: the text is for people, `code` and `reason` for programs.

    `retry_after` (seconds) is sent with RESOURCE_EXHAUSTED and UNAVAILABLE. `metadata` holds facts
    about the refusal (a limit, the id that was not found); never secrets, never the text of an
    inner exception.
    """

    def __init__(
        self,
        code: Code,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class SetupError(ValueError):
    """The program was set up in a way that cannot work: a setting, an address, a database.

    The text is one line for whoever runs the program, never for a caller, and holds no password.
    """


def invalid(
    violations: Sequence[Violation], reason: Reason = Reason.INVALID_FIELD
) -> SpanloomError:
    """INVALID_ARGUMENT that names every violation.

    The message repeats the first few of them, for clients that show the message alone.
    """
    listed = "; ".join(
        f"{v.field}: {v.description}" if v.field else v.description for v in violations[:3]
    )
    more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
    return SpanloomError(Code.INVALID_ARGUMENT, reason, listed + more, violations=violations)


def invalid_field(
    field: str, description: str, reason: Reason = Reason.INVALID_FIELD
) -> SpanloomError:
    """INVALID_ARGUMENT for one field."""
    return invalid([Violation(field, description)], reason)


def not_found(noun: Noun, name: str) -> SpanloomError:
    """NOT_FOUND, with the reason that belongs to the kind of resource."""
    return SpanloomError(
        Code.NOT_FOUND,
        _NOT_FOUND[noun],
        f"the project has no {noun} {name!r}",
        metadata={"resource": noun, "name": name},
    )


def ambiguous_event(event_id: str) -> SpanloomError:
    """FAILED_PRECONDITION: several traces have an event with this id. It names none of them: the
    caller may be one that may not read."""
    return SpanloomError(
        Code.FAILED_PRECONDITION,
        Reason.AMBIGUOUS_EVENT,
        f"several traces have an event {event_id!r}: name one of them by trace_id",
        metadata={"event_id": event_id},
    )


def role_not_allowed(role: str, required: str) -> SpanloomError:
    """PERMISSION_DENIED: the role of the key does not permit a method."""
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.ROLE_NOT_ALLOWED,
        f"this method requires a key with the role {required}; the role of this key is {role}",
        metadata={"role": role, "required": required},
    )


def project_not_empty(project: str, found: str) -> SpanloomError:
    """FAILED_PRECONDITION: a project that is to be deleted still has something."""
    return SpanloomError(
        Code.FAILED_PRECONDITION,
        Reason.PROJECT_NOT_EMPTY,
        f"the project {project!r} still has {found}",
        metadata={"project": project, "found": found},
    )


def project_being_deleted(project: str) -> SpanloomError:
    """FAILED_PRECONDITION: no call is accepted in the project any more."""
    return SpanloomError(
        Code.FAILED_PRECONDITION,
        Reason.PROJECT_BEING_DELETED,
        "the project is being deleted",
        metadata={"project": project},
    )


def key_not_rotatable(key_id: str) -> SpanloomError:
    """FAILED_PRECONDITION: the key has ended, or another one replaces it already."""
    return SpanloomError(
        Code.FAILED_PRECONDITION,
        Reason.KEY_NOT_ROTATABLE,
        "the key is revoked, has expired, or was rotated before",
        metadata={"resource": "key", "name": key_id},
    )


def written_by_another_api(fields: Sequence[str]) -> SpanloomError:
    """PERMISSION_DENIED: a key may not replace or update what these fields name."""
    violations = [Violation(field, "was written through another API") for field in fields[:100]]
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.WRITTEN_BY_ANOTHER_API,
        "a key with the role ingest may not replace or update what was written through another API",
        violations=violations,
    )


def invalid_cursor(field: str) -> SpanloomError:
    """INVALID_ARGUMENT: no cursor that this server issued for this method and project."""
    return invalid_field(field, "not a cursor of this method", Reason.INVALID_CURSOR)


def expired_cursor(oldest_cursor_time: str) -> SpanloomError:
    """OUT_OF_RANGE: the cursor is older than the log of changes, which begins at a time."""
    return SpanloomError(
        Code.OUT_OF_RANGE,
        Reason.EXPIRED_CURSOR,
        "the cursor is older than the server's log of changes: read the current state, and follow"
        " the changes without a cursor",
        metadata={"oldest_cursor_time": oldest_cursor_time},
    )


def reader_too_slow(spans: int, limit: int, size: int) -> SpanloomError:
    """ABORTED: a reader of a stream is so many spans, and bytes, behind."""
    return SpanloomError(
        Code.ABORTED,
        Reason.READER_TOO_SLOW,
        f"the reader is {spans} spans and {size} bytes behind; resume from the cursor of the last"
        " response, and read faster or with a narrower filter",
        metadata={"spans_behind": str(spans), "limit_spans": str(limit)},
    )


def request_id_reused(field: str) -> SpanloomError:
    """INVALID_ARGUMENT: an earlier call of the method had the request id in this field."""
    return invalid_field(
        field, "the id of a call with a different request", Reason.REQUEST_ID_REUSED
    )


def queue_full(retry_after: float = 1.0) -> SpanloomError:
    """RESOURCE_EXHAUSTED: the bounded write queue is full; nothing of the request was stored."""
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL,
        "the write queue is full; nothing of this request was stored; retry later",
        retry_after=retry_after,
    )


def rate_limited(whose: str, what: str, name: str, most: int, wait: float) -> SpanloomError:
    """RESOURCE_EXHAUSTED: a project or a key has taken what it may in a time. Nothing was stored.

    Args:
        whose: "project" or "key".
        what: What is counted, like "spans".
        name: The name of the limit.
        most: How many there may be in a second.
        wait: Seconds until a call is accepted again, if no other comes before.
    """
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.RATE_LIMITED,
        f"this {whose} may have {most} {what} a second (the limit {name}): retry later",
        metadata={f"limit_{name}": str(most)},
        retry_after=wait,
    )


def quota_exceeded(project: str, most: int) -> SpanloomError:
    """RESOURCE_EXHAUSTED: a project has as many spans as it may store. There is no time after which
    a retry is accepted."""
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"the project {project!r} may store {most} spans (the limit stored_spans), and has them:"
        " delete some, or ask for more",
        metadata={"limit_stored_spans": str(most), "project": project},
    )


def shutting_down() -> SpanloomError:
    """UNAVAILABLE: the server drains; another one, or this one later, answers the call."""
    return SpanloomError(
        Code.UNAVAILABLE, Reason.SHUTTING_DOWN, "the server is shutting down", retry_after=1.0
    )


def store_unavailable(retry_after: float = 1.0) -> SpanloomError:
    """UNAVAILABLE: the database could not be reached or refused; nothing was acknowledged."""
    return SpanloomError(
        Code.UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        "the database is not available",
        retry_after=retry_after,
    )


def redaction_failed() -> SpanloomError:
    """UNAVAILABLE: a request could not be redacted, so nothing of it was stored."""
    return SpanloomError(
        Code.UNAVAILABLE,
        Reason.REDACTION_FAILED,
        "the request could not be redacted, so nothing was stored; the server's log has the cause",
        retry_after=5.0,
    )


def span_damaged(trace_id: str, span_id: str) -> SpanloomError:
    """DATA_LOSS: what the store has of a span cannot be read."""
    return SpanloomError(
        Code.DATA_LOSS,
        Reason.INTERNAL,
        f"what was sent of the span {span_id!r} of the trace {trace_id!r} is damaged in the "
        "database: delete the span, or write it again",
    )


def request_too_large(limit_bytes: int) -> SpanloomError:
    """RESOURCE_EXHAUSTED: the request has more bytes than the server accepts."""
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.REQUEST_TOO_LARGE,
        f"the request is larger than {limit_bytes} bytes, the server's limit",
        metadata={"limit_bytes": str(limit_bytes)},
    )


def too_many_values(limit: int) -> SpanloomError:
    """RESOURCE_EXHAUSTED: reading the request would take far more memory than it has bytes."""
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.REQUEST_TOO_LARGE,
        f"the request has more than {limit} values, the server's limit",
        metadata={"limit_values": str(limit)},
    )


def page_too_large(limit_bytes: int) -> SpanloomError:
    """INVALID_ARGUMENT: the spans that a page would have are more than an answer holds."""
    return SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.INVALID_FIELD,
        f"the events of this page have more than {limit_bytes} bytes: ask for fewer by a smaller"
        " limit",
        violations=[Violation("limit", f"finds more than {limit_bytes} bytes")],
        metadata={"limit_page_bytes": str(limit_bytes)},
    )


def event_too_large(
    limit_bytes: int, what: str = "one event with its updates has"
) -> SpanloomError:
    """INVALID_ARGUMENT: an event and its updates are more than the server keeps of one."""
    return SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.INVALID_FIELD,
        f"{what} at most {limit_bytes} bytes; this one was not stored",
        metadata={"limit_event_bytes": str(limit_bytes)},
    )


def malformed_message(type_name: str) -> SpanloomError:
    """INVALID_ARGUMENT: the bytes are not a protobuf message of that type."""
    return SpanloomError(
        Code.INVALID_ARGUMENT,
        Reason.MALFORMED_BODY,
        f"the request is not a valid {type_name} message"
        " (broken wire format, text that is not UTF-8, or more than 100 levels)",
    )


def unsupported_encoding(message: str) -> SpanloomError:
    """INVALID_ARGUMENT: the body's Content-Type or Content-Encoding is not read here."""
    return SpanloomError(Code.INVALID_ARGUMENT, Reason.UNSUPPORTED_ENCODING, message)
