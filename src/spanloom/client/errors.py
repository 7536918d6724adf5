"""What a call raises, and whether it is worth another attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass(eq=False)
class CallError(Exception):
    """A call that the server refused, or that did not reach it.

    Attributes:
        code: The gRPC code, such as "NOT_FOUND".
        reason: The cause for programs, such as "ERROR_REASON_SPAN_NOT_FOUND"; "" if the error does
            not come from Spanloom itself.
        message: The text for people.
        violations: The invalid fields of the request, each with its description.
        retry_after: The seconds after which the server asks for another attempt.
        request_id: The id of the call in the server's log.
    """

    code: str
    reason: str
    message: str
    violations: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    request_id: str = ""

    def __str__(self) -> str:
        return self.message or self.code


class _Failure(Protocol):
    """What the errors of grpc and of grpc.aio have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> object: ...


def call_error(failure: _Failure) -> CallError:
    """The error of a call that gRPC raised."""
    error = CallError(failure.code().name, "", failure.details() or "")
    trailers = dict(failure.trailing_metadata() or ())  # type: ignore[call-overload]
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    for detail in status_pb2.Status.FromString(trailers.get(_DETAILS, b"")).details:
        if detail.Unpack(info):
            error.reason = info.reason
        elif detail.Unpack(bad):
            error.violations = {v.field: v.description for v in bad.field_violations}
        elif detail.Unpack(retry):
            error.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(request):
            error.request_id = request.request_id
    return error


def pause_before_retry(error: CallError, attempt: int, seconds_left: float) -> float | None:
    """The seconds to wait before the next attempt, or None if the error is final.

    Only for calls that may be repeated. A server that asks for a pause gets it; other failures of
    the connection wait longer each time, and at random, so that many clients do not come at once.

    Args:
        attempt: The number of the attempt that failed. The first is 1.
        seconds_left: The time until the call's deadline.
    """
    asked = error.retry_after
    if error.code != "UNAVAILABLE" and (error.code != "RESOURCE_EXHAUSTED" or asked is None):
        return None
    if asked is None:
        asked = min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE)
    pause = asked * random.uniform(1.0, 1.25)  # noqa: S311 - no secret
    return pause if pause < seconds_left else None


def pause_of_tail(error: CallError, failures: int) -> float | None:
    """The seconds after which an interrupted tail continues, None if it cannot."""
    if error.reason == "ERROR_REASON_READER_TOO_SLOW":
        return 0.0
    return pause_before_retry(error, failures, float("inf"))
